//! What real brokers answer to fetches of transactions, see `fixtures/capture.py`.

use kafka_protocol::protocol::Decodable;

use super::*;
use crate::consumer::budget::Budget;
use crate::consumer::reading::{Chunk, Reading, next_fetch};

const INTERLEAVED: (&[u8], &str) =
    (include_bytes!("../fixtures/interleaved.bin"), include_str!("../fixtures/interleaved.txt"));
const COMPACTED: (&[u8], &str) =
    (include_bytes!("../fixtures/compacted.bin"), include_str!("../fixtures/compacted.txt"));

fn answer(body: &'static [u8]) -> FetchResponse {
    FetchResponse::decode(&mut Bytes::from_static(body), LAST_BY_NAME).unwrap()
}

/// Reads the answer as the consumer does, three records at a time, and returns `offset value` a record, where reading ended
/// and what the broker said of the partition.
fn read_all(answer: FetchResponse, isolation_level: IsolationLevel, from: i64) -> (Vec<String>, Position, i64) {
    let Outcome::Answered { topics, .. } = read(answer, isolation_level) else { panic!("not answered") };
    let TopicOutcome { name, mut partitions, .. } = topics.into_iter().next().unwrap();
    let partition = TopicPartition::new(name.as_str(), 0);
    let outcome = partitions.remove(0);
    let (records, readable_end) = (outcome.records, outcome.readable_end);
    let fetched_to = next_fetch(&records).unwrap();
    let (held, high_watermark) = (Arc::new(Budget::new(0, Arc::default()).reserve_anyway(0)), outcome.high_watermark);
    let (from, aborted) = (Position::at(from), outcome.aborted);
    let mut reading =
        Reading::new(Chunk { partition, stamp: 1, records, from, high_watermark, aborted, held }, 1 << 20);
    let mut lines = Vec::new();
    while let Some(batch) = reading.next(3).unwrap() {
        let line = |value: &[u8], offset| format!("{offset} {}", String::from_utf8_lossy(value));
        lines.extend(batch.iter().map(|record| line(record.value().unwrap(), record.offset())));
    }
    assert_eq!(reading.position(), fetched_to, "markers and aborted records at the end are behind the reader too");
    (lines, fetched_to, readable_end)
}

/// What librdkafka read of the same, as far as the answer goes.
fn expected(text: &str, from: i64, end: Position) -> Vec<String> {
    let offset = |line: &&str| line.split(' ').next().unwrap().parse::<i64>().unwrap();
    text.lines().filter(|line| (from..end.offset).contains(&offset(line))).map(str::to_owned).collect()
}

#[test]
fn only_committed_records_of_transactions_that_overlap_are_read_and_no_marker() {
    let (body, text) = INTERLEAVED;
    let (lines, end, readable_end) = read_all(answer(body), IsolationLevel::ReadCommitted, 0);
    assert_eq!(lines, expected(text, 0, end));
    assert_eq!(lines.len(), text.lines().count(), "all of it came in one answer");
    assert_eq!(end.offset, readable_end, "a transaction is still open behind it");
    assert!(lines.iter().all(|line| !line.contains("open")));
}

#[test]
fn without_read_committed_aborted_records_are_read_as_well_but_no_marker() {
    let (body, _) = INTERLEAVED;
    let (lines, _, end) = read_all(answer(body), IsolationLevel::ReadUncommitted, 0);
    let of = |name: &str| lines.iter().filter(|line| line.contains(name)).count();
    assert_eq!((of(" first-"), of(" second-"), of(" plain-")), (18, 18, 18));
    let (_, _, stable) = read_all(answer(body), IsolationLevel::ReadCommitted, 0);
    assert!(end > stable, "the log goes on behind the open transaction");
}

#[test]
fn the_order_in_which_a_broker_names_aborted_transactions_does_not_matter() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    for (body, text) in [INTERLEAVED, COMPACTED] {
        for _ in 0..20 {
            let mut answer = answer(body);
            rng.shuffle(answer.responses[0].partitions[0].aborted_transactions.as_mut().unwrap());
            let (lines, end, _) = read_all(answer, IsolationLevel::ReadCommitted, 0);
            assert_eq!(lines, expected(text, 0, end));
        }
    }
}

#[test]
fn reading_may_begin_in_the_middle_of_a_transaction() {
    let (body, text) = INTERLEAVED;
    for from in 0..70 {
        let (lines, end, _) = read_all(answer(body), IsolationLevel::ReadCommitted, from);
        assert_eq!(lines, expected(text, from, end), "from {from}");
    }
}

#[test]
fn what_compaction_took_out_of_transactions_leaves_holes_that_are_stepped_over() {
    let (body, text) = COMPACTED;
    let (lines, end, _) = read_all(answer(body), IsolationLevel::ReadCommitted, 0);
    assert_eq!(lines, expected(text, 0, end));
    assert!(lines.len() > 3 && end.offset > 10 * lines.len() as i64, "{end:?} {lines:?}");
}
