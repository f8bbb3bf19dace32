//! Telling people about an outage: when it begins, now and then while it lasts, and when it is over.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// How long trouble may last before it is called an outage: a leader that moves is not news.
const GRACE: Duration = Duration::from_secs(2);

/// How often an outage that lasts is spoken of.
const REMINDER: Duration = Duration::from_secs(10);

/// Watches one thing that a service needs. Times are passed in; the lines are for the caller to log.
#[derive(Debug)]
pub struct Outage {
    /// What is needed, as the subject of a sentence: `the schema registry`.
    what: &'static str,
    /// The configuration key that says where it is.
    key: &'static str,
    since: Option<Instant>,
    last_said: Option<Instant>,
}

impl Outage {
    /// A watch on `what`, whose place `key` names. Nothing is wrong yet.
    #[must_use]
    pub const fn of(what: &'static str, key: &'static str) -> Self {
        Self { what, key, since: None, last_said: None }
    }

    /// Something failed, or is overdue. Returns what to warn of, if it is time to.
    pub fn trouble(&mut self, reason: impl Display, now: Instant) -> Option<String> {
        let since = *self.since.get_or_insert(now);
        let lasted = now.saturating_duration_since(since);
        let due = match self.last_said {
            None => lasted >= GRACE,
            Some(said) => now.saturating_duration_since(said) >= REMINDER,
        };
        due.then(|| {
            self.last_said = Some(now);
            let Self { what, key, .. } = self;
            format!("{what} is down for {}: {reason}; waiting for it to come back ({key})", seconds(lasted))
        })
    }

    /// It works. Returns what to tell if an outage had been spoken of.
    pub fn works(&mut self, now: Instant) -> Option<String> {
        let since = self.since.take()?;
        self.last_said.take()?;
        Some(format!("{} is back after {}", self.what, seconds(now.saturating_duration_since(since))))
    }

    /// Whether an outage has been spoken of and is not over.
    #[must_use]
    pub const fn lasts(&self) -> bool {
        self.last_said.is_some()
    }
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64().round())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn an_outage_is_told_when_it_is_one_then_now_and_then_then_when_it_is_over() {
        let start = Instant::now();
        let mut outage = Outage::of("the schema registry", "schema.registry.url");
        let told: Vec<_> = (0..30)
            .filter_map(|second| outage.trouble("connection refused", after(start, second)).map(|_| second))
            .collect();
        assert_eq!(told, [2, 12, 22]);
        assert!(outage.lasts());
        assert_eq!(outage.works(after(start, 30)).as_deref(), Some("the schema registry is back after 30 s"));
        assert_eq!(outage.works(after(start, 31)), None);
    }

    #[test]
    fn the_line_names_the_thing_the_reason_and_the_key() {
        let start = Instant::now();
        let mut outage = Outage::of("the schema registry", "schema.registry.url");
        outage.trouble("connection refused", start);
        assert_eq!(
            outage.trouble("connection refused", after(start, 5)).as_deref(),
            Some(
                "the schema registry is down for 5 s: connection refused; waiting for it to come back (schema.registry.url)"
            )
        );
    }

    #[test]
    fn trouble_that_passes_at_once_is_no_news() {
        let start = Instant::now();
        let mut outage = Outage::of("the schema registry", "schema.registry.url");
        assert_eq!(outage.trouble("reset", start), None);
        assert_eq!(outage.works(after(start, 1)), None);
        assert_eq!(outage.trouble("reset", after(start, 60)), None);
        assert!(!outage.lasts());
    }
}
