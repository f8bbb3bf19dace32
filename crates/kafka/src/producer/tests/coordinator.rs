//! A transaction coordinator and the logs behind it, as `TransactionCoordinator.scala` and KIP-890 have them, small enough to
//! be right.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;

use super::model::{ModelLog, numbers};
use crate::error::ErrorCode;
use crate::producer::coordination::{Answer, Call, Version};
use crate::producer::pipeline::ProducerIdentity;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Empty,
    Ongoing,
    Prepared { commit: bool },
    Complete { commit: bool },
}

/// A log whose records are visible when their transaction is committed.
#[derive(Debug, Default)]
struct Log {
    model: ModelLog,
    /// Where each producer's open transaction began.
    open: HashMap<i64, Vec<u64>>,
    /// In the order of the log: a record with its producer; what became of it.
    records: Vec<(i64, u64, Option<bool>)>,
}

/// What the transactional id's coordinator knows, and what the brokers have.
#[derive(Debug)]
pub(super) struct Coordinator {
    pub(super) version: Version,
    pub(super) identity: ProducerIdentity,
    pub(super) state: State,
    /// Partitions of the transaction; of a prepared one those whose marker is not written yet.
    partitions: BTreeSet<i32>,
    /// The epoch that ended the transaction before, for repeated EndTxns.
    ended: Option<(ProducerIdentity, bool)>,
    /// The identity that the last InitProducerId raised.
    raised_from: Option<ProducerIdentity>,
    logs: BTreeMap<i32, Log>,
    pending_offset: Option<u64>,
    pub(super) offset: Option<u64>,
    next_id: i64,
}

impl Coordinator {
    pub(super) fn new(version: Version) -> Self {
        Self {
            version,
            identity: ProducerIdentity { id: -1, epoch: -1 },
            state: State::Empty,
            partitions: BTreeSet::new(),
            ended: None,
            raised_from: None,
            logs: BTreeMap::new(),
            pending_offset: None,
            offset: None,
            next_id: 100,
        }
    }

    fn raise(&mut self) {
        match self.identity.epoch.checked_add(1).filter(|epoch| *epoch < i16::MAX && self.identity.id >= 0) {
            Some(epoch) => self.identity.epoch = epoch,
            None => {
                self.next_id += 1;
                self.identity = ProducerIdentity { id: self.next_id, epoch: 0 };
            }
        }
    }

    /// InitProducerId.
    pub(super) fn init(&mut self, known: Option<ProducerIdentity>) -> Result<ProducerIdentity, ErrorCode> {
        let timed_out = self.ended.filter(|(_, commit)| !commit).map(|(identity, _)| identity);
        if known.is_some() && known == self.raised_from && self.state == State::Empty {
            // The answer to the first attempt was lost.
            return Ok(self.identity);
        }
        if known.is_some_and(|known| known != self.identity && Some(known) != timed_out) {
            return Err(ErrorCode::PRODUCER_FENCED);
        }
        match self.state {
            State::Prepared { .. } => Err(ErrorCode::CONCURRENT_TRANSACTIONS),
            State::Ongoing => {
                self.raise();
                self.state = State::Prepared { commit: false };
                self.ended = None;
                Err(ErrorCode::CONCURRENT_TRANSACTIONS)
            }
            State::Empty | State::Complete { .. } => {
                self.raised_from = known;
                self.raise();
                self.state = State::Empty;
                self.ended = None;
                Ok(self.identity)
            }
        }
    }

    /// The broker's clock ends the transaction.
    pub(super) fn time_out(&mut self) {
        if self.state == State::Ongoing {
            let before = self.identity;
            self.raise();
            self.ended = (self.version == Version::Two).then_some((before, false));
            self.state = State::Prepared { commit: false };
        }
    }

    /// DescribeTransactions.
    fn describe(&self) -> Result<(ProducerIdentity, bool), ErrorCode> {
        match self.state {
            State::Prepared { .. } => Err(ErrorCode::CONCURRENT_TRANSACTIONS),
            state => Ok((self.identity, state == State::Complete { commit: false })),
        }
    }

    /// Adds to the transaction: -1 stands for the group's offsets.
    pub(super) fn add(&mut self, identity: ProducerIdentity, partitions: &[i32]) -> Result<(), ErrorCode> {
        if identity.id != self.identity.id {
            return Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING);
        }
        if identity.epoch != self.identity.epoch {
            return Err(ErrorCode::PRODUCER_FENCED);
        }
        if let State::Prepared { .. } = self.state {
            return Err(ErrorCode::CONCURRENT_TRANSACTIONS);
        }
        if self.state != State::Ongoing {
            self.partitions.clear();
            self.state = State::Ongoing;
        }
        self.partitions.extend(partitions);
        Ok(())
    }

    /// A transactional batch arrives at a partition's leader.
    pub(super) fn produce(&mut self, partition: i32, batch: &Bytes) -> Result<i64, ErrorCode> {
        let (header, records) = numbers(batch);
        assert!(header.transactional, "only transactional batches");
        let identity = ProducerIdentity { id: header.producer_id, epoch: header.producer_epoch };
        match self.version {
            Version::Two => match self.add(identity, &[partition]) {
                Err(ErrorCode::PRODUCER_FENCED | ErrorCode::INVALID_PRODUCER_ID_MAPPING) => {
                    return Err(ErrorCode::INVALID_PRODUCER_EPOCH);
                }
                other => other?,
            },
            Version::One => {
                let known =
                    identity == self.identity && self.state == State::Ongoing && self.partitions.contains(&partition);
                if !known {
                    return Err(ErrorCode::INVALID_TXN_STATE);
                }
            }
        }
        let log = self.logs.entry(partition).or_default();
        let before = log.model.records.len();
        let offset = log.model.append(batch)?;
        if log.model.records.len() > before {
            log.records.extend(records.iter().map(|number| (header.producer_id, *number, None)));
            log.open.entry(header.producer_id).or_default().extend(records);
        }
        Ok(offset)
    }

    /// TxnOffsetCommit.
    fn commit_offset(&mut self, identity: ProducerIdentity, offset: u64) -> Result<(), ErrorCode> {
        match self.version {
            Version::Two => self.add(identity, &[-1])?,
            Version::One if identity != self.identity => return Err(ErrorCode::PRODUCER_FENCED),
            Version::One if self.state != State::Ongoing || !self.partitions.contains(&-1) => {
                return Err(ErrorCode::INVALID_TXN_STATE);
            }
            Version::One => {}
        }
        self.pending_offset = Some(offset);
        Ok(())
    }

    /// EndTxn.
    fn end(&mut self, identity: ProducerIdentity, commit: bool) -> Result<ProducerIdentity, ErrorCode> {
        if self.version == Version::Two
            && let Some((before, committed)) = self.ended
            && before == identity
        {
            return match self.state {
                _ if committed != commit => Err(ErrorCode::INVALID_TXN_STATE),
                // The marker's epoch is decided, the markers are not all written: it counts as done.
                _ => Ok(self.identity),
            };
        }
        if identity.id != self.identity.id || identity.epoch != self.identity.epoch {
            return Err(ErrorCode::PRODUCER_FENCED);
        }
        match (self.state, self.version) {
            (State::Ongoing, version) => {
                self.state = State::Prepared { commit };
                if version == Version::Two {
                    self.raise();
                    self.ended = Some((identity, commit));
                }
                Ok(self.identity)
            }
            (State::Prepared { commit: other } | State::Complete { commit: other }, Version::One) => {
                if other != commit {
                    Err(ErrorCode::INVALID_TXN_STATE)
                } else if matches!(self.state, State::Prepared { .. }) {
                    Err(ErrorCode::CONCURRENT_TRANSACTIONS)
                } else {
                    Ok(self.identity)
                }
            }
            (State::Empty | State::Complete { .. }, Version::Two) if !commit => {
                self.raise();
                self.ended = Some((identity, false));
                self.state = State::Complete { commit: false };
                Ok(self.identity)
            }
            // The epoch of the transaction after the one whose markers are being written: it is not known yet.
            (State::Prepared { .. }, Version::Two) => Err(ErrorCode::PRODUCER_FENCED),
            _ => Err(ErrorCode::INVALID_TXN_STATE),
        }
    }

    /// Writes one of the markers that are due.
    pub(super) fn write_a_marker(&mut self) {
        let State::Prepared { commit } = self.state else { return };
        if let Some(partition) = self.partitions.pop_first() {
            if partition == -1 {
                let offset = self.pending_offset.take();
                self.offset = if commit { offset.or(self.offset) } else { self.offset };
            } else {
                let (id, epoch) = (self.identity.id, self.identity.epoch);
                let log = self.logs.entry(partition).or_default();
                // Under version 1 a marker has the transaction's own epoch, and sequences go on.
                log.model.raise(id, epoch);
                for number in log.open.remove(&id).unwrap_or_default() {
                    for record in log.records.iter_mut().filter(|(_, of, _)| *of == number) {
                        record.2 = Some(commit);
                    }
                }
                // A producer id that has run out of epochs leaves its open records to the new one's markers.
                if epoch == 0 {
                    for (_, numbers) in std::mem::take(&mut log.open) {
                        for record in log.records.iter_mut().filter(|(_, of, _)| numbers.contains(of)) {
                            record.2 = Some(commit);
                        }
                    }
                }
            }
        }
        if self.partitions.is_empty() {
            self.state = State::Complete { commit };
        }
    }

    /// Its answer to a request.
    pub(super) fn answer(&mut self, call: &Call) -> Answer {
        let version = self.version;
        match call {
            Call::Init { identity } => match self.init(*identity) {
                Ok(identity) => Answer::Identity { identity, version },
                Err(code) => Answer::Refused(code),
            },
            Call::AddPartitions { identity, partitions } => {
                let numbers: Vec<i32> = partitions.iter().map(|key| key.partition).collect();
                match self.add(*identity, &numbers) {
                    Ok(()) => Answer::Partitions(Vec::new()),
                    Err(code) => Answer::Partitions(vec![("p".into(), code)]),
                }
            }
            Call::AddOffsets { identity, .. } => {
                self.add(*identity, &[-1]).map_or_else(Answer::Refused, |()| Answer::Added)
            }
            Call::CommitOffsets { identity, offsets, .. } => {
                let offset = offsets.positions.iter().next().unwrap().1.offset as u64;
                match self.commit_offset(*identity, offset) {
                    Ok(()) => Answer::Partitions(Vec::new()),
                    Err(code) => Answer::Partitions(vec![("o".into(), code)]),
                }
            }
            Call::End { identity, commit, .. } => match self.end(*identity, *commit) {
                Ok(next) => Answer::Ended { next: (version == Version::Two).then_some(next) },
                Err(code) => Answer::Refused(code),
            },
            Call::Describe | Call::Markers => match self.describe() {
                Ok((identity, aborted)) => Answer::Described { identity, aborted },
                Err(code) => Answer::Refused(code),
            },
            Call::Features => Answer::Features { version },
        }
    }

    /// What readers of committed records see of a partition.
    pub(super) fn visible(&self, partition: i32) -> Vec<u64> {
        let log = self.logs.get(&partition);
        log.into_iter()
            .flat_map(|log| &log.records)
            .filter(|(.., outcome)| *outcome == Some(true))
            .map(|(_, number, _)| *number)
            .collect()
    }

    /// Whether a record holds up readers: its transaction has no end yet.
    pub(super) fn hangs(&self) -> bool {
        self.logs.values().any(|log| !log.open.is_empty())
    }
}
