//! One byte budget for everything fetched, over all partitions.
//!
//! Room is taken before a fetch is sent, for the most that its answer may hold, and cut to what came when it arrives. The
//! answer of a broker is one piece of memory that all its partitions share, so its room is given back when the last of
//! them is let go of: by the queue or, if handed out, by the application.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use tokio::sync::Notify;

/// How much may be held, and is.
#[derive(Debug)]
pub(super) struct Budget {
    limit: usize,
    used: AtomicUsize,
    /// Told when room is given back.
    freed: Arc<Notify>,
}

/// A part of the budget, given back on drop.
#[derive(Debug)]
pub(super) struct Reservation {
    budget: Weak<Budget>,
    bytes: usize,
}

impl Budget {
    pub(super) fn new(limit: usize, freed: Arc<Notify>) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicUsize::new(0), freed })
    }

    /// Takes `wanted` bytes, or what is left if that is at least `least`.
    ///
    /// Called by the one task that fetches; only giving back happens elsewhere.
    pub(super) fn reserve(self: &Arc<Self>, wanted: usize, least: usize) -> Option<Reservation> {
        let left = self.limit.saturating_sub(self.used());
        (left >= least).then(|| self.reserve_anyway(wanted.min(left)))
    }

    /// Takes `bytes` whatever is held: for when the application keeps the whole budget in its hands and waits for more,
    /// which would otherwise never come.
    pub(super) fn reserve_anyway(self: &Arc<Self>, bytes: usize) -> Reservation {
        self.used.fetch_add(bytes, Ordering::AcqRel);
        Reservation { budget: Arc::downgrade(self), bytes }
    }

    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Acquire)
    }
}

impl Reservation {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Sets the reservation to what really came. A broker may send one batch that is larger than was asked for.
    pub(super) fn resize(&mut self, bytes: usize) {
        if let Some(budget) = self.budget.upgrade() {
            if bytes > self.bytes {
                budget.used.fetch_add(bytes - self.bytes, Ordering::AcqRel);
            } else {
                budget.used.fetch_sub(self.bytes - bytes, Ordering::AcqRel);
                budget.freed.notify_one();
            }
        }
        self.bytes = bytes;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.resize(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_granted_than_there_is() {
        let budget = Budget::new(100, Arc::default());
        let first = budget.reserve(80, 10).unwrap();
        let second = budget.reserve(80, 10).unwrap();
        assert_eq!((first.bytes(), second.bytes()), (80, 20));
        assert!(budget.reserve(1, 1).is_none());
        drop(first);
        assert!(budget.reserve(90, 81).is_none(), "less than the least is not worth a fetch");
        assert_eq!(budget.reserve(90, 80).unwrap().bytes(), 80);
        assert_eq!(budget.used(), 20);
    }

    #[test]
    fn an_answer_is_counted_by_what_came() {
        let budget = Budget::new(100, Arc::default());
        let mut answer = budget.reserve(60, 10).unwrap();
        answer.resize(5);
        assert_eq!(budget.used(), 5);
        answer.resize(150);
        assert_eq!(budget.used(), 150, "one batch may be larger than what was asked for");
        assert!(budget.reserve(10, 1).is_none());
        drop(answer);
        assert_eq!(budget.used(), 0);
    }
}
