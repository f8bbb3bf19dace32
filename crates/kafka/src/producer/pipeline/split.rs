//! Batches that a broker finds too large (`max.message.bytes`) go on in halves.

use std::sync::Arc;

use bytes::Bytes;

use super::line::{Place, Sent, after, sequence};
use super::{Effect, Pipeline};
use crate::error::ErrorCode;
use crate::producer::accumulator::PartitionKey;
use crate::producer::delivery::Outcome;
use crate::records::{BatchBuilder, Batches, Compression, NewRecord, RecordsError, Sequence};

/// Our own batches do not grow past `max.request.size` when decompressed; this is its upper bound.
const DECOMPRESSED_MAX_BYTES: usize = 1 << 30;

impl Pipeline {
    /// Replaces a batch of several records by two that take the same stretch of the sequence: the broker has not accepted
    /// any of it, so no number is used twice.
    pub(super) fn split(&mut self, key: PartitionKey, at: usize) {
        let Some(line) = self.lines.get_mut(key) else { return };
        let Some(identity) = line.identity else { return };
        let batch = &line.sent[at];
        let Ok(halves) = halves(&batch.bytes, self.settings.compression, |base| sequence(identity, base)) else {
            return self.fail(key, at, ErrorCode::MESSAGE_TOO_LARGE, Some("the batch could not be split".into()));
        };
        let mut charged_bytes = batch.charged_bytes;
        let mut parts = Vec::new();
        let mut first = 0;
        let mut sent = Vec::new();
        for (left, (bytes, records)) in [(1, &halves[0]), (0, &halves[1])] {
            let charged = if left == 0 { charged_bytes } else { charged_bytes / 2 };
            charged_bytes -= charged;
            let id = self.next_part;
            self.next_part += 1;
            let outcome = Outcome::new(Arc::clone(&batch.outcome.topic), batch.outcome.partition);
            parts.push((id, first, Arc::clone(&outcome)));
            first += records;
            sent.push(Sent {
                id,
                outcome,
                bytes: bytes.clone(),
                records: *records,
                created: batch.created,
                charged_bytes: charged,
                ordinal: batch.ordinal,
                attempts: 0,
                place: Place::Waiting,
                unknown: batch.unknown,
                abandoned: false,
            });
        }
        if let Some(Sent { id, outcome, .. }) = line.replace(at, sent.into_iter()) {
            self.effects.push(Effect::Split { id, outcome, parts });
        }
    }
}

/// Both halves of a batch, with how many records they have.
fn halves(
    batch: &Bytes,
    compression: Compression,
    sequence: impl Fn(i32) -> Sequence,
) -> Result<[(Bytes, i32); 2], RecordsError> {
    let malformed = || RecordsError::Malformed { base_offset: 0, what: "it is not one batch" };
    let batch = Batches::new(batch.clone()).next().ok_or_else(malformed)??;
    let batch = batch.decode(DECOMPRESSED_MAX_BYTES)?;
    let mut builders = [BatchBuilder::new(Vec::new()), BatchBuilder::new(Vec::new())];
    let middle = batch.header().record_count / 2;
    for record in batch.records() {
        let record = record?;
        let half = usize::from(builders[0].count() >= middle);
        let (timestamp, key, value, headers) = (record.timestamp, record.key, record.value, record.headers);
        builders[half].append(NewRecord { timestamp, key, value, headers });
    }
    let base = batch.header().base_sequence;
    let [first, second] = builders;
    let counts = [first.count(), second.count()];
    let first = first.finish(sequence(base), compression, batch.header().transactional)?;
    let second = second.finish(sequence(after(base, counts[0])), compression, batch.header().transactional)?;
    Ok([(first, counts[0]), (second, counts[1])])
}
