//! Where a transactional producer stands with its coordinator (KIP-98, KIP-360, KIP-447, KIP-890).
//!
//! A plain state machine. The sender tells it what the application wants, what became of batches and what brokers
//! answered; it says which request to make ([`Coordination::next`]), whether batches may go
//! ([`Coordination::is_open`], [`Coordination::admits`]) and what to tell the application ([`Word`]). One request at a time,
//! but for the question whether [`markers`] have been written, which holds up nothing else.
//! Its promises, which the simulation in `producer/tests` holds it to:
//! - a transaction of which anything failed is never committed;
//! - what was answered as committed is committed, and what was answered as aborted never will be;
//! - an outcome is asked for until a broker tells it: an EndTxn without an answer is repeated under the old epoch, which
//!   the coordinator recognises.

mod answers;
pub(super) mod calls;
mod error;
mod markers;
mod open;

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

pub use self::error::{AbortCause, TransactionError};
use self::markers::Markers;
use self::open::{End, Open, Step};
use super::accumulator::PartitionKey;
use super::error::DeliveryError;
use super::pipeline::ProducerIdentity;
use crate::consumer::Positions;
use crate::error::{ErrorCode, Written};
use crate::group::GroupMetadata;
use crate::retry::RetryPolicy;

/// How transactions are spoken, which is the level of the finalized feature `transaction.version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Version {
    /// Partitions and groups are announced before they are written to; one epoch for many transactions (KIP-98).
    One,
    /// The first write announces itself; each transaction has an epoch of its own (KIP-890).
    Two,
}

/// Positions that become the group's together with the transaction's records.
#[derive(Clone, Debug)]
pub(crate) struct Offsets {
    pub(crate) group: GroupMetadata,
    pub(crate) positions: Positions,
}

/// A request to make.
#[derive(Clone, Debug)]
pub(super) enum Call {
    /// InitProducerId. With the identity so far, only its epoch is raised (KIP-360).
    Init { identity: Option<ProducerIdentity> },
    /// AddPartitionsToTxn.
    AddPartitions { identity: ProducerIdentity, partitions: Vec<PartitionKey> },
    /// AddOffsetsToTxn.
    AddOffsets { identity: ProducerIdentity, group_id: String },
    /// TxnOffsetCommit, to the group's coordinator.
    CommitOffsets { identity: ProducerIdentity, offsets: Arc<Offsets>, version: Version },
    /// EndTxn.
    End { identity: ProducerIdentity, commit: bool, version: Version },
    /// DescribeTransactions, to see who has the transactional id now.
    Describe,
    /// DescribeTransactions, to see whether the markers of the transaction before have been written.
    Markers,
    /// ApiVersions, to see whether the cluster has finalized another `transaction.version`.
    Features,
}

/// What came back.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// Granted, by a coordinator that speaks `version`.
    Identity { identity: ProducerIdentity, version: Version },
    /// A code for each partition of AddPartitions or CommitOffsets; none means that all is well.
    Partitions(Vec<(Arc<str>, ErrorCode)>),
    /// AddOffsets is done.
    Added,
    /// EndTxn is done. The identity that the next transaction must use, if the coordinator named one.
    Ended { next: Option<ProducerIdentity> },
    /// The newest identity of the transactional id, and whether its last transaction was aborted.
    Described { identity: ProducerIdentity, aborted: bool },
    /// What the cluster has finalized.
    Features { version: Version },
    /// A code for the request as a whole.
    Refused(ErrorCode),
    /// No answer; `written` says whether the request may have been acted on.
    Lost { written: Written, why: Arc<str>, fatal: Option<TransactionError> },
}

/// What [`Coordination::next`] wants.
#[derive(Debug)]
pub(super) enum Next {
    Call(Call),
    /// Look again then.
    At(Instant),
    /// Something else has to happen first.
    Wait,
}

/// News for the application.
#[derive(Clone, Debug)]
pub(super) enum Word {
    /// There is an identity and no transaction.
    Idle,
    /// The open transaction cannot be committed any more: its batches are to be thrown away.
    Failed(AbortCause),
    /// The transaction that was to be committed is.
    Committed,
    /// The transaction is aborted. No cause: as asked for.
    Aborted(Option<AbortCause>),
    /// No identity was granted, for a reason that may pass.
    NotGranted(TransactionError),
    /// Nothing more will work.
    Dead(TransactionError),
}

#[derive(Debug)]
enum Phase {
    /// Nobody has asked for an identity, or none was granted.
    Unasked,
    /// An identity is being asked for; `raising` is the one whose epoch is to be raised.
    Initialising {
        raising: Option<ProducerIdentity>,
    },
    /// The coordinator does not know this identity any more: has it ended an overdue transaction, or does somebody else have
    /// the id? `code` is what it said.
    Overdue {
        identity: ProducerIdentity,
        code: ErrorCode,
    },
    Idle,
    Open(Open),
    Dead(TransactionError),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Coordination {
    transactional_id: Arc<str>,
    /// `transaction.timeout.ms`
    timeout: Duration,
    retry: RetryPolicy,
    phase: Phase,
    identity: Option<ProducerIdentity>,
    /// How the current transaction is spoken, and how the next one can be.
    version: Version,
    offered: Version,
    features_asked: Option<Instant>,
    pending: bool,
    failures: u32,
    not_before: Option<Instant>,
    markers: Markers,
    /// A sequence was given up, so that under version 1 the epoch has to be raised before the next transaction.
    gap: bool,
    /// The coordinator has raised the epoch without telling, so that it has to be raised before the next transaction.
    stale: bool,
    /// The coordinator has shut this producer out of a transaction that was older than its timeout.
    overdue: bool,
    /// What the last failed attempt said, for messages.
    trouble: Option<Arc<str>>,
    words: Vec<Word>,
}

/// How often it is looked whether the cluster has finalized another `transaction.version`.
const FEATURES_MAX_AGE: Duration = Duration::from_secs(60);

/// Between attempts while the previous transaction's markers are being written (CONCURRENT_TRANSACTIONS).
const CONCURRENT: RetryPolicy = RetryPolicy { initial: Duration::from_millis(1), max: Duration::from_millis(20) };

impl Coordination {
    pub(super) fn new(transactional_id: Arc<str>, timeout: Duration, retry: RetryPolicy) -> Self {
        Self {
            transactional_id,
            timeout,
            retry,
            phase: Phase::Unasked,
            identity: None,
            version: Version::One,
            offered: Version::One,
            features_asked: None,
            pending: false,
            failures: 0,
            not_before: None,
            markers: Markers::default(),
            gap: false,
            stale: false,
            overdue: false,
            trouble: None,
            words: Vec::new(),
        }
    }

    /// News since the last call.
    pub(super) fn take_words(&mut self) -> Vec<Word> {
        mem::take(&mut self.words)
    }

    /// Whether [`take_words`](Self::take_words) would return any.
    pub(super) fn has_news(&self) -> bool {
        !self.words.is_empty()
    }

    /// Whether the open transaction can only be aborted.
    pub(super) fn is_failed(&self) -> bool {
        matches!(&self.phase, Phase::Open(open) if open.failed.is_some())
    }

    /// What the last attempt ended with, while there is trouble.
    pub(super) fn trouble(&self) -> Option<Arc<str>> {
        self.trouble.clone()
    }

    /// How the open transaction is spoken.
    pub(super) fn version(&self) -> Version {
        self.version
    }

    /// Asks for an identity unless there is one or it is being asked for. Ends what an earlier instance left open.
    pub(super) fn initialise(&mut self) {
        match &self.phase {
            Phase::Unasked => self.enter(Phase::Initialising { raising: None }),
            Phase::Idle => self.words.push(Word::Idle),
            Phase::Dead(error) => self.words.push(Word::Dead(error.clone())),
            Phase::Initialising { .. } | Phase::Overdue { .. } | Phase::Open(_) => {}
        }
    }

    /// Whether [`begin`](Self::begin) can be called.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle)
    }

    /// Why there will be no more transactions.
    pub(super) fn death(&self) -> Option<&TransactionError> {
        match &self.phase {
            Phase::Dead(error) => Some(error),
            _ => None,
        }
    }

    /// Opens a transaction and returns the identity that its records go under; `None` if one is open or none is possible.
    pub(super) fn begin(&mut self, now: Instant) -> Option<ProducerIdentity> {
        if !self.is_idle() {
            return None;
        }
        self.enter(Phase::Open(Open::new(now)));
        self.identity
    }

    /// Commits the open transaction, together with these offsets, once all its records are acknowledged.
    pub(super) fn commit(&mut self, offsets: Option<Offsets>) {
        let Phase::Open(open) = &mut self.phase else { return };
        if open.end.is_none() {
            open.offsets = offsets.map(Arc::new);
            open.end = Some(if open.failed.is_some() { End::Abort } else { End::Commit });
        }
    }

    /// Aborts the open transaction.
    pub(super) fn abort(&mut self) {
        let Phase::Open(open) = &mut self.phase else { return };
        if open.end.is_none() {
            open.end = Some(End::Abort);
        }
    }

    /// A sequence may have been given up.
    pub(super) fn gap(&mut self) {
        self.gap = true;
    }

    /// A record of the open transaction was not acknowledged.
    pub(super) fn batch_failed(&mut self, error: &DeliveryError) {
        self.gap = true;
        let code = match error {
            DeliveryError::Refused { code, .. } => Some(*code),
            _ => None,
        };
        match code {
            Some(code @ ErrorCode::PRODUCER_FENCED) => self.fenced(code),
            Some(
                code @ (ErrorCode::INVALID_PRODUCER_ID_MAPPING | ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED),
            ) => {
                self.refused_for_good("a record", code);
            }
            _ => self.fail(AbortCause::Delivery(error.clone())),
        }
    }

    /// From now on the open transaction can only be aborted.
    pub(super) fn fail(&mut self, cause: AbortCause) {
        let Phase::Open(open) = &mut self.phase else { return };
        if open.failed.is_some() || open.commit_unknown || (open.end == Some(End::Abort)) {
            return;
        }
        open.failed = Some(cause.clone());
        if open.end == Some(End::Commit) {
            open.end = Some(End::Abort);
        }
        self.words.push(Word::Failed(cause));
    }

    /// Whether the first write of the open transaction may go.
    pub(super) fn is_open(&self, now: Instant) -> bool {
        self.markers.are_written(now)
    }

    /// When to look again because of the markers of the transaction before: to be kept more exactly than other times.
    pub(super) fn markers_at(&self, now: Instant) -> Option<Instant> {
        self.asks_for_markers().then(|| self.markers.wakes_at(now)).flatten()
    }

    fn asks_for_markers(&self) -> bool {
        matches!(self.phase, Phase::Idle | Phase::Open(_))
    }

    /// Whether records may be written to this partition. If not, the coordinator will be told of it first.
    pub(super) fn admits(&mut self, key: PartitionKey) -> bool {
        let version = self.version;
        let Phase::Open(open) = &mut self.phase else { return false };
        if open.failed.is_some() || open.end == Some(End::Abort) {
            return false;
        }
        if version == Version::Two || open.added.contains(&key) {
            return true;
        }
        open.wanted.insert(key);
        false
    }

    /// A batch of the open transaction is on its way.
    pub(super) fn batch_sent(&mut self) {
        self.markers.settled();
        if let Phase::Open(open) = &mut self.phase {
            open.begun = true;
        }
    }

    /// The request to make now. `drained` means that no batch of the open transaction waits or is under way.
    pub(super) fn next(&mut self, drained: bool, now: Instant) -> Next {
        if self.asks_for_markers() && self.markers.ask(now) {
            return Next::Call(Call::Markers);
        }
        if self.pending {
            return Next::Wait;
        }
        if let Some(at) = self.not_before.filter(|&at| at > now) {
            return Next::At(at);
        }
        let version = self.version;
        let identity = self.identity;
        let is_open = self.is_open(now);
        let call = match (&mut self.phase, identity) {
            (Phase::Initialising { raising }, _) => Call::Init { identity: *raising },
            (Phase::Overdue { .. }, _) => Call::Describe,
            (Phase::Idle, Some(_)) if self.features_asked.is_none_or(|at| now >= at + FEATURES_MAX_AGE) => {
                Call::Features
            }
            (Phase::Open(open), Some(identity)) => match open.next(identity, version, drained) {
                // They can be the first write.
                Step::Call(Call::CommitOffsets { .. }) if !is_open => return Next::Wait,
                Step::Call(call) => call,
                Step::Wait => return Next::Wait,
                Step::Nothing => {
                    self.end_open(now);
                    return Next::Wait;
                }
            },
            _ => return Next::Wait,
        };
        if matches!(call, Call::CommitOffsets { .. }) {
            self.markers.settled();
        }
        self.pending = true;
        Next::Call(call)
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.failures = 0;
        self.not_before = None;
        self.trouble = None;
    }

    /// The open transaction is over, and its outcome is known.
    fn end_open(&mut self, now: Instant) {
        let Phase::Open(open) = mem::replace(&mut self.phase, Phase::Idle) else { return };
        if open.begun && self.version == Version::Two {
            self.markers.ended(now);
        }
        let word = match open.end {
            Some(End::Commit) => Word::Committed,
            _ => Word::Aborted(open.failed),
        };
        // Without a new epoch a batch that was given up could come late and be taken for the next transaction's.
        let gap = mem::take(&mut self.gap) && self.version == Version::One;
        let stale = mem::take(&mut self.stale);
        let upgraded = self.offered != self.version;
        self.version = self.offered;
        self.words.push(word);
        self.enter(if gap || stale || upgraded { Phase::Initialising { raising: self.identity } } else { Phase::Idle });
    }

    fn die(&mut self, error: TransactionError) {
        self.words.push(Word::Dead(error.clone()));
        self.enter(Phase::Dead(error));
    }
}
