package main

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/hamba/avro/v2"
	"github.com/twmb/franz-go/pkg/kgo"
)

type groceryOrder struct {
	OrderID    string   `avro:"order_id"`
	CustomerID string   `avro:"customer_id"`
	Items      []string `avro:"items"`
	OrderTotal float64  `avro:"order_total"`
	OrderTime  string   `avro:"order_time"`
}

type groceryPicklist struct {
	PicklistID     string   `avro:"picklist_id"`
	OrderID        string   `avro:"order_id"`
	ItemsToPick    []string `avro:"items_to_pick"`
	AssignedPicker string   `avro:"assigned_picker"`
	CreatedTime    string   `avro:"created_time"`
}

const (
	ordersSchema = `{"type":"record","name":"GroceryOrder","namespace":"com.demo","fields":[{"name":"order_id","type":"string"},
		{"name":"customer_id","type":"string"},{"name":"items","type":{"type":"array","items":"string"}},
		{"name":"order_total","type":"double"},{"name":"order_time","type":"string"}]}`
	picklistsSchema = `{"type":"record","name":"GroceryPicklist","namespace":"com.demo","fields":[{"name":"picklist_id","type":"string"},
		{"name":"order_id","type":"string"},{"name":"items_to_pick","type":{"type":"array","items":"string"}},
		{"name":"assigned_picker","type":"string"},{"name":"created_time","type":"string"}]}`
)

var (
	pickers      = []string{"Ada", "Grace", "Linus", "Margaret", "Radia", "Tim"}
	picklistMask = [16]byte{0x99, 0x2e, 0xf2, 0xed, 0xfa, 0x8a, 0, 0, 0x3f, 0xfd, 0xff, 0x63, 0xcf, 0xef, 0x74, 0xff}
	orderReader  = avro.MustParse(ordersSchema)
	listWriter   = avro.MustParse(picklistsSchema)
)

// Key and value of an order's pick list.
func pick(value []byte) ([]byte, []byte, error) {
	var order groceryOrder
	if err := avro.Unmarshal(orderReader, value[5:], &order); err != nil {
		return nil, nil, err
	}
	id, err := picklistID(order.OrderID)
	if err != nil {
		return nil, nil, err
	}
	hash := uint64(0xcbf29ce484222325)
	for i := range len(order.OrderID) {
		hash = (hash ^ uint64(order.OrderID[i])) * 0x100000001b3
	}
	list, err := avro.Marshal(listWriter, &groceryPicklist{
		PicklistID: id, OrderID: order.OrderID, ItemsToPick: order.Items,
		AssignedPicker: pickers[hash%uint64(len(pickers))], CreatedTime: time.Now().UTC().Format(time.DateTime),
	})
	if err != nil {
		return nil, nil, err
	}
	framed := binary.BigEndian.AppendUint32(make([]byte, 1, 5+len(list)), uint32(schemaID))
	return []byte(order.OrderID), append(framed, list...), nil
}

func picklistID(orderID string) (string, error) {
	var digits [32]byte
	n := 0
	for i := 0; i < len(orderID) && n < len(digits); i++ {
		if orderID[i] != '-' {
			digits[n] = orderID[i]
			n++
		}
	}
	var id [16]byte
	if _, err := hex.Decode(id[:], digits[:n]); err != nil {
		return "", err
	}
	for i := range id {
		id[i] ^= picklistMask[i]
	}
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80
	text := hex.EncodeToString(id[:])
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:], nil
}

func fulfil() error {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	// Batches instead of single records; what is left is flushed.
	more := append(producing(time.Millisecond), kgo.DefaultProduceTopic(out), kgo.TransactionalID(transactionalID), kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.RequireStableFetchOffsets(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	opts, err := options(more...)
	if err != nil {
		return err
	}
	session, err := kgo.NewGroupTransactSession(opts...)
	if err != nil {
		return err
	}
	defer session.Close()
	done := 0
	for {
		fetches := session.PollRecords(ctx, maxOrders)
		if ctx.Err() != nil {
			return report(map[string]float64{"records": float64(done)})
		}
		if err := fetches.Err(); err != nil {
			return err
		}
		if fetches.Empty() {
			continue
		}
		if err := session.Begin(); err != nil {
			return err
		}
		written := kgo.AbortingFirstErrPromise(session.Client())
		orders, err := take(ctx, session, fetches, written)
		if err != nil {
			return err
		}
		if err := session.Client().Flush(context.Background()); err != nil {
			return err
		}
		// Err waits for every record's outcome, and the session ends the transaction with positions only if all were written.
		// A list that was not is no reason to stop: the session goes back to where the transaction began.
		committed, err := session.End(context.Background(), kgo.TransactionEndTry(written.Err() == nil))
		if err != nil {
			return err
		}
		if committed {
			done += orders
		}
	}
}

// Makes the lists of these orders, and of more until there are enough or it has waited long enough.
func take(ctx context.Context, session *kgo.GroupTransactSession, fetches kgo.Fetches, written *kgo.FirstErrPromise) (int, error) {
	more, cancel := context.WithTimeout(ctx, time.Duration(lingerMS)*time.Millisecond)
	defer cancel()
	orders := 0
	for {
		for records := fetches.RecordIter(); !records.Done(); {
			key, value, err := pick(records.Next().Value)
			if err != nil {
				return orders, err
			}
			session.Produce(context.Background(), &kgo.Record{Key: key, Value: value}, written.Promise())
			orders++
		}
		if orders >= maxOrders {
			return orders, nil
		}
		fetches = session.PollRecords(more, maxOrders-orders)
		if err := fetches.Err(); err != nil {
			if errors.Is(err, more.Err()) {
				return orders, nil
			}
			return orders, err
		}
	}
}
