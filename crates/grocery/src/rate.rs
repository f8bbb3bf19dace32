//! Events a second over the last few seconds, from a count that is read now and then.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How far back a rate looks: long enough for one order every two seconds, short enough to show a stop.
const WINDOW: Duration = Duration::from_secs(5);

/// A count's recent readings.
#[derive(Debug, Default, Clone)]
pub(crate) struct RateMeter {
    readings: VecDeque<(Instant, u64)>,
}

impl RateMeter {
    /// Takes a reading. A smaller count than before means that the counter began again, and so does the rate.
    pub(crate) fn read(&mut self, count: u64, now: Instant) {
        if self.readings.back().is_some_and(|(_, last)| *last > count) {
            self.readings.clear();
        }
        self.readings.push_back((now, count));
        while self.readings.len() > 2 && self.readings.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= WINDOW) {
            self.readings.pop_front();
        }
    }

    /// Events a second between the oldest and the newest reading.
    #[must_use]
    pub(crate) fn per_second(&self) -> f64 {
        match (self.readings.front(), self.readings.back()) {
            (Some((first, from)), Some((last, to))) if last > first => {
                (to - from) as f64 / last.duration_since(*first).as_secs_f64()
            }
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_follows_the_last_seconds_and_survives_a_restart() {
        let start = Instant::now();
        let mut meter = RateMeter::default();
        for second in 0..20 {
            meter.read(second * 10, start + Duration::from_secs(second));
        }
        assert!((meter.per_second() - 10.0).abs() < 0.01);
        for second in 20..30 {
            meter.read(190, start + Duration::from_secs(second));
        }
        assert!(meter.per_second().abs() < 0.01, "it stopped more than a window ago");
        meter.read(0, start + Duration::from_secs(30));
        meter.read(4, start + Duration::from_secs(31));
        assert!((meter.per_second() - 4.0).abs() < 0.01);
    }
}
