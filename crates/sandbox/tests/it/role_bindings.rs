//! That the cloud allows what the sandbox allows: the roles that `tf/` binds for the rules of `tf/access.json`, taken apart into operations
//! (`tf/roles.json`), are held against the sandbox's own decisions, for every principal, resource and operation.
//!
//! The bindings are chosen here as Terraform chooses them; `scripts/check-terraform` also hands over what Terraform itself plans for each
//! environment, by naming a folder of plans in `GROCERY_TERRAFORM_PLANS`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use sandbox::access::Operation::{self, *};
use sandbox::access::{AccessRules, ResourceKind};
use serde::Deserialize;
use serde_json::Value;

const ACCESS: &str = include_str!("../../../../tf/access.json");
const ROLES: &str = include_str!("../../../../tf/roles.json");
const TOPICS: &str = include_str!("../../../../tf/topics.json");

const KINDS: [ResourceKind; 5] = [
    ResourceKind::Topic,
    ResourceKind::Group,
    ResourceKind::TransactionalId,
    ResourceKind::Subject,
    ResourceKind::Cluster,
];

const OPERATIONS: [Operation; 11] = [
    Read,
    Write,
    Create,
    Delete,
    Alter,
    Describe,
    DescribeConfigs,
    AlterConfigs,
    IdempotentWrite,
    ReadCompatibility,
    WriteCompatibility,
];

/// What each role allows on each kind of resource.
type Roles = BTreeMap<String, HashMap<ResourceKind, Vec<Operation>>>;

#[derive(Deserialize)]
struct Access {
    pools: Vec<Pool>,
}

#[derive(Deserialize)]
struct Pool {
    pool: String,
    principal: String,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    resource: ResourceKind,
    name: String,
    pattern: String,
    operations: Vec<Operation>,
}

fn roles() -> Roles {
    serde_json::from_str(ROLES).unwrap()
}

fn access() -> Access {
    serde_json::from_str(ACCESS).unwrap()
}

/// A role of a principal's on what `name` stands for; an asterisk at its end makes it a prefix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Binding {
    principal: String,
    role: String,
    kind: String,
    name: String,
}

impl Binding {
    fn covers(&self, kind: ResourceKind, name: &str) -> bool {
        self.kind == kind.to_string()
            && match self.name.strip_suffix('*') {
                Some(prefix) => name.starts_with(prefix),
                None => name == self.name,
            }
    }
}

fn names(operations: &[Operation]) -> BTreeSet<String> {
    operations.iter().map(Operation::to_string).collect()
}

/// The smallest set of roles that allows exactly these operations.
fn roles_for(roles: &Roles, kind: ResourceKind, operations: &[Operation]) -> Option<Vec<String>> {
    let able: Vec<_> = roles.iter().filter_map(|(role, kinds)| Some((role, kinds.get(&kind)?))).collect();
    let sets = (1_u32..1 << able.len()).filter_map(|set| {
        let chosen = able.iter().enumerate().filter(|(index, _)| set >> index & 1 == 1);
        let (roles, granted): (Vec<_>, Vec<_>) = chosen.map(|(_, (role, granted))| ((*role).clone(), *granted)).unzip();
        let granted: Vec<Operation> = granted.into_iter().flatten().copied().collect();
        (names(&granted) == names(operations)).then_some(roles)
    });
    sets.min_by_key(Vec::len)
}

fn bindings_of_the_rules() -> Vec<Binding> {
    let roles = roles();
    let mut bindings = Vec::new();
    for Pool { pool, principal, rules } in access().pools {
        for rule in rules {
            let chosen = roles_for(&roles, rule.resource, &rule.operations).unwrap_or_else(|| {
                let operations = &rule.operations;
                panic!("pool '{pool}', {} '{}': no roles allow exactly {operations:?}", rule.resource, rule.name)
            });
            let name = if rule.pattern == "prefix" { format!("{}*", rule.name) } else { rule.name };
            bindings.extend(chosen.into_iter().map(|role| Binding {
                principal: principal.clone(),
                role,
                kind: rule.resource.to_string(),
                name: name.clone(),
            }));
        }
    }
    bindings
}

/// Every name that a rule or the pipeline knows, and what lies just beside it.
fn known_and_foreign_names() -> BTreeSet<String> {
    let topics: BTreeMap<String, Value> = serde_json::from_str(TOPICS).unwrap();
    let mut known: BTreeSet<String> =
        access().pools.into_iter().flat_map(|pool| pool.rules).map(|rule| rule.name).collect();
    known.extend(topics.values().filter_map(|topic| topic["subject"].as_str()).map(str::to_owned));
    known.extend(topics.into_keys());
    known.extend(["fulfillment-service-1", "kafka-cluster", "*", "other", "payments.v1"].map(str::to_owned));
    let beside = |name: &String| {
        let shorter = &name[..name.len() - 1];
        [format!("{name}x"), format!("{name}*"), format!("x{name}"), name.to_uppercase(), shorter.to_owned()]
    };
    known.iter().flat_map(beside).chain(known.clone()).filter(|name| !name.is_empty()).collect()
}

/// Where the two disagree, and how many of how many things are allowed.
fn compare(bindings: &[Binding]) -> (Vec<String>, usize, usize) {
    let (roles, rules, names) = (roles(), AccessRules::parse(ACCESS).unwrap(), known_and_foreign_names());
    let (mut differences, mut allowed, mut asked) = (Vec::new(), 0, 0);
    for principal in rules.principals() {
        let somebody = rules.principal_for(principal, None).unwrap();
        let theirs: Vec<_> = bindings.iter().filter(|binding| binding.principal == principal).collect();
        for kind in KINDS {
            for name in &names {
                let granted: BTreeSet<String> = theirs
                    .iter()
                    .filter(|binding| binding.covers(kind, name))
                    .flat_map(|binding| &roles[&binding.role][&kind])
                    .map(Operation::to_string)
                    .collect();
                for operation in OPERATIONS {
                    let here = rules.allows(&somebody, kind, name, operation);
                    let there = granted.contains(&operation.to_string());
                    asked += 1;
                    allowed += usize::from(here);
                    if here != there {
                        let who = if here {
                            "the sandbox, but no role binding"
                        } else {
                            "a role binding, but not the sandbox"
                        };
                        differences.push(format!("{principal}: {operation} on {kind} {name} is allowed by {who}"));
                    }
                }
            }
        }
    }
    (differences, allowed, asked)
}

#[test]
fn the_roles_of_terraform_allow_exactly_what_the_sandbox_allows() {
    let (differences, allowed, asked) = compare(&bindings_of_the_rules());
    assert!(differences.is_empty(), "{differences:#?}");
    assert!(allowed > 100 && asked > 10 * allowed, "{allowed} of {asked}");
}

#[test]
fn the_table_for_people_is_that_of_the_bindings() {
    let readme = include_str!("../../../../tf/README.md");
    let is_a_principals =
        |row: &&str| access().pools.iter().any(|pool| row.starts_with(&format!("| {} |", pool.principal)));
    let rows: BTreeSet<String> = readme
        .lines()
        .filter(is_a_principals)
        .map(|row| row.split(" | ").take(3).collect::<Vec<_>>().join(" | "))
        .collect();
    let row = |Binding { principal, role, kind, name }| format!("| {principal} | {role} | {kind} {name}");
    assert_eq!(rows, bindings_of_the_rules().into_iter().map(row).collect());
}

#[test]
fn a_binding_more_or_less_or_of_another_role_is_noticed() {
    let bindings = bindings_of_the_rules();
    for index in 0..bindings.len() {
        let mut fewer = bindings.clone();
        let gone = fewer.remove(index);
        assert!(!compare(&fewer).0.is_empty(), "without {gone:?}");
        let mut wider = bindings.clone();
        wider[index].name = "*".to_owned();
        assert!(!compare(&wider).0.is_empty(), "{gone:?} for every name");
    }
    let mut more = bindings.clone();
    more.push(Binding { role: "DeveloperWrite".to_owned(), ..bindings.last().unwrap().clone() });
    assert!(!compare(&more).0.is_empty());
}

/// The service's pools of a plan: whose tokens each takes. Where a plan makes no pools it names those of another environment.
fn principals_by_pool(plan: &Value) -> BTreeMap<String, String> {
    let quoted = |filter: &str| {
        filter.split("claims.sub == \"").nth(1).and_then(|rest| rest.split('"').next()).map(str::to_owned)
    };
    let pools = after(plan, "confluent_identity_pool", "service");
    let made =
        pools.map(|pool| (pool["id"].as_str().unwrap().to_owned(), quoted(pool["filter"].as_str().unwrap()).unwrap()));
    let made: BTreeMap<_, _> = made.collect();
    if !made.is_empty() {
        return made;
    }
    let files = plan["output_changes"]["client_properties"]["after"].as_object().unwrap().values();
    let value =
        |text: &str, key: &str| text.lines().find_map(|line| line.strip_prefix(key).map(str::to_owned)).unwrap();
    let named = files.map(|file| {
        let file = file.as_str().unwrap();
        (value(file, "bearer.auth.identity.pool.id="), value(file, "sasl.oauthbearer.client.credentials.client.id="))
    });
    named.collect()
}

/// The planned values of the resources of a type; of this name, unless that is empty.
fn after<'a>(plan: &'a Value, kind: &'a str, name: &'a str) -> impl Iterator<Item = &'a Value> {
    let resources = plan["resource_changes"].as_array().unwrap().iter();
    let wanted = move |resource: &&Value| resource["type"] == kind && (name.is_empty() || resource["name"] == name);
    resources.filter(wanted).map(|resource| &resource["change"]["after"])
}

fn bindings_of_the_plan(plan: &Value) -> Vec<Binding> {
    let principals = principals_by_pool(plan);
    // Whatever binds a service's pool counts, wherever in the configuration it is written.
    let of_services = after(plan, "confluent_role_binding", "").filter_map(|binding| {
        let pool = binding["principal"].as_str()?.strip_prefix("User:")?;
        let pattern = binding["crn_pattern"].as_str().unwrap();
        let (place, resource) = pattern.rsplit_once('/').unwrap();
        let (kind, name) = resource.split_once('=').unwrap_or_else(|| panic!("{pattern} names no resource"));
        let last = place.rsplit('/').next().unwrap();
        let wanted = if kind == "subject" { "schema-registry=" } else { "kafka=" };
        assert!(last.starts_with(wanted), "{pattern}");
        Some(Binding {
            principal: principals.get(pool)?.clone(),
            role: binding["role_name"].as_str().unwrap().to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
        })
    });
    of_services.collect()
}

#[test]
fn what_terraform_plans_allows_exactly_what_the_sandbox_allows() {
    let Ok(folder) = std::env::var("GROCERY_TERRAFORM_PLANS") else { return };
    let plans: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!plans.is_empty());
    for path in plans {
        let environment = path.file_stem().unwrap().to_string_lossy().into_owned();
        let plan: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let mut planned = bindings_of_the_plan(&plan);
        let (differences, allowed, asked) = compare(&planned);
        assert!(differences.is_empty(), "{environment}: {differences:#?}");
        let mut expected = bindings_of_the_rules();
        planned.sort();
        expected.sort();
        assert_eq!(planned, expected, "{environment}: the same is allowed, but by other bindings");
        println!(
            "terraform plan of {environment}: {allowed} of {asked} operations allowed, the same as in the sandbox"
        );
    }
}
