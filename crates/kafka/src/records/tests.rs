//! The codec against bytes from Java (`MemoryRecordsBuilder` of kafka-clients 4.3.1), against log segments of an Apache
//! Kafka 4.3.1 broker, against the `kafka-protocol` crate, and against noise.

use bytes::{Bytes, BytesMut};

use super::*;

const LIMIT: usize = 1 << 20;

/// A record that owns its fields.
#[derive(Clone, Debug, PartialEq)]
struct Owned {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Owned {
    fn new(timestamp: i64, key: Option<&str>, value: Option<&str>, headers: &[(&str, Option<&str>)]) -> Self {
        let bytes = |text: &str| text.as_bytes().to_vec();
        Self {
            timestamp,
            key: key.map(bytes),
            value: value.map(bytes),
            headers: headers.iter().map(|(name, value)| (name.to_string(), value.map(bytes))).collect(),
        }
    }

    fn of(view: &RecordView<'_>) -> Self {
        Self {
            timestamp: view.timestamp,
            key: view.key.map(<[u8]>::to_vec),
            value: view.value.map(<[u8]>::to_vec),
            headers: view.headers.map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec))).collect(),
        }
    }
}

/// The records that the fixtures were made of.
fn fixture_records() -> Vec<Owned> {
    let long: String = (0..300).map(|i| format!("basket {i};")).collect();
    vec![
        Owned::new(1757341800000, Some("order-1"), Some("bread"), &[]),
        Owned::new(1757341800007, None, Some("no key"), &[]),
        Owned::new(1757341799990, Some("tombstone"), None, &[]),
        Owned::new(1757341800100, Some(""), Some(""), &[("trace", Some("abc")), ("empty", Some("")), ("null", None)]),
        Owned::new(1757341900000, Some("long"), Some(&long), &[("größe", Some("1"))]),
    ]
}

fn build(records: &[Owned]) -> BatchBuilder {
    let mut builder = BatchBuilder::new(Vec::new());
    for record in records {
        builder.append(NewRecord {
            timestamp: record.timestamp,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: record.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())),
        });
    }
    builder
}

fn read(frame: &[u8]) -> Vec<(BatchHeader, Vec<Owned>)> {
    Batches::new(Bytes::copy_from_slice(frame))
        .map(|batch| {
            let decoded = batch.unwrap().decode(LIMIT).unwrap();
            (*decoded.header(), decoded.records().map(|record| Owned::of(&record.unwrap())).collect())
        })
        .collect()
}

const JAVAS_SEQUENCE: Sequence = Sequence { producer_id: 4711, producer_epoch: 3, base_sequence: 42 };

#[test]
fn an_uncompressed_batch_is_javas_byte_for_byte() {
    for (transactional, java) in [
        (false, &include_bytes!("fixtures/java-none.bin")[..]),
        (true, include_bytes!("fixtures/java-none-transactional.bin")),
    ] {
        let ours = build(&fixture_records()).finish(JAVAS_SEQUENCE, Compression::None, transactional).unwrap();
        assert!(ours == java, "transactional: {transactional}");
    }
}

#[test]
fn batches_of_javas_client_are_read_in_every_compression() {
    for (compression, java) in [
        (Compression::None, &include_bytes!("fixtures/java-none.bin")[..]),
        (Compression::Gzip, include_bytes!("fixtures/java-gzip.bin")),
        (Compression::Snappy, include_bytes!("fixtures/java-snappy.bin")),
        (Compression::Lz4, include_bytes!("fixtures/java-lz4.bin")),
        (Compression::Zstd, include_bytes!("fixtures/java-zstd.bin")),
    ] {
        let batches = read(java);
        let [(header, records)] = &batches[..] else { panic!("{compression:?}: {} batches", batches.len()) };
        assert_eq!(records, &fixture_records(), "{compression:?}");
        assert_eq!(header.compression, compression);
        assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (4711, 3, 42));
        assert_eq!((header.base_timestamp, header.max_timestamp), (1757341800000, 1757341900000));
        assert_eq!((header.base_offset, header.last_offset(), header.partition_leader_epoch), (0, 4, -1));
        assert!(!header.transactional && !header.control);
    }
}

#[test]
fn a_brokers_log_of_a_committed_and_an_aborted_transaction_is_read_with_its_markers() {
    for log in [
        &include_bytes!("fixtures/broker-none.log")[..],
        include_bytes!("fixtures/broker-gzip.log"),
        include_bytes!("fixtures/broker-snappy.log"),
        include_bytes!("fixtures/broker-lz4.log"),
        include_bytes!("fixtures/broker-zstd.log"),
    ] {
        let batches: Vec<Batch> = Batches::new(Bytes::from_static(log)).map(Result::unwrap).collect();
        let markers: Vec<_> = batches.iter().map(|batch| batch.control().unwrap()).collect();
        assert_eq!(markers, [None, Some(ControlRecord::Commit), None, Some(ControlRecord::Abort)]);
        let offsets: Vec<_> =
            batches.iter().map(|batch| (batch.header().base_offset, batch.header().last_offset())).collect();
        assert_eq!(offsets, [(0, 4), (5, 5), (6, 10), (11, 11)]);
        for batch in [&batches[0], &batches[2]] {
            assert!(batch.header().transactional);
            let decoded = batch.clone().decode(LIMIT).unwrap();
            let records: Vec<_> = decoded.records().map(|record| Owned::of(&record.unwrap())).collect();
            assert_eq!(records, fixture_records());
            let first = decoded.records().next().unwrap().unwrap();
            assert_eq!(first.offset, batch.header().base_offset);
        }
    }
}

#[test]
fn another_implementation_reads_what_we_write() {
    let ours = build(&fixture_records()).finish(JAVAS_SEQUENCE, Compression::None, false).unwrap();
    let theirs = kafka_protocol::records::RecordBatchDecoder::decode(&mut ours.clone()).unwrap();
    let records: Vec<_> = theirs
        .records
        .into_iter()
        .map(|record| Owned {
            timestamp: record.timestamp,
            key: record.key.map(|key| key.to_vec()),
            value: record.value.map(|value| value.to_vec()),
            headers: record.headers.into_iter().map(|(k, v)| (k.to_string(), v.map(|v| v.to_vec()))).collect(),
        })
        .collect();
    assert_eq!(records, fixture_records());
}

#[test]
fn a_batch_cut_off_at_the_end_of_a_frame_is_the_end() {
    let log = include_bytes!("fixtures/broker-none.log");
    for end in 0..log.len() {
        let whole = Batches::new(Bytes::from_static(&log[..end])).map(Result::unwrap).count();
        assert!(whole <= 3, "{end}");
    }
}

#[test]
fn compaction_leaves_holes_and_the_last_offset() {
    let mut batch = Vec::from(build(&fixture_records()[..2]).finish(JAVAS_SEQUENCE, Compression::None, false).unwrap());
    let mut header = *Batches::new(Bytes::from(batch.clone())).next().unwrap().unwrap().header();
    header.base_offset = 100;
    header.last_offset_delta = 9;
    header.write(&mut batch);
    let decoded = Batches::new(Bytes::from(batch)).next().unwrap().unwrap().decode(LIMIT).unwrap();
    assert_eq!(decoded.records().map(|record| record.unwrap().offset).collect::<Vec<_>>(), [100, 101]);
    assert_eq!(decoded.header().last_offset(), 109);
}

#[test]
fn old_message_formats_are_refused_by_name() {
    for magic in [0u8, 1] {
        let mut frame = include_bytes!("fixtures/java-none.bin").to_vec();
        frame[16] = magic;
        let error = Batches::new(Bytes::from(frame)).next().unwrap().unwrap_err();
        assert_eq!(error, RecordsError::OldFormat { base_offset: 0, magic: magic as i8 });
    }
}

#[test]
fn a_new_place_in_the_sequence_keeps_the_records() {
    let first = build(&fixture_records()).finish(JAVAS_SEQUENCE, Compression::Lz4, false).unwrap();
    let moved = resequence(first, Sequence { producer_id: 4711, producer_epoch: 4, base_sequence: 0 });
    let batches = read(&moved);
    assert_eq!((batches[0].0.producer_epoch, batches[0].0.base_sequence), (4, 0));
    assert_eq!(batches[0].1, fixture_records());
}

#[test]
fn compression_that_does_not_pay_is_left_off() {
    let one = build(&[Owned::new(1, None, Some("x"), &[])]).finish(Sequence::NONE, Compression::Gzip, false).unwrap();
    assert_eq!(read(&one)[0].0.compression, Compression::None);
}

fn random_records(random: &mut fastrand::Rng) -> Vec<Owned> {
    fn bytes(random: &mut fastrand::Rng, most: usize) -> Option<Vec<u8>> {
        random.bool().then(|| {
            let letters = random.u8(1..=255);
            (0..random.usize(0..=most)).map(|_| random.u8(0..letters)).collect()
        })
    }
    (0..random.usize(1..40))
        .map(|_| {
            let longest = if random.u8(..) < 8 { 70_000 } else { 300 };
            Owned {
                timestamp: if random.u8(..) == 0 { random.i64(..) } else { 1757341800000 + random.i64(-500..500) },
                key: bytes(random, 30),
                value: bytes(random, longest),
                headers: (0..random.usize(0..3)).map(|i| (format!("h{i}"), bytes(random, 10))).collect(),
            }
        })
        .collect()
}

const CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

#[test]
fn random_batches_come_back_as_they_were() {
    for seed in 0..150u64 {
        let mut random = fastrand::Rng::with_seed(seed);
        let records = random_records(&mut random);
        let codec = CODECS[seed as usize % CODECS.len()];
        let builder = build(&records);
        let bound: usize = records
            .iter()
            .map(|r| {
                let headers = r.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref()));
                record_bytes_at_most(r.key.as_deref(), r.value.as_deref(), headers)
            })
            .sum();
        assert!(builder.len() <= bound + 61, "seed {seed}");
        let mut frame = BytesMut::from(&builder.finish(JAVAS_SEQUENCE, codec, false).unwrap()[..]);
        frame.extend_from_slice(&build(&records).finish(Sequence::NONE, Compression::None, true).unwrap());
        let batches: Vec<_> = Batches::new(frame.freeze())
            .map(|batch| {
                let decoded = batch.unwrap().decode(16 << 20).unwrap();
                decoded.records().map(|record| Owned::of(&record.unwrap())).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(batches, [records.clone(), records], "seed {seed}, {codec:?}");
    }
}

#[test]
fn corrupted_bytes_are_errors_never_panics() {
    for seed in 0..1000u64 {
        let mut random = fastrand::Rng::with_seed(seed);
        let records = random_records(&mut random);
        let codec = CODECS[seed as usize % CODECS.len()];
        let mut frame =
            Vec::from(build(&records[..records.len().min(5)]).finish(JAVAS_SEQUENCE, codec, false).unwrap());
        for _ in 0..random.usize(1..6) {
            // Magic and codec stay in most rounds, so that the fields behind them are reached.
            let from = if random.bool() { 23 } else { 0 };
            let at = random.usize(from..frame.len());
            frame[at] = random.u8(..);
        }
        // A checksum that fits, as an attacker would send it.
        let checksum = crc32c::crc32c(&frame[21..]);
        frame[17..21].copy_from_slice(&checksum.to_be_bytes());
        for batch in Batches::new(Bytes::from(frame)) {
            let Ok(batch) = batch else { continue };
            let _ = batch.control();
            let Ok(decoded) = batch.decode(LIMIT) else { continue };
            for record in decoded.records() {
                let Ok(record) = record else { continue };
                let _ = record.headers.count();
            }
        }
    }
}
