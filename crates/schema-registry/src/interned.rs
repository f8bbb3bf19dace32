//! Parsed schemas that live as long as the process.
//!
//! apache-avro's reader and writer borrow their schema, and building one for each record costs more than the record. A
//! process meets a handful of schemas, so each is kept once; [`MOST_SCHEMAS`] bounds what a topic full of ever new
//! ones could hold on to.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use apache_avro::Schema;

/// More distinct schemas than any topic has.
const MOST_SCHEMAS: usize = 10_000;

/// The largest text, bytes or block that a record may ask to have allocated; a broker's record is smaller.
const MAX_ALLOCATION_BYTES: usize = 32 * 1024 * 1024;

/// Why there is no parsed schema.
#[derive(Debug)]
pub(crate) enum NotInterned {
    /// It is no schema that can be used.
    Invalid(String),
    /// The bound is reached.
    TooMany(usize),
}

impl std::fmt::Display for NotInterned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Invalid(reason) => f.write_str(reason),
            Self::TooMany(most) => write!(f, "this process has met {most} schemas already and keeps no more"),
        }
    }
}

/// The parsed schema of this text and the texts that it builds on.
pub(crate) fn interned(text: &str, references: &[String]) -> Result<&'static Schema, NotInterned> {
    type Known = HashMap<(String, Vec<String>), &'static Schema>;
    static KNOWN: OnceLock<Mutex<Known>> = OnceLock::new();
    let known = KNOWN.get_or_init(|| {
        apache_avro::util::max_allocation_bytes(MAX_ALLOCATION_BYTES);
        Mutex::default()
    });

    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (text.to_owned(), references.to_vec());
    if let Some(schema) = known.get(&key) {
        return Ok(schema);
    }
    if known.len() >= MOST_SCHEMAS {
        return Err(NotInterned::TooMany(MOST_SCHEMAS));
    }
    let text = crate::json_schema::json(text).map_err(NotInterned::Invalid)?.to_string();
    let schema = if references.is_empty() {
        Schema::parse_str(&text)
    } else {
        // It inlines nothing: types of the references stay names, so the schema has to be made independent of them.
        Schema::parse_list(references.iter().chain([&text]))
            .and_then(|all| all.last().expect("one schema went in at least").independent_canonical_form(&all))
            .and_then(|whole| Schema::parse_str(&whole))
    };
    let schema: &'static Schema = Box::leak(Box::new(schema.map_err(|error| NotInterned::Invalid(error.to_string()))?));
    known.insert(key, schema);
    Ok(schema)
}
