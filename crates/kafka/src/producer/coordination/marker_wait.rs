//! How long to wait between the end of one transaction and the first write of the next (transaction version 2).
//!
//! EndTxn answers when the outcome is decided, while its markers are still being written. A write of the next transaction
//! that arrives before they are finds the broker waiting for them: it looks again after
//! `add.partitions.to.txn.retry.backoff.ms`, 20 ms, holding the request back. How long markers take is the cluster's
//! affair (replication of `__transaction_state` and of the logs), so it is learned: a first write that took about the
//! broker's back-off longer than they usually do was early.

use std::time::Duration;

/// A first write that took so much longer than usual may have met the broker's back-off.
const EARLY: Duration = Duration::from_millis(18);

/// One that took so much longer has met something else.
const SOMETHING_ELSE: Duration = Duration::from_millis(30);

/// What an early write adds to the wait, and twice as much if the one before it was early too, and so on up to eight times.
const STEP: Duration = Duration::from_micros(200);

/// The share of itself by which a punctual write makes the wait shorter, so that it follows a cluster that has become faster. Waits
/// and early writes balance where one write in `PATIENCE * STEP / wait` is early, one in 270 at 1.5 ms: the longer a wait is, the
/// less is it worth. A pause of the broker's own looks like an early write if it is as long, and one in a hundred holds the
/// wait at 4 ms.
const PATIENCE: u32 = 2048;

/// Markers that take longer are left to the broker's own back-off: waiting here as well would gain little.
const LONGEST: Duration = Duration::from_millis(10);

/// So many early writes among the last eight, though the wait is the longest, mean that it is of no use.
const OF_NO_USE: u32 = 6;

/// For how many transactions nothing is tried after that.
const REST: u32 = 256;

/// Tried once in [`REST`] transactions while writes usually take as long as the broker's back-off: either that is how far away the
/// broker is, or all of them are early, from the first on.
const TRIAL: Duration = Duration::from_millis(5);

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
        if self.is_trial() { TRIAL } else { self.wait }
    }

    fn is_trial(&self) -> bool {
        self.wait < TRIAL && self.resting == 0 && self.usual.is_some_and(|usual| usual >= EARLY)
    }

    /// A first write went `waited` after the answer to EndTxn and took `took`.
    pub(in crate::producer) fn observed(&mut self, waited: Duration, took: Duration) {
        if self.is_trial() {
            if self.usual.is_some_and(|usual| took + EARLY <= usual) {
                self.usual = Some(took);
            } else {
                self.resting = REST;
            }
            return;
        }
        let longer_by = took.saturating_sub(self.usual.unwrap_or_default());
        let early = (EARLY..SOMETHING_ELSE).contains(&longer_by) && waited <= LONGEST + EARLY;
        self.early = self.early << 1 | u8::from(early);
        if !early {
            let usual = self.usual.unwrap_or(took);
            self.usual = Some((usual * 7 + took.min(usual * 2)) / 8);
            self.wait -= self.wait / PATIENCE;
        }
        if self.resting > 0 {
            self.resting -= 1;
        } else if early {
            let of_use = self.wait < LONGEST || self.early.count_ones() < OF_NO_USE;
            let step = STEP * (1 << (self.early.trailing_ones() - 1).min(3));
            self.wait = if of_use { (self.wait + step).min(LONGEST) } else { Duration::ZERO };
            self.resting = if of_use { 0 } else { REST };
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
        assert!(early <= 90, "{early} of ten thousand");
        assert!(wait.wait() < markers * 2, "{:?}", wait.wait());
    }

    #[test]
    fn it_follows_a_cluster_that_becomes_slower_and_faster_again() {
        let mut wait = MarkerWait::default();
        run(&mut wait, 100, |_| Duration::from_millis(1));
        let early = run(&mut wait, 200, |_| Duration::from_millis(6));
        assert!(early <= 20, "{early}");
        run(&mut wait, 4_000, |_| Duration::from_millis(1));
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
        assert!(waited < Duration::from_millis(1_000), "{waited:?} waited for nothing in 1,000 transactions of 20 ms");
    }

    #[test]
    fn a_first_write_that_takes_very_long_does_not_hide_that_the_others_are_early() {
        let mut wait = MarkerWait::default();
        wait.observed(Duration::ZERO, Duration::from_millis(90));
        let early = run(&mut wait, 1_000, |_| Duration::from_millis(1));
        assert!(early < 20, "{early}");
    }

    #[test]
    fn a_broker_that_is_as_far_away_as_its_backoff_is_long_is_tried_seldom() {
        let mut wait = MarkerWait::default();
        let mut waited = Duration::ZERO;
        for _ in 0..1_000 {
            waited += wait.wait();
            wait.observed(wait.wait(), Duration::from_millis(35));
        }
        assert!(waited < Duration::from_millis(100), "{waited:?}");
    }

    #[test]
    fn a_slow_write_now_and_then_makes_no_other_wait() {
        let mut wait = MarkerWait::default();
        for transaction in 0..1_000 {
            wait.observed(wait.wait(), if transaction % 50 == 0 { Duration::from_millis(300) } else { WRITE });
        }
        assert_eq!(wait.wait(), Duration::ZERO);
    }

    #[test]
    fn pauses_that_look_like_the_brokers_backoff_cost_a_few_milliseconds_at_most() {
        let seed = fastrand::u64(..);
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut wait = MarkerWait::default();
        let (mut waited, mut early) = (Duration::ZERO, 0);
        for _ in 0..20_000 {
            let markers = Duration::from_micros(rng.u64(700..1_500));
            let pause = if rng.u32(..100) < 2 { Duration::from_millis(rng.u64(5..40)) } else { Duration::ZERO };
            let late = wait.wait() >= markers;
            early += u32::from(!late);
            waited += wait.wait();
            wait.observed(wait.wait(), WRITE + pause + if late { Duration::ZERO } else { BROKER_BACKOFF });
        }
        let mean = waited / 20_000;
        assert!(mean < Duration::from_millis(4) && early < 200, "seed {seed}: {mean:?} on average, {early} early");
    }
}
