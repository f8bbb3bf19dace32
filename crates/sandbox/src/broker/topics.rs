//! All topics: names, ids, settings and partitions.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use thiserror::Error;
use uuid::Uuid;

use super::partition::Partition;
use super::settings::TopicSettings;
use crate::groups::consumer::Catalogue;

/// The most partitions that one topic may have here.
pub(crate) const MAX_PARTITIONS: i32 = 100;
/// The most partitions of all topics together: a bound on what requests can make of the sandbox's memory.
pub(super) const MAX_PARTITIONS_IN_ALL: usize = 20_000;
const MAX_NAME_BYTES: usize = 249;
/// `log.retention.check.interval.ms`. Not sooner: a client may write records with times of long ago and read them at once.
const RETENTION_CHECK_PERIOD: Duration = Duration::from_secs(300);

/// A topic as it is now. Deleting and creating it again gives another id.
#[derive(Debug, Clone)]
pub(crate) struct Topic {
    pub(crate) name: Arc<str>,
    pub(crate) id: Uuid,
    pub(crate) partitions: Vec<Arc<Partition>>,
    pub(crate) settings: TopicSettings,
}

impl Topic {
    pub(crate) fn partition(&self, index: i32) -> Option<&Arc<Partition>> {
        self.partitions.get(usize::try_from(index).ok()?)
    }
}

/// Why a topic is not created or grown.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum CreateError {
    #[error("Topic '{0}' already exists.")]
    Exists(String),
    #[error("Topic name is invalid: {0}")]
    Name(String),
    #[error("{0}")]
    Partitions(String),
}

/// Checks a name by Kafka's rule (`Topic.validate`).
pub(super) fn check_name(name: &str) -> Result<(), CreateError> {
    let invalid = |why: &str| Err(CreateError::Name(format!("'{name}' {why}")));
    if name.is_empty() || name == "." || name == ".." {
        return invalid("is not allowed");
    }
    if name.len() > MAX_NAME_BYTES {
        return invalid("is longer than 249 characters");
    }
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
        return invalid("contains a character other than ASCII alphanumerics, '.', '_' and '-'");
    }
    Ok(())
}

#[derive(Debug, Default)]
struct Inner {
    by_name: BTreeMap<Arc<str>, Arc<Topic>>,
    /// The name of each id.
    names: HashMap<Uuid, Arc<str>>,
}

/// The map of topics.
#[derive(Debug, Default)]
pub(crate) struct Topics(RwLock<Inner>);

impl Topics {
    fn read(&self) -> std::sync::RwLockReadGuard<'_, Inner> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Inner> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<Topic>> {
        self.read().by_name.get(name).cloned()
    }

    pub(crate) fn by_id(&self, id: Uuid) -> Option<Arc<Topic>> {
        let topics = self.read();
        topics.by_name.get(topics.names.get(&id)?).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Topic>> {
        self.read().by_name.values().cloned().collect()
    }

    /// What group coordinators have to know of the topics.
    pub(crate) fn catalogue(&self) -> Catalogue {
        let describe = |topic: &Arc<Topic>| (Arc::clone(&topic.name), topic.id, topic.partitions.len() as i32);
        self.read().by_name.values().map(describe).collect()
    }

    /// Creates a topic of `partitions` partitions, or only checks whether it could be.
    pub(crate) fn create(
        &self,
        name: &str,
        partitions: i32,
        settings: TopicSettings,
        validate_only: bool,
    ) -> Result<Arc<Topic>, CreateError> {
        check_name(name)?;
        if !(1..=MAX_PARTITIONS).contains(&partitions) {
            return Err(CreateError::Partitions(format!(
                "Number of partitions must be between 1 and {MAX_PARTITIONS}, not {partitions}."
            )));
        }
        let mut topics = self.write();
        if topics.by_name.contains_key(name) {
            return Err(CreateError::Exists(name.to_owned()));
        }
        // Kafka's metrics cannot tell these two apart, so it does not have both.
        let metric_name = |name: &str| name.replace('.', "_");
        if let Some(other) = topics.by_name.keys().find(|other| metric_name(other) == metric_name(name)) {
            return Err(CreateError::Name(format!("'{name}' collides with existing topic: {other}")));
        }
        let in_all: usize = topics.by_name.values().map(|topic| topic.partitions.len()).sum();
        if in_all + partitions as usize > MAX_PARTITIONS_IN_ALL {
            return Err(CreateError::Partitions(format!(
                "The sandbox has {in_all} partitions and takes no more than {MAX_PARTITIONS_IN_ALL}."
            )));
        }
        let name: Arc<str> = name.into();
        let partitions = (0..partitions).map(|_| Arc::default()).collect();
        let topic = Arc::new(Topic { name: Arc::clone(&name), id: Uuid::new_v4(), partitions, settings });
        if !validate_only {
            topics.names.insert(topic.id, Arc::clone(&name));
            topics.by_name.insert(name, Arc::clone(&topic));
        }
        Ok(topic)
    }

    /// Deletes a topic and wakes whoever waits for its data.
    pub(crate) fn delete(&self, name: &str) -> Option<Arc<Topic>> {
        let topic = {
            let mut topics = self.write();
            let topic = topics.by_name.remove(name)?;
            topics.names.remove(&topic.id);
            topic
        };
        topic.partitions.iter().for_each(|partition| partition.wake_all());
        Some(topic)
    }

    /// Adds partitions up to `count`.
    pub(crate) fn grow(&self, name: &str, count: i32, validate_only: bool) -> Option<Result<(), CreateError>> {
        let mut topics = self.write();
        let topic = topics.by_name.get_mut(name)?;
        let now = topic.partitions.len() as i32;
        if count <= now || count > MAX_PARTITIONS {
            return Some(Err(CreateError::Partitions(format!(
                "Topic currently has {now} partitions, which can be raised to at most {MAX_PARTITIONS}; {count} was asked for."
            ))));
        }
        if !validate_only {
            let mut grown = Topic::clone(topic);
            grown.partitions.resize_with(count as usize, Arc::default);
            *topic = Arc::new(grown);
        }
        Some(Ok(()))
    }

    /// Changes a topic's settings; nothing changes when `change` fails.
    pub(crate) fn configure<E>(
        &self,
        name: &str,
        validate_only: bool,
        change: impl FnOnce(&mut TopicSettings) -> Result<(), E>,
    ) -> Option<Result<(), E>> {
        let mut topics = self.write();
        let topic = topics.by_name.get_mut(name)?;
        let mut settings = topic.settings.clone();
        if let Err(error) = change(&mut settings) {
            return Some(Err(error));
        }
        if !validate_only {
            *topic = Arc::new(Topic { settings, ..Topic::clone(topic) });
        }
        Some(Ok(()))
    }

    pub(crate) fn total_bytes(&self) -> usize {
        self.read()
            .by_name
            .values()
            .flat_map(|topic| &topic.partitions)
            .map(|partition| partition.log().size_bytes())
            .sum()
    }

    /// Takes the oldest batch of the largest partition until all logs together are within `max_bytes`.
    pub(crate) fn shrink_to(&self, max_bytes: usize) {
        let partitions: Vec<_> = self.read().by_name.values().flat_map(|topic| topic.partitions.clone()).collect();
        let mut total: usize = partitions.iter().map(|partition| partition.log().size_bytes()).sum();
        while total > max_bytes {
            let Some(largest) = partitions.iter().max_by_key(|partition| partition.log().size_bytes()) else {
                return;
            };
            match largest.log().drop_oldest() {
                0 => return,
                freed => total -= freed,
            }
        }
    }

    /// Applies retention now and then, for ever.
    pub(crate) async fn keep_retention(&self) {
        loop {
            tokio::time::sleep(RETENTION_CHECK_PERIOD).await;
            let now_ms = super::epoch_ms(SystemTime::now());
            for topic in self.all() {
                for partition in &topic.partitions {
                    partition.log().retain(topic.settings.retention(), now_ms);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_kafkas_rule() {
        let topics = Topics::default();
        for name in ["", ".", "..", "with space", "größe", &"x".repeat(250)] {
            let error = topics.create(name, 1, TopicSettings::default(), false).unwrap_err();
            assert!(matches!(error, CreateError::Name(_)), "{name}: {error}");
        }
        assert!(topics.create("grocery.orders.v1", 3, TopicSettings::default(), false).is_ok());
    }

    #[test]
    fn names_that_differ_in_dots_and_underscores_only_collide() {
        let topics = Topics::default();
        topics.create("grocery.orders", 1, TopicSettings::default(), false).unwrap();
        let error = topics.create("grocery_orders", 1, TopicSettings::default(), false).unwrap_err();
        assert!(error.to_string().contains("collides with existing topic: grocery.orders"), "{error}");
    }

    #[test]
    fn partitions_are_bounded_in_all() {
        let topics = Topics::default();
        let create = |number: usize| topics.create(&format!("topic-{number}"), 100, TopicSettings::default(), false);
        let fit = MAX_PARTITIONS_IN_ALL / 100;
        assert!((0..fit).all(|number| create(number).is_ok()));
        assert!(matches!(create(fit), Err(CreateError::Partitions(_))));
    }

    #[test]
    fn a_topic_made_again_has_another_id() {
        let topics = Topics::default();
        let first = topics.create("orders", 3, TopicSettings::default(), false).unwrap();
        let again = topics.create("orders", 3, TopicSettings::default(), false);
        assert_eq!(again.unwrap_err(), CreateError::Exists("orders".to_owned()));
        topics.delete("orders").unwrap();
        let second = topics.create("orders", 3, TopicSettings::default(), false).unwrap();
        assert_ne!(first.id, second.id);
        assert!(topics.by_id(first.id).is_none());
        assert_eq!(topics.by_id(second.id).unwrap().id, second.id);
    }

    #[tokio::test(start_paused = true)]
    async fn records_of_long_ago_stay_until_the_next_check_of_retention() {
        let topics = Topics::default();
        let topic = topics.create("orders", 1, TopicSettings::default(), false).unwrap();
        let batch = crate::log::tests::records(&[1337]);
        let header = crate::log::BatchHeader::read(&batch).unwrap();
        topic.partitions[0].log().append(&header, batch.into(), topic.settings.timestamp_type(), false, 0).unwrap();
        for (minutes, start) in [(4, 0), (6, 1)] {
            let _ = tokio::time::timeout(Duration::from_secs(minutes * 60), topics.keep_retention()).await;
            assert_eq!(topic.partitions[0].log().start(), start, "after {minutes} minutes");
        }
    }

    #[test]
    fn partitions_are_only_added() {
        let topics = Topics::default();
        topics.create("orders", 3, TopicSettings::default(), false).unwrap();
        assert!(matches!(topics.grow("orders", 2, false), Some(Err(CreateError::Partitions(_)))));
        assert!(matches!(topics.grow("orders", 101, false), Some(Err(CreateError::Partitions(_)))));
        assert_eq!(topics.grow("orders", 5, true), Some(Ok(())));
        assert_eq!(topics.get("orders").unwrap().partitions.len(), 3, "it was only checked");
        assert_eq!(topics.grow("orders", 5, false), Some(Ok(())));
        assert_eq!(topics.get("orders").unwrap().partitions.len(), 5);
        assert_eq!(topics.grow("elsewhere", 5, false), None);
    }
}
