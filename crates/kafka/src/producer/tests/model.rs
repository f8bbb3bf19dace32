//! A broker's side of idempotent produce, as `ProducerStateManager.java` keeps it, small enough to be right.

use std::collections::HashMap;

use bytes::Bytes;

use crate::error::ErrorCode;
use crate::records::{BatchHeader, Batches};

/// How many batches of a producer a broker can recognise.
const REMEMBERED_BATCHES: usize = 5;

/// What is known of one producer on one partition.
#[derive(Debug)]
struct ProducerState {
    epoch: i16,
    /// First and last sequence, and base offset, of the latest batches.
    batches: Vec<(i32, i32, i64)>,
}

/// A partition's log, as all its replicas have it.
#[derive(Debug, Default)]
pub(super) struct ModelLog {
    /// The numbers that records carry as values.
    pub(super) records: Vec<u64>,
    producers: HashMap<i64, ProducerState>,
}

/// The numbers in a batch.
pub(super) fn numbers(batch: &Bytes) -> (BatchHeader, Vec<u64>) {
    let batch = Batches::new(batch.clone()).next().unwrap().unwrap();
    let decoded = batch.decode(1 << 20).unwrap();
    let number = |value: Option<&[u8]>| u64::from_be_bytes(value.unwrap()[..8].try_into().unwrap());
    (*decoded.header(), decoded.records().map(|record| number(record.unwrap().value)).collect())
}

impl ModelLog {
    /// A marker under this epoch: what comes under a lower one from now on is refused (KIP-890).
    pub(super) fn raise(&mut self, producer_id: i64, epoch: i16) {
        let state = self.producers.entry(producer_id).or_insert(ProducerState { epoch, batches: Vec::new() });
        if epoch > state.epoch {
            *state = ProducerState { epoch, batches: Vec::new() };
        }
    }

    /// Appends a batch, or says why not. A batch that is there already is answered with its place.
    pub(super) fn append(&mut self, batch: &Bytes) -> Result<i64, ErrorCode> {
        let (header, records) = numbers(batch);
        assert!(header.producer_id >= 0 && header.base_sequence >= 0, "idempotent batches only");
        let first = header.base_sequence;
        let last = first.wrapping_add(header.record_count - 1) & i32::MAX;
        let base_offset = self.records.len() as i64;
        match self.producers.get_mut(&header.producer_id) {
            // Whatever comes first is taken: this is what makes a first batch worth waiting for.
            None => {
                let state = ProducerState { epoch: header.producer_epoch, batches: vec![(first, last, base_offset)] };
                self.producers.insert(header.producer_id, state);
            }
            Some(state) if header.producer_epoch < state.epoch => return Err(ErrorCode::INVALID_PRODUCER_EPOCH),
            Some(state) if header.producer_epoch > state.epoch => {
                if first != 0 {
                    return Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
                }
                *state = ProducerState { epoch: header.producer_epoch, batches: vec![(first, last, base_offset)] };
            }
            Some(state) => {
                if let Some((.., offset)) = state.batches.iter().find(|(f, l, _)| (*f, *l) == (first, last)) {
                    return Ok(*offset);
                }
                let expected = state.batches.last().map_or(0, |(_, last, _)| last.wrapping_add(1) & i32::MAX);
                if first != expected {
                    return Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
                }
                state.batches.push((first, last, base_offset));
                if state.batches.len() > REMEMBERED_BATCHES {
                    state.batches.remove(0);
                }
            }
        }
        self.records.extend(records);
        Ok(base_offset)
    }
}
