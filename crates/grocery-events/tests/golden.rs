//! The bytes of both events in both versions against another Avro implementation: `golden/*.jsonl` hold what fastavro makes, and
//! what it reads from that by the other version.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Debug;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use grocery_events::{Event, EventVersion, GroceryOrder, GroceryPicklist};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// An event, its bytes by fastavro, and what fastavro reads from them by the other version of the schema.
#[derive(Deserialize)]
struct Golden<E, O> {
    event: E,
    avro: String,
    by_the_other_version: O,
}

/// An order as a program reads it that knows version 1 only.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename = "GroceryOrder", deny_unknown_fields)]
struct FirstOrder {
    order_id: String,
    customer_id: String,
    items: Vec<String>,
    order_total: f64,
    order_time: String,
}

/// A pick list as a program reads it that knows version 1 only.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename = "GroceryPicklist", deny_unknown_fields)]
struct FirstPicklist {
    picklist_id: String,
    order_id: String,
    items_to_pick: Vec<String>,
    assigned_picker: String,
    created_time: String,
}

fn bytes_of_hexadecimal(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().map(|digit| digit.to_digit(16).unwrap()).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

fn schema<E: Event>(version: EventVersion) -> Schema {
    let schema = Schema::parse_str(version.schema::<E>()).unwrap();
    assert_eq!(schema.name().unwrap().to_string(), E::RECORD);
    schema
}

fn lines<E: DeserializeOwned, O: DeserializeOwned>(golden: &str, expected_events: usize) -> Vec<Golden<E, O>> {
    let lines: Vec<_> = golden.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), expected_events);
    lines
}

fn written<E: Event>(event: &E, version: EventVersion) -> Vec<u8> {
    let schema = schema::<E>(version);
    GenericDatumWriter::builder(&schema).build().unwrap().write_ser_to_vec(&version.of(event)).unwrap()
}

/// Straight into the value, as [`Event::reader`] reads what any version of this program has written.
fn straight<E: Event>(avro: &[u8], writer: EventVersion) -> E {
    let schema = schema::<E>(writer);
    GenericDatumReader::builder(&schema).build().unwrap().read_deser(&mut &*avro).unwrap()
}

/// By Avro's schema resolution.
fn resolved<E: Event, T: DeserializeOwned>(avro: &[u8], writer: EventVersion, reader: EventVersion) -> T {
    let (writer, reader) = (schema::<E>(writer), schema::<E>(reader));
    let reading = GenericDatumReader::builder(&writer).reader_schema(&reader).build().unwrap();
    apache_avro::from_value(&reading.read_value(&mut &*avro).unwrap()).unwrap()
}

fn first_agrees_with_fastavro<E: Event + PartialEq + Debug>(golden: &str, expected_events: usize) {
    for Golden { event, avro, by_the_other_version } in lines::<E, E>(golden, expected_events) {
        let avro = bytes_of_hexadecimal(&avro);
        assert_eq!(written(&event, EventVersion::One), avro, "{event:?}");
        // A missing field's default in this program is the default in the schema.
        assert_eq!(straight::<E>(&avro, EventVersion::One), by_the_other_version);
        assert_eq!(resolved::<E, E>(&avro, EventVersion::One, EventVersion::Two), by_the_other_version);
        assert_eq!(event, by_the_other_version);
    }
}

fn second_agrees_with_fastavro<E: Event + PartialEq + Debug, First: DeserializeOwned + PartialEq + Debug>(
    golden: &str,
    expected_events: usize,
) {
    for Golden { event, avro, by_the_other_version } in lines::<E, First>(golden, expected_events) {
        let avro = bytes_of_hexadecimal(&avro);
        assert_eq!(written(&event, EventVersion::Two), avro, "{event:?}");
        assert_eq!(straight::<E>(&avro, EventVersion::Two), event);
        assert_eq!(resolved::<E, First>(&avro, EventVersion::Two, EventVersion::One), by_the_other_version);
        // What a program writes in version 1 is what a reader of version 1 makes of version 2.
        let first = written(&event, EventVersion::One);
        assert_eq!(resolved::<E, First>(&first, EventVersion::One, EventVersion::One), by_the_other_version);
    }
}

#[test]
fn orders_of_version_1_have_the_bytes_that_fastavro_makes_and_are_read_as_it_reads_them_by_version_2() {
    first_agrees_with_fastavro::<GroceryOrder>(include_str!("golden/orders-1.jsonl"), 6);
}

#[test]
fn pick_lists_of_version_1_have_the_bytes_that_fastavro_makes_and_are_read_as_it_reads_them_by_version_2() {
    first_agrees_with_fastavro::<GroceryPicklist>(include_str!("golden/picklists-1.jsonl"), 5);
}

#[test]
fn orders_of_version_2_have_the_bytes_that_fastavro_makes_and_are_read_as_it_reads_them_by_version_1() {
    second_agrees_with_fastavro::<GroceryOrder, FirstOrder>(include_str!("golden/orders-2.jsonl"), 9);
}

#[test]
fn pick_lists_of_version_2_have_the_bytes_that_fastavro_makes_and_are_read_as_it_reads_them_by_version_1() {
    second_agrees_with_fastavro::<GroceryPicklist, FirstPicklist>(include_str!("golden/picklists-2.jsonl"), 8);
}
