//! The rules themselves and what they imply.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

use super::{AccessError, POOL_ID_PREFIX, Pool, Principal};

/// What a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResourceKind {
    /// A topic by name.
    Topic,
    /// A consumer group by id.
    Group,
    /// A producer's transactional id.
    TransactionalId,
    /// A subject of the Schema Registry.
    Subject,
    /// The cluster as a whole, named `kafka-cluster`.
    Cluster,
}

/// What someone wants to do, by Kafka's and the registry's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
pub enum Operation {
    /// Read records, offsets or schemas.
    Read,
    /// Write records or schemas.
    Write,
    /// Create it.
    Create,
    /// Delete it.
    Delete,
    /// Change it.
    Alter,
    /// See that it is there.
    Describe,
    /// See its settings.
    DescribeConfigs,
    /// Change its settings.
    AlterConfigs,
    /// Get a producer id without writing to any topic.
    IdempotentWrite,
    /// See a subject's compatibility level.
    ReadCompatibility,
    /// Change a subject's compatibility level.
    WriteCompatibility,
}

impl Operation {
    /// The operations each of which brings this one along (Kafka's `AclAuthorizer`).
    fn implied_by(self) -> &'static [Self] {
        match self {
            Self::Describe => &[Self::Read, Self::Write, Self::Delete, Self::Alter],
            Self::DescribeConfigs => &[Self::AlterConfigs],
            _ => &[],
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Pattern {
    Literal,
    Prefix,
}

/// One rule of a pool.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    resource: ResourceKind,
    name: String,
    pattern: Pattern,
    operations: BTreeSet<Operation>,
}

impl Rule {
    fn allows(&self, kind: ResourceKind, operation: Operation) -> bool {
        let allowed = |operation: &Operation| self.operations.contains(operation);
        self.resource == kind && (allowed(&operation) || operation.implied_by().iter().any(allowed))
    }

    fn matches(&self, name: &str) -> bool {
        match self.pattern {
            // A literal star is Kafka's way to say every name.
            Pattern::Literal => self.name == name || self.name == "*",
            Pattern::Prefix => name.starts_with(&self.name),
        }
    }
}

/// All pools and their rules.
#[derive(Debug, Clone)]
pub struct AccessRules {
    pools: Vec<Pool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    pools: Vec<Pool>,
}

impl AccessRules {
    /// The project's own rules, compiled in so that the sandbox needs no file.
    ///
    /// # Errors
    /// Never for the file as it is in the repository, which a test reads.
    pub fn built_in() -> Result<Self, AccessError> {
        Self::from_json(include_str!("../../../../tf/access.json"))
    }

    /// Reads the text of `tf/access.json`.
    ///
    /// # Errors
    /// The first thing that is not as it should be.
    pub fn from_json(text: &str) -> Result<Self, AccessError> {
        let File { pools } = serde_json::from_str(text)?;
        let mut names = BTreeSet::new();
        match pools.iter().find(|pool| !names.insert(&pool.pool)) {
            Some(twice) => Err(AccessError::Duplicate(twice.pool.clone())),
            None => Ok(Self { pools }),
        }
    }

    /// Reads a file like `tf/access.json`.
    ///
    /// # Errors
    /// The file's name with what is wrong.
    pub fn from_file(path: &Path) -> Result<Self, AccessError> {
        let text =
            std::fs::read_to_string(path).map_err(|problem| AccessError::File { path: path.to_owned(), problem })?;
        Self::from_json(&text)
    }

    /// Whether `principal` may do `operation` to the resource of this name.
    pub fn allows(&self, principal: &Principal, kind: ResourceKind, name: &str, operation: Operation) -> bool {
        self.rules_of(principal)
            .is_none_or(|mut rules| rules.any(|rule| rule.allows(kind, operation) && rule.matches(name)))
    }

    /// Whether `principal` may do `operation` to some resource of this kind, whatever its name.
    pub fn allows_any(&self, principal: &Principal, kind: ResourceKind, operation: Operation) -> bool {
        self.rules_of(principal).is_none_or(|mut rules| rules.any(|rule| rule.allows(kind, operation)))
    }

    /// The subjects that have a pool, which are the client ids of the services.
    pub fn subjects(&self) -> BTreeSet<&str> {
        self.pools.iter().map(|pool| pool.principal.as_str()).collect()
    }

    /// The id of the pool that takes this subject's tokens.
    pub fn pool_of(&self, subject: &str) -> Option<String> {
        self.pools.iter().find(|pool| pool.principal == subject).map(|pool| format!("{POOL_ID_PREFIX}{}", pool.pool))
    }

    pub(super) fn pools(&self) -> impl Iterator<Item = &Pool> {
        self.pools.iter()
    }

    pub(super) fn pool(&self, name: &str) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.pool == name)
    }

    pub(super) fn pool_ids(&self) -> Vec<String> {
        self.pools.iter().map(|pool| format!("{POOL_ID_PREFIX}{}", pool.pool)).collect()
    }

    /// `None` if no rule binds this principal.
    fn rules_of(&self, principal: &Principal) -> Option<impl Iterator<Item = &Rule>> {
        let pools = principal.pools.as_ref()?;
        let pools: Vec<&Pool> = self.pools.iter().filter(|pool| pools.contains(&pool.pool)).collect();
        Some(pools.into_iter().flat_map(|pool| &pool.rules))
    }
}
