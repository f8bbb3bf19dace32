//! The sender's part in transactions: it lets [`Coordination`] decide, makes its requests, and tells the application.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::messages::TransactionalId;
use kafka_protocol::protocol::StrBytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::{debug, info, trace, warn};

use super::{Event, Sender};
use crate::producer::accumulator::Ready;
use crate::producer::coordination::calls::Calls;
use crate::producer::coordination::{
    AbortCause, Answer, Call, Coordination, Next, Offsets, TransactionError, Version, Word,
};
use crate::producer::error::DeliveryError;
use crate::retry::RetryPolicy;

/// Where the application learns how it went. Whoever has stopped listening is not told.
pub(in crate::producer) type Reply = oneshot::Sender<Result<(), TransactionError>>;

/// What the application wants.
pub(in crate::producer) enum Command {
    /// An identity, with what an earlier instance left open ended.
    Initialise(Reply),
    /// A transaction.
    Begin(Reply),
    /// The open transaction's end, with these offsets in it.
    Commit(Option<Offsets>, Reply),
    /// Its other end. Nobody may wait for it.
    Abort(Option<Reply>),
}

/// The newest version of Produce in transactions of version 1; later ones mean version 2 (KIP-890).
const PRODUCE_VERSION_ONE: i16 = 11;

/// What a transactional sender has beside an idempotent one.
pub(in crate::producer) struct Transactional {
    coordination: Coordination,
    calls: Calls,
    commands: mpsc::UnboundedReceiver<Command>,
    /// Who waits for an identity.
    initialising: Vec<Reply>,
    beginning: Option<Reply>,
    committing: Option<Reply>,
    aborting: Option<Reply>,
    /// What became of a commit whose owner had stopped waiting.
    unheard: Option<TransactionError>,
    told_version: Option<Version>,
}

impl Transactional {
    pub(in crate::producer) fn new(
        calls: Calls,
        retry: RetryPolicy,
        commands: mpsc::UnboundedReceiver<Command>,
    ) -> Self {
        Self {
            coordination: Coordination::new(Arc::clone(&calls.transactional_id), calls.timeout, retry),
            calls,
            commands,
            initialising: Vec::new(),
            beginning: None,
            committing: None,
            aborting: None,
            unheard: None,
            told_version: None,
        }
    }

    pub(super) fn id(&self) -> TransactionalId {
        TransactionalId(StrBytes::from_string(self.calls.transactional_id.to_string()))
    }

    pub(super) fn newest_produce(&self) -> i16 {
        match self.coordination.version() {
            Version::One => PRODUCE_VERSION_ONE,
            Version::Two => i16::MAX,
        }
    }

    /// Takes out of `ready` what may not go yet.
    pub(super) fn admit(&mut self, ready: &mut Ready, now: Instant) {
        if !self.coordination.is_open(now) {
            return ready.by_leader.clear();
        }
        for keys in ready.by_leader.values_mut() {
            keys.retain(|key| self.coordination.admits(*key));
        }
    }

    /// When to look again because of the markers of the transaction before, to be kept more exactly than other times.
    pub(super) fn markers_at(&self, now: Instant) -> Option<Instant> {
        self.coordination.markers_at(now)
    }

    pub(super) fn batch_sent(&mut self) {
        self.coordination.batch_sent();
    }

    pub(super) fn batch_failed(&mut self, error: &DeliveryError) {
        if !matches!(error, DeliveryError::Aborted { .. }) {
            self.coordination.batch_failed(error);
        }
    }

    fn tell_version(&mut self) {
        let version = self.coordination.version();
        if self.told_version.replace(version) != Some(version) {
            let level = match version {
                Version::One => 1,
                Version::Two => 2,
            };
            info!(
                transactional_id = %self.calls.transactional_id,
                "transactions are spoken in version {level}, as the cluster has finalized transaction.version"
            );
        }
    }

    /// Answers who waits for the end of the transaction.
    fn end(&mut self, outcome: Result<(), TransactionError>) {
        if let Some(reply) = self.aborting.take() {
            // It is over, which is what was asked for.
            let outcome = match outcome {
                Err(TransactionError::Aborted { .. }) => Ok(()),
                other => other,
            };
            let _ = reply.send(outcome);
        } else if let Some(reply) = self.committing.take()
            && let Err(Err(error)) = reply.send(outcome)
        {
            warn!(%error, "a transaction whose outcome nobody waited for");
            self.unheard = Some(error);
        }
    }

    /// Answers all who wait for something that will not be.
    fn refuse(&mut self, error: &TransactionError) {
        for reply in self.initialising.drain(..).chain(self.beginning.take()) {
            let _ = reply.send(Err(error.clone()));
        }
    }
}

/// The next thing that the application wants; never, if there are no transactions.
///
/// Cancel safe.
pub(super) async fn next_command(transactional: &mut Option<Transactional>) -> Option<Command> {
    match transactional {
        Some(transactional) => transactional.commands.recv().await,
        None => std::future::pending().await,
    }
}

impl Sender {
    pub(super) fn commanded(&mut self, command: Command) {
        let Some(transactional) = &mut self.transactional else { return };
        match command {
            Command::Initialise(reply) => {
                transactional.initialising.push(reply);
                transactional.coordination.initialise();
            }
            Command::Begin(reply) => {
                transactional.beginning = Some(reply);
                transactional.coordination.initialise();
            }
            Command::Commit(offsets, reply) => {
                transactional.committing = Some(reply);
                transactional.coordination.commit(offsets);
                if transactional.coordination.is_failed() {
                    self.abandon();
                } else {
                    self.shared.accumulator().flush();
                }
            }
            Command::Abort(reply) => {
                transactional.aborting = reply;
                transactional.coordination.abort();
                self.abandon();
            }
        }
    }

    /// Throws away what the open transaction still has to send.
    fn abandon(&mut self) {
        let unsent = self.shared.accumulator().take_all();
        if self.pipeline.abandon(unsent)
            && let Some(transactional) = &mut self.transactional
        {
            transactional.coordination.gap();
        }
        self.apply_effects();
    }

    /// Makes the coordinator's next request, and tells the application what there is to tell; returns when to do so again.
    pub(super) fn coordinate(&mut self, now: Instant) -> Option<Instant> {
        self.transactional.as_ref()?;
        loop {
            self.spread_words();
            let Some(transactional) = &mut self.transactional else { return None };
            if let Some(error) = transactional.coordination.death().cloned() {
                transactional.refuse(&error);
                transactional.end(Err(error));
                return None;
            }
            if transactional.coordination.is_idle() {
                self.idle(now);
            }
            let drained = self.pipeline.is_drained() && self.shared.accumulator().is_settled();
            let Some(transactional) = &mut self.transactional else { return None };
            match transactional.coordination.next(drained, now) {
                Next::Call(call) => self.call(call),
                Next::At(at) => return Some(at),
                Next::Wait if transactional.coordination.has_news() => {}
                Next::Wait => return None,
            }
        }
    }

    /// There is an identity and no transaction: whoever wants one gets it.
    fn idle(&mut self, now: Instant) {
        let Some(transactional) = &mut self.transactional else { return };
        transactional.tell_version();
        for reply in transactional.initialising.drain(..) {
            let outcome = transactional.unheard.take().map_or(Ok(()), Err);
            if let Err(Err(error)) = reply.send(outcome) {
                transactional.unheard = Some(error);
            }
        }
        let Some(reply) = transactional.beginning.take() else { return };
        if let Some(error) = transactional.unheard.take() {
            if let Err(Err(error)) = reply.send(Err(error)) {
                transactional.unheard = Some(error);
            }
            return;
        }
        if let Some(identity) = transactional.coordination.begin(now) {
            self.shared.transaction_failed(None);
            self.pipeline.begin_transaction(identity);
            // Whoever has stopped waiting has no transaction to end.
            if reply.send(Ok(())).is_err() {
                transactional.coordination.abort();
            }
        }
    }

    fn spread_words(&mut self) {
        let Some(transactional) = &mut self.transactional else { return };
        for word in transactional.coordination.take_words() {
            let Some(transactional) = &mut self.transactional else { return };
            let transactional_id = Arc::clone(&transactional.calls.transactional_id);
            match word {
                Word::Idle => {}
                Word::Failed(cause) => {
                    debug!(%transactional_id, %cause, "the transaction has to be aborted");
                    self.fail_open(cause);
                }
                Word::Committed => transactional.end(Ok(())),
                Word::Aborted(None) => transactional.end(Ok(())),
                Word::Aborted(Some(cause)) => {
                    transactional.end(Err(TransactionError::Aborted { transactional_id, cause }));
                }
                Word::NotGranted(error) => transactional.refuse(&error),
                Word::Dead(error) => {
                    warn!(%transactional_id, %error, "no more transactions");
                    self.fail_open(AbortCause::Over(Box::new(error)));
                }
            }
        }
    }

    fn fail_open(&mut self, cause: AbortCause) {
        self.shared.transaction_failed(Some(cause));
        self.abandon();
    }

    fn call(&mut self, call: Call) {
        let Some(transactional) = &self.transactional else { return };
        let calls = transactional.calls.clone();
        let names: BTreeMap<usize, Arc<str>> = match &call {
            Call::AddPartitions { partitions, .. } => {
                let accumulator = self.shared.accumulator();
                let name = |topic| accumulator.topic(topic).map(|(name, _)| (topic, name));
                partitions.iter().filter_map(|partition| name(partition.topic)).collect()
            }
            _ => BTreeMap::new(),
        };
        self.events.push(Box::pin(async move {
            let answer = calls.make(&call, &names).await;
            Event::Coordinated { call, answer }
        }));
    }

    pub(super) fn coordinated(&mut self, call: &Call, answer: Answer, now: Instant) {
        if let Some(transactional) = &mut self.transactional {
            trace!(?call, ?answer, "coordinator");
            transactional.coordination.answered(call, answer, now, fastrand::f64());
            self.shared.transaction_trouble(transactional.coordination.trouble());
        }
    }
}
