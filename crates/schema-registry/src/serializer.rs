//! From a value to a framed Avro record.

use std::marker::PhantomData;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use serde::Serialize;

use crate::client::RegistryClient;
use crate::compatibility::ParsedSchema;
use crate::error::RegistryError;
use crate::interned::interned;
use crate::raw;
use crate::resolution::{by_our_names, resolve};
use crate::types::{SchemaText, Version};
use crate::wire;

/// How a serializer finds the id that it writes. The names are those of Confluent's serializers, and so is the order in which
/// they count: the first that is set decides; if none is, the schema is looked up.
#[derive(Clone, Debug)]
pub struct SerializerOptions {
    /// `auto.register.schemas`. Here `false`: a pipeline that registers whatever it holds finds out too late.
    pub auto_register: bool,
    /// `use.schema.id`
    pub use_schema_id: Option<i32>,
    /// `use.latest.version`
    pub use_latest_version: bool,
    /// `latest.compatibility.strict` and `id.compatibility.strict`: whether the schema that is used instead of the local one
    /// has to be able to read what the local one writes.
    pub compatibility_strict: bool,
    /// `normalize.schemas`
    pub normalize: bool,
}

impl Default for SerializerOptions {
    fn default() -> Self {
        Self {
            auto_register: false,
            use_schema_id: None,
            use_latest_version: false,
            compatibility_strict: true,
            normalize: false,
        }
    }
}

/// Writes values of one type under one subject.
///
/// Prepared once with the registry's help; encoding then neither waits nor fails for want of a network.
pub struct AvroSerializer<T> {
    id: i32,
    local: GenericDatumWriter<'static>,
    /// Set if the registry's schema is not the local one: values go from the one to the other.
    other: Option<(GenericDatumReader<'static>, GenericDatumWriter<'static>)>,
    /// Whether the value is bytes alone.
    is_raw: bool,
    /// Covariant: a value may borrow what it writes for a shorter time than the serializer lives.
    values: PhantomData<fn() -> T>,
}

/// A value that is not written, or a serializer that is not ready.
#[derive(Debug, thiserror::Error)]
pub enum SerializeError {
    /// The registry does not help.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The schema in this program cannot be used.
    #[error("the schema for subject {subject} in this program cannot be used: {reason}")]
    LocalSchema {
        /// The subject.
        subject: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The registry's schema cannot be used.
    #[error("{id} of subject {subject} cannot be used in place of the schema in this program: {reason}")]
    OtherSchema {
        /// The registry's schema.
        id: wire::SchemaId,
        /// The subject.
        subject: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The value does not fit the schema.
    #[error("the value does not fit its schema: {0}")]
    Value(String),
}

impl<T: Serialize> AvroSerializer<T> {
    /// Finds the id for `schema` under `subject`, as the options say.
    ///
    /// Cancel safe; dropped half way, a schema may have been registered.
    ///
    /// # Errors
    /// The registry cannot be asked, does not know the schema, or has one that does not fit.
    pub async fn prepare(
        client: &RegistryClient,
        subject: &str,
        schema: &str,
        options: &SerializerOptions,
    ) -> Result<Self, SerializeError> {
        let unusable = |reason| SerializeError::LocalSchema { subject: subject.to_owned(), reason };
        let local = interned(schema, &[]).map_err(|error| unusable(error.to_string()))?;
        let text = SchemaText::avro(schema);
        let (id, other) = if options.auto_register {
            (client.register(subject, &text, options.normalize).await?.id, None)
        } else if let Some(id) = options.use_schema_id {
            (id, Some(SchemaText::clone(&*client.schema_by_id(id, Some(subject)).await?)))
        } else if options.use_latest_version {
            let latest = client.version(subject, Version::Latest).await?;
            (latest.id, Some(latest.text))
        } else {
            (client.lookup(subject, &text, options.normalize).await?.id, None)
        };
        let other = match other {
            Some(other) if other.schema != schema => {
                let unusable = |reason| SerializeError::OtherSchema {
                    id: wire::SchemaId::Id(id),
                    subject: subject.to_owned(),
                    reason,
                };
                let references = resolve(client, &other).await?;
                if options.compatibility_strict {
                    strictly_compatible(schema, &other.schema, &references).map_err(unusable)?;
                }
                let target = interned(&other.schema, &references).map_err(|error| unusable(error.to_string()))?;
                // By content: the same schema may be written in another way.
                let same = target.canonical_form() == local.canonical_form();
                (!same)
                    .then(|| translation(schema, local, &other.schema, &references, target))
                    .transpose()
                    .map_err(unusable)?
            }
            _ => None,
        };
        let is_raw = matches!(other.as_ref().map_or(local, |(_, target)| *target), Schema::Bytes);
        let local = writer(local).map_err(|error| unusable(error.to_string()))?;
        let other = other.map(|(reader, target)| writer(target).map(|writer| (reader, writer)));
        let other = other.transpose().map_err(|error| unusable(error.to_string()))?;
        Ok(Self { id, local, other, is_raw, values: PhantomData })
    }

    /// The schema id that is written before each value.
    #[must_use]
    pub fn schema_id(&self) -> i32 {
        self.id
    }

    /// Appends the value with its prefix; on an error nothing is appended.
    ///
    /// # Errors
    /// The value does not fit the schema.
    pub fn encode(&self, value: &T, out: &mut Vec<u8>) -> Result<(), SerializeError> {
        let start = out.len();
        wire::write_prefix(self.id, out);
        let written = match &self.other {
            None => self.local.write_ser(out, value),
            Some((reader, writer)) => self
                .local
                .write_ser_to_vec(value)
                .and_then(|local| reader.read_value(&mut local.as_slice()))
                .and_then(|value| writer.write_value(out, value)),
        };
        written.map(drop).map_err(|error| {
            out.truncate(start);
            SerializeError::Value(error.to_string())
        })?;
        if self.is_raw {
            raw::strip_length(out, start + wire::PREFIX_BYTES);
        }
        Ok(())
    }
}

impl<T> std::fmt::Debug for AvroSerializer<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AvroSerializer").field("id", &self.id).finish_non_exhaustive()
    }
}

fn writer(schema: &'static Schema) -> Result<GenericDatumWriter<'static>, apache_avro::Error> {
    GenericDatumWriter::builder(schema).build()
}

/// From the local schema's bytes to a value of the other schema. The local fields take the names that the other schema has
/// for them.
fn translation(
    text: &str,
    local: &'static Schema,
    other: &str,
    references: &[String],
    target: &'static Schema,
) -> Result<(GenericDatumReader<'static>, &'static Schema), String> {
    let references: Vec<&str> = references.iter().map(String::as_str).collect();
    let parsed = ParsedSchema::parse(other, &references).map_err(|error| error.to_string())?;
    // Without the strict check there may be nothing that says how the one becomes the other; then each value shows it.
    let local = match by_our_names(&parsed, text, Vec::new()) {
        Ok((text, _)) => interned(&text, &[]).map_err(|error| error.to_string())?,
        Err(_) => local,
    };
    let reader = GenericDatumReader::builder(local).reader_schema(target).build().map_err(|error| error.to_string())?;
    Ok((reader, target))
}

fn strictly_compatible(local: &str, other: &str, references: &[String]) -> Result<(), String> {
    let references: Vec<&str> = references.iter().map(String::as_str).collect();
    let parse = |text, references: &[&str]| ParsedSchema::parse(text, references).map_err(|error| error.to_string());
    let obstacles = parse(other, &references)?.cannot_read(&parse(local, &[])?);
    match obstacles.first() {
        None => Ok(()),
        Some(obstacle) => Err(obstacle.to_string()),
    }
}
