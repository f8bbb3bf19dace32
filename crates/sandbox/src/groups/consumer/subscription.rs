//! Which topics there are, and which of them a pattern means.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use uuid::Uuid;

use super::messages::Refusal;
use crate::patterns::whole_name;

/// All topics, each with its id and the number of its partitions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Catalogue(BTreeMap<Arc<str>, (Uuid, i32)>);

impl FromIterator<(Arc<str>, Uuid, i32)> for Catalogue {
    fn from_iter<I: IntoIterator<Item = (Arc<str>, Uuid, i32)>>(topics: I) -> Self {
        Self(topics.into_iter().map(|(name, id, partitions)| (name, (id, partitions))).collect())
    }
}

impl Catalogue {
    pub(crate) fn get(&self, name: &str) -> Option<(Uuid, i32)> {
        self.0.get(name).copied()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.keys()
    }
}

/// Refuses what is no regular expression.
pub(super) fn check_regex(pattern: &str) -> Result<(), Refusal> {
    whole_name(pattern).map(|_| ()).map_err(|error| {
        let message = format!("SubscribedTopicRegex `{pattern}` is not a valid regular expression: {error}.");
        Refusal::new(ResponseError::InvalidRegularExpression, message)
    })
}

/// The topics whose names `pattern` matches from end to end and that `may_see` lets through.
pub(super) fn resolve(pattern: &str, topics: &Catalogue, may_see: &dyn Fn(&str) -> bool) -> BTreeSet<String> {
    let Ok(regex) = whole_name(pattern) else {
        return BTreeSet::new();
    };
    let matching = topics.names().filter(|name| regex.is_match(name) && may_see(name));
    matching.map(|name| name.to_string()).collect()
}
