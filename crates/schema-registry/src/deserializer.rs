//! From a framed Avro record to a value.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use serde::de::DeserializeOwned;

use crate::client::RegistryClient;
use crate::compatibility::ParsedSchema;
use crate::error::RegistryError;
use crate::interned::{NotInterned, interned};
use crate::raw;
use crate::resolution::{by_our_names, resolve};
use crate::wire::{self, FrameError, SchemaId};

/// How long an id that the registry does not know is taken to be unknown. A stream of records that are not Avro must not
/// become a stream of requests; an id whose schema is registered late is known soon after.
const UNKNOWN_FOR: Duration = Duration::from_secs(10);

/// The registry's code for a schema that it does not have.
const NO_SUCH_SCHEMA: i32 = 40403;

/// So many unknown ids are remembered.
const MOST_UNKNOWN: usize = 1_000;

/// Reads values of one type, whatever schema wrote them.
///
/// Decoding does not wait: a schema id that was not met before is an error that [`learn`](Self::learn) mends, and
/// [`read`](Self::read) does both.
pub struct AvroDeserializer<T> {
    client: RegistryClient,
    /// Sent along, so that the registry can decide about access by subject.
    subject: String,
    schema: &'static Schema,
    /// Schemas whose records are read straight into the value, field by field.
    straight: Vec<&'static Schema>,
    parsed: ParsedSchema,
    known: RwLock<HashMap<SchemaId, Arc<Reading>>>,
    unknown: Mutex<HashMap<SchemaId, (Instant, String)>>,
    values: PhantomData<fn() -> T>,
}

/// How to read what one schema wrote.
enum Reading {
    /// It is ours, or one that the value is read from as well: straight into the value.
    Direct(GenericDatumReader<'static>),
    /// It is another, or writes bytes alone: through Avro's schema resolution.
    Resolved { reader: GenericDatumReader<'static>, writer: &'static Schema },
}

/// A record that is not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeserializeError {
    /// It is not framed: another kind of producer wrote it.
    #[error("it is no Avro record of a schema registry: {0}")]
    Frame(#[from] FrameError),
    /// Its schema has not been met before: [`AvroDeserializer::learn`] it and decode again.
    #[error("its {0} has not been fetched yet")]
    Unmet(SchemaId),
    /// The registry does not know its schema.
    #[error("its {id} is unknown to the registry: {reason}")]
    UnknownSchema {
        /// The id in the record.
        id: SchemaId,
        /// The registry's words.
        reason: String,
    },
    /// Its schema is none that this program can read from.
    #[error("its {id} does not fit: {reason}")]
    Unfit {
        /// The id in the record.
        id: SchemaId,
        /// Why.
        reason: String,
    },
    /// Its body is not what its schema says.
    #[error("its body does not fit its {id}: {reason}")]
    Body {
        /// The id in the record.
        id: SchemaId,
        /// Where reading stopped.
        reason: String,
    },
    /// The registry cannot be asked about its schema. This says nothing about the record.
    #[error(transparent)]
    Registry(RegistryError),
    /// A bound of this program is reached. This says nothing about the record.
    #[error("its {id} cannot be kept: this process has met {most} schemas already; start it again to read on")]
    TooManySchemas {
        /// The id in the record.
        id: SchemaId,
        /// The bound.
        most: usize,
    },
}

impl DeserializeError {
    /// Whether the record itself is at fault, and will be at every further attempt. Otherwise the registry is.
    #[must_use]
    pub fn is_about_the_record(&self) -> bool {
        !matches!(self, Self::Registry(_) | Self::Unmet(_) | Self::TooManySchemas { .. })
    }
}

impl<T: DeserializeOwned> AvroDeserializer<T> {
    /// A deserializer for records of `subject` into values of `schema`, the schema in this program.
    ///
    /// # Errors
    /// The schema in this program cannot be used.
    pub fn new(client: &RegistryClient, subject: &str, schema: &str) -> Result<Self, String> {
        let text = schema;
        let schema = interned(text, &[]).map_err(|error| error.to_string())?;
        Ok(Self {
            client: client.clone(),
            subject: subject.to_owned(),
            schema,
            straight: vec![schema],
            parsed: ParsedSchema::parse(text, &[]).map_err(|error| error.to_string())?,
            known: RwLock::default(),
            unknown: Mutex::default(),
            values: PhantomData,
        })
    }

    /// Reads what this schema wrote straight into the value too, and not through Avro's schema resolution, which takes some five
    /// times as long.
    ///
    /// To be promised by the caller: fields have the same names and types in this schema and in `T`, and where `T` has more of
    /// them, serde's defaults are those of the schema in this program.
    ///
    /// # Errors
    /// The schema cannot be used.
    pub fn straight_from(mut self, schema: &str) -> Result<Self, String> {
        self.straight.push(interned(schema, &[]).map_err(|error| error.to_string())?);
        Ok(self)
    }

    /// Reads a value without waiting.
    ///
    /// `header` is the record's last header of the name [`wire::VALUE_SCHEMA_HEADER`], if it has one.
    ///
    /// # Errors
    /// See [`DeserializeError`].
    pub fn decode(&self, header: Option<&[u8]>, value: &[u8]) -> Result<T, DeserializeError> {
        let (id, mut body) = wire::split_with_header(header, value)?;
        let reading = self.known.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        let reading = reading.ok_or(DeserializeError::Unmet(id))?;
        let wrong = |reason| DeserializeError::Body { id, reason };
        let framed;
        let read = match &*reading {
            Reading::Direct(reader) => reader.read_deser(&mut body),
            Reading::Resolved { reader, writer } => {
                if matches!(writer, Schema::Bytes) {
                    framed = raw::with_length(body);
                    body = &framed;
                }
                reader.read_value(&mut body).and_then(|value| apache_avro::from_value::<T>(&value))
            }
        };
        let value = read.map_err(|error| wrong(error.to_string()))?;
        if body.is_empty() { Ok(value) } else { Err(wrong(format!("{} bytes are left over", body.len()))) }
    }

    /// Fetches a schema, so that what it wrote can be decoded. Cancel safe.
    ///
    /// # Errors
    /// The registry does not know it, cannot be asked, or it is none that this program can read from.
    pub async fn learn(&self, id: SchemaId) -> Result<(), DeserializeError> {
        if let Some(reason) = self.unknown_still(id) {
            return Err(DeserializeError::UnknownSchema { id, reason });
        }
        let text = match id {
            SchemaId::Id(number) => self.client.schema_by_id(number, Some(&self.subject)).await,
            SchemaId::Guid(guid) => self.client.schema_by_guid(guid).await,
        };
        let text = match text {
            Ok(text) => text,
            // Only the registry's own word for it: a proxy, or another server altogether, answers 404 too.
            Err(error) if error.code() == Some(NO_SUCH_SCHEMA) => {
                let reason = error.to_string();
                self.remember_unknown(id, reason.clone());
                return Err(DeserializeError::UnknownSchema { id, reason });
            }
            Err(error) => return Err(DeserializeError::Registry(error)),
        };
        let unfit = |reason: String| DeserializeError::Unfit { id, reason };
        if !text.is_avro() {
            return Err(unfit(format!("it is {}, not AVRO", text.schema_type.as_deref().unwrap_or_default())));
        }
        let references = resolve(&self.client, &text).await.map_err(DeserializeError::Registry)?;
        let reading = self.reading(&text.schema, references).map_err(|error| match error {
            NotInterned::Invalid(reason) => unfit(reason),
            NotInterned::TooMany(most) => DeserializeError::TooManySchemas { id, most },
        })?;
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::new(reading));
        Ok(())
    }

    /// Reads a value, fetching its schema first if it was not met before. Cancel safe.
    ///
    /// # Errors
    /// See [`DeserializeError`].
    pub async fn read(&self, header: Option<&[u8]>, value: &[u8]) -> Result<T, DeserializeError> {
        match self.decode(header, value) {
            Err(DeserializeError::Unmet(id)) => {
                self.learn(id).await?;
                self.decode(header, value)
            }
            decoded => decoded,
        }
    }

    fn reading(&self, text: &str, references: Vec<String>) -> Result<Reading, NotInterned> {
        let invalid = |reason: apache_avro::Error| NotInterned::Invalid(reason.to_string());
        let writer = interned(text, &references)?;
        let form = writer.canonical_form();
        if self.straight.iter().any(|schema| schema.canonical_form() == form) && !matches!(writer, Schema::Bytes) {
            // `read_deser` panics when it has a reader schema, so it gets none: there is nothing to resolve.
            return GenericDatumReader::builder(writer).build().map(Reading::Direct).map_err(invalid);
        }
        let (text, references) = by_our_names(&self.parsed, text, references).map_err(NotInterned::Invalid)?;
        let writer = interned(&text, &references)?;
        let reader = GenericDatumReader::builder(writer).reader_schema(self.schema).build().map_err(invalid)?;
        Ok(Reading::Resolved { reader, writer })
    }

    fn unknown_still(&self, id: SchemaId) -> Option<String> {
        let unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        unknown.get(&id).filter(|(since, _)| since.elapsed() < UNKNOWN_FOR).map(|(_, reason)| reason.clone())
    }

    fn remember_unknown(&self, id: SchemaId, reason: String) {
        let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        if unknown.len() >= MOST_UNKNOWN {
            unknown.retain(|_, (since, _)| since.elapsed() < UNKNOWN_FOR);
        }
        if unknown.len() < MOST_UNKNOWN {
            unknown.insert(id, (Instant::now(), reason));
        }
    }
}

impl<T> std::fmt::Debug for AvroDeserializer<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AvroDeserializer").field("subject", &self.subject).finish_non_exhaustive()
    }
}
