//! Serializer and deserializer where the registry's schema is another than the program's.

use schema_registry::{AvroDeserializer, AvroSerializer, DeserializeError, SerializerOptions};
use serde::{Deserialize, Serialize};

use super::*;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    order_id: String,
    store: Vec<Store>,
    total: f64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Store {
    town: String,
}

/// Ours: two fields of the old schema go by other names.
const OURS: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[
    {"name":"order_id","type":"string","aliases":["id"]},
    {"name":"store","default":[],"type":{"type":"array","items":{"type":"record","name":"Store","fields":[
        {"name":"town","type":"string","aliases":["city"],"default":"nowhere"}]}}},
    {"name":"total","type":"double","default":0}]}"#;

/// What wrote the record.
const THEIRS: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[
    {"name":"store","type":{"type":"array","items":{"type":"record","name":"Store","fields":[
        {"name":"city","type":"string"}]}}},
    {"name":"id","type":"string"}]}"#;

/// `{"store": [{"city": "Ulm"}], "id": "o-1"}` in the old schema, by fastavro.
const WRITTEN: &[u8] = b"\x00\x00\x00\x00\x07\x02\x06Ulm\x00\x06o-1";

fn answer(schema: &str) -> &'static str {
    Box::leak(serde_json::json!({ "schema": schema }).to_string().into_boxed_str())
}

#[tokio::test]
async fn a_field_that_goes_by_an_alias_is_read_under_its_new_name() {
    let registry = Scripted::start([(200, answer(THEIRS))]).await;
    let reader = AvroDeserializer::<Order>::new(&client(&[&registry]), "s", OURS).unwrap();
    let read = reader.read(None, WRITTEN).await.unwrap();
    let expected = Order { order_id: "o-1".into(), store: vec![Store { town: "Ulm".into() }], total: 0.0 };
    assert_eq!(read, expected);
}

#[tokio::test]
async fn a_field_is_written_under_the_name_that_the_latest_schema_has_for_it() {
    // The latest version calls `order_id` `number` and knows it by its old name too.
    const LATEST: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[
        {"name":"number","type":"string","aliases":["order_id"]}]}"#;
    let latest = serde_json::json!({ "subject": "s", "version": 2, "id": 9, "schema": LATEST }).to_string();
    let registry = Scripted::start([(200, &*Box::leak(latest.into_boxed_str()))]).await;
    let options = SerializerOptions { use_latest_version: true, ..SerializerOptions::default() };
    let writer = AvroSerializer::<Order>::prepare(&client(&[&registry]), "s", OURS, &options).await.unwrap();
    let mut out = Vec::new();
    writer.encode(&Order { order_id: "o-1".into(), store: Vec::new(), total: 1.0 }, &mut out).unwrap();
    assert_eq!(out, b"\x00\x00\x00\x00\x09\x06o-1");
}

#[tokio::test]
async fn a_url_that_is_no_registrys_is_no_fault_of_the_record() {
    let elsewhere = Scripted::start([(404, "no such page")]).await;
    let reader = AvroDeserializer::<Order>::new(&client(&[&elsewhere]), "s", OURS).unwrap();
    let error = reader.read(None, WRITTEN).await.unwrap_err();
    assert!(!error.is_about_the_record() && error.to_string().contains("schema.registry.url"), "{error}");

    let registry = Scripted::start([(404, r#"{"error_code":40403,"message":"Schema not found"}"#)]).await;
    let reader = AvroDeserializer::<Order>::new(&client(&[&registry]), "s", OURS).unwrap();
    let error = reader.read(None, WRITTEN).await.unwrap_err();
    assert!(matches!(error, DeserializeError::UnknownSchema { .. }) && error.is_about_the_record(), "{error}");
}

#[tokio::test]
async fn bytes_alone_are_written_as_they_are() {
    let looked_up = r#"{"subject":"s","version":1,"id":7,"schema":"\"bytes\""}"#;
    let registry = Scripted::start([(200, looked_up)]).await;
    let options = SerializerOptions::default();
    let writer = AvroSerializer::<Bytes>::prepare(&client(&[&registry]), "s", "\"bytes\"", &options).await.unwrap();
    let mut out = Vec::new();
    writer.encode(&Bytes(b"as they are".to_vec()), &mut out).unwrap();
    assert_eq!(out, b"\x00\x00\x00\x00\x07as they are");
    let reader = AvroDeserializer::<Bytes>::new(&client(&[&registry]), "s", "\"bytes\"").unwrap();
    assert_eq!(reader.read(None, &out).await.unwrap(), Bytes(b"as they are".to_vec()));
}

/// Bytes to serde.
#[derive(Debug, PartialEq)]
struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Bytes;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
        }
        from.deserialize_bytes(Visitor)
    }
}
