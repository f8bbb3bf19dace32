//! The one retry policy: exponential backoff with jitter, bounded by a deadline.
//!
//! [`Backoff`] is a plain counter that says how long to wait; nothing here sleeps, so that whoever uses it decides what
//! else may wake him. The jitter is passed in as a number, which makes a test's schedule the same on every run.

use std::time::Duration;

use tokio::time::Instant;

/// How the waits between attempts grow (`retry.backoff.ms`, `retry.backoff.max.ms`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The wait after the first failure.
    pub initial: Duration,
    /// No wait is longer than this, jitter aside.
    pub max: Duration,
}

/// A wait is spread by this share to either side, so that clients of one broker do not come back in step (KIP-580).
const JITTER: f64 = 0.2;

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { initial: Duration::from_millis(100), max: Duration::from_secs(1) }
    }
}

impl RetryPolicy {
    /// The wait after `failures` failures in a row: `initial` doubled each time, at most `max`, times `1 ± 0.2`.
    ///
    /// `jitter` is in `0.0..=1.0`; one half means no change.
    pub fn wait(&self, failures: u32, jitter: f64) -> Duration {
        if failures == 0 {
            return Duration::ZERO;
        }
        let doubled = self.initial.saturating_mul(2_u32.saturating_pow(failures - 1));
        doubled.min(self.max).mul_f64(1.0 + JITTER * (2.0 * jitter.clamp(0.0, 1.0) - 1.0))
    }

    /// Begins to count the attempts of one operation that gives up at `deadline`.
    pub fn until(self, deadline: Instant) -> Backoff {
        Backoff { policy: self, deadline, failures: 0 }
    }
}

/// The attempts of one operation.
#[derive(Debug, Clone)]
pub struct Backoff {
    policy: RetryPolicy,
    deadline: Instant,
    failures: u32,
}

impl Backoff {
    /// Counts a failed attempt and returns how long to wait before the next, or `None` if that would be past the deadline.
    pub fn after_failure(&mut self, now: Instant, jitter: f64) -> Option<Duration> {
        self.failures = self.failures.saturating_add(1);
        let wait = self.policy.wait(self.failures, jitter);
        (now + wait < self.deadline).then_some(wait)
    }

    /// Counts a failed attempt and sleeps as [`after_failure`](Self::after_failure) says; `false` if time is up.
    ///
    /// Cancel safe: a dropped sleep has counted the attempt, nothing else.
    pub async fn sleep_after_failure(&mut self) -> bool {
        match self.after_failure(Instant::now(), fastrand::f64()) {
            Some(wait) => {
                tokio::time::sleep(wait).await;
                true
            }
            None => false,
        }
    }

    /// Failures counted so far.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// When this operation gives up.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Starts the schedule over after progress; the deadline stays.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_maximum() {
        let policy = RetryPolicy { initial: Duration::from_millis(100), max: Duration::from_secs(1) };
        let waits: Vec<_> = (0..7).map(|failures| policy.wait(failures, 0.5).as_millis()).collect();
        assert_eq!(waits, [0, 100, 200, 400, 800, 1000, 1000]);
        assert_eq!(policy.wait(u32::MAX, 0.5), policy.max);
    }

    #[test]
    fn jitter_spreads_a_wait_by_a_fifth_to_either_side() {
        let policy = RetryPolicy { initial: Duration::from_millis(100), max: Duration::from_secs(1) };
        assert_eq!(policy.wait(1, 0.0), Duration::from_millis(80));
        assert_eq!(policy.wait(1, 1.0), Duration::from_millis(120));
    }

    #[tokio::test(start_paused = true)]
    async fn an_operation_gives_up_instead_of_waiting_past_its_deadline() {
        let policy = RetryPolicy { initial: Duration::from_millis(100), max: Duration::from_secs(1) };
        let start = Instant::now();
        let mut backoff = policy.until(start + Duration::from_millis(500));
        assert_eq!(backoff.after_failure(start, 0.5), Some(Duration::from_millis(100)));
        assert_eq!(backoff.after_failure(start + Duration::from_millis(100), 0.5), Some(Duration::from_millis(200)));
        assert_eq!(backoff.after_failure(start + Duration::from_millis(300), 0.5), None);
    }
}
