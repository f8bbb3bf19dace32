//! That no rule of `tf/access.json` could be left out: the pipeline runs once without each of them, and once without each operation that
//! nothing else implies, and the service whose rule it was ends with the code of a missing access rule and names what it lacks.

use futures::StreamExt;
use sandbox::Sandbox;
use sandbox::access::AccessRules;
use serde_json::{Value, json};

use super::alone::service;
use super::process::Ended;

const ACCESS: &str = include_str!("../../../../tf/access.json");
const SERVICES: [&str; 3] = ["order-producer", "fulfillment-service", "picklist-consumer"];

/// What no service uses, and no role that allows what it does use comes without.
const COMES_ALONG: [(&str, &str); 1] = [("subject", "ReadCompatibility")];

/// Enough for each partition to have some.
const ORDERS: &str = "12";

/// Sandboxes with their services that run at once: there is much waiting and starting in them, and few cores.
const AT_ONCE: usize = 4;

/// What somebody may no longer do.
#[derive(Debug, Clone)]
struct Gone {
    principal: String,
    resource: String,
    name: String,
    /// Operations that are taken away.
    operations: Vec<String>,
    /// What is left of the rules.
    rules: String,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Whether a rule still allows the operation when its name is gone from the list, as Kafka has it.
fn is_implied(operation: &str, by: &[String]) -> bool {
    operation == "Describe" && by.iter().any(|other| matches!(&**other, "Read" | "Write" | "Delete" | "Alter"))
}

/// Every rule of the three services taken away, and every operation of a rule with several.
fn all_that_can_go() -> Vec<Gone> {
    let access: Value = serde_json::from_str(ACCESS).unwrap();
    let mut all = Vec::new();
    for (p, pool) in access["pools"].as_array().unwrap().iter().enumerate() {
        let principal = text(&pool["principal"]);
        if !SERVICES.contains(&&*principal) {
            continue;
        }
        for (r, rule) in pool["rules"].as_array().unwrap().iter().enumerate() {
            let operations: Vec<String> = rule["operations"].as_array().unwrap().iter().map(text).collect();
            let mut gone = |operations: Vec<String>, rules: &Value| {
                all.push(Gone {
                    principal: principal.clone(),
                    resource: text(&rule["resource"]),
                    name: text(&rule["name"]),
                    operations,
                    rules: rules.to_string(),
                });
            };
            let mut without = access.clone();
            without["pools"][p]["rules"].as_array_mut().unwrap().remove(r);
            gone(operations.clone(), &without);
            for operation in &operations {
                let left: Vec<String> = operations.iter().filter(|other| *other != operation).cloned().collect();
                let comes_along = COMES_ALONG.contains(&(&*text(&rule["resource"]), operation));
                if comes_along || is_implied(operation, &left) {
                    continue;
                }
                let mut less = access.clone();
                less["pools"][p]["rules"][r]["operations"] = json!(left);
                gone(vec![operation.clone()], &less);
            }
        }
    }
    all
}

/// The three services in turn, each for as long as it has something to do; how the one that is looked at ended.
async fn run_without(gone: &Gone) -> Ended {
    let mut config = grocery::grocery_sandbox().unwrap();
    config.rules = AccessRules::parse(&gone.rules).unwrap();
    config.plaintext = true;
    let sandbox = Sandbox::start(config).await.unwrap();
    let orders = service(&sandbox, "order-producer", &["--orders", ORDERS, "--rate", "max"]).ended().await;
    if gone.principal == "order-producer" {
        return orders;
    }
    assert_eq!(orders.code, Some(0), "{}", orders.said);
    let mut fulfilment = service(&sandbox, "fulfillment-service", &[]);
    if gone.principal == "fulfillment-service" {
        return fulfilment.ended().await;
    }
    fulfilment.says(&format!("{ORDERS} in all")).await;
    service(&sandbox, "picklist-consumer", &["--format", "quiet"]).ended().await
}

/// What the last line lacks of principal, resource and operation; of a whole rule, one operation is enough: the first that is needed.
fn unnamed(gone: &Gone, line: &str) -> Vec<String> {
    let principal = format!("the principal is {} (pool-{})", gone.principal, gone.principal);
    let mut missing: Vec<String> =
        [principal, gone.name.clone()].into_iter().filter(|part| !line.contains(part)).collect();
    let words: Vec<&str> = line.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    if !gone.operations.iter().any(|operation| words.contains(&&**operation)) {
        missing.push(gone.operations.join(" or "));
    }
    missing
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_one_of_its_rules_a_service_ends_and_says_which() {
    let cases = all_that_can_go();
    // Eleven rules, and in each the one operation that carries the work.
    assert_eq!(cases.len(), 22, "{cases:#?}");
    let runs = futures::stream::iter(cases).map(|gone| async move {
        let Ended { code, said } = run_without(&gone).await;
        let last = said.lines().last().unwrap_or_default();
        let missing = unnamed(&gone, last);
        let Gone { principal, resource, name, operations, .. } = &gone;
        let case = format!("{principal} without {operations:?} on {resource} {name}");
        (code != Some(4) || !missing.is_empty())
            .then(|| format!("{case}: code {code:?}, not named {missing:?}: {last}"))
    });
    let wrong: Vec<String> = runs.buffer_unordered(AT_ONCE).filter_map(std::future::ready).collect().await;
    assert!(wrong.is_empty(), "{wrong:#?}");
}
