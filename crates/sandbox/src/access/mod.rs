//! Who may do what: `tf/access.json`, the file from which Terraform makes identity pools and role bindings.
//!
//! A login names a subject (the token's `sub`) and, as Confluent Cloud wants it, an identity pool. The pool says whose
//! tokens it takes and what they may do; everything that no rule allows is forbidden.

mod rules;

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;
use thiserror::Error;

pub use rules::{AccessRules, Operation, ResourceKind};

/// The prefix of a pool's id in the cloud; `tf/access.json` names pools without it.
const POOL_ID_PREFIX: &str = "pool-";

/// Someone who has logged in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Principal {
    name: String,
    /// The pools whose rules apply; `None` on the open listener, where no rule does.
    pools: Option<BTreeSet<String>>,
}

impl Principal {
    /// Whoever uses the listener without authentication: everything is allowed there.
    pub fn anonymous() -> Self {
        Self { name: "ANONYMOUS".to_owned(), pools: None }
    }

    /// The token's subject.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "User:{}", self.name)
    }
}

/// A login that no pool takes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PoolRefusal {
    /// There is no pool of this id.
    #[error("identity pool {pool} does not exist; there are {known}")]
    Unknown {
        /// As it was sent.
        pool: String,
        /// The ids of those that do.
        known: String,
    },
    /// The pool takes other subjects.
    #[error("identity pool {pool} does not take tokens of {subject}")]
    WrongSubject {
        /// As it was sent.
        pool: String,
        /// The token's subject.
        subject: String,
    },
    /// No pool was named and none takes this subject.
    #[error("no identity pool takes tokens of {subject}")]
    NoPool {
        /// The token's subject.
        subject: String,
    },
}

/// Rules that cannot be read.
#[derive(Debug, Error)]
pub enum AccessError {
    /// Not JSON of the right form.
    #[error("access rules: {0}")]
    Json(#[from] serde_json::Error),
    /// The file cannot be read.
    #[error("access rules {path}: {problem}")]
    File {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        problem: std::io::Error,
    },
    /// Two pools of one name.
    #[error("access rules: pool {0} is there twice")]
    Duplicate(String),
}

/// A pool as the file has it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pool {
    pool: String,
    principal: String,
    rules: Vec<rules::Rule>,
}

impl AccessRules {
    /// The principal of a login.
    ///
    /// `pool` is the extension `identityPoolId` as it came: one id or several with commas between, whose rules add up.
    /// Without it every pool that takes the subject counts, as in the cloud since pools are mapped by themselves.
    ///
    /// # Errors
    /// Which pool does not exist or does not take this subject.
    pub fn principal_for(&self, subject: &str, pool: Option<&str>) -> Result<Principal, PoolRefusal> {
        let name = || subject.to_owned();
        let named: Vec<&str> = pool.iter().flat_map(|pools| pools.split(',')).map(str::trim).collect();
        let mut pools = BTreeSet::new();
        for id in named.iter().filter(|id| !id.is_empty()) {
            let Some(pool) = id.strip_prefix(POOL_ID_PREFIX).and_then(|name| self.pool(name)) else {
                return Err(PoolRefusal::Unknown { pool: (*id).to_owned(), known: self.pool_ids().join(", ") });
            };
            if pool.principal != subject {
                return Err(PoolRefusal::WrongSubject { pool: (*id).to_owned(), subject: name() });
            }
            pools.insert(pool.pool.clone());
        }
        if pools.is_empty() {
            let taking = self.pools().filter(|pool| pool.principal == subject);
            pools.extend(taking.map(|pool| pool.pool.clone()));
        }
        if pools.is_empty() {
            return Err(PoolRefusal::NoPool { subject: name() });
        }
        Ok(Principal { name: name(), pools: Some(pools) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> AccessRules {
        AccessRules::from_json(include_str!("../../../../tf/access.json")).unwrap()
    }

    fn may(client: &str, kind: ResourceKind, name: &str, operation: Operation) -> bool {
        let rules = rules();
        let principal = rules.principal_for(client, Some(&format!("pool-{client}"))).unwrap();
        rules.allows(&principal, kind, name, operation)
    }

    #[test]
    fn the_producer_writes_orders_and_reads_nothing() {
        use Operation::{Create, Describe, Read, Write};
        assert!(may("order-producer", ResourceKind::Topic, "grocery.orders.v1", Write));
        assert!(may("order-producer", ResourceKind::Topic, "grocery.orders.v1", Describe));
        assert!(!may("order-producer", ResourceKind::Topic, "grocery.orders.v1", Read));
        assert!(!may("order-producer", ResourceKind::Topic, "grocery.picklist.v1", Write));
        assert!(!may("order-producer", ResourceKind::Topic, "grocery.orders.v10", Write));
        assert!(!may("order-producer", ResourceKind::Cluster, "kafka-cluster", Create));
    }

    #[test]
    fn a_consumer_uses_its_own_group_only() {
        assert!(may("picklist-consumer", ResourceKind::Group, "picklist-consumer-group", Operation::Read));
        assert!(!may("picklist-consumer", ResourceKind::Group, "fulfillment-service-group", Operation::Read));
    }

    #[test]
    fn describing_comes_with_reading_and_settings_with_altering_them() {
        let rules = AccessRules::from_json(
            r#"{"pools":[{"pool":"p","principal":"p","rules":[
                {"resource":"topic","name":"t","pattern":"literal","operations":["Read","AlterConfigs"]}]}]}"#,
        )
        .unwrap();
        let principal = rules.principal_for("p", None).unwrap();
        assert!(rules.allows(&principal, ResourceKind::Topic, "t", Operation::Describe));
        assert!(rules.allows(&principal, ResourceKind::Topic, "t", Operation::DescribeConfigs));
        assert!(!rules.allows(&principal, ResourceKind::Topic, "t", Operation::Write));
    }

    #[test]
    fn the_operator_reads_every_group_and_the_groceries_topics() {
        assert!(may("operator", ResourceKind::Group, "any", Operation::Read));
        assert!(may("operator", ResourceKind::Topic, "grocery.anything", Operation::Read));
        assert!(!may("operator", ResourceKind::Topic, "payroll", Operation::Read));
    }

    #[test]
    fn a_pool_takes_its_own_subject_only() {
        let rules = rules();
        let refused = |subject: &str, pool: Option<&str>| rules.principal_for(subject, pool).unwrap_err().to_string();
        assert!(refused("order-producer", Some("pool-operator")).contains("does not take tokens of order-producer"));
        assert!(refused("order-producer", Some("pool-nope")).contains("pool-order-producer"));
        assert!(refused("stranger", None).contains("stranger"));
        assert!(rules.principal_for("order-producer", None).is_ok());
    }

    #[test]
    fn the_open_listener_allows_everything() {
        let everything = rules().allows(&Principal::anonymous(), ResourceKind::Topic, "payroll", Operation::Delete);
        assert!(everything);
    }

    #[test]
    fn write_on_any_topic_is_enough_for_a_producer_id() {
        let rules = rules();
        let principal = |name: &str| rules.principal_for(name, None).unwrap();
        assert!(rules.allows_any(&principal("order-producer"), ResourceKind::Topic, Operation::Write));
        assert!(!rules.allows_any(&principal("picklist-consumer"), ResourceKind::Topic, Operation::Write));
    }

    #[test]
    fn a_slip_in_the_file_is_an_error() {
        for json in ["{}", r#"{"pools":[{"pool":"p","principal":"p","rules":[],"x":1}]}"#] {
            assert!(AccessRules::from_json(json).is_err(), "{json}");
        }
        let twice = r#"{"pools":[{"pool":"p","principal":"p","rules":[]},{"pool":"p","principal":"q","rules":[]}]}"#;
        assert!(AccessRules::from_json(twice).unwrap_err().to_string().contains("twice"));
    }
}
