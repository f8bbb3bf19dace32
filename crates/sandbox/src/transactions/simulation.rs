//! Several transactional producers at once, with lost answers, requests that come twice and late, instances that take over from
//! others which go on all the same, and timeouts: what a reader of committed records sees is exactly the committed transactions.
//!
//! The model knows which batch was written by which transaction, and which transactions a producer was told, or would have been
//! told, that they are committed. It knows nothing of epochs, markers or offsets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use kafka_protocol::error::ResponseError;

use super::*;
use crate::groups::{Committed, Offsets};
use crate::log::tests::{batch, transactional};
use crate::log::{BatchHeader, Isolation, PartitionLog, SequenceError, TimestampType};

/// Unless others are asked for.
const SEEDS: u64 = 400;
const STEPS: usize = 400;
const PARTITIONS: usize = 3;
const TRANSACTIONAL_IDS: u64 = 3;
const TIMEOUT_MS: i32 = 500;
const OFFSETS: i32 = PARTITIONS as i32;

/// A request that may come again, at any time.
#[derive(Clone)]
enum Request {
    Write { producer: Producer, sequence: i32, partition: usize, transaction: usize },
    Position { producer: Producer, offset: i64, transaction: usize },
    End { producer: Producer, outcome: Outcome, transaction: usize },
}

#[derive(Clone, Copy, PartialEq)]
enum Doing {
    Working,
    Ending(Outcome),
}

/// A client. Several may believe that a transactional id is theirs.
struct Instance {
    id: String,
    producer: Option<Producer>,
    sequences: [i32; PARTITIONS],
    transaction: Option<usize>,
    doing: Doing,
    /// There is something to commit.
    has_begun: bool,
    /// A write's answer is missing: only an abort, with a new epoch, gets out of this.
    is_in_doubt: bool,
}

impl Instance {
    fn new(id: String) -> Self {
        let sequences = [0; PARTITIONS];
        Self {
            id,
            producer: None,
            sequences,
            transaction: None,
            doing: Doing::Working,
            has_begun: false,
            is_in_doubt: false,
        }
    }
}

struct World {
    rng: Rng,
    now_ms: i64,
    protocol: Protocol,
    coordinator: Coordinator,
    logs: [PartitionLog; PARTITIONS],
    offsets: Offsets,
    instances: Vec<Instance>,
    /// What was sent, to be sent again.
    sent: Vec<(String, Request)>,
    /// The model: the transaction of each batch, by partition and offset; of each position, in their order; and who is committed.
    written: [BTreeMap<i64, usize>; PARTITIONS],
    positions: Vec<(i64, usize)>,
    is_committed: Vec<bool>,
    /// What a reader saw on the way, by partition.
    seen: Vec<[Vec<i64>; PARTITIONS]>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let version = rng.u8(1..=2);
        let marker_delay = Duration::from_millis(rng.u64(0..30));
        let settings = TransactionSettings { version, marker_delay, ..TransactionSettings::default() };
        Self {
            now_ms: 1_000,
            protocol: if version == 2 { Protocol::V2 } else { Protocol::V1 },
            coordinator: Coordinator::new(settings),
            logs: Default::default(),
            offsets: Offsets::default(),
            instances: (0..TRANSACTIONAL_IDS).map(|id| Instance::new(id.to_string())).collect(),
            sent: Vec::new(),
            written: Default::default(),
            positions: Vec::new(),
            is_committed: Vec::new(),
            seen: Vec::new(),
            rng,
        }
    }

    /// Whether an answer gets lost.
    fn is_lost(&mut self) -> bool {
        self.rng.u8(0..8) == 0
    }

    fn step(&mut self) {
        match self.rng.u8(0..100) {
            0 => {
                let id = self.rng.u64(0..TRANSACTIONAL_IDS).to_string();
                self.instances.push(Instance::new(id));
            }
            1..12 => self.pass(40),
            12 => self.pass(i64::from(TIMEOUT_MS)),
            13..16 => {
                let seen = self.read();
                self.seen.push(seen);
            }
            // Under version 1 a late request can hit the next transaction, which is what KIP-890 is about.
            16..24 if self.protocol == Protocol::V2 && !self.sent.is_empty() => {
                let (id, request) = self.sent[self.rng.usize(0..self.sent.len())].clone();
                let _ = self.deliver(&id, request);
            }
            _ => {
                let which = self.rng.usize(0..self.instances.len());
                let mut instance = self.instances.swap_remove(which);
                self.act(&mut instance);
                self.instances.push(instance);
            }
        }
    }

    fn pass(&mut self, at_most_ms: i64) {
        self.now_ms += self.rng.i64(0..=at_most_ms);
        for ending in self.coordinator.tick(self.now_ms) {
            for (_, index) in &ending.partitions {
                if *index == OFFSETS {
                    self.offsets.end_transaction(ending.producer.id, ending.outcome == Outcome::Commit);
                    continue;
                }
                let log = &mut self.logs[*index as usize];
                let Ending { producer, outcome, protocol, .. } = ending;
                log.append_marker(producer, outcome, protocol, TimestampType::CreateTime, self.now_ms).unwrap();
            }
        }
    }

    /// One thing that a client does, as a client should.
    fn act(&mut self, instance: &mut Instance) {
        let Some(producer) = instance.producer else {
            return self.initialize(instance, None);
        };
        if let Doing::Ending(outcome) = instance.doing {
            return self.end(instance, producer, outcome);
        }
        match self.rng.u8(0..10) {
            0..2 if instance.has_begun || instance.is_in_doubt => {
                let commits = !instance.is_in_doubt && self.rng.bool();
                let outcome = if commits { Outcome::Commit } else { Outcome::Abort };
                instance.doing = Doing::Ending(outcome);
                self.end(instance, producer, outcome);
            }
            2 => self.commit_position(instance, producer),
            _ if !instance.is_in_doubt => self.write(instance, producer),
            _ => {}
        }
    }

    fn initialize(&mut self, instance: &mut Instance, given: Option<Producer>) {
        let initialized = self.coordinator.init(&instance.id, TIMEOUT_MS, given, self.now_ms);
        match initialized {
            Ok(producer) if !self.is_lost() => {
                *instance = Instance { producer: Some(producer), ..Instance::new(instance.id.clone()) };
            }
            Ok(_) | Err(ResponseError::ConcurrentTransactions) => {}
            // Somebody else has taken over, and this one does not know when to stop.
            Err(_) => instance.producer = None,
        }
    }

    fn transaction_of(&mut self, instance: &mut Instance) -> usize {
        *instance.transaction.get_or_insert_with(|| {
            self.is_committed.push(false);
            self.is_committed.len() - 1
        })
    }

    fn write(&mut self, instance: &mut Instance, producer: Producer) {
        let partition = self.rng.usize(0..PARTITIONS);
        let transaction = self.transaction_of(instance);
        let request = Request::Write { producer, sequence: instance.sequences[partition], partition, transaction };
        if self.protocol == Protocol::V2 {
            self.sent.push((instance.id.clone(), request.clone()));
        } else {
            let place = (Arc::from("orders"), partition as i32);
            let added = self.coordinator.add(&instance.id, producer, [place], Protocol::V1, self.now_ms);
            if added.is_err() {
                return self.refused(instance, added);
            }
        }
        if self.rng.u8(0..20) == 0 {
            // It may come later.
            instance.is_in_doubt = true;
            return;
        }
        for _ in 0..3 {
            let written = self.deliver(&instance.id.clone(), request.clone());
            match written {
                Ok(()) if self.is_lost() => continue,
                Ok(()) => {
                    instance.sequences[partition] += 1;
                    instance.has_begun = true;
                }
                Err(_) => self.refused(instance, written),
            }
            return;
        }
        instance.is_in_doubt = true;
    }

    fn commit_position(&mut self, instance: &mut Instance, producer: Producer) {
        let transaction = self.transaction_of(instance);
        let request = Request::Position { producer, offset: self.positions.len() as i64, transaction };
        if self.protocol == Protocol::V1 {
            let offsets = (Arc::from("offsets"), OFFSETS);
            let added = self.coordinator.add(&instance.id, producer, [offsets], Protocol::V1, self.now_ms);
            if added.is_err() {
                return self.refused(instance, added);
            }
        }
        let committed = self.deliver(&instance.id.clone(), request);
        match committed {
            Ok(()) => instance.has_begun = true,
            Err(_) => self.refused(instance, committed),
        }
    }

    fn refused(&mut self, instance: &mut Instance, error: Result<(), ResponseError>) {
        if error != Err(ResponseError::ConcurrentTransactions) {
            let id = instance.id.clone();
            *instance = Instance::new(id);
        }
    }

    fn end(&mut self, instance: &mut Instance, producer: Producer, outcome: Outcome) {
        let transaction = self.transaction_of(instance);
        let request = Request::End { producer, outcome, transaction };
        if self.protocol == Protocol::V2 {
            self.sent.push((instance.id.clone(), request.clone()));
        }
        let ended = self.deliver_end(&instance.id.clone(), producer, outcome, transaction);
        match ended {
            Ok(_) if self.is_lost() => {}
            Ok(goes_on) => {
                let is_in_doubt = instance.is_in_doubt;
                (instance.transaction, instance.doing) = (None, Doing::Working);
                (instance.has_begun, instance.is_in_doubt) = (false, false);
                if self.protocol == Protocol::V2 {
                    (instance.producer, instance.sequences) = (Some(goes_on), [0; PARTITIONS]);
                } else if is_in_doubt {
                    // Without a new epoch what is on its way could still come (KIP-360).
                    self.initialize(instance, Some(producer));
                    if instance.producer == Some(producer) {
                        *instance = Instance::new(instance.id.clone());
                    }
                }
            }
            Err(ResponseError::ConcurrentTransactions) => {}
            Err(error) => self.refused(instance, Err(error)),
        }
    }

    /// A request arrives at the broker.
    fn deliver(&mut self, id: &str, request: Request) -> Result<(), ResponseError> {
        match request {
            Request::Write { producer, sequence, partition, transaction } => {
                let bytes = transactional(batch(Some((producer.id, producer.epoch, sequence)), 1, self.now_ms, 0));
                let header = BatchHeader::read_only_one(&bytes).unwrap();
                let begins = !self.logs[partition].has_open_transaction(producer);
                let place = (Arc::from("orders"), partition as i32);
                if begins {
                    self.let_through(id, producer, place)?;
                }
                let zero = begins && self.protocol == Protocol::V2;
                let log = &mut self.logs[partition];
                let appended = log.append(&header, bytes.into(), TimestampType::CreateTime, zero, self.now_ms);
                let base_offset = appended
                    .map_err(|error| match error {
                        SequenceError::StaleEpoch => ResponseError::InvalidProducerEpoch,
                        SequenceError::OutOfOrder => ResponseError::OutOfOrderSequenceNumber,
                        SequenceError::NotTransactional => ResponseError::InvalidTxnState,
                    })?
                    .base_offset;
                let known = self.written[partition].insert(base_offset, transaction);
                assert!(known.is_none_or(|known| known == transaction), "one batch of two transactions");
            }
            Request::Position { producer, offset, transaction } => {
                self.let_through(id, producer, (Arc::from("offsets"), OFFSETS))?;
                let committed = Committed { offset, leader_epoch: -1, metadata: String::new() };
                self.offsets.commit_in_transaction(producer.id, "orders", 0, committed);
                self.positions.push((offset, transaction));
            }
            Request::End { producer, outcome, transaction } => {
                self.deliver_end(id, producer, outcome, transaction)?;
            }
        }
        Ok(())
    }

    fn let_through(&mut self, id: &str, producer: Producer, place: TopicPartition) -> Result<(), ResponseError> {
        match self.protocol {
            Protocol::V2 => self.coordinator.add(id, producer, [place], Protocol::V2, self.now_ms),
            Protocol::V1 => self.coordinator.verify(id, producer, &place),
        }
    }

    fn deliver_end(
        &mut self,
        id: &str,
        producer: Producer,
        outcome: Outcome,
        transaction: usize,
    ) -> Result<Producer, ResponseError> {
        let ended = self.coordinator.end(id, producer, outcome, self.protocol, self.now_ms)?;
        self.is_committed[transaction] |= outcome == Outcome::Commit;
        Ok(ended)
    }

    /// The batches that a reader of committed records sees, by their offsets, read in pieces.
    fn read(&mut self) -> [Vec<i64>; PARTITIONS] {
        let piece_bytes = self.rng.usize(1..2_000);
        std::array::from_fn(|partition| read_committed(&self.logs[partition], piece_bytes))
    }

    fn check(mut self, seed: u64) {
        // Whatever is open times out.
        for _ in 0..2 {
            self.now_ms += 10_000;
            self.pass(0);
        }
        let last = self.read();
        for (partition, seen) in last.iter().enumerate() {
            let log = &self.logs[partition];
            assert_eq!(log.stable_end(), log.end(), "seed {seed}: something stays open");
            let committed = self.written[partition].iter().filter(|(_, transaction)| self.is_committed[**transaction]);
            let committed: Vec<_> = committed.map(|(offset, _)| *offset).collect();
            assert_eq!(*seen, committed, "seed {seed}: partition {partition}");
            for earlier in &self.seen {
                assert!(seen.starts_with(&earlier[partition]), "seed {seed}: a reader saw what is not committed");
            }
        }
        assert!(!self.offsets.is_unstable("orders", 0), "seed {seed}: a position stays open");
        let position = self.positions.iter().rev().find(|(_, transaction)| self.is_committed[*transaction]);
        let found = self.offsets.get("orders", 0).map(|committed| committed.offset);
        assert_eq!(found, position.map(|(offset, _)| *offset), "seed {seed}");
    }
}

/// Reads as a client does, by the ranges that the broker names and the markers in between.
fn read_committed(log: &PartitionLog, piece_bytes: usize) -> Vec<i64> {
    let (mut seen, mut offset) = (Vec::new(), 0);
    loop {
        let piece = log.read(offset, piece_bytes, true, Isolation::ReadCommitted).unwrap();
        if piece.is_empty() {
            return seen;
        }
        let mut aborted = log.aborted_in(offset, &piece);
        let mut rest = &piece[..];
        while !rest.is_empty() {
            let header = BatchHeader::read(rest).unwrap();
            let base_offset = i64::from_be_bytes(rest[..8].try_into().unwrap());
            let is_control = header.attributes & 0b10_0000 != 0;
            let is_left_out = |entry: &crate::log::Aborted| {
                entry.producer_id == header.producer_id && entry.first_offset <= base_offset
            };
            if is_control {
                aborted.retain(|entry| !is_left_out(entry));
            } else if !aborted.iter().any(is_left_out) {
                seen.push(base_offset);
            }
            offset = base_offset + header.records();
            rest = &rest[header.total_bytes..];
        }
    }
}

#[test]
fn readers_see_exactly_the_committed_transactions_whatever_gets_lost_or_late() {
    for seed in crate::seeds::seeds(0, SEEDS) {
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        world.check(seed);
    }
}
