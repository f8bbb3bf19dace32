//! Readiness as a latch with named conditions: ready once each of them is met.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What `/readyz` answers from. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    conditions: Arc<Mutex<BTreeMap<String, bool>>>,
}

/// One thing that must hold before the service is ready.
#[derive(Debug, Clone)]
pub struct Condition {
    name: String,
    readiness: Readiness,
}

impl Readiness {
    /// Adds a condition that is not yet met. The name is what `/readyz` shows while it is missing.
    pub fn condition(&self, name: impl Into<String>) -> Condition {
        let name = name.into();
        self.set(&name, false);
        Condition { name, readiness: self.clone() }
    }

    /// Whether every condition is met.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.lock().values().all(|met| *met)
    }

    /// The conditions that are not met, in the order of their names.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        self.lock().iter().filter(|(_, met)| !**met).map(|(name, _)| name.clone()).collect()
    }

    fn set(&self, name: &str, met: bool) {
        self.lock().insert(name.to_owned(), met);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, bool>> {
        self.conditions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Condition {
    /// The condition holds.
    pub fn met(&self) {
        self.readiness.set(&self.name, true);
    }

    /// The condition no longer holds: an outage, a drain.
    pub fn unmet(&self) {
        self.readiness.set(&self.name, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_once_every_condition_is_met_and_not_after_one_is_lost() {
        let readiness = Readiness::default();
        let topic = readiness.condition("topic metadata");
        let token = readiness.condition("access token");
        assert_eq!(readiness.missing(), ["access token", "topic metadata"]);
        topic.met();
        token.met();
        assert!(readiness.is_ready());
        topic.unmet();
        assert_eq!(readiness.missing(), ["topic metadata"]);
    }
}
