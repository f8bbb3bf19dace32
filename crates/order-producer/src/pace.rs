//! When the next order is due.

use std::time::{Duration, Instant};

use crate::args::Rate;

/// After a pause (an outage, a suspended laptop) at most this much of it is made up for; the rest is let go, so that a
/// burst does not follow every silence.
const MAX_CATCH_UP: Duration = Duration::from_secs(1);

/// Spaces orders evenly. Times are passed in.
#[derive(Debug)]
pub struct Pacer {
    period: Duration,
    next: Instant,
}

impl Pacer {
    /// A pacer whose first order is due at once.
    #[must_use]
    pub fn new(rate: Rate, now: Instant) -> Self {
        let period = match rate {
            Rate::PerSecond(rate) => Duration::from_secs_f64(1.0 / rate),
            Rate::Max => Duration::ZERO,
        };
        Self { period, next: now }
    }

    /// How long to wait for the next order, `None` if it is due. Whoever gets `None` makes the order: it is counted.
    pub fn wait(&mut self, now: Instant) -> Option<Duration> {
        if self.period.is_zero() {
            return None;
        }
        let early = self.next.saturating_duration_since(now);
        if !early.is_zero() {
            return Some(early);
        }
        if let Some(oldest) = now.checked_sub(MAX_CATCH_UP) {
            self.next = self.next.max(oldest);
        }
        self.next += self.period;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn due_at(pacer: &mut Pacer, now: Instant) -> usize {
        std::iter::from_fn(|| pacer.wait(now).is_none().then_some(())).take(100_000).count()
    }

    #[test]
    fn the_first_order_is_due_at_once_and_the_next_a_period_later() {
        let start = Instant::now();
        let mut pacer = Pacer::new(Rate::default(), start);
        assert_eq!(pacer.wait(start), None);
        assert_eq!(pacer.wait(start), Some(2 * SECOND));
        assert_eq!(pacer.wait(start + SECOND), Some(SECOND));
        assert_eq!(pacer.wait(start + 2 * SECOND), None);
    }

    #[test]
    fn a_late_caller_keeps_the_rate() {
        let start = Instant::now();
        let mut pacer = Pacer::new(Rate::PerSecond(100.0), start);
        let made: usize = (0..=10).map(|tick| due_at(&mut pacer, start + tick * SECOND / 2)).sum();
        assert_eq!(made, 501);
    }

    #[test]
    fn a_long_pause_is_not_made_up_for() {
        let start = Instant::now();
        let mut pacer = Pacer::new(Rate::PerSecond(100.0), start);
        assert_eq!(due_at(&mut pacer, start), 1);
        let made = due_at(&mut pacer, start + 3600 * SECOND);
        assert!((100..=101).contains(&made), "{made}");
    }

    #[test]
    fn at_the_highest_rate_an_order_is_always_due() {
        let start = Instant::now();
        assert_eq!(due_at(&mut Pacer::new(Rate::Max, start), start), 100_000);
    }
}
