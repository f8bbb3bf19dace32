//! The registry's calls, and the caches before them.

use std::fmt;
use std::sync::Arc;

use reqwest::Method;
use serde::Deserialize;
use uuid::Uuid;

use crate::cache::Cache;
use crate::compatibility::Level;
use crate::config::RegistryConfig;
use crate::error::RegistryError;
use crate::http::{Call, Http, segment};
use crate::types::{Compatibility, Listing, Mode, Registered, SchemaText, SubjectVersion, Version};

/// A client of one registry. Cheap to clone; clones share connections and caches.
///
/// Schemas by id and GUID, and ids by schema, never change, so they are asked for once: whoever asks while the question is
/// under way waits for its answer. Everything else is asked anew each time. All calls are cancel safe; dropping one that
/// changes something leaves open whether it did.
#[derive(Clone)]
pub struct RegistryClient {
    shared: Arc<Shared>,
}

struct Shared {
    http: Http,
    by_id: Cache<i32, SchemaText>,
    by_guid: Cache<Uuid, SchemaText>,
    by_schema: Cache<(String, SchemaText, bool), SubjectVersion>,
    registered: Cache<(String, SchemaText, bool), Registered>,
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
        let what = subject.map_or_else(String::new, |subject| format!(" as one of subject {subject}"));
        let ask = self.clone().ask(format!("fetch schema id {id}{what}"), format!("/schemas/ids/{id}{query}"));
        self.shared.by_id.get(id, ask).await
    }

    /// The schema of a GUID (`GET /schemas/guids/{guid}`).
    ///
    /// # Errors
    /// There is no such schema (40403), or the call fails.
    pub async fn schema_by_guid(&self, guid: Uuid) -> Result<Arc<SchemaText>, RegistryError> {
        let ask = self.clone().ask(format!("fetch schema GUID {guid}"), format!("/schemas/guids/{guid}"));
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
        let ask = self.clone().ask_with(what, path, schema);
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
        let ask = self.clone().ask_with(what, path, schema);
        self.shared.registered.get((subject.to_owned(), schema.clone(), normalize), ask).await
    }

    /// The subjects (`GET /subjects`).
    ///
    /// # Errors
    /// The call fails.
    pub async fn subjects(&self, listing: Listing) -> Result<Vec<String>, RegistryError> {
        self.get("list the subjects".into(), format!("/subjects{}", listing.query())).await
    }

    /// A subject's versions (`GET /subjects/{subject}/versions`).
    ///
    /// # Errors
    /// There is no such subject (40401), or the call fails.
    pub async fn versions(&self, subject: &str, listing: Listing) -> Result<Vec<i32>, RegistryError> {
        let path = format!("/subjects/{}/versions{}", segment(subject), listing.query());
        self.get(format!("list the versions of subject {subject}"), path).await
    }

    /// The ids of the schemas that build on a version (`GET /subjects/{subject}/versions/{version}/referencedby`).
    ///
    /// # Errors
    /// There is no such subject (40401) or version (40402), or the call fails.
    pub async fn referenced_by(&self, subject: &str, version: Version) -> Result<Vec<i32>, RegistryError> {
        let path = format!("/subjects/{}/versions/{version}/referencedby", segment(subject));
        self.get(format!("list what refers to version {version} of subject {subject}"), path).await
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
        normalize: bool,
    ) -> Result<Compatibility, RegistryError> {
        let version = version.map_or_else(String::new, |version| format!("/{version}"));
        let normalize = if normalize { "&normalize=true" } else { "" };
        let path = format!("/compatibility/subjects/{}/versions{version}?verbose=true{normalize}", segment(subject));
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

    /// Takes away a subject's compatibility level, so that the registry's own holds (`DELETE /config/{subject}`).
    ///
    /// # Errors
    /// It has none of its own (40408), or the call fails.
    pub async fn delete_level(&self, subject: &str) -> Result<(), RegistryError> {
        let what = format!("delete the compatibility level of {subject}");
        self.delete::<serde::de::IgnoredAny>(what, format!("/config/{}", segment(subject))).await.map(drop)
    }

    /// What a subject lets be changed, or the registry where the subject does not say (`GET /mode`).
    ///
    /// # Errors
    /// The call fails.
    pub async fn mode(&self, subject: Option<&str>) -> Result<Mode, RegistryError> {
        #[derive(Deserialize)]
        struct Answer {
            mode: Mode,
        }
        let path = subject
            .map_or_else(|| "/mode".into(), |subject| format!("/mode/{}?defaultToGlobal=true", segment(subject)));
        let what = format!("read the mode of {}", subject.unwrap_or("the registry"));
        self.get::<Answer>(what, path).await.map(|answer| answer.mode)
    }

    /// Sets what a subject or the registry lets be changed (`PUT /mode`).
    ///
    /// # Errors
    /// The mode is none, or not permitted now (42204, 42205), or the call fails.
    pub async fn set_mode(&self, subject: Option<&str>, mode: Mode) -> Result<(), RegistryError> {
        let path = subject.map_or_else(|| "/mode".into(), |subject| format!("/mode/{}", segment(subject)));
        let what = format!("set the mode of {}", subject.unwrap_or("the registry"));
        let body = serde_json::json!({ "mode": mode });
        self.send::<serde::de::IgnoredAny>(Method::PUT, what, path, &body).await.map(drop)
    }

    /// Deletes a subject's versions and returns their numbers (`DELETE /subjects/{subject}`). `permanent` needs a deletion
    /// that is not permanent before it.
    ///
    /// # Errors
    /// There is no such subject (40401), or the call fails.
    pub async fn delete_subject(&self, subject: &str, permanent: bool) -> Result<Vec<i32>, RegistryError> {
        let path = format!("/subjects/{}{}", segment(subject), permanently(permanent));
        let deleted = self.delete(format!("delete subject {subject}"), path).await;
        self.forget(subject);
        deleted
    }

    /// Deletes a version (`DELETE /subjects/{subject}/versions/{version}`) and returns its number. `permanent` needs a deletion
    /// that is not permanent before it.
    ///
    /// # Errors
    /// There is no such subject (40401) or version (40402), or the call fails.
    pub async fn delete_version(&self, subject: &str, version: Version, permanent: bool) -> Result<i32, RegistryError> {
        let path = format!("/subjects/{}/versions/{version}{}", segment(subject), permanently(permanent));
        let deleted = self.delete(format!("delete version {version} of subject {subject}"), path).await;
        self.forget(subject);
        deleted
    }

    /// What a subject's schemas were registered as is no longer so, whatever came of the call. Schemas by id stay.
    fn forget(&self, subject: &str) {
        self.shared.by_schema.retain(|(of, ..)| of != subject);
        self.shared.registered.retain(|(of, ..)| of != subject);
    }

    async fn delete<T: serde::de::DeserializeOwned>(&self, what: String, path: String) -> Result<T, RegistryError> {
        self.shared.http.call(&Call { what, method: Method::DELETE, path, body: None }).await
    }

    /// [`get`](Self::get) as a future that those who wait for it can share.
    async fn ask<T: serde::de::DeserializeOwned>(self, what: String, path: String) -> Result<T, RegistryError> {
        self.get(what, path).await
    }

    /// A POST as a future that those who wait for it can share.
    fn ask_with<T: serde::de::DeserializeOwned>(
        self,
        what: String,
        path: String,
        body: &SchemaText,
    ) -> impl Future<Output = Result<T, RegistryError>> + Send + use<T> {
        let body = body.clone();
        async move { self.send(Method::POST, what, path, &body).await }
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

fn permanently(permanent: bool) -> &'static str {
    if permanent { "?permanent=true" } else { "" }
}

impl fmt::Debug for RegistryClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryClient").field("http", &self.shared.http).finish_non_exhaustive()
    }
}
