// The benchmark's works through franz-go; bench/README.md says what each work is.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"sort"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var (
	bootstrap, ca, compression       string
	ordersFile, topic, input, out    string
	group, transactionalID, registry string
	records                          int64
	partitions, size, count          int
	restMS, maxOrders, lingerMS      int
	schemaID                         uint
)

// Transactions that are not counted: connections, the first producer id.
const warmUp = 20

// As a Go program is set whose processor time matters more than its memory: the collector runs a quarter as often, which is worth
// a third of what a record consumed costs. Pools of records (kgo.WithPools) bring nothing beyond it.
const gcPercent = 400

func main() {
	debug.SetGCPercent(gcPercent)
	works := map[string]func() error{"produce": produce, "consume": consume, "transactions": transactions, "fulfil": fulfil}
	if len(os.Args) < 2 || works[os.Args[1]] == nil {
		fail(errors.New("usage: franz-go produce|consume|transactions|fulfil --option value ..."))
	}
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	flags.StringVar(&bootstrap, "bootstrap", "", "the first broker")
	flags.StringVar(&ca, "ca", "", "TLS, and the CA to trust")
	flags.StringVar(&compression, "compression", "none", "none or lz4")
	flags.StringVar(&ordersFile, "orders", "", "the file of keys and values")
	flags.StringVar(&topic, "topic", "", "what is written or read")
	flags.StringVar(&input, "input", "", "the topic whose offset is committed")
	flags.StringVar(&out, "out", "", "where pick lists go")
	flags.StringVar(&group, "group", "", "the consumer group")
	flags.StringVar(&transactionalID, "transactional-id", "", "transactional.id")
	flags.StringVar(&registry, "registry", "", "not asked")
	flags.Int64Var(&records, "records", 0, "how many")
	flags.IntVar(&partitions, "partitions", 0, "of the topic")
	flags.IntVar(&size, "size", 0, "records of a transaction")
	flags.IntVar(&count, "count", 0, "transactions")
	flags.IntVar(&restMS, "rest-ms", 0, "before each transaction")
	flags.IntVar(&maxOrders, "max-orders", 2000, "of one transaction")
	flags.IntVar(&lingerMS, "linger-ms", 3, "how long a transaction waits for more")
	flags.UintVar(&schemaID, "schema-id", 2, "of pick lists")
	_ = flags.Parse(os.Args[2:])
	if err := works[os.Args[1]](); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// Prints a client's figures as one line of JSON.
func report(figures map[string]float64) error { return json.NewEncoder(os.Stdout).Encode(figures) }

func options(more ...kgo.Opt) ([]kgo.Opt, error) {
	opts := append([]kgo.Opt{kgo.SeedBrokers(strings.Split(bootstrap, ",")...)}, more...)
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		opts = append(opts, kgo.DialTLSConfig(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}))
	}
	return opts, nil
}

// As large batches as a broker takes, and enough records for them; idempotent with acks=all by default.
func producing(linger time.Duration) []kgo.Opt {
	codec := kgo.NoCompression()
	if compression == "lz4" {
		codec = kgo.Lz4Compression()
	}
	return []kgo.Opt{
		kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(codec), kgo.ProducerBatchMaxBytes(1_000_000),
		kgo.ProducerLinger(linger), kgo.MaxBufferedRecords(250_000), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
	}
}

type order struct{ key, value []byte }

func readOrders() ([]order, error) {
	bytes, err := os.ReadFile(ordersFile)
	if err != nil {
		return nil, err
	}
	var orders []order
	take := func() []byte {
		length := binary.BigEndian.Uint32(bytes)
		part := bytes[4 : 4+length]
		bytes = bytes[4+length:]
		return part
	}
	for len(bytes) > 0 {
		orders = append(orders, order{take(), take()})
	}
	return orders, nil
}

func produce() error {
	orders, err := readOrders()
	if err != nil {
		return err
	}
	opts, err := options(producing(5 * time.Millisecond)...)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return err
	}
	ctx := context.Background()
	var acknowledged atomic.Int64
	var failed atomic.Pointer[error]
	acknowledge := func(_ *kgo.Record, err error) {
		if err != nil {
			failed.Store(&err)
			return
		}
		acknowledged.Add(1)
	}
	started := time.Now()
	for i := range records {
		order := &orders[i%int64(len(orders))]
		client.Produce(ctx, &kgo.Record{Key: order.key, Value: order.value}, acknowledge)
	}
	if err := client.Flush(ctx); err != nil {
		return err
	}
	seconds := time.Since(started).Seconds()
	if err := failed.Load(); err != nil {
		return *err
	}
	return report(map[string]float64{"records": float64(acknowledged.Load()), "seconds": seconds})
}

func consume() error {
	offsets := map[int32]kgo.Offset{}
	for partition := range partitions {
		offsets[int32(partition)] = kgo.NewOffset().AtStart()
	}
	opts, err := options(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: offsets}))
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return err
	}
	var seen, bytes int64
	var started time.Time
	for seen < records {
		fetches := client.PollFetches(context.Background())
		if err := fetches.Err(); err != nil {
			return err
		}
		if started.IsZero() {
			started = time.Now()
		}
		fetches.EachRecord(func(record *kgo.Record) {
			seen++
			bytes += int64(len(record.Key) + len(record.Value))
		})
	}
	seconds := time.Since(started).Seconds()
	return report(map[string]float64{"records": float64(seen), "bytes": float64(bytes), "seconds": seconds})
}

func transactions() error {
	orders, err := readOrders()
	if err != nil {
		return err
	}
	opts, err := options(append(producing(0), kgo.TransactionalID(transactionalID))...)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return err
	}
	ctx := context.Background()
	var times []time.Duration
	next := 0
	for number := range warmUp + count {
		time.Sleep(time.Duration(restMS) * time.Millisecond)
		began := time.Now()
		if err := client.BeginTransaction(); err != nil {
			return err
		}
		var failed atomic.Pointer[error]
		for range size {
			order := &orders[next%len(orders)]
			next++
			client.Produce(ctx, &kgo.Record{Key: order.key, Value: order.value}, func(_ *kgo.Record, err error) {
				if err != nil {
					failed.Store(&err)
				}
			})
		}
		if err := client.Flush(ctx); err != nil {
			return err
		}
		if err := failed.Load(); err != nil {
			return *err
		}
		if err := commitOffset(ctx, client, int64(number)); err != nil {
			return err
		}
		if err := client.EndTransaction(ctx, kgo.TryCommit); err != nil {
			return err
		}
		if number >= warmUp {
			times = append(times, time.Since(began))
		}
	}
	var all time.Duration
	for _, one := range times {
		all += one
	}
	sort.Slice(times, func(i, j int) bool { return times[i] < times[j] })
	rank := func(thousandths int) float64 {
		at := (thousandths*len(times) + 999) / 1000
		return times[max(at, 1)-1].Seconds() * 1e3
	}
	return report(map[string]float64{
		"records": float64(size * count), "seconds": all.Seconds(),
		"p50_ms": rank(500), "p99_ms": rank(990), "p999_ms": rank(999), "max_ms": rank(1000),
	})
}

// An offset of a group without members in the open transaction. The library has this for members only, so the request is made
// by hand, as its own session does: under transaction version 2 no AddOffsetsToTxn comes before it.
func commitOffset(ctx context.Context, client *kgo.Client, offset int64) error {
	id, epoch, err := client.ProducerID(ctx)
	if err != nil {
		return err
	}
	request := kmsg.NewPtrTxnOffsetCommitRequest()
	request.TransactionalID, request.Group = transactionalID, group
	request.ProducerID, request.ProducerEpoch, request.Generation = id, epoch, -1
	partition := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	partition.Offset = offset
	requested := kmsg.NewTxnOffsetCommitRequestTopic()
	requested.Topic, requested.Partitions = input, []kmsg.TxnOffsetCommitRequestTopicPartition{partition}
	request.Topics = []kmsg.TxnOffsetCommitRequestTopic{requested}
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(response.Topics[0].Partitions[0].ErrorCode)
}
