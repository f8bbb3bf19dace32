//! What brokers say to produce requests, and what that means for a batch (`Sender.java`, `TransactionManager.java`).

use std::sync::Arc;

use tokio::time::Instant;

use super::line::{Place, Sent};
use super::{Effect, PartitionAnswer, Pipeline, RequestId, settled};
use crate::error::{ErrorCode, Written};
use crate::producer::accumulator::{BatchId, PartitionKey};
use crate::producer::delivery::Acknowledged;
use crate::producer::error::DeliveryError;

/// What to do with a refused batch.
enum Verdict {
    /// It will be taken some other time. Whether it has been taken already is unknown unless `certain`.
    Again { certain: bool },
    /// Its sequence is not the one that the broker expects.
    OutOfOrder,
    /// Its parts may be taken.
    TooLarge,
    /// It will not be taken. That it has not been is unknown unless `certain`.
    Never { certain: bool },
}

fn verdict(code: ErrorCode, log_start_offset: i64) -> Verdict {
    match code {
        ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER | ErrorCode::INVALID_PRODUCER_EPOCH => Verdict::OutOfOrder,
        // Without a log start offset the broker does not know enough to mean it.
        ErrorCode::UNKNOWN_PRODUCER_ID if log_start_offset == -1 => Verdict::Again { certain: true },
        ErrorCode::UNKNOWN_PRODUCER_ID => Verdict::OutOfOrder,
        ErrorCode::MESSAGE_TOO_LARGE => Verdict::TooLarge,
        // Refused before anything was appended. Of the others a leader may think again after it has appended: it lost its
        // office while followers caught up (NOT_LEADER_OR_FOLLOWER), or they took too long (REQUEST_TIMED_OUT).
        ErrorCode::NOT_ENOUGH_REPLICAS | ErrorCode::CONCURRENT_TRANSACTIONS => Verdict::Again { certain: true },
        _ if code.is_retriable() => Verdict::Again { certain: false },
        // A broker that failed in the middle of it, or a code of the future, does not say how far it got.
        _ => Verdict::Never { certain: code.is_known() && code != ErrorCode::UNKNOWN_SERVER_ERROR },
    }
}

impl Pipeline {
    /// A request was answered. A partition that the answer leaves out counts as unanswered.
    pub(in crate::producer) fn answered(
        &mut self,
        id: RequestId,
        answers: &[(PartitionKey, PartitionAnswer)],
        now: Instant,
        jitter: f64,
    ) {
        let Some(request) = self.requests.remove(&id) else { return };
        // Brokers answer in an order of their own.
        let mut by_key: Vec<&(PartitionKey, PartitionAnswer)> = answers.iter().collect();
        by_key.sort_unstable_by_key(|(key, _)| *key);
        for (key, batch) in request.batches {
            let at = by_key.binary_search_by_key(&key, |(key, _)| *key);
            let Some((_, answer)) = at.ok().and_then(|at| by_key.get(at)) else {
                self.unanswered(key, batch, id, Written::Maybe, "the answer leaves the partition out", now, jitter);
                continue;
            };
            match answer.error {
                // A batch that the broker has from an earlier attempt, too long ago to recall where.
                None | Some(ErrorCode::DUPLICATE_SEQUENCE_NUMBER) => {
                    let Some(line) = self.lines.get_mut(key) else { continue };
                    let Some(at) = line.position(batch, id) else { continue };
                    let Some(mut batch) = line.acknowledged(at, request.link) else { continue };
                    let base_offset = if answer.error.is_none() { answer.base_offset } else { -1 };
                    if line.sent.is_empty() {
                        self.busy.remove(&key);
                    }
                    let place = Acknowledged { base_offset, append_time: answer.append_time };
                    if !batch.abandoned {
                        self.effects.push(settled(&mut batch, Ok(place)));
                    }
                    self.effects.push(Effect::Spare(batch.bytes));
                }
                Some(code) => self.refused(key, batch, id, code, answer, now, jitter),
            }
        }
    }

    /// A request came to nothing, `written` says how far it got.
    pub(in crate::producer) fn lost(&mut self, id: RequestId, written: Written, why: &str, now: Instant, jitter: f64) {
        let Some(request) = self.requests.remove(&id) else { return };
        for (key, batch) in request.batches {
            self.unanswered(key, batch, id, written, why, now, jitter);
        }
        self.effects.push(Effect::RefreshMetadata);
    }

    #[expect(clippy::too_many_arguments, reason = "one event")]
    fn unanswered(
        &mut self,
        key: PartitionKey,
        batch: BatchId,
        request: RequestId,
        written: Written,
        why: &str,
        now: Instant,
        jitter: f64,
    ) {
        let Some(line) = self.lines.get_mut(key) else { return };
        let Some(at) = line.position(batch, request) else { return };
        self.again.insert(key);
        line.trouble = Some(why.into());
        line.back_off(self.settings.retry, now, jitter);
        let batch = &mut line.sent[at];
        batch.place = Place::Waiting;
        batch.unknown |= written == Written::Maybe;
        if batch.abandoned {
            line.give_up(at);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one event")]
    fn refused(
        &mut self,
        key: PartitionKey,
        batch: BatchId,
        request: RequestId,
        code: ErrorCode,
        answer: &PartitionAnswer,
        now: Instant,
        jitter: f64,
    ) {
        let Some(line) = self.lines.get_mut(key) else { return };
        let Some(at) = line.position(batch, request) else { return };
        if code.refreshes_metadata() {
            self.effects.push(Effect::RefreshMetadata);
        }
        if let Some((leader, epoch)) = answer.leader {
            self.effects.push(Effect::Leader { key, leader, epoch });
        }
        self.again.insert(key);
        line.trouble = Some(code.to_string().into());
        let batch = &mut line.sent[at];
        batch.place = Place::Waiting;
        if batch.abandoned {
            line.give_up(at);
            return;
        }
        match verdict(code, answer.log_start_offset) {
            Verdict::Again { certain } => {
                batch.unknown |= !certain;
                line.back_off(self.settings.retry, now, jitter);
            }
            // Those before it are open: it had to be refused, and will be in order once they are taken.
            Verdict::OutOfOrder if at > 0 => {}
            Verdict::OutOfOrder => {
                let unknown = batch.unknown;
                line.back_off(self.settings.retry, now, jitter);
                if unknown || self.settings.transactional {
                    // It may be in the log from an attempt that nobody answered, so no other sequence will do for it.
                    self.fail(key, at, code, answer.message.clone());
                } else {
                    line.sequence_refused();
                }
            }
            Verdict::TooLarge if batch.records > 1 => self.split(key, at),
            Verdict::TooLarge => self.fail(key, at, code, answer.message.clone()),
            Verdict::Never { certain } => {
                batch.unknown |= !certain;
                self.fail(key, at, code, answer.message.clone());
            }
        }
    }

    /// Gives up a batch because of what the broker said.
    pub(super) fn fail(&mut self, key: PartitionKey, at: usize, code: ErrorCode, message: Option<Arc<str>>) {
        let Some(mut batch) = self.lines.get_mut(key).and_then(|line| line.give_up(at)) else { return };
        let (topic, partition) = (Arc::clone(&batch.outcome.topic), batch.outcome.partition);
        let error = match code {
            ErrorCode::TOPIC_AUTHORIZATION_FAILED if !batch.unknown => DeliveryError::NotAuthorized { topic, code },
            ErrorCode::MESSAGE_TOO_LARGE if !batch.unknown => {
                DeliveryError::RecordTooLarge { topic, partition, bytes: batch.bytes.len() }
            }
            _ => {
                let written = if batch.unknown { Written::Maybe } else { Written::No };
                DeliveryError::Refused { topic, partition, code, message, written }
            }
        };
        self.effects.push(settled(&mut batch, Err(error)));
    }

    /// A batch of unknown outcome stood behind one that is lost: it cannot be sent under its sequence nor another.
    pub(super) fn lose(&mut self, mut batch: Sent) {
        let (topic, partition) = (Arc::clone(&batch.outcome.topic), batch.outcome.partition);
        let code = ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER;
        let message = Some("an earlier batch of the partition was given up".into());
        let error = DeliveryError::Refused { topic, partition, code, message, written: Written::Maybe };
        if !batch.abandoned {
            self.effects.push(settled(&mut batch, Err(error)));
        }
    }
}
