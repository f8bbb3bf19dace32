//! A Schema Registry from the application's side: the REST client, the wire format, Avro serializers, and the rules of
//! compatibility.
//!
//! - [`RegistryClient`] makes the calls that an application and a schema gate need, with retries, failover, caches and
//!   Basic or bearer authentication.
//! - [`AvroSerializer`] and [`AvroDeserializer`] prepare once and then work without waiting; only a schema id that has
//!   not been seen before needs the network.
//! - [`wire`] is the framing of Confluent's serializers: magic byte and schema id, or a GUID in a header.
//! - [`compatibility`] tells, offline, whether a schema can read what another one wrote, in the registry's words;
//!   [`canonical`] is the text that a registry keeps.

mod cache;
pub mod canonical;
mod client;
pub mod compatibility;
mod config;
mod deserializer;
mod error;
mod http;
mod interned;
mod json_schema;
mod raw;
mod resolution;
mod serializer;
mod types;
pub mod wire;

pub use client::RegistryClient;
pub use compatibility::Level;
pub use config::{RegistryAuth, RegistryConfig};
pub use deserializer::{AvroDeserializer, DeserializeError};
pub use error::RegistryError;
pub use serializer::{AvroSerializer, SerializeError, SerializerOptions};
pub use types::{Compatibility, Listing, Mode, Registered, SchemaReference, SchemaText, SubjectVersion, Version};
