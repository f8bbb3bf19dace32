use super::*;
use crate::consumer::budget::Budget;
use crate::records::{BatchBuilder, Compression, NewRecord, Sequence};

/// A batch of the log at `base` with one record a value.
fn batch(base: i64, values: &[&str], compression: Compression) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Vec::new());
    for value in values {
        let headers = std::iter::empty::<(&str, Option<&[u8]>)>();
        builder.append(NewRecord { timestamp: 1, key: None, value: Some(value.as_bytes()), headers });
    }
    let mut bytes = builder.finish(Sequence::NONE, compression, false).unwrap().to_vec();
    bytes[..8].copy_from_slice(&base.to_be_bytes());
    bytes[12..16].copy_from_slice(&3i32.to_be_bytes());
    bytes
}

/// The batch as a marker of a transaction.
fn control(base: i64) -> Vec<u8> {
    let mut bytes = batch(base, &["marker"], Compression::None);
    bytes[22] |= 0b11_0000;
    reseal(&mut bytes);
    bytes
}

fn reseal(batch: &mut [u8]) {
    let checksum = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&checksum.to_be_bytes());
}

fn reading(from: i64, batches: &[Vec<u8>]) -> Reading {
    let records = Bytes::from(batches.concat());
    let held = Arc::new(Budget::new(1 << 20, Arc::default()).reserve_anyway(records.len()));
    let partition = TopicPartition::new("t", 0);
    let (from, aborted) = (Position::at(from), Aborted::default());
    Reading::new(Chunk { partition, stamp: 1, records, from, high_watermark: 100, aborted, held }, 1 << 20)
}

fn values(batch: &RecordBatch) -> Vec<(i64, String)> {
    batch.iter().map(|record| (record.offset(), String::from_utf8(record.value().unwrap().to_vec()).unwrap())).collect()
}

fn offsets(batch: &RecordBatch) -> Vec<i64> {
    batch.iter().map(|record| record.offset()).collect()
}

#[test]
fn records_come_in_order_and_in_batches_of_the_size_asked_for() {
    let large: Vec<&str> = vec!["x"; 7];
    let mut reading = reading(10, &[batch(10, &["a"], Compression::None), batch(11, &large, Compression::Zstd)]);
    let sizes: Vec<Vec<i64>> = std::iter::from_fn(|| reading.next(3).unwrap().map(|batch| offsets(&batch))).collect();
    assert_eq!(sizes, [vec![10, 11, 12], vec![13, 14, 15], vec![16, 17]]);
    assert_eq!(reading.position(), Position { offset: 18, leader_epoch: Some(3) });
}

#[test]
fn a_batch_says_where_to_go_on() {
    let mut reading = reading(0, &[batch(0, &["a", "b", "c"], Compression::Lz4)]);
    let first = reading.next(2).unwrap().unwrap();
    assert_eq!(values(&first), [(0, "a".to_owned()), (1, "b".to_owned())]);
    assert_eq!((first.next_position().offset, first.first_offset(), first.last_offset()), (2, 0, 1));
    let rest = reading.next(2).unwrap().unwrap();
    assert_eq!((offsets(&rest), rest.next_position().offset), (vec![2], 3));
    let owned: Vec<_> = rest.owned().map(|record| (record.offset, record.value.unwrap())).collect();
    assert_eq!(owned, [(2, Bytes::from_static(b"c"))]);
}

#[test]
fn records_before_the_position_are_left_out() {
    let mut reading = reading(12, &[batch(10, &["a", "b", "c", "d"], Compression::Gzip)]);
    assert_eq!(offsets(&reading.next(10).unwrap().unwrap()), [12, 13]);
}

#[test]
fn markers_are_stepped_over_and_the_position_goes_past_them() {
    let mut reading = reading(0, &[control(0), batch(1, &["a"], Compression::None), control(2)]);
    assert_eq!(offsets(&reading.next(10).unwrap().unwrap()), [1]);
    assert!(reading.next(10).unwrap().is_none());
    assert_eq!(reading.position().offset, 3);
}

#[test]
fn the_position_goes_past_a_hole_that_compaction_left() {
    let mut hole = batch(5, &["a", "b"], Compression::None);
    hole[23..27].copy_from_slice(&9i32.to_be_bytes());
    reseal(&mut hole);
    assert_eq!(next_fetch(&hole).unwrap().offset, 15);
    let mut reading = reading(5, &[hole]);
    assert_eq!(reading.next(10).unwrap().unwrap().next_position().offset, 15);
}

#[test]
fn a_corrupt_batch_is_reported_after_what_comes_before_it_and_says_how_to_skip_it() {
    for damaged in [70, 20] {
        let mut bad = batch(2, &["c", "d"], Compression::None);
        bad[damaged] ^= 0xff;
        let batches = [batch(0, &["a", "b"], Compression::None), bad, batch(4, &["e"], Compression::None)];
        let mut reading = reading(0, &batches);
        assert_eq!(offsets(&reading.next(10).unwrap().unwrap()), [0, 1]);
        assert_eq!(reading.position().offset, 2);
        let corrupt = reading.next(10).unwrap_err();
        assert_eq!((corrupt.offset, corrupt.next_offset), (2, 4), "{corrupt:?}");
    }
}

#[test]
fn a_batch_whose_records_do_not_fit_its_header_is_corrupt_and_none_of_it_is_handed_out() {
    let mut bad = batch(2, &["c", "d"], Compression::None);
    let length_of_the_second = bad.len() - 8;
    bad[length_of_the_second] = 0x7f;
    reseal(&mut bad);
    let mut reading = reading(0, &[batch(0, &["a", "b"], Compression::None), bad]);
    assert_eq!(offsets(&reading.next(10).unwrap().unwrap()), [0, 1]);
    assert_eq!(reading.next(10).unwrap_err().offset, 2);
}

#[test]
fn a_batch_that_was_cut_off_is_fetched_again() {
    let mut cut = batch(2, &["c"], Compression::None);
    cut.truncate(cut.len() - 1);
    let chunk = [batch(0, &["a", "b"], Compression::None), cut];
    assert_eq!(next_fetch(&chunk.concat()), Some(Position { offset: 2, leader_epoch: Some(3) }));
    assert_eq!(next_fetch(&chunk[1]), None);
    let mut reading = reading(0, &chunk);
    assert_eq!(offsets(&reading.next(10).unwrap().unwrap()), [0, 1]);
    assert!(reading.next(10).unwrap().is_none());
}

#[test]
fn noise_is_an_error_and_not_a_panic() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    for _ in 0..2000 {
        let mut bytes = batch(0, &["some", "records", "here"], Compression::None);
        for _ in 0..rng.usize(1..4) {
            let at = rng.usize(..bytes.len());
            bytes[at] = rng.u8(..);
        }
        if rng.bool() && bytes.len() > 30 {
            reseal(&mut bytes);
        }
        let _ = next_fetch(&bytes);
        let mut reading = reading(0, &[bytes]);
        for _ in 0..5 {
            if !matches!(reading.next(2), Ok(Some(_))) {
                break;
            }
        }
    }
}
