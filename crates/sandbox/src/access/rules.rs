//! Reading the rules and asking them.

use serde::Deserialize;
use thiserror::Error;

use super::{Operation, Principal, ResourceKind};

/// Identity pools are named `pool-` and their name in the file, as in the cloud, where the id is given out on creation.
const POOL_ID_PREFIX: &str = "pool-";

/// Why rules cannot be used, or why somebody gets none.
#[derive(Debug, Error)]
pub enum AccessError {
    /// The file is not what it should be; the message has line and column.
    #[error("the access rules cannot be read: {0}")]
    Parse(#[from] serde_json::Error),
    /// Two entries of one name.
    #[error("the access rules name pool '{0}' twice")]
    DuplicatePool(String),
    /// A pool was asked for that does not exist.
    #[error("identity pool '{asked}' does not exist; there are {known}")]
    UnknownPool {
        /// What the client sent.
        asked: String,
        /// What there is.
        known: String,
    },
    /// A pool was asked for that is not for this token.
    #[error("identity pool '{pool}' is not for '{subject}': its filter wants claims.sub == '{wanted}'")]
    WrongPool {
        /// What the client sent.
        pool: String,
        /// The token's `sub`.
        subject: String,
        /// The pool's principal.
        wanted: String,
    },
    /// No pool was named and none matches.
    #[error("no identity pool is for '{0}'")]
    NoPool(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    pools: Vec<Pool>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pool {
    pool: String,
    principal: String,
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    resource: ResourceKind,
    name: String,
    pattern: Pattern,
    operations: Vec<Operation>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Pattern {
    Literal,
    Prefix,
}

impl Rule {
    fn covers(&self, resource: ResourceKind, name: &str) -> bool {
        self.resource == resource
            && match self.pattern {
                Pattern::Literal => self.name == name,
                Pattern::Prefix => name.starts_with(&self.name),
            }
    }

    fn allows(&self, operation: Operation) -> bool {
        use Operation::{Alter, AlterConfigs, Delete, Describe, DescribeConfigs, Read, Write};
        self.operations.iter().any(|granted| match operation {
            // What implies what is Kafka's; the registry knows nothing of the kind.
            other if self.resource == ResourceKind::Subject => *granted == other,
            Describe => matches!(granted, Describe | Read | Write | Delete | Alter),
            DescribeConfigs => matches!(granted, DescribeConfigs | AlterConfigs),
            other => *granted == other,
        })
    }
}

/// All pools and their rules. Nothing is allowed that no rule allows.
#[derive(Debug, Clone)]
pub struct AccessRules {
    pools: Vec<Pool>,
}

impl AccessRules {
    /// Reads rules in the form of `tf/access.json`.
    ///
    /// # Errors
    /// An unknown key, resource, pattern or operation, with its line, and a pool that is there twice.
    pub fn parse(json: &str) -> Result<Self, AccessError> {
        let File { pools } = serde_json::from_str(json)?;
        for (index, pool) in pools.iter().enumerate() {
            if pools[..index].iter().any(|earlier| earlier.pool == pool.pool) {
                return Err(AccessError::DuplicatePool(pool.pool.clone()));
            }
        }
        Ok(Self { pools })
    }

    /// The principals that the rules know: the client ids of the OIDC issuer.
    pub fn principals(&self) -> impl Iterator<Item = &str> {
        self.pools.iter().map(|pool| pool.principal.as_str())
    }

    /// The identity pool's id for this principal, as a client sends it.
    pub fn pool_id(&self, principal: &str) -> Option<String> {
        let pool = self.pools.iter().find(|pool| pool.principal == principal)?;
        Some(format!("{POOL_ID_PREFIX}{}", pool.pool))
    }

    /// Says who a token's subject is here. `asked` is what the client sent as `identityPoolId`: one pool, several separated by
    /// commas (their union), or nothing, which is every pool that matches.
    ///
    /// # Errors
    /// When a named pool does not exist or is not for this subject, or when none matches.
    pub fn principal_for(&self, subject: &str, asked: Option<&str>) -> Result<Principal, AccessError> {
        let mut pools = Vec::new();
        match asked {
            None => {
                pools.extend(self.pools.iter().filter(|pool| pool.principal == subject).map(|pool| pool.pool.clone()))
            }
            Some(list) => {
                for id in list.split(',').map(str::trim) {
                    let pool = self
                        .pools
                        .iter()
                        .find(|pool| id.strip_prefix(POOL_ID_PREFIX) == Some(&pool.pool))
                        .ok_or_else(|| AccessError::UnknownPool { asked: id.to_owned(), known: self.pool_ids() })?;
                    if pool.principal != subject {
                        return Err(AccessError::WrongPool {
                            pool: id.to_owned(),
                            subject: subject.to_owned(),
                            wanted: pool.principal.clone(),
                        });
                    }
                    pools.push(pool.pool.clone());
                }
            }
        }
        if pools.is_empty() {
            return Err(AccessError::NoPool(subject.to_owned()));
        }
        Ok(Principal { name: subject.to_owned(), pools, is_super_user: false })
    }

    fn pool_ids(&self) -> String {
        let ids: Vec<_> = self.pools.iter().map(|pool| format!("{POOL_ID_PREFIX}{}", pool.pool)).collect();
        ids.join(", ")
    }

    fn rules_of<'a>(&'a self, principal: &'a Principal) -> impl Iterator<Item = &'a Rule> {
        self.pools.iter().filter(|pool| principal.pools.contains(&pool.pool)).flat_map(|pool| &pool.rules)
    }

    /// Whether `principal` may do `operation` on the resource called `name`.
    pub fn allows(&self, principal: &Principal, resource: ResourceKind, name: &str, operation: Operation) -> bool {
        principal.is_super_user
            || self.rules_of(principal).any(|rule| rule.covers(resource, name) && rule.allows(operation))
    }

    /// Whether `principal` may do `operation` on any resource of the kind at all.
    pub fn allows_any(&self, principal: &Principal, resource: ResourceKind, operation: Operation) -> bool {
        principal.is_super_user
            || self.rules_of(principal).any(|rule| rule.resource == resource && rule.allows(operation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = include_str!("../../../../tf/access.json");

    fn rules() -> AccessRules {
        AccessRules::parse(RULES).unwrap()
    }

    #[test]
    fn each_service_may_do_its_work_and_nothing_else() {
        let rules = rules();
        let may = |who: &str, resource, name: &str, operation| {
            rules.allows(&rules.principal_for(who, None).unwrap(), resource, name, operation)
        };
        use ResourceKind::{Group, Topic};
        assert!(may("order-producer", Topic, "grocery.orders.v1", Operation::Write));
        assert!(may("order-producer", Topic, "grocery.orders.v1", Operation::Describe));
        assert!(!may("order-producer", Topic, "grocery.orders.v1", Operation::Read));
        assert!(!may("order-producer", Topic, "grocery.picklist.v1", Operation::Describe));
        assert!(may("fulfillment-service", Group, "fulfillment-service-group", Operation::Read));
        assert!(!may("fulfillment-service", Group, "picklist-consumer-group", Operation::Read));
        assert!(!may("picklist-consumer", Topic, "grocery.orders.v1", Operation::Describe));
        assert!(may("fulfillment-service", ResourceKind::TransactionalId, "fulfillment-service-2", Operation::Write));
        assert!(!may("operator", Topic, "grocery.orders.v1", Operation::Write));
    }

    #[test]
    fn a_pool_must_exist_and_match_the_token() {
        let rules = rules();
        let unknown = rules.principal_for("order-producer", Some("pool-nobody")).unwrap_err().to_string();
        assert!(unknown.contains("pool-nobody") && unknown.contains("pool-order-producer"), "{unknown}");
        let wrong = rules.principal_for("order-producer", Some("pool-operator")).unwrap_err().to_string();
        assert!(wrong.contains("claims.sub == 'operator'"), "{wrong}");
        assert!(matches!(rules.principal_for("stranger", None), Err(AccessError::NoPool(_))));
        let named = rules.principal_for("order-producer", Some("pool-order-producer")).unwrap();
        assert_eq!(named, rules.principal_for("order-producer", None).unwrap());
    }

    #[test]
    fn mistakes_in_the_file_are_named() {
        let wrong = RULES.replacen("\"Write\"", "\"Wriet\"", 1);
        let error = AccessRules::parse(&wrong).unwrap_err().to_string();
        assert!(error.contains("Wriet") && error.contains("line"), "{error}");
        let twice = RULES.replace("\"pool\": \"operator\"", "\"pool\": \"order-producer\"");
        assert!(matches!(AccessRules::parse(&twice), Err(AccessError::DuplicatePool(_))));
    }
}
