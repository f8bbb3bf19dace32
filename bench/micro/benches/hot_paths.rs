//! Each hot path beside the crate that a user would take instead: `cargo bench` in `bench/`. An iteration is a batch of orders.

use apache_avro::{from_value, to_value};
use bench_micro::{BATCH, CASES, Material};
use bytes::BytesMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use grocery_events::{Event as _, GroceryOrder};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, Record, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions,
    TimestampType,
};

fn hot_paths(criterion: &mut Criterion) {
    let material = Material::default();
    let mut group = criterion.benchmark_group("ours");
    group.throughput(Throughput::Elements(BATCH as u64));
    for (name, path) in CASES {
        let mut buffer = Vec::new();
        group.bench_function(name, |bencher| bencher.iter(|| path(&material, &mut buffer)));
    }
    group.finish();

    let mut group = criterion.benchmark_group("others");
    group.throughput(Throughput::Elements(BATCH as u64));
    let records: Vec<Record> = material
        .orders
        .iter()
        .zip(&material.values)
        .enumerate()
        .map(|(number, (order, value))| record(number, order.key(), value))
        .collect();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    group.bench_function("record encode: kafka-protocol", |bencher| {
        bencher.iter(|| {
            let mut out = BytesMut::new();
            RecordBatchEncoder::encode(&mut out, records.iter(), &options).expect("a batch");
            out
        });
    });
    group.bench_function("record decode: kafka-protocol", |bencher| {
        bencher.iter(|| RecordBatchDecoder::decode(&mut material.batch.clone()).expect("a batch").records.len());
    });
    let crc = crc::Crc::<u32, crc::Table<16>>::new(&crc::CRC_32_ISCSI);
    group.bench_function("crc32c: crc", |bencher| bencher.iter(|| crc.checksum(&material.batch)));
    group.bench_function("avro encode: apache-avro by values", |bencher| {
        bencher.iter(|| {
            let order = |order: &GroceryOrder| {
                let mut out = Vec::new();
                to_value(order).and_then(|value| material.writer.write_value(&mut out, value))
            };
            material.orders.iter().map(|one| order(one).expect("an order")).sum::<usize>()
        });
    });
    group.bench_function("avro decode: apache-avro by values", |bencher| {
        bencher.iter(|| {
            let order = |value: &Vec<u8>| {
                let value = material.reader.read_value(&mut &value[..])?;
                from_value::<GroceryOrder>(&value)
            };
            material.values.iter().map(|value| order(value).expect("an order").items.len()).sum::<usize>()
        });
    });
    group.bench_function("partitioner: murmur2", |bencher| {
        bencher.iter(|| {
            let hash = |order: &GroceryOrder| murmur2::murmur2(order.key().as_bytes(), murmur2::KAFKA_SEED);
            material.orders.iter().map(|order| (hash(order) & 0x7fff_ffff) % 3).sum::<u32>()
        });
    });
    group.finish();
}

fn record(number: usize, key: &str, value: &[u8]) -> Record {
    Record {
        transactional: false,
        control: false,
        partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
        producer_id: 7,
        producer_epoch: 0,
        timestamp_type: TimestampType::Creation,
        offset: number as i64,
        sequence: number as i32,
        timestamp: 1_790_000_000_000,
        key: Some(key.as_bytes().to_vec().into()),
        value: Some(value.to_vec().into()),
        headers: IndexMap::new(),
        delete_horizon: false,
    }
}

criterion_group!(benches, hot_paths);
criterion_main!(benches);
