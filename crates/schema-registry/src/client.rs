//! The registry's calls, and the caches before them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::Method;
use serde::Deserialize;
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::compatibility::Level;
use crate::config::RegistryConfig;
use crate::error::RegistryError;
use crate::http::{Call, Http, segment};
use crate::types::{Compatibility, Registered, SchemaText, SubjectVersion, Version};

/// A client of one registry. Cheap to clone; clones share connections and caches.
///
/// Schemas by id and GUID, and ids by schema, never change, so they are asked for once: whoever asks while the question is
/// under way waits for its answer. Everything else is asked anew each time. All calls are cancel safe; dropping one that
/// changes something leaves open whether it did.
#[derive(Clone, Debug)]
pub struct RegistryClient {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    http: Http,
    by_id: Cache<i32, SchemaText>,
    by_guid: Cache<Uuid, SchemaText>,
    by_schema: Cache<(String, SchemaText, bool), SubjectVersion>,
    registered: Cache<(String, SchemaText, bool), Registered>,
}

/// Answers that stay true. The lock is held for a look, never over a request.
#[derive(Debug)]
struct Cache<K, V> {
    answers: Mutex<HashMap<K, Arc<OnceCell<Arc<V>>>>>,
}

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self { answers: Mutex::default() }
    }
}

impl<K: Eq + Hash + Clone, V> Cache<K, V> {
    /// The answer to `key`, asked for by `ask` unless it is known or being asked for. An error is not kept.
    async fn get<F: Future<Output = Result<V, RegistryError>>>(&self, key: K, ask: F) -> Result<Arc<V>, RegistryError> {
        let cell = Arc::clone(self.lock().entry(key.clone()).or_default());
        let answer = cell.get_or_try_init(|| async { ask.await.map(Arc::new) }).await.cloned();
        if answer.is_err() {
            // What does not exist must not fill the memory; a neighbour that succeeded in the meantime keeps its answer.
            let mut answers = self.lock();
            if answers.get(&key).is_some_and(|cell| !cell.initialized()) {
                answers.remove(&key);
            }
        }
        answer
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<K, Arc<OnceCell<Arc<V>>>>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RegistryClient {
    /// A client for this registry. Nothing is asked yet.
    ///
    /// # Errors
    /// A setting cannot work.
    pub fn new(config: &RegistryConfig) -> Result<Self, RegistryError> {
        let shared = Shared {
            http: Http::new(config)?,
            by_id: Cache::default(),
            by_guid: Cache::default(),
            by_schema: Cache::default(),
            registered: Cache::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The schema of an id (`GET /schemas/ids/{id}`). The subject lets the registry decide about access by subject.
    ///
    /// # Errors
    /// There is no such schema (40403), or the call fails.
    pub async fn schema_by_id(&self, id: i32, subject: Option<&str>) -> Result<Arc<SchemaText>, RegistryError> {
        let query = subject.map_or_else(String::new, |subject| format!("?subject={}", segment(subject)));
        let ask = self.get(format!("fetch schema id {id}"), format!("/schemas/ids/{id}{query}"));
        self.shared.by_id.get(id, ask).await
    }

    /// The schema of a GUID (`GET /schemas/guids/{guid}`).
    ///
    /// # Errors
    /// There is no such schema (40403), or the call fails.
    pub async fn schema_by_guid(&self, guid: Uuid) -> Result<Arc<SchemaText>, RegistryError> {
        let ask = self.get(format!("fetch schema GUID {guid}"), format!("/schemas/guids/{guid}"));
        self.shared.by_guid.get(guid, ask).await
    }

    /// The version under which a schema is registered (`POST /subjects/{subject}`).
    ///
    /// # Errors
    /// There is no such subject (40401), the schema is not registered under it (40403), or the call fails.
    pub async fn lookup(
        &self,
        subject: &str,
        schema: &SchemaText,
        normalize: bool,
    ) -> Result<Arc<SubjectVersion>, RegistryError> {
        let what = format!("look up the schema of subject {subject}");
        let path = format!("/subjects/{}{}", segment(subject), normalized(normalize));
        let ask = self.send(Method::POST, what, path, schema);
        self.shared.by_schema.get((subject.to_owned(), schema.clone(), normalize), ask).await
    }

    /// Registers a schema (`POST /subjects/{subject}/versions`). The same schema again answers with the same id.
    ///
    /// # Errors
    /// The schema is invalid (42201) or incompatible ([`RegistryError::is_incompatible`]), or the call fails.
    pub async fn register(
        &self,
        subject: &str,
        schema: &SchemaText,
        normalize: bool,
    ) -> Result<Arc<Registered>, RegistryError> {
        let what = format!("register a schema under subject {subject}");
        let path = format!("/subjects/{}/versions{}", segment(subject), normalized(normalize));
        let ask = self.send(Method::POST, what, path, schema);
        self.shared.registered.get((subject.to_owned(), schema.clone(), normalize), ask).await
    }

    /// The subjects (`GET /subjects`).
    ///
    /// # Errors
    /// The call fails.
    pub async fn subjects(&self) -> Result<Vec<String>, RegistryError> {
        self.get("list the subjects".into(), "/subjects".into()).await
    }

    /// A subject's versions (`GET /subjects/{subject}/versions`).
    ///
    /// # Errors
    /// There is no such subject (40401), or the call fails.
    pub async fn versions(&self, subject: &str) -> Result<Vec<i32>, RegistryError> {
        let path = format!("/subjects/{}/versions", segment(subject));
        self.get(format!("list the versions of subject {subject}"), path).await
    }

    /// A version of a subject (`GET /subjects/{subject}/versions/{version}`).
    ///
    /// # Errors
    /// There is no such subject (40401) or version (40402), or the call fails.
    pub async fn version(&self, subject: &str, version: Version) -> Result<SubjectVersion, RegistryError> {
        let path = format!("/subjects/{}/versions/{version}", segment(subject));
        self.get(format!("fetch version {version} of subject {subject}"), path).await
    }

    /// Whether a schema could be registered (`POST /compatibility/subjects/{subject}/versions[/{version}]`).
    ///
    /// Without a version it is checked as registering checks it: against every version that the level demands. With
    /// [`Version::Latest`] an unknown subject counts as compatible.
    ///
    /// # Errors
    /// A numbered version does not exist (40402), or the call fails. An invalid schema is no error but not compatible.
    pub async fn check_compatibility(
        &self,
        subject: &str,
        version: Option<Version>,
        schema: &SchemaText,
    ) -> Result<Compatibility, RegistryError> {
        let version = version.map_or_else(String::new, |version| format!("/{version}"));
        let path = format!("/compatibility/subjects/{}/versions{version}?verbose=true", segment(subject));
        self.send(Method::POST, format!("check a schema against subject {subject}"), path, schema).await
    }

    /// The compatibility level of a subject, or of the registry where the subject has none of its own (`GET /config`).
    ///
    /// # Errors
    /// The call fails.
    pub async fn level(&self, subject: Option<&str>) -> Result<Level, RegistryError> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(rename = "compatibilityLevel")]
            level: Level,
        }
        let path = subject
            .map_or_else(|| "/config".into(), |subject| format!("/config/{}?defaultToGlobal=true", segment(subject)));
        let what = format!("read the compatibility level of {}", subject.unwrap_or("the registry"));
        self.get::<Answer>(what, path).await.map(|answer| answer.level)
    }

    /// Sets the compatibility level of a subject or of the registry (`PUT /config`).
    ///
    /// # Errors
    /// The call fails.
    pub async fn set_level(&self, subject: Option<&str>, level: Level) -> Result<(), RegistryError> {
        let path = subject.map_or_else(|| "/config".into(), |subject| format!("/config/{}", segment(subject)));
        let what = format!("set the compatibility level of {}", subject.unwrap_or("the registry"));
        let body = serde_json::json!({ "compatibility": level });
        self.send::<serde::de::IgnoredAny>(Method::PUT, what, path, &body).await.map(drop)
    }

    /// Deletes a subject's versions and returns their numbers (`DELETE /subjects/{subject}`). `permanent` needs a deletion
    /// that is not permanent before it.
    ///
    /// # Errors
    /// There is no such subject (40401), or the call fails.
    pub async fn delete_subject(&self, subject: &str, permanent: bool) -> Result<Vec<i32>, RegistryError> {
        let permanent = if permanent { "?permanent=true" } else { "" };
        let path = format!("/subjects/{}{permanent}", segment(subject));
        let call = Call { what: format!("delete subject {subject}"), method: Method::DELETE, path, body: None };
        self.shared.http.call(&call).await
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, what: String, path: String) -> Result<T, RegistryError> {
        self.shared.http.call(&Call { what, method: Method::GET, path, body: None }).await
    }

    async fn send<T: serde::de::DeserializeOwned>(
        &self,
        method: Method,
        what: String,
        path: String,
        body: &impl serde::Serialize,
    ) -> Result<T, RegistryError> {
        let body = serde_json::to_string(body).expect("schema texts and levels always have a JSON form");
        self.shared.http.call(&Call { what, method, path, body: Some(&body) }).await
    }
}

fn normalized(normalize: bool) -> &'static str {
    if normalize { "?normalize=true" } else { "" }
}
