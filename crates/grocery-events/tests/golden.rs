//! The bytes of both events against another Avro implementation: `golden/*.jsonl` hold what fastavro makes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use grocery_events::{Event, GroceryOrder, GroceryPicklist};

/// An event and its bytes by fastavro.
#[derive(serde::Deserialize)]
struct Golden<E> {
    event: E,
    avro: String,
}

fn bytes_of_hexadecimal(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().map(|digit| digit.to_digit(16).unwrap()).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

fn agrees_with_fastavro<E: Event + PartialEq + std::fmt::Debug>(golden: &str, expected_events: usize) {
    let schema = Schema::parse_str(E::SCHEMA).unwrap();
    assert_eq!(schema.name().unwrap().to_string(), E::RECORD);
    let lines: Vec<Golden<E>> = golden.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), expected_events);

    for Golden { event, avro } in lines {
        let expected = bytes_of_hexadecimal(&avro);
        let mut written = Vec::new();
        GenericDatumWriter::builder(&schema).build().unwrap().write_ser(&mut written, &event).unwrap();
        assert_eq!(written, expected, "{event:?}");

        let reader = GenericDatumReader::builder(&schema).build().unwrap();
        assert_eq!(reader.read_deser::<E>(&mut expected.as_slice()).unwrap(), event);
    }
}

#[test]
fn orders_have_the_bytes_that_fastavro_makes() {
    agrees_with_fastavro::<GroceryOrder>(include_str!("golden/orders.jsonl"), 6);
}

#[test]
fn pick_lists_have_the_bytes_that_fastavro_makes() {
    agrees_with_fastavro::<GroceryPicklist>(include_str!("golden/picklists.jsonl"), 5);
}
