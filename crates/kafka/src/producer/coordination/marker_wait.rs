//! How long to wait between the end of one transaction and the first write of the next (transaction version 2).
//!
//! EndTxn answers when the outcome is decided, while its markers are still being written. A write of the next transaction
//! that arrives before they are finds the broker waiting for them: it looks again after
//! `add.partitions.to.txn.retry.backoff.ms`, 20 ms, holding the request back. How long markers take is the cluster's
//! affair (replication of `__transaction_state` and of the logs), so it is learned: a first write that took about the
//! broker's back-off longer than they usually do was early.

use std::time::Duration;

/// A first write that took so much longer than usual has met the broker's back-off.
const EARLY: Duration = Duration::from_millis(18);

/// The step from no wait at all.
const FIRST_STEP: Duration = Duration::from_micros(500);

/// Markers that take longer are left to the broker's own back-off: waiting here as well would gain little.
const LONGEST: Duration = Duration::from_millis(10);

/// So many early writes among the last eight are not a busy machine's doing.
const CONFIRMED: u32 = 2;

/// For how many transactions nothing is tried after markers were found to take too long.
const REST: u32 = 256;

/// A punctual write makes the wait shorter by this share, so that it follows a cluster that has become faster.
const PATIENCE: u32 = 1024;

/// The wait that has been learned so far.
#[derive(Debug, Default)]
pub(in crate::producer) struct MarkerWait {
    wait: Duration,
    /// What a punctual first write takes, smoothed.
    usual: Option<Duration>,
    /// Which of the last eight writes were early, the latest in the lowest bit.
    early: u8,
    resting: u32,
}

impl MarkerWait {
    /// How long after the answer to EndTxn the first write is to go.
    pub(in crate::producer) fn wait(&self) -> Duration {
        self.wait
    }

    /// A first write went `waited` after the answer to EndTxn and took `took`.
    pub(in crate::producer) fn observed(&mut self, waited: Duration, took: Duration) {
        let early = took >= self.usual.unwrap_or_default() + EARLY && waited <= LONGEST;
        self.early = self.early << 1 | u8::from(early);
        if !early {
            let usual = self.usual.unwrap_or(took);
            self.usual = Some((usual * 7 + took.min(usual * 2)) / 8);
            self.wait -= self.wait / PATIENCE;
        }
        if self.resting > 0 {
            self.resting -= 1;
        } else if self.early.count_ones() >= CONFIRMED {
            self.early = 0;
            let longer = (self.wait.max(waited) * 3 / 2).max(FIRST_STEP);
            self.wait = if longer > LONGEST { Duration::ZERO } else { longer };
            self.resting = if longer > LONGEST { REST } else { 0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BROKER_BACKOFF: Duration = Duration::from_millis(20);
    const WRITE: Duration = Duration::from_micros(600);

    /// Transactions back to back against markers that take as long as `markers` says; returns how many writes were early.
    fn run(wait: &mut MarkerWait, transactions: u32, markers: impl Fn(u32) -> Duration) -> u32 {
        let mut early = 0;
        for transaction in 0..transactions {
            let waited = wait.wait();
            let late = waited >= markers(transaction);
            early += u32::from(!late);
            wait.observed(waited, if late { WRITE } else { WRITE + BROKER_BACKOFF });
        }
        early
    }

    #[test]
    fn the_wait_settles_a_little_above_what_markers_take() {
        let mut wait = MarkerWait::default();
        let markers = Duration::from_micros(1300);
        let early = run(&mut wait, 100, |_| markers);
        assert!(early <= 8, "{early} of the first hundred");
        let early = run(&mut wait, 10_000, |_| markers);
        assert!(early <= 60, "{early} of ten thousand");
        assert!(wait.wait() < markers * 2, "{:?}", wait.wait());
    }

    #[test]
    fn it_follows_a_cluster_that_becomes_slower_and_faster_again() {
        let mut wait = MarkerWait::default();
        run(&mut wait, 100, |_| Duration::from_millis(1));
        let early = run(&mut wait, 200, |_| Duration::from_millis(6));
        assert!(early <= 12, "{early}");
        run(&mut wait, 5_000, |_| Duration::from_millis(1));
        assert!(wait.wait() < Duration::from_millis(2), "{:?}", wait.wait());
    }

    #[test]
    fn markers_that_take_longer_than_is_worth_waiting_are_left_to_the_broker() {
        let mut wait = MarkerWait::default();
        let mut waited = Duration::ZERO;
        for _ in 0..1_000 {
            waited += wait.wait();
            wait.observed(wait.wait(), WRITE + BROKER_BACKOFF);
        }
        assert!(waited < Duration::from_millis(500), "{waited:?} waited for nothing in 1,000 transactions of 20 ms");
    }

    #[test]
    fn a_slow_write_now_and_then_makes_no_other_wait() {
        let mut wait = MarkerWait::default();
        for transaction in 0..1_000 {
            wait.observed(wait.wait(), if transaction % 50 == 0 { Duration::from_millis(300) } else { WRITE });
        }
        assert_eq!(wait.wait(), Duration::ZERO);
    }
}
