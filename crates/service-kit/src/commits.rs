//! Committing while the work goes on: one commit at a time, each of everything that was done by then.

use std::future::pending;

use futures::FutureExt;
use futures::future::BoxFuture;
use kafka::{CommitError, Consumer, Positions, TopicPartition};

use crate::error::ServiceError;

/// What is done and not yet committed. However many batches are done while a commit is on its way, the next one covers
/// them all, so that a service is not held to one batch a round trip.
#[derive(Default)]
pub struct Commits {
    waiting: Positions,
    going: Option<Going>,
}

/// A commit on its way, with what is to be committed again should an outage keep it from being.
struct Going {
    positions: Positions,
    answer: BoxFuture<'static, Result<(), CommitError>>,
}

impl Commits {
    /// These are done: commits them now if no other commit is on its way, else after it.
    pub fn done(&mut self, consumer: &Consumer, positions: &Positions) {
        self.waiting.advance(positions);
        self.begin(consumer);
    }

    /// Waits for the commit that is on its way; for ever if there is none. [`settle`](Self::settle) takes what it returns.
    ///
    /// Cancel safe.
    pub async fn answer(&mut self) -> Result<(), CommitError> {
        match &mut self.going {
            Some(going) => going.answer.as_mut().await,
            None => pending().await,
        }
    }

    /// Takes a commit's answer, and begins the next commit if there is something to commit. What an outage kept from being
    /// committed is committed with what comes next.
    ///
    /// # Errors
    /// What waiting does not mend: access.
    pub fn settle(&mut self, consumer: &Consumer, answer: Result<(), CommitError>) -> Result<(), ServiceError> {
        let going = self.going.take();
        match answer {
            Ok(()) => {}
            Err(error) if error.is_rebalance() => tracing::warn!("{error}"),
            Err(error) if error.is_retriable() => {
                tracing::warn!("{error}");
                let later = std::mem::take(&mut self.waiting);
                self.waiting = going.map(|going| going.positions).unwrap_or_default();
                self.waiting.advance(&later);
            }
            Err(error) => return Err(error.into()),
        }
        self.begin(consumer);
        Ok(())
    }

    /// Waits until everything that is done is committed.
    ///
    /// # Errors
    /// As [`settle`](Self::settle).
    pub async fn all(&mut self, consumer: &Consumer) -> Result<(), ServiceError> {
        while self.going.is_some() {
            let answer = self.answer().await;
            self.settle(consumer, answer)?;
        }
        Ok(())
    }

    /// These went to another member, whose commits must not be undone by ours.
    pub fn forget(&mut self, partitions: &[TopicPartition]) {
        self.waiting.retain(|partition| !partitions.contains(partition));
        if let Some(going) = &mut self.going {
            going.positions.retain(|partition| !partitions.contains(partition));
        }
    }

    fn begin(&mut self, consumer: &Consumer) {
        if self.going.is_none() && !self.waiting.is_empty() {
            let positions = std::mem::take(&mut self.waiting);
            let answer = consumer.commit(&positions).boxed();
            self.going = Some(Going { positions, answer });
        }
    }
}
