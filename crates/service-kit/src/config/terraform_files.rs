//! The `client.properties` that Terraform writes are ones that a service starts with, and hold no secret.

use std::collections::BTreeMap;
use std::io::Write;

use super::keys::{self, Meaning};
use super::*;

const TEMPLATE: &str = include_str!("../../../../tf/modules/client/client.properties.tftpl");

const SERVICE: Service = Service { name: "order-producer", identity: Identity::Producer };

/// Loads the text as a service does that has its secret from the environment, and says what became of it.
async fn accept(text: &str) -> Config {
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("{line}"));
        let known = keys::find(key).unwrap_or_else(|| panic!("{key} is unknown"));
        assert!(!known.secret, "{key} is a secret");
        assert!(!matches!(known.meaning, Meaning::Moot(_)), "{key} changes nothing");
        assert!(!value.is_empty(), "{key} has no value");
    }
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let environment: BTreeMap<&str, &str> = BTreeMap::from([("CLIENT_SECRET", "hunter2")]);
    let config = Config::load(&[file.path().to_owned()], &[], &environment, SERVICE).unwrap();
    let client = config.kafka().unwrap();
    let Some(kafka::Sasl::OauthBearer { extensions, .. }) = client.sasl else { panic!("not OAUTHBEARER") };
    let pool = config.text("bearer.auth.identity.pool.id").unwrap();
    assert_eq!(extensions["identityPoolId"], pool);
    assert!(extensions["logicalCluster"].starts_with("lkc-"), "{extensions:?}");
    assert!(!client.bootstrap_servers[0].contains("://"), "{:?}", client.bootstrap_servers);
    config.registry().unwrap();
    // Without a secret the message says where it belongs.
    let without = Config::load(&[file.path().to_owned()], &[], &BTreeMap::new(), SERVICE).unwrap();
    let refused = without.kafka().unwrap_err().to_string();
    assert!(refused.contains("CLIENT_SECRET"), "{refused}");
    config
}

#[tokio::test]
async fn the_template_is_a_file_that_a_service_starts_with() {
    let values = [
        ("client", "order-producer"),
        ("name", "grocery-dev"),
        ("bootstrap", "pkc-1.eu-central-1.aws.confluent.example:9092"),
        ("token_url", "https://login.grocery.example/token"),
        ("scope", "kafka"),
        ("cluster", "lkc-1"),
        ("pool", "pool-1"),
        ("registry", "lsrc-1"),
        ("registry_url", "https://psrc-1.confluent.example"),
    ];
    let text =
        values.iter().fold(TEMPLATE.to_owned(), |text, (name, value)| text.replace(&format!("${{{name}}}"), value));
    assert!(!text.contains("${"), "{text}");
    let config = accept(&text).await;
    assert_eq!(config.principal(), "order-producer (pool-1)");
}

/// `scripts/check-terraform` hands over what each environment plans.
#[tokio::test]
async fn the_files_of_a_terraform_plan_are_ones_that_a_service_starts_with() {
    let Ok(folder) = std::env::var("GROCERY_TERRAFORM_PLANS") else { return };
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let plan: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let files = plan["output_changes"]["client_properties"]["after"].as_object().unwrap();
        assert!(!files.is_empty());
        for (pool, text) in files {
            let config = accept(text.as_str().unwrap()).await;
            assert!(config.principal().starts_with(pool), "{pool}: {}", config.principal());
        }
        println!(
            "terraform plan of {}: {} client.properties accepted",
            path.file_stem().unwrap().display(),
            files.len()
        );
    }
}
