//! The client against a whole registry: the sandbox's, or the one that `GROCERY_TEST_REGISTRY` names, with tokens of
//! `GROCERY_TEST_TOKEN_URL`. Only what Confluent documents and every registry keeps is asked here.

use oauth::{ClientCredentials, TokenSource};
use sandbox::access::AccessRules;
use sandbox::{Sandbox, SandboxConfig};
use schema_registry::{
    AvroDeserializer, AvroSerializer, Level, Listing, RegistryAuth, RegistryClient, RegistryConfig, SchemaText,
    SerializerOptions, Version,
};
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

const FIRST: &str = r#"{"type":"record","name":"Order","fields":[{"name":"id","type":"string"}]}"#;
const SECOND: &str = r#"{"type":"record","name":"Order","fields":[
    {"name":"id","type":"string"},{"name":"total","type":"double","default":0}]}"#;
/// A field without a default cannot be read from records that lack it.
const BREAKING: &str = r#"{"type":"record","name":"Order","fields":[
    {"name":"id","type":"string"},{"name":"town","type":"string"}]}"#;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct OldOrder {
    id: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    id: String,
    total: f64,
}

/// A sandbox on a runtime of its own, since each test's ends with the test.
async fn sandbox_url() -> String {
    static URL: OnceCell<String> = OnceCell::const_new();
    let start = || async {
        let (started, url) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let rules = AccessRules::parse(include_str!("../../../../tf/access.json")).unwrap();
                let mut config = SandboxConfig::new(rules);
                config.open = Some(([127, 0, 0, 1], 0).into());
                let sandbox = Sandbox::start(config).await.unwrap();
                started.send(sandbox.endpoints().open_registry_url.clone().unwrap()).unwrap();
                std::future::pending::<()>().await;
            });
        });
        url.await.unwrap()
    };
    URL.get_or_init(start).await.clone()
}

/// Where the registry is elsewhere, and a token for it.
fn elsewhere() -> Option<(String, TokenSource)> {
    let url = std::env::var("GROCERY_TEST_REGISTRY").ok()?;
    let tokens = std::env::var("GROCERY_TEST_TOKEN_URL").expect("GROCERY_TEST_TOKEN_URL is needed");
    let credentials = ClientCredentials::new(&tokens, "operator", "operator-secret".to_owned().into());
    Some((url, TokenSource::client_credentials(credentials).unwrap()))
}

async fn registry() -> RegistryClient {
    let config = match elsewhere() {
        Some((url, tokens)) => {
            let auth = RegistryAuth::Bearer { tokens, logical_cluster: None, identity_pool: None };
            RegistryConfig { auth, ..RegistryConfig::new([url]) }
        }
        None => RegistryConfig::new([sandbox_url().await]),
    };
    RegistryClient::new(&config).unwrap()
}

/// A subject that no other test uses, with these schemas as its versions.
async fn subject(registry: &RegistryClient, schemas: &[&str]) -> String {
    let subject = format!("orders-{:016x}-value", fastrand::u64(..));
    for schema in schemas {
        registry.register(&subject, &SchemaText::avro(*schema), false).await.unwrap();
    }
    subject
}

#[tokio::test]
async fn a_registered_schema_is_found_by_id_by_version_and_by_its_text() {
    let registry = registry().await;
    let subject = subject(&registry, &[]).await;
    let registered = registry.register(&subject, &SchemaText::avro(FIRST), false).await.unwrap();
    let again = registry.register(&subject, &SchemaText::avro(FIRST), false).await.unwrap();
    assert_eq!(registered.id, again.id);
    let looked_up = registry.lookup(&subject, &SchemaText::avro(FIRST), false).await.unwrap();
    assert_eq!((looked_up.id, looked_up.version), (registered.id, 1));
    let by_id = registry.schema_by_id(registered.id, Some(&subject)).await.unwrap();
    assert!(by_id.schema.contains("Order"), "{}", by_id.schema);
    let latest = registry.version(&subject, Version::Latest).await.unwrap();
    assert_eq!((latest.version, latest.id), (1, registered.id));
    assert!(registry.subjects(Listing::Live).await.unwrap().contains(&subject));
}

#[tokio::test]
async fn what_is_not_there_is_told_apart_by_its_code() {
    let registry = registry().await;
    let subject = subject(&registry, &[FIRST]).await;
    let nobody = registry.lookup("nobody-value", &SchemaText::avro(FIRST), false).await.unwrap_err();
    let schema = registry.lookup(&subject, &SchemaText::avro(BREAKING), false).await.unwrap_err();
    let version = registry.version(&subject, Version::Number(7)).await.unwrap_err();
    let id = registry.schema_by_id(2_000_000_000, None).await.unwrap_err();
    let codes = [&nobody, &schema, &version, &id].map(|error| (error.is_not_found(), error.code()));
    assert_eq!(codes, [40401, 40403, 40402, 40403].map(|code| (true, Some(code))));
}

#[tokio::test]
async fn a_schema_that_cannot_read_the_latest_is_refused_and_one_that_can_is_taken() {
    let registry = registry().await;
    let subject = subject(&registry, &[FIRST]).await;
    let checked =
        registry.check_compatibility(&subject, Some(Version::Latest), &SchemaText::avro(BREAKING), false).await;
    assert!(!checked.unwrap().is_compatible);
    let error = registry.register(&subject, &SchemaText::avro(BREAKING), false).await.unwrap_err();
    assert!(error.is_incompatible() && !error.is_retriable(), "{error}");
    let checked = registry.check_compatibility(&subject, Some(Version::Latest), &SchemaText::avro(SECOND), false).await;
    assert!(checked.unwrap().is_compatible);
    registry.register(&subject, &SchemaText::avro(SECOND), false).await.unwrap();
    assert_eq!(registry.versions(&subject, Listing::Live).await.unwrap(), [1, 2]);
}

#[tokio::test]
async fn a_subjects_level_decides_and_a_schema_that_is_none_is_refused() {
    let registry = registry().await;
    let subject = subject(&registry, &[FIRST]).await;
    registry.set_level(Some(&subject), Level::None).await.unwrap();
    assert_eq!(registry.level(Some(&subject)).await.unwrap(), Level::None);
    registry.register(&subject, &SchemaText::avro(BREAKING), false).await.unwrap();
    let error = registry.register(&subject, &SchemaText::avro(r#"{"type":"nonsense"}"#), false).await.unwrap_err();
    assert_eq!((error.code(), error.is_retriable()), (Some(42201), false), "{error}");
}

#[tokio::test]
async fn a_deleted_subject_is_gone_and_its_schemas_are_still_read() {
    let registry = registry().await;
    let subject = subject(&registry, &[FIRST]).await;
    let id = registry.version(&subject, Version::Latest).await.unwrap().id;
    assert_eq!(registry.delete_subject(&subject, false).await.unwrap(), [1]);
    assert_eq!(registry.version(&subject, Version::Latest).await.unwrap_err().code(), Some(40401));
    assert!(registry.schema_by_id(id, None).await.is_ok());
}

#[tokio::test]
async fn a_record_of_the_first_schema_is_read_by_the_second_and_the_other_way_round() {
    let registry = registry().await;
    let subject = subject(&registry, &[FIRST, SECOND]).await;
    let options = SerializerOptions::default();
    let mut old = Vec::new();
    let writer = AvroSerializer::<OldOrder>::prepare(&registry, &subject, FIRST, &options).await.unwrap();
    writer.encode(&OldOrder { id: "o-1".into() }, &mut old).unwrap();
    let reader = AvroDeserializer::<Order>::new(&registry, &subject, SECOND).unwrap();
    assert_eq!(reader.read(None, &old).await.unwrap(), Order { id: "o-1".into(), total: 0.0 });

    let mut new = Vec::new();
    let writer = AvroSerializer::<Order>::prepare(&registry, &subject, SECOND, &options).await.unwrap();
    writer.encode(&Order { id: "o-2".into(), total: 1.5 }, &mut new).unwrap();
    let reader = AvroDeserializer::<OldOrder>::new(&registry, &subject, FIRST).unwrap();
    assert_eq!(reader.read(None, &new).await.unwrap(), OldOrder { id: "o-2".into() });
}

#[tokio::test]
async fn whoever_shows_no_token_or_a_bad_one_is_refused() {
    let Some((url, _)) = elsewhere() else {
        return println!("skipped: whoever_shows_no_token_or_a_bad_one_is_refused: the open registry wants none");
    };
    let bad = TokenSource::fixed("not-a-token".to_owned().into());
    let bad = RegistryAuth::Bearer { tokens: bad, logical_cluster: None, identity_pool: None };
    for auth in [RegistryAuth::None, bad] {
        let config = RegistryConfig { auth, ..RegistryConfig::new([url.clone()]) };
        let error = RegistryClient::new(&config).unwrap().subjects(Listing::Live).await.unwrap_err();
        assert!(error.is_authentication() && !error.is_retriable(), "{error}");
    }
}
