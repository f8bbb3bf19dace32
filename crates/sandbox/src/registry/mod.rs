//! A Schema Registry as Confluent's clients know it: subjects, versions, ids, levels, and the codes of its errors.
//!
//! `Store` is what it knows and decides, without a network; `http` is how it is asked; `access` is who may.
//! Avro only. Which schema may follow which is decided by `schema-registry`'s rules, which are tested against the facts
//! there; a client that checks locally and a registry that checks again then say the same.

mod access;
mod fault;
mod http;
mod store;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use schema_registry::SchemaText;

pub use access::RegistryAccess;
use store::Store;

/// The registry. Cheap to clone; clones are one registry.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    store: Arc<Mutex<Store>>,
}

impl Registry {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Its pages, to be served under the base URL. With `access` each request needs a token and a rule, without it
    /// everybody may do everything.
    pub fn router(&self, access: Option<RegistryAccess>) -> axum::Router {
        http::router(self.clone(), access)
    }

    /// Registers an Avro schema, as an operator would before anybody produces, and returns its id.
    ///
    /// # Errors
    /// The registry's words: the schema is invalid, or does not fit the subject.
    pub fn register(&self, subject: &str, schema: &str) -> Result<i32, String> {
        let found = self.lock().register(subject, &SchemaText::avro(schema));
        found.map(|found| found.schema.id).map_err(|fault| fault.message)
    }

    /// How many subjects it has.
    #[must_use]
    pub fn subjects(&self) -> usize {
        self.lock().subjects(false).count()
    }

    /// Held for one request's look or change, never over a wait.
    fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
