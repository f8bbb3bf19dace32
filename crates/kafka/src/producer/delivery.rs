//! What becomes of a record: one outcome a batch, shared by the deliveries of its records.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::error::DeliveryError;
use crate::error::Written;

/// Where an acknowledged record is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordMetadata {
    /// Its topic.
    pub topic: Arc<str>,
    /// Its partition.
    pub partition: i32,
    /// Its offset; -1 if it was written by an earlier attempt whose answer was lost and that the broker no longer recalls.
    pub offset: i64,
    /// Milliseconds since 1970: the record's, or the broker's on a topic with `message.timestamp.type=LogAppendTime`.
    pub timestamp: i64,
}

/// Where an acknowledged batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Acknowledged {
    /// -1 if unknown.
    pub(super) base_offset: i64,
    /// Set on topics with `LogAppendTime`.
    pub(super) append_time: Option<i64>,
}

/// What becomes of a batch; shared by all who wait for one of its records.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Pending(Vec<Waker>),
    Settled(Result<Acknowledged, DeliveryError>),
    /// The batch was too large for the broker and goes on in parts, each with the index of its first record.
    Split(Arc<[(i32, Arc<Outcome>)]>),
}

/// What a look at an [`Outcome`] finds.
enum Look {
    Pending,
    Settled(Result<Acknowledged, DeliveryError>),
    Split(Arc<[(i32, Arc<Outcome>)]>),
}

impl Outcome {
    pub(super) fn new(topic: Arc<str>, partition: i32) -> Arc<Self> {
        Arc::new(Self { topic, partition, state: Mutex::new(State::Pending(Vec::new())) })
    }

    /// Says what became of it and wakes who waits. Only the first word counts.
    pub(super) fn settle(&self, result: Result<Acknowledged, DeliveryError>) {
        self.replace(State::Settled(result));
    }

    /// Sends who waits on to the parts.
    pub(super) fn split(&self, parts: Vec<(i32, Arc<Outcome>)>) {
        self.replace(State::Split(parts.into()));
    }

    fn replace(&self, next: State) {
        let mut state = self.state();
        let State::Pending(waiting) = &mut *state else { return };
        let waiting = std::mem::take(waiting);
        *state = next;
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// `place` is the waiter's own among the wakers, and is filled in.
    fn look(&self, place: &mut Option<usize>, context: &Context<'_>) -> Look {
        match &mut *self.state() {
            State::Settled(result) => Look::Settled(result.clone()),
            State::Split(parts) => Look::Split(Arc::clone(parts)),
            State::Pending(waiting) => {
                match place.and_then(|place| waiting.get_mut(place)) {
                    Some(waker) => waker.clone_from(context.waker()),
                    None => {
                        *place = Some(waiting.len());
                        waiting.push(context.waker().clone());
                    }
                }
                Look::Pending
            }
        }
    }

    /// A state that a panic has left is as good as any: each change is one assignment.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A record on its way: resolves when the broker has acknowledged it or it is given up, which is within
/// `delivery.timeout.ms`.
///
/// Cancel safe. Dropping it changes nothing about the record, which is sent all the same.
#[derive(Debug)]
#[must_use = "a record that is not acknowledged says so here and nowhere else"]
pub struct Delivery {
    outcome: Arc<Outcome>,
    index: i32,
    timestamp: i64,
    place: Option<usize>,
}

impl Delivery {
    pub(super) fn new(outcome: Arc<Outcome>, index: i32, timestamp: i64) -> Self {
        Self { outcome, index, timestamp, place: None }
    }

    /// Where the record goes.
    pub fn partition(&self) -> i32 {
        self.outcome.partition
    }
}

impl Future for Delivery {
    type Output = Result<RecordMetadata, DeliveryError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            match this.outcome.look(&mut this.place, context) {
                Look::Pending => return Poll::Pending,
                Look::Settled(Err(error)) => return Poll::Ready(Err(error)),
                Look::Settled(Ok(acknowledged)) => {
                    let Acknowledged { base_offset, append_time } = acknowledged;
                    return Poll::Ready(Ok(RecordMetadata {
                        topic: Arc::clone(&this.outcome.topic),
                        partition: this.outcome.partition,
                        offset: if base_offset < 0 { -1 } else { base_offset + i64::from(this.index) },
                        timestamp: append_time.unwrap_or(this.timestamp),
                    }));
                }
                Look::Split(parts) => {
                    let part = parts.iter().rev().find(|(first, _)| *first <= this.index).or(parts.first());
                    // A split has parts: `Pipeline::split` makes two.
                    let Some((first, outcome)) = part else { return Poll::Pending };
                    this.index -= first;
                    this.outcome = Arc::clone(outcome);
                    this.place = None;
                }
            }
        }
    }
}

/// Neighbouring records of one batch that somebody waits for together.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) outcome: Arc<Outcome>,
    /// Index of the first.
    pub(super) from: i32,
    /// Index past the last.
    pub(super) to: i32,
}

/// How the records of some spans ended.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) acknowledged: u64,
    pub(super) not_written: u64,
    pub(super) unknown: u64,
    pub(super) first_error: Option<DeliveryError>,
}

impl Tally {
    /// Counts `records` that failed with `error`.
    pub(super) fn failed(&mut self, records: u64, error: DeliveryError) {
        match error.written() {
            Written::No => self.not_written += records,
            Written::Maybe => self.unknown += records,
        }
        self.first_error.get_or_insert(error);
    }
}

/// Waits for all records of `spans`, at a cost for each batch.
///
/// Cancel safe: nothing is lost but the counting.
pub(super) async fn settled(mut spans: Vec<Span>) -> Tally {
    spans.reverse();
    let mut tally = Tally::default();
    while let Some(span) = spans.pop() {
        let mut place = None;
        let look = std::future::poll_fn(|context| match span.outcome.look(&mut place, context) {
            Look::Pending => Poll::Pending,
            done => Poll::Ready(done),
        });
        let records = u64::from((span.to - span.from).unsigned_abs());
        match look.await {
            Look::Pending => {}
            Look::Settled(Ok(_)) => tally.acknowledged += records,
            Look::Settled(Err(error)) => tally.failed(records, error),
            Look::Split(parts) => {
                for (at, (first, outcome)) in parts.iter().enumerate().rev() {
                    let end = parts.get(at + 1).map_or(i32::MAX, |(next, _)| *next);
                    let (from, to) = (span.from.max(*first), span.to.min(end));
                    if from < to {
                        spans.push(Span { outcome: Arc::clone(outcome), from: from - first, to: to - first });
                    }
                }
            }
        }
    }
    tally
}
