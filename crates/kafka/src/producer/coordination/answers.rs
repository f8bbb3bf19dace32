//! What coordinators answer, and what that means for the transaction (`TransactionManager.java`).

use std::mem;
use std::sync::Arc;

use tokio::time::Instant;

use super::markers::Told;
use super::{AbortCause, Answer, CONCURRENT, Call, Coordination, End, Offsets, Phase, TransactionError, Version, Word};
use crate::error::{ErrorCode, Written};
use crate::producer::pipeline::ProducerIdentity;

/// What to make of a code.
enum Verdict {
    /// The markers of the transaction before are still being written.
    Soon,
    /// It will work later.
    Later,
    /// This transaction has to be aborted.
    Abort,
    /// The identity is not the newest of the transactional id.
    Fenced,
    /// It will never work.
    Never,
}

fn verdict(code: ErrorCode) -> Verdict {
    match code {
        ErrorCode::CONCURRENT_TRANSACTIONS => Verdict::Soon,
        ErrorCode::PRODUCER_FENCED | ErrorCode::INVALID_PRODUCER_EPOCH => Verdict::Fenced,
        ErrorCode::TRANSACTION_ABORTABLE
        | ErrorCode::TOPIC_AUTHORIZATION_FAILED
        | ErrorCode::GROUP_AUTHORIZATION_FAILED => Verdict::Abort,
        _ if code.is_retriable() => Verdict::Later,
        _ => Verdict::Never,
    }
}

/// Codes by which a group's coordinator says that the member has lost its place (KIP-447).
fn lost_membership(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::ILLEGAL_GENERATION
            | ErrorCode::UNKNOWN_MEMBER_ID
            | ErrorCode::FENCED_INSTANCE_ID
            | ErrorCode::STALE_MEMBER_EPOCH
            | ErrorCode::FENCED_MEMBER_EPOCH
            | ErrorCode::REBALANCE_IN_PROGRESS
    )
}

impl Coordination {
    /// `call` came back. `jitter` is in `0.0..=1.0`.
    pub(in crate::producer) fn answered(&mut self, call: &Call, answer: Answer, now: Instant, jitter: f64) {
        if let Call::Markers = call {
            return self.markers.told(told(&answer), now);
        }
        self.pending = false;
        if self.death().is_some() {
            return;
        }
        match (call, answer) {
            (_, Answer::Lost { written, why, fatal }) => self.lost(call, written, why, fatal, now, jitter),
            (_, Answer::Refused(code)) => self.refused(call, code, now, jitter),
            (Call::Features, Answer::Features { version }) => {
                self.features_asked = Some(now);
                self.offered = version;
                if version != self.version && matches!(self.phase, Phase::Idle) {
                    self.version = version;
                    self.enter(Phase::Initialising { raising: self.identity });
                }
            }
            (_, Answer::Features { .. }) => {}
            (_, Answer::Described { identity, aborted }) => self.described(identity, aborted),
            (_, Answer::Identity { identity, version }) => self.granted(identity, version, now),
            (Call::CommitOffsets { offsets, .. }, Answer::Partitions(refused)) => {
                self.offsets_answered(offsets, refused, now, jitter);
            }
            (_, Answer::Partitions(refused)) => self.partitions_answered(call, refused, now, jitter),
            (_, Answer::Added) => {
                if let Phase::Open(open) = &mut self.phase {
                    open.offsets_added = true;
                }
                self.progress();
            }
            (_, Answer::Ended { next }) => {
                self.identity = next.or(self.identity);
                self.end_open(now);
            }
        }
    }

    fn progress(&mut self) {
        self.failures = 0;
        self.not_before = None;
        self.trouble = None;
    }

    fn granted(&mut self, identity: ProducerIdentity, version: Version, now: Instant) {
        self.identity = Some(identity);
        (self.version, self.offered) = (version, version);
        self.features_asked = Some(now);
        (self.gap, self.stale, self.overdue) = (false, false, false);
        self.markers.settled();
        if let Phase::Initialising { .. } = &self.phase {
            self.enter(Phase::Idle);
            self.words.push(Word::Idle);
        }
    }

    /// Who has the transactional id, after the coordinator has shut this producer out of a transaction that was overdue. A
    /// coordinator that ends a transaction for its age raises the epoch by one; an instance that takes over raises it once more.
    fn described(&mut self, newest: ProducerIdentity, aborted: bool) {
        if let Phase::Open(open) = &mut self.phase
            && let Some(code) = open.doubted.take()
        {
            return if Some(newest) == self.identity { self.progress() } else { self.fenced(code) };
        }
        let Phase::Overdue { identity, code } = self.phase else { return };
        let after = ProducerIdentity { epoch: identity.epoch.saturating_add(1), ..identity };
        if aborted && newest == after {
            self.enter(Phase::Initialising { raising: None });
        } else {
            self.fenced(code);
        }
    }

    fn partitions_answered(&mut self, call: &Call, refused: Vec<(Arc<str>, ErrorCode)>, now: Instant, jitter: f64) {
        let Some((what, code)) = worst(&refused) else {
            if let (Phase::Open(open), Call::AddPartitions { partitions, .. }) = (&mut self.phase, call) {
                for partition in partitions {
                    open.wanted.remove(partition);
                    open.added.insert(*partition);
                }
            }
            return self.progress();
        };
        match verdict(code) {
            Verdict::Soon | Verdict::Later => self.again(call, code.to_string().into(), code, now, jitter),
            Verdict::Fenced => self.fenced_within(code, now),
            _ => self.fail(AbortCause::Refused { what, code }),
        }
    }

    fn offsets_answered(
        &mut self,
        offsets: &Arc<Offsets>,
        refused: Vec<(Arc<str>, ErrorCode)>,
        now: Instant,
        jitter: f64,
    ) {
        let Some((what, code)) = worst(&refused) else {
            if let Phase::Open(open) = &mut self.phase {
                open.offsets_committed = true;
            }
            return self.progress();
        };
        if lost_membership(code) {
            return self.fail(AbortCause::Membership { group: offsets.group.group_id.as_str().into(), code });
        }
        match verdict(code) {
            Verdict::Soon | Verdict::Later => self.offsets_again(code.to_string().into(), code, now, jitter),
            Verdict::Fenced => self.fenced_within(code, now),
            Verdict::Abort => self.fail(AbortCause::Refused { what, code }),
            Verdict::Never => self.refused_for_good("committing offsets", code),
        }
    }

    fn refused(&mut self, call: &Call, code: ErrorCode, now: Instant, jitter: f64) {
        let retry = matches!(verdict(code), Verdict::Soon | Verdict::Later);
        match call {
            // It was only a look; the connection's own answer will do until the next.
            Call::Features => self.features_asked = Some(now),
            _ if retry => match call {
                Call::AddOffsets { .. } | Call::CommitOffsets { .. } => {
                    self.offsets_again(code.to_string().into(), code, now, jitter);
                }
                _ => self.again(call, code.to_string().into(), code, now, jitter),
            },
            Call::Init { identity } => self.not_granted(*identity, code),
            Call::Describe => self.fenced(code),
            // Answered before it comes to this.
            Call::Markers => {}
            Call::AddOffsets { .. } | Call::AddPartitions { .. } | Call::CommitOffsets { .. } => match verdict(code) {
                Verdict::Fenced => self.fenced_within(code, now),
                Verdict::Abort => {
                    let what = match call {
                        Call::AddPartitions { .. } => "adding partitions to the transaction".into(),
                        Call::AddOffsets { group_id, .. } => format!("group {group_id}").into(),
                        _ => "committing offsets".into(),
                    };
                    self.fail(AbortCause::Refused { what, code });
                }
                _ => self.refused_for_good("adding to the transaction", code),
            },
            Call::End { commit: false, .. } if code == ErrorCode::INVALID_TXN_STATE => self.nothing_to_abort(),
            Call::End { commit: false, version: Version::Two, .. }
                if matches!(verdict(code), Verdict::Fenced) && !self.is_overdue(now) =>
            {
                if let Phase::Open(open) = &mut self.phase {
                    open.doubted = Some(code);
                }
            }
            Call::End { commit, .. } => match verdict(code) {
                Verdict::Fenced => self.fenced_within(code, now),
                Verdict::Abort if *commit => {
                    if let Phase::Open(open) = &mut self.phase {
                        open.commit_unknown = false;
                    }
                    self.fail(AbortCause::Refused { what: "committing".into(), code });
                }
                _ if *commit
                    && code == ErrorCode::INVALID_TXN_STATE
                    && (self.is_overdue(now) || self.version == Version::Two && self.is_old(now)) =>
                {
                    // Under version 2 this is how a coordinator says that it has aborted the transaction, also to a commit that
                    // is asked for again; aborting it once more gives the epoch that goes on.
                    if let Phase::Open(open) = &mut self.phase {
                        open.commit_unknown = false;
                    }
                    self.fail(AbortCause::TookTooLong { timeout: self.timeout });
                }
                _ if *commit => self.refused_for_good("committing", code),
                _ => self.refused_for_good("aborting", code),
            },
        }
    }

    fn not_granted(&mut self, raising: Option<ProducerIdentity>, code: ErrorCode) {
        let transactional_id = Arc::clone(&self.transactional_id);
        match (verdict(code), code) {
            (Verdict::Fenced, _) => match raising {
                // Only an overdue transaction's producer may be without a fault of its own.
                Some(identity) if mem::take(&mut self.overdue) => return self.enter(Phase::Overdue { identity, code }),
                Some(_) => return self.fenced(code),
                None => {}
            },
            (_, ErrorCode::INVALID_TRANSACTION_TIMEOUT) => {
                return self.die(TransactionError::TimeoutNotAllowed { timeout: self.timeout });
            }
            _ => {}
        }
        let error = if code.is_authorization() {
            TransactionError::NotAuthorized { transactional_id, code }
        } else {
            TransactionError::Refused { transactional_id, what: "a producer id", code, outcome: Written::No }
        };
        self.give_up_initialising(error);
    }

    /// There is no identity now. Whoever asks again may get one, except in the middle of something.
    fn give_up_initialising(&mut self, error: TransactionError) {
        match &self.phase {
            Phase::Initialising { raising: None } => {
                self.enter(Phase::Unasked);
                self.words.push(Word::NotGranted(error));
            }
            _ => self.die(error),
        }
    }

    fn lost(
        &mut self,
        call: &Call,
        written: Written,
        why: Arc<str>,
        fatal: Option<TransactionError>,
        now: Instant,
        jitter: f64,
    ) {
        if let (Phase::Open(open), Written::Maybe) = (&mut self.phase, written) {
            // What went missing may come late, and under version 1 be taken for the next transaction's: an old position, or an
            // end. Another epoch keeps it out, as each transaction of version 2 has one.
            self.stale |= self.version == Version::One;
            if let Call::End { commit: true, .. } = call {
                open.commit_unknown = true;
            }
        }
        match (call, fatal) {
            (Call::Features, _) => self.features_asked = Some(now),
            (Call::Init { .. }, Some(error)) => self.give_up_initialising(error),
            (_, Some(error)) => self.die(error),
            (Call::AddOffsets { .. } | Call::CommitOffsets { .. }, None) => {
                self.offsets_again(why, ErrorCode::NETWORK_EXCEPTION, now, jitter);
            }
            (_, None) => self.again(call, why, ErrorCode::NETWORK_EXCEPTION, now, jitter),
        }
    }

    fn again(&mut self, call: &Call, why: Arc<str>, code: ErrorCode, now: Instant, jitter: f64) {
        // Records that wait for their partition have a bound of their own; an end has none: it is asked for until it is known.
        let policy = match (verdict(code), call) {
            (Verdict::Soon, _) => CONCURRENT,
            _ => self.retry,
        };
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + policy.wait(self.failures, jitter));
        self.trouble = Some(why);
    }

    /// As [`again`](Self::again), but not for longer than the broker keeps the transaction open.
    fn offsets_again(&mut self, why: Arc<str>, code: ErrorCode, now: Instant, jitter: f64) {
        if self.is_overdue(now) {
            self.progress();
            return self.fail(AbortCause::Outage { what: "committing offsets".into(), last: why });
        }
        self.again(&Call::Features, why, code, now, jitter);
    }

    /// Whether the broker may have ended the open transaction for its age.
    fn is_old(&self, now: Instant) -> bool {
        matches!(&self.phase, Phase::Open(open) if now >= open.since + self.timeout)
    }

    /// Whether it may, and no commit came before that.
    fn is_overdue(&self, now: Instant) -> bool {
        self.is_old(now) && matches!(&self.phase, Phase::Open(open) if !open.commit_unknown)
    }

    /// The coordinator knows of no transaction to abort, as when it never heard of its first partition. Raising the epoch keeps out what is
    /// still on its way, and is refused if this producer has been fenced.
    fn nothing_to_abort(&mut self) {
        let Phase::Open(open) = &mut self.phase else { return };
        let cause = open.failed.take();
        self.words.push(Word::Aborted(cause));
        self.enter(Phase::Initialising { raising: self.identity });
    }

    /// A coordinator does not take the identity within a transaction: either the broker has ended the transaction for its
    /// age, after which the same producer may go on (KIP-588), or somebody else uses the transactional id.
    fn fenced_within(&mut self, code: ErrorCode, now: Instant) {
        let (timeout, identity, overdue) = (self.timeout, self.identity, self.is_overdue(now));
        match &mut self.phase {
            Phase::Open(open) if overdue => {
                let cause = open.failed.take().unwrap_or(AbortCause::TookTooLong { timeout });
                let ending = open.end.is_some();
                self.overdue = true;
                if ending {
                    self.words.push(Word::Aborted(Some(cause)));
                    self.enter(Phase::Initialising { raising: identity });
                } else {
                    // The broker has ended it already; here it ends when the application does.
                    open.begun = false;
                    self.stale = true;
                    self.fail(AbortCause::TookTooLong { timeout });
                }
            }
            _ => self.fenced(code),
        }
    }

    pub(super) fn fenced(&mut self, code: ErrorCode) {
        let outcome = self.commit_outcome();
        self.die(TransactionError::Fenced { transactional_id: Arc::clone(&self.transactional_id), code, outcome });
    }

    pub(super) fn refused_for_good(&mut self, what: &'static str, code: ErrorCode) {
        let transactional_id = Arc::clone(&self.transactional_id);
        let outcome = self.commit_outcome();
        self.die(if code.is_authorization() {
            TransactionError::NotAuthorized { transactional_id, code }
        } else {
            TransactionError::Refused { transactional_id, what, code, outcome }
        });
    }

    /// Whether a commit that was under way may have taken effect.
    fn commit_outcome(&self) -> Written {
        match &self.phase {
            Phase::Open(open) if open.commit_unknown && open.end == Some(End::Commit) => Written::Maybe,
            _ => Written::No,
        }
    }
}

/// What an answer says of the markers of the transaction before.
fn told(answer: &Answer) -> Told {
    match answer {
        Answer::Described { .. } => Told::Written,
        Answer::Refused(ErrorCode::CONCURRENT_TRANSACTIONS) => Told::NotYet,
        Answer::Refused(code) if code.is_retriable() => Told::Nothing,
        Answer::Lost { fatal: None, .. } => Told::Nothing,
        _ => Told::Refused,
    }
}

/// The code that decides about all: one that will not pass before one that will.
fn worst(refused: &[(Arc<str>, ErrorCode)]) -> Option<(Arc<str>, ErrorCode)> {
    let passes = |code: ErrorCode| matches!(verdict(code), Verdict::Soon | Verdict::Later);
    // OPERATION_NOT_ATTEMPTED (55) only says that another partition is to blame.
    let told = |(_, code): &&(Arc<str>, ErrorCode)| code.code() != 55;
    let of = |wanted: bool| refused.iter().filter(told).find(|(_, code)| passes(*code) == wanted);
    of(false).or_else(|| of(true)).or(refused.first()).cloned()
}
