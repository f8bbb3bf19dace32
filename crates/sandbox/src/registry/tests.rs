//! The registry as this house's own client sees it, over HTTP.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use oauth::TokenSource;
use schema_registry::{
    AvroDeserializer, AvroSerializer, Level, Listing, RegistryAuth, RegistryClient, RegistryConfig, SerializerOptions,
    Version,
};
use tokio::net::TcpListener;

use super::*;
use crate::access::AccessRules;
use crate::issuer::{Issuer, IssuerConfig};

const ORDERS: &str = "grocery.orders.v1-value";
const SCHEMA: &str = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"string"}]}"#;
const WIDER: &str =
    r#"{"type":"record","name":"R","fields":[{"name":"a","type":"string"},{"name":"b","type":"long","default":7}]}"#;

#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename = "R")]
struct Narrow {
    a: String,
}

#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename = "R")]
struct Wide {
    a: String,
    b: i64,
}

async fn serve(registry: &Registry, access: Option<RegistryAccess>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = registry.router(access);
    tokio::spawn(async { axum::serve(listener, router).await });
    url
}

async fn open_client(registry: &Registry) -> RegistryClient {
    RegistryClient::new(&RegistryConfig::new([serve(registry, None).await])).unwrap()
}

/// A registry with access rules, and the configuration of one of its clients.
async fn guarded(registry: &Registry, client: &str) -> RegistryConfig {
    let issuer = Issuer::new(IssuerConfig {
        url: "http://issuer".into(),
        audience: "grocery".into(),
        token_lifetime: Duration::from_secs(60),
        clients: BTreeMap::new(),
    });
    let token = issuer.issue(client, None, SystemTime::now());
    let rules = Arc::new(AccessRules::parse(include_str!("../../../../tf/access.json")).unwrap());
    let access = RegistryAccess { issuer, rules, logical_cluster: "lsrc-sandbox".into() };
    let mut config = RegistryConfig::new([serve(registry, Some(access)).await]);
    config.auth = RegistryAuth::Bearer {
        tokens: TokenSource::fixed(token.into()),
        logical_cluster: Some("lsrc-sandbox".into()),
        identity_pool: Some(format!("pool-{client}")),
    };
    config
}

#[tokio::test]
async fn a_client_registers_looks_up_checks_and_deletes() {
    let registry = Registry::new();
    let client = open_client(&registry).await;
    let (schema, wider) = (SchemaText::avro(SCHEMA), SchemaText::avro(WIDER));
    assert_eq!(client.lookup(ORDERS, &schema, false).await.unwrap_err().code(), Some(40401));
    assert_eq!(client.register(ORDERS, &schema, false).await.unwrap().id, 1);
    assert_eq!(client.register(ORDERS, &wider, false).await.unwrap().version, Some(2));
    assert_eq!(client.lookup(ORDERS, &schema, false).await.unwrap().version, 1);
    assert_eq!(client.subjects(Listing::Live).await.unwrap(), [ORDERS]);
    assert_eq!(client.versions(ORDERS, Listing::Live).await.unwrap(), [1, 2]);
    let latest = client.version(ORDERS, Version::Latest).await.unwrap();
    assert_eq!((latest.id, latest.text.schema.as_str()), (2, WIDER));
    assert_eq!(client.schema_by_guid(latest.guid.unwrap()).await.unwrap().schema, WIDER);
    assert_eq!(client.schema_by_id(9, None).await.unwrap_err().code(), Some(40403));

    let incompatible = SchemaText::avro(SCHEMA.replace("string", "int"));
    let checked = client.check_compatibility(ORDERS, None, &incompatible, false).await.unwrap();
    assert!(!checked.is_compatible && checked.messages[0].contains("TYPE_MISMATCH"), "{checked:?}");
    let refused = client.register(ORDERS, &incompatible, false).await.unwrap_err();
    assert!(refused.is_incompatible() && !refused.is_retriable(), "{refused}");
    let unreadable = client.check_compatibility(ORDERS, None, &SchemaText::avro("{"), false).await.unwrap();
    assert!(!unreadable.is_compatible);

    assert_eq!(client.level(None).await.unwrap(), Level::Backward);
    client.set_level(Some(ORDERS), Level::None).await.unwrap();
    assert_eq!(client.level(Some(ORDERS)).await.unwrap(), Level::None);
    assert_eq!(client.register(ORDERS, &incompatible, false).await.unwrap().version, Some(3));
    assert_eq!(client.delete_subject(ORDERS, false).await.unwrap(), [1, 2, 3]);
    assert_eq!(client.delete_subject(ORDERS, true).await.unwrap(), [1, 2, 3]);
}

#[tokio::test]
async fn records_travel_between_programs_with_different_schemas() {
    let registry = Registry::new();
    registry.register(ORDERS, SCHEMA).unwrap();
    let client = open_client(&registry).await;
    let old = AvroSerializer::<Narrow>::prepare(&client, ORDERS, SCHEMA, &SerializerOptions::default()).await.unwrap();
    let mut written_old = Vec::new();
    old.encode(&Narrow { a: "milk".into() }, &mut written_old).unwrap();
    assert_eq!(written_old, [0, 0, 0, 0, 1, 8, b'm', b'i', b'l', b'k']);

    registry.register(ORDERS, WIDER).unwrap();
    let new = AvroSerializer::<Wide>::prepare(&client, ORDERS, WIDER, &SerializerOptions::default()).await.unwrap();
    let mut written_new = Vec::new();
    new.encode(&Wide { a: "milk".into(), b: 3 }, &mut written_new).unwrap();

    let narrow = AvroDeserializer::<Narrow>::new(&client, ORDERS, SCHEMA).unwrap();
    let wide = AvroDeserializer::<Wide>::new(&client, ORDERS, WIDER).unwrap();
    for written in [&written_old, &written_new] {
        assert_eq!(narrow.read(None, written).await.unwrap(), Narrow { a: "milk".into() });
    }
    assert_eq!(wide.read(None, &written_old).await.unwrap(), Wide { a: "milk".into(), b: 7 });
    assert_eq!(wide.read(None, &written_new).await.unwrap(), Wide { a: "milk".into(), b: 3 });
}

#[tokio::test]
async fn a_serializer_may_write_the_latest_version_in_place_of_its_own() {
    let registry = Registry::new();
    registry.register(ORDERS, SCHEMA).unwrap();
    registry.register(ORDERS, WIDER).unwrap();
    let client = open_client(&registry).await;
    let options = SerializerOptions { use_latest_version: true, ..SerializerOptions::default() };
    let serializer = AvroSerializer::<Narrow>::prepare(&client, ORDERS, SCHEMA, &options).await.unwrap();
    assert_eq!(serializer.schema_id(), 2);
    let mut written = Vec::new();
    serializer.encode(&Narrow { a: "milk".into() }, &mut written).unwrap();
    let wide = AvroDeserializer::<Wide>::new(&client, ORDERS, WIDER).unwrap();
    assert_eq!(wide.read(None, &written).await.unwrap(), Wide { a: "milk".into(), b: 7 });

    registry.lock().set_level(Some(ORDERS), Some(Level::None)).unwrap();
    registry.register(ORDERS, &SCHEMA.replace("string", "int")).unwrap();
    let refused = AvroSerializer::<Narrow>::prepare(&client, ORDERS, SCHEMA, &options).await.unwrap_err().to_string();
    assert!(refused.contains("TYPE_MISMATCH"), "{refused}");
}

#[tokio::test]
async fn a_record_at_fault_is_told_from_a_registry_at_fault() {
    let registry = Registry::new();
    registry.register(ORDERS, SCHEMA).unwrap();
    let client = open_client(&registry).await;
    let reader = AvroDeserializer::<Narrow>::new(&client, ORDERS, SCHEMA).unwrap();
    for garbage in [
        b"".as_slice(),
        b"{\"a\":1}",
        &[0, 0, 0, 0],
        &[0, 0, 0, 0, 9, 2, b'x'],
        &[0, 0, 0, 0, 1],
        &[0, 0, 0, 0, 1, 8, b'm'],
        &[0, 0, 0, 0, 1, 2, b'm', b'm'],
        &[0, 0, 0, 0, 1, 2, 0xff],
        &[0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    ] {
        let error = reader.read(None, garbage).await.unwrap_err();
        assert!(error.is_about_the_record(), "{error}");
    }
    let nowhere = RegistryConfig { retries: 0, ..RegistryConfig::new(["http://127.0.0.1:9"]) };
    let nowhere = AvroDeserializer::<Narrow>::new(&RegistryClient::new(&nowhere).unwrap(), ORDERS, SCHEMA).unwrap();
    let error = nowhere.read(None, &[0, 0, 0, 0, 1, 2, b'm']).await.unwrap_err();
    assert!(!error.is_about_the_record(), "{error}");
    assert!(error.to_string().contains("schema.registry.url=http://127.0.0.1:9"), "{error}");
}

#[tokio::test]
async fn each_service_may_read_its_subjects_and_no_more() {
    let registry = Registry::new();
    registry.register(ORDERS, SCHEMA).unwrap();
    registry.register("grocery.picklist.v1-value", SCHEMA).unwrap();
    let client = RegistryClient::new(&guarded(&registry, "order-producer").await).unwrap();
    let schema = SchemaText::avro(SCHEMA);
    assert_eq!(client.lookup(ORDERS, &schema, false).await.unwrap().id, 1);
    assert_eq!(client.subjects(Listing::Live).await.unwrap(), [ORDERS]);
    let refused = client.lookup("grocery.picklist.v1-value", &schema, false).await.unwrap_err();
    assert!(refused.is_authorization() && refused.code() == Some(40301), "{refused}");
    let refused = client.register(ORDERS, &SchemaText::avro(WIDER), false).await.unwrap_err();
    assert!(
        refused.to_string().contains("User is denied operation Write on Subject: grocery.orders.v1-value"),
        "{refused}"
    );
    assert!(client.set_level(None, Level::None).await.unwrap_err().is_authorization());

    let operator = RegistryClient::new(&guarded(&registry, "operator").await).unwrap();
    assert_eq!(operator.subjects(Listing::Live).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_token_a_cluster_or_a_pool_that_is_not_right_is_refused() {
    let registry = Registry::new();
    registry.register(ORDERS, SCHEMA).unwrap();
    let right = guarded(&registry, "order-producer").await;
    let RegistryAuth::Bearer { tokens, logical_cluster, identity_pool } = right.auth.clone() else { unreachable!() };
    let wrong = [
        RegistryAuth::None,
        RegistryAuth::Bearer {
            tokens: TokenSource::fixed("not.a.token".to_owned().into()),
            logical_cluster: logical_cluster.clone(),
            identity_pool: identity_pool.clone(),
        },
        RegistryAuth::Bearer {
            tokens: tokens.clone(),
            logical_cluster: Some("lsrc-other".into()),
            identity_pool: identity_pool.clone(),
        },
        RegistryAuth::Bearer { tokens, logical_cluster, identity_pool: Some("pool-operator".into()) },
    ];
    for auth in wrong {
        let client = RegistryClient::new(&RegistryConfig { auth, ..right.clone() }).unwrap();
        let refused = client.lookup(ORDERS, &SchemaText::avro(SCHEMA), false).await.unwrap_err();
        assert!(refused.is_authentication() && !refused.is_retriable(), "{refused}");
    }
}
