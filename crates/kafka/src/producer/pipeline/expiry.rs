//! Giving up what has been on its way for longer than `delivery.timeout.ms`.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::line::Place;
use super::{Pipeline, settled, settled_unsent};
use crate::error::Written;
use crate::producer::accumulator::{OpenBatch, PartitionKey};
use crate::producer::delivery::Outcome;
use crate::producer::error::DeliveryError;

impl Pipeline {
    /// Gives up what has been under way for too long, and returns when that will next be so. `unsent` are batches that
    /// have waited as long in the accumulator.
    pub(in crate::producer) fn expire(
        &mut self,
        now: Instant,
        unsent: Vec<(PartitionKey, OpenBatch)>,
        leader_of: impl Fn(PartitionKey) -> Option<i32>,
    ) -> Option<Instant> {
        let after = self.settings.delivery_timeout;
        if unsent.is_empty() && self.expires_at.is_some_and(|at| at > now) {
            return self.expires_at;
        }
        let mut next: Option<Instant> = None;
        for &key in &self.busy {
            let Some(line) = self.lines.get_mut(key) else { continue };
            let why = line.trouble.clone().or_else(|| self.unreachable.get(&leader_of(key)?).cloned());
            let mut at = 0;
            while let Some(batch) = line.sent.get_mut(at) {
                let expires = batch.created + after;
                if expires > now {
                    next = Some(next.map_or(expires, |next| next.min(expires)));
                } else if !batch.abandoned {
                    let in_flight = batch.place != Place::Waiting;
                    let written = if in_flight || batch.unknown { Written::Maybe } else { Written::No };
                    let error = timed_out(&batch.outcome, after, batch.attempts, why.clone(), written);
                    self.effects.push(settled(batch, Err(error)));
                    batch.abandoned = true;
                    if !in_flight {
                        line.give_up(at);
                        continue;
                    }
                }
                at += 1;
            }
        }
        for (key, batch) in unsent {
            let why = match leader_of(key) {
                Some(leader) => self.unreachable.get(&leader).cloned(),
                None => Some("the partition has no leader".into()),
            };
            let error = timed_out(&batch.outcome, after, 0, why, Written::No);
            self.effects.push(settled_unsent(batch, error));
        }
        self.expires_at = next;
        next
    }
}

fn timed_out(
    outcome: &Outcome,
    after: Duration,
    attempts: u32,
    last: Option<Arc<str>>,
    written: Written,
) -> DeliveryError {
    let (topic, partition) = (Arc::clone(&outcome.topic), outcome.partition);
    DeliveryError::TimedOut { topic, partition, after, attempts, last, written }
}
