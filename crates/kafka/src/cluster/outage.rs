//! What to say, and how often, while a broker cannot be reached.

use std::time::Duration;

use tokio::time::Instant;

/// While an outage lasts it is worth a line this often.
const REMIND_EVERY: Duration = Duration::from_secs(10);

/// One broker's outage, if it has one.
#[derive(Debug, Default)]
pub(super) struct Outage {
    since: Option<Instant>,
    said: Option<Instant>,
}

/// What is worth a log line now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notice {
    /// It has just begun.
    Began,
    /// It has gone on for so long.
    GoesOn(Duration),
    /// It ended after so long, having been reported.
    Ended(Duration),
}

impl Outage {
    /// A connection could not be made.
    pub(super) fn failed(&mut self, now: Instant) -> Option<Notice> {
        let since = *self.since.get_or_insert(now);
        match self.said {
            None => {
                self.said = Some(now);
                Some(Notice::Began)
            }
            Some(said) if now - said >= REMIND_EVERY => {
                self.said = Some(now);
                Some(Notice::GoesOn(now - since))
            }
            Some(_) => None,
        }
    }

    /// A connection was made.
    pub(super) fn reached(&mut self, now: Instant) -> Option<Notice> {
        self.said = None;
        self.since.take().map(|since| Notice::Ended(now - since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_reported_when_it_begins_every_ten_seconds_and_when_it_ends() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut outage = Outage::default();
        assert_eq!(outage.reached(at(0)), None);
        let said: Vec<_> = (1..=22).filter_map(|second| outage.failed(at(second))).collect();
        let seconds = Duration::from_secs;
        assert_eq!(said, [Notice::Began, Notice::GoesOn(seconds(10)), Notice::GoesOn(seconds(20))]);
        assert_eq!(outage.reached(at(23)), Some(Notice::Ended(seconds(22))));
        assert_eq!(outage.failed(at(30)), Some(Notice::Began));
    }
}
