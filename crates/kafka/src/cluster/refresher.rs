//! The task that owns the metadata: asks when told to, when it is old, and never faster than the backoff allows.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use super::{ClusterError, Connection, Inner};
use crate::connection::Silence;
use crate::error::ErrorCode;
use crate::retry::RetryPolicy;

/// The end of one attempt to refresh.
#[derive(Debug, Clone, Default)]
pub(super) struct Attempt {
    /// Counts attempts, so that a waiter knows one that began after he asked.
    pub(super) serial: u64,
    pub(super) error: Option<ClusterError>,
}

/// What others ask of the refresher.
#[derive(Debug)]
pub(super) struct Demand {
    topics: Mutex<Interest>,
    asked: Notify,
    pub(super) attempts: watch::Sender<Attempt>,
}

#[derive(Debug, Default)]
struct Interest {
    topics: BTreeSet<String>,
    /// Someone wants a refresh.
    wanted: bool,
    /// Topics were added that no answer has covered: no reason to wait.
    fresh: bool,
}

impl Demand {
    pub(super) fn new() -> Self {
        Self { topics: Mutex::default(), asked: Notify::new(), attempts: watch::Sender::default() }
    }

    /// Adds topics to those asked for; a new one is asked for at once.
    pub(super) fn add_topics(&self, names: &[&str]) {
        let mut interest = self.lock();
        let before = interest.topics.len();
        interest.topics.extend(names.iter().map(|name| (*name).to_owned()));
        if interest.topics.len() != before {
            interest.fresh = true;
            interest.wanted = true;
            drop(interest);
            self.asked.notify_one();
        }
    }

    /// Asks for a refresh as soon as the backoff allows.
    pub(super) fn refresh(&self) {
        self.lock().wanted = true;
        self.asked.notify_one();
    }

    fn take(&self) -> Vec<String> {
        let mut interest = self.lock();
        interest.wanted = false;
        interest.fresh = false;
        interest.topics.iter().cloned().collect()
    }

    fn is_wanted(&self) -> (bool, bool) {
        let interest = self.lock();
        (interest.wanted, interest.fresh)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Interest> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When the next refresh may begin.
#[derive(Debug)]
pub(super) struct Pace {
    policy: RetryPolicy,
    last: Option<Instant>,
    /// Refreshes in close succession, or failures in a row.
    streak: u32,
}

impl Pace {
    pub(super) fn new(policy: RetryPolicy) -> Self {
        Self { policy, last: None, streak: 0 }
    }

    /// When a refresh that someone wants now may begin.
    pub(super) fn earliest(&self, now: Instant, jitter: f64) -> Instant {
        self.last.map_or(now, |last| last + self.policy.wait(self.streak, jitter))
    }

    /// A refresh began. One that comes long after the last begins a new streak.
    pub(super) fn began(&mut self, now: Instant) {
        let calm = self.last.is_none_or(|last| now - last > 2 * self.policy.max);
        self.streak = if calm { 1 } else { self.streak.saturating_add(1) };
        self.last = Some(now);
    }
}

/// Runs until the cluster is dropped.
pub(super) async fn run(
    inner: Weak<Inner>,
    demand: Arc<Demand>,
    silence: Arc<Silence>,
    policy: RetryPolicy,
    max_age: Duration,
) {
    let mut pace = Pace::new(policy);
    let mut due = Instant::now() + max_age;
    loop {
        let (wanted, fresh) = demand.is_wanted();
        let now = Instant::now();
        let at = match (wanted, fresh) {
            (_, true) => now,
            (true, false) => pace.earliest(now, fastrand::f64()),
            (false, false) => due,
        };
        if at > now {
            tokio::select! {
                () = sleep_until(at) => {}
                () = demand.asked.notified() => continue,
                () = silence.noticed() => {
                    demand.refresh();
                    continue;
                }
            }
        }
        let Some(inner) = inner.upgrade() else { return };
        pace.began(Instant::now());
        let topics = demand.take();
        let error = refresh(&inner, &topics).await.err();
        due = Instant::now() + max_age;
        match &error {
            Some(error) => {
                debug!(%error, "metadata refresh failed");
                if error.is_retriable() {
                    demand.refresh();
                }
            }
            None => debug!(topics = topics.len(), "metadata refreshed"),
        }
        demand.attempts.send_modify(|attempt| *attempt = Attempt { serial: attempt.serial + 1, error });
    }
}

async fn refresh(inner: &Inner, topics: &[String]) -> Result<(), ClusterError> {
    let connection = inner.any_broker().await?;
    let answer = ask(&connection, topics).await?;
    if let Err(code) = ErrorCode::check(answer.error_code) {
        inner.rebootstrap();
        return Err(ClusterError::refused("metadata", code, None));
    }
    inner.publish(|known| Some(known.updated(&answer)));
    Ok(())
}

/// How long one broker may take to answer before another is asked: the one that was asked may be the one that is stopped.
const PATIENCE: Duration = Duration::from_secs(5);

/// One Metadata request about the named topics. Never creates a topic.
async fn ask(connection: &Connection, topics: &[String]) -> Result<MetadataResponse, ClusterError> {
    let named =
        |name: &String| MetadataRequestTopic::default().with_name(Some(TopicName(StrBytes::from_string(name.clone()))));
    let named = topics.iter().map(named).collect();
    let request = MetadataRequest::default().with_topics(Some(named)).with_allow_auto_topic_creation(false);
    Ok(connection.call_within(request, PATIENCE).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace() -> Pace {
        Pace::new(RetryPolicy { initial: Duration::from_millis(100), max: Duration::from_secs(1) })
    }

    #[test]
    fn the_first_refresh_waits_for_nothing() {
        let now = Instant::now();
        assert_eq!(pace().earliest(now, 0.5), now);
    }

    #[test]
    fn refreshes_in_close_succession_slow_down() {
        let mut pace = pace();
        let mut now = Instant::now();
        let mut gaps = Vec::new();
        for _ in 0..6 {
            pace.began(now);
            let next = pace.earliest(now, 0.5);
            gaps.push((next - now).as_millis());
            now = next;
        }
        assert_eq!(gaps, [100, 200, 400, 800, 1000, 1000]);
    }

    #[test]
    fn a_quiet_while_forgives() {
        let mut pace = pace();
        let start = Instant::now();
        pace.began(start);
        pace.began(start + Duration::from_millis(100));
        let later = start + Duration::from_secs(60);
        pace.began(later);
        assert_eq!(pace.earliest(later, 0.5), later + Duration::from_millis(100));
    }
}
