//! Who may do what: the rules of `tf/access.json`, asked for every request to the broker and to the registry.
//!
//! The same file makes identity pools and role bindings in Confluent Cloud, so a least-privilege mistake shows here first.
//! An identity pool is a set of rules for those tokens whose `sub` is the pool's principal.

mod rules;

pub use rules::{AccessError, AccessRules};

use std::fmt;

use serde::Deserialize;

/// What a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResourceKind {
    /// A topic, by name.
    Topic,
    /// A consumer group, by id.
    Group,
    /// A transactional id.
    TransactionalId,
    /// A subject of the Schema Registry.
    Subject,
    /// The cluster itself; its name is [`CLUSTER_NAME`].
    Cluster,
}

/// The one name that a cluster resource has, as in Kafka's ACLs.
pub const CLUSTER_NAME: &str = "kafka-cluster";

/// What a rule allows. The names are Kafka's, and the registry's for subjects. What is implied is so for Kafka's resources alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum Operation {
    /// Consume; join a group; read a schema.
    Read,
    /// Produce; register a schema.
    Write,
    /// Create topics.
    Create,
    /// Delete a topic, its records, a group.
    Delete,
    /// Add partitions.
    Alter,
    /// See that it exists. Implied by Read, Write, Delete and Alter.
    Describe,
    /// See its configuration. Implied by AlterConfigs.
    DescribeConfigs,
    /// Change its configuration.
    AlterConfigs,
    /// Produce with a producer id. Implied, as in Kafka, by Write on any topic.
    IdempotentWrite,
    /// See a subject's compatibility level.
    ReadCompatibility,
    /// Change a subject's compatibility level.
    WriteCompatibility,
}

impl fmt::Display for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Topic => "topic",
            Self::Group => "group",
            Self::TransactionalId => "transactional-id",
            Self::Subject => "subject",
            Self::Cluster => "cluster",
        })
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Somebody who has shown who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The token's `sub`; `ANONYMOUS` on a listener without authentication.
    pub name: String,
    /// The identity pools whose rules apply.
    pub pools: Vec<String>,
    /// Every operation is allowed: the open listener's clients.
    pub is_super_user: bool,
}

impl Principal {
    /// Whoever comes in by the open listener.
    pub fn anonymous() -> Self {
        Self { name: "ANONYMOUS".to_owned(), pools: Vec::new(), is_super_user: true }
    }
}
