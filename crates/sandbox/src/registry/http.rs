//! The registry's pages.

mod settings;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use schema_registry::{Level, SchemaText, Version};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Registry;
use super::access::{Caller, RegistryAccess};
use super::fault::Fault;
use super::store::{Found, Mode, Schema};
use crate::access::Operation;
use settings::{
    level, mode, set_level, set_mode, set_subject_level, set_subject_mode, subject_level, subject_mode, unset_level,
    unset_subject_level, unset_subject_mode,
};

const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// Media types that bodies may have; without one they are taken as they are.
const ACCEPTED: [&str; 4] =
    [MEDIA_TYPE, "application/vnd.schemaregistry+json", "application/json", "application/octet-stream"];

/// No schema is larger.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// A registry and who may use it this way.
struct Served {
    registry: Registry,
    access: Option<RegistryAccess>,
}

type Server = State<Arc<Served>>;
type Answered = Result<Value, Fault>;

impl Served {
    fn caller(&self, headers: &HeaderMap) -> Result<Caller<'_>, Fault> {
        Caller::identify(self.access.as_ref(), headers)
    }
}

/// What may stand behind the question mark. What a page does not know it leaves alone.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Options {
    deleted: bool,
    #[serde(rename = "deletedOnly")]
    deleted_only: bool,
    permanent: bool,
    verbose: bool,
    #[serde(rename = "defaultToGlobal")]
    default_to_global: bool,
    subject: Option<String>,
    #[serde(rename = "subjectPrefix")]
    subject_prefix: Option<String>,
    offset: usize,
    limit: Option<i64>,
}

impl Options {
    fn page<T>(&self, items: impl Iterator<Item = T>) -> Vec<T> {
        let limit = self.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        items.skip(self.offset).take(limit).collect()
    }
}

pub(super) fn router(registry: Registry, access: Option<RegistryAccess>) -> Router {
    Router::new()
        .route("/", get(async || answer(StatusCode::OK, &json!({}))))
        .route("/subjects", get(subjects))
        .route("/subjects/{subject}", post(lookup).delete(delete_subject))
        .route("/subjects/{subject}/versions", get(versions).post(register))
        .route("/subjects/{subject}/versions/{version}", get(version).delete(delete_version))
        .route("/subjects/{subject}/versions/{version}/schema", get(version_text))
        .route("/subjects/{subject}/versions/{version}/referencedby", get(referenced_by))
        .route("/schemas/types", get(async || answer(StatusCode::OK, &json!(["AVRO"]))))
        .route("/schemas/ids/{id}", get(by_id))
        .route("/schemas/ids/{id}/schema", get(by_id_text))
        .route("/schemas/ids/{id}/versions", get(uses))
        .route("/schemas/ids/{id}/subjects", get(using_subjects))
        .route("/schemas/guids/{guid}", get(by_guid))
        .route("/schemas/guids/{guid}/ids", get(ids_of_guid))
        .route("/compatibility/subjects/{subject}/versions", post(check_all))
        .route("/compatibility/subjects/{subject}/versions/{version}", post(check_one))
        .route("/config", get(level).put(set_level).delete(unset_level))
        .route("/config/{subject}", get(subject_level).put(set_subject_level).delete(unset_subject_level))
        .route("/mode", get(mode).put(set_mode))
        .route("/mode/{subject}", get(subject_mode).put(set_subject_mode).delete(unset_subject_mode))
        .fallback(async || Fault::other(StatusCode::NOT_FOUND, "HTTP 404 Not Found"))
        .method_not_allowed_fallback(async || {
            Fault::other(StatusCode::METHOD_NOT_ALLOWED, "HTTP 405 Method Not Allowed")
        })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(Arc::new(Served { registry, access }))
}

/// An answer of the registry's own media type.
pub(super) fn answer(status: StatusCode, body: &Value) -> Response {
    (status, [(CONTENT_TYPE, MEDIA_TYPE)], body.to_string()).into_response()
}

fn respond(answered: Answered) -> Response {
    match answered {
        Ok(body) => answer(StatusCode::OK, &body),
        Err(fault) => fault.into_response(),
    }
}

fn body<T: DeserializeOwned>(headers: &HeaderMap, body: &Bytes) -> Result<T, Fault> {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or(MEDIA_TYPE);
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if !ACCEPTED.iter().any(|accepted| essence.eq_ignore_ascii_case(accepted)) {
        return Err(Fault::other(StatusCode::UNSUPPORTED_MEDIA_TYPE, "HTTP 415 Unsupported Media Type"));
    }
    serde_json::from_slice(body).map_err(Fault::malformed)
}

fn version_of(text: &str) -> Result<Version, Fault> {
    match (text, text.parse::<i32>()) {
        ("latest", _) | (_, Ok(-1)) => Ok(Version::Latest),
        (_, Ok(number)) if number > 0 => Ok(Version::Number(number)),
        _ => Err(Fault::invalid_version(text)),
    }
}

/// A schema as every answer that holds one has it.
fn schema_fields(schema: &Schema) -> Value {
    let mut fields = json!({ "schema": schema.text.schema, "guid": schema.guid });
    if !schema.text.references.is_empty() {
        fields["references"] = json!(schema.text.references);
    }
    fields
}

fn version_fields(found: &Found) -> Value {
    let mut fields = schema_fields(&found.schema);
    fields["subject"] = json!(found.subject);
    fields["version"] = json!(found.version);
    fields["id"] = json!(found.schema.id);
    fields
}

async fn subjects(State(server): Server, headers: HeaderMap, Query(options): Query<Options>) -> Response {
    let list = || {
        let caller = server.caller(&headers)?;
        let store = server.registry.lock();
        let prefix = options.subject_prefix.as_deref().unwrap_or_default();
        let live: Vec<&str> = store.subjects(false).collect();
        let wanted = store
            .subjects(options.deleted || options.deleted_only)
            .filter(|name| name.starts_with(prefix) && caller.may(Operation::Read, name))
            .filter(|name| !options.deleted_only || !live.contains(name));
        Ok(json!(options.page(wanted)))
    };
    respond(list())
}

async fn lookup(
    State(server): Server,
    Path(subject): Path<String>,
    Query(options): Query<Options>,
    headers: HeaderMap,
    sent: Bytes,
) -> Response {
    let find = || {
        server.caller(&headers)?.needs(Operation::Read, &subject)?;
        let text: SchemaText = body(&headers, &sent)?;
        server.registry.lock().lookup(&subject, &text, options.deleted).map(|found| version_fields(&found))
    };
    respond(find())
}

async fn register(State(server): Server, Path(subject): Path<String>, headers: HeaderMap, sent: Bytes) -> Response {
    let register = || {
        server.caller(&headers)?.needs(Operation::Write, &subject)?;
        let text: SchemaText = body(&headers, &sent)?;
        let found = server.registry.lock().register(&subject, &text)?;
        let mut fields = version_fields(&found);
        if let Some(fields) = fields.as_object_mut() {
            fields.remove("subject");
        }
        Ok(fields)
    };
    respond(register())
}

async fn versions(
    State(server): Server,
    Path(subject): Path<String>,
    Query(options): Query<Options>,
    headers: HeaderMap,
) -> Response {
    let list = || {
        server.caller(&headers)?.needs(Operation::Read, &subject)?;
        let store = server.registry.lock();
        let all = store.versions(&subject, options.deleted || options.deleted_only)?;
        let live = store.versions(&subject, false).unwrap_or_default();
        let wanted = all.into_iter().filter(|number| !options.deleted_only || !live.contains(number));
        Ok(json!(options.page(wanted)))
    };
    respond(list())
}

/// The version that a path names, for whoever may read it.
fn named_version(
    server: &Served,
    headers: &HeaderMap,
    (subject, version): &(String, String),
    options: &Options,
) -> Result<Found, Fault> {
    server.caller(headers)?.needs(Operation::Read, subject)?;
    let version = version_of(version)?;
    server.registry.lock().version(subject, version, options.deleted)
}

async fn version(
    State(server): Server,
    Path(named): Path<(String, String)>,
    Query(options): Query<Options>,
    headers: HeaderMap,
) -> Response {
    respond(named_version(&server, &headers, &named, &options).map(|found| version_fields(&found)))
}

async fn version_text(
    State(server): Server,
    Path(named): Path<(String, String)>,
    Query(options): Query<Options>,
    headers: HeaderMap,
) -> Response {
    match named_version(&server, &headers, &named, &options) {
        Ok(found) => text(&found.schema),
        Err(fault) => fault.into_response(),
    }
}

fn text(schema: &Schema) -> Response {
    ([(CONTENT_TYPE, MEDIA_TYPE)], schema.text.schema.clone()).into_response()
}

async fn referenced_by(
    State(server): Server,
    Path(named): Path<(String, String)>,
    Query(options): Query<Options>,
    headers: HeaderMap,
) -> Response {
    let find = || {
        let found = named_version(&server, &headers, &named, &options)?;
        Ok(json!(server.registry.lock().referenced_by(&found.subject, found.version)))
    };
    respond(find())
}

async fn delete_subject(
    State(server): Server,
    Path(subject): Path<String>,
    Query(options): Query<Options>,
    headers: HeaderMap,
) -> Response {
    let delete = || {
        server.caller(&headers)?.needs(Operation::Delete, &subject)?;
        server.registry.lock().delete_subject(&subject, options.permanent).map(|numbers| json!(numbers))
    };
    respond(delete())
}

async fn delete_version(
    State(server): Server,
    Path((subject, version)): Path<(String, String)>,
    Query(options): Query<Options>,
    headers: HeaderMap,
) -> Response {
    let delete = || {
        server.caller(&headers)?.needs(Operation::Delete, &subject)?;
        let version = version_of(&version)?;
        server.registry.lock().delete_version(&subject, version, options.permanent).map(|number| json!(number))
    };
    respond(delete())
}

/// The schema of an id, for whoever may read a subject that has it.
fn schema_of(server: &Served, headers: &HeaderMap, id: &str, options: &Options) -> Result<Arc<Schema>, Fault> {
    let caller = server.caller(headers)?;
    let store = server.registry.lock();
    let schema = store.by_id(id.parse().map_err(|_| Fault::other(StatusCode::NOT_FOUND, "HTTP 404 Not Found"))?)?;
    readable(&caller, &store.uses(schema.id, true), options, schema)?;
    Ok(Arc::clone(schema))
}

fn readable(caller: &Caller<'_>, uses: &[(&str, i32)], options: &Options, schema: &Schema) -> Result<(), Fault> {
    if let Some(subject) = &options.subject {
        // The subject is a hint for access; that it has the schema is checked so that it opens no other door.
        caller.needs(Operation::Read, subject)?;
        let has_it = uses.iter().any(|(name, _)| name == subject);
        return if has_it { Ok(()) } else { Err(Fault::no_schema_id(schema.id)) };
    }
    let some = uses.iter().any(|(name, _)| caller.may(Operation::Read, name)) || caller.may(Operation::Read, "*");
    if some { Ok(()) } else { Err(Fault::denied("Read", &format!("schema id {}", schema.id))) }
}

async fn by_id(
    State(server): Server,
    Path(id): Path<String>,
    Query(options): Query<Options>,
    headers: HeaderMap,
) -> Response {
    respond(schema_of(&server, &headers, &id, &options).map(|schema| schema_fields(&schema)))
}

async fn by_id_text(
    State(server): Server,
    Path(id): Path<String>,
    Query(options): Query<Options>,
    headers: HeaderMap,
) -> Response {
    match schema_of(&server, &headers, &id, &options) {
        Ok(schema) => text(&schema),
        Err(fault) => fault.into_response(),
    }
}

async fn uses(
    State(server): Server,
    Path(id): Path<String>,
    Query(options): Query<Options>,
    headers: HeaderMap,
) -> Response {
    let list = || {
        let schema = schema_of(&server, &headers, &id, &options)?;
        let store = server.registry.lock();
        let uses = store.uses(schema.id, options.deleted);
        Ok(Value::from_iter(uses.iter().map(|(subject, version)| json!({ "subject": subject, "version": version }))))
    };
    respond(list())
}

async fn using_subjects(
    State(server): Server,
    Path(id): Path<String>,
    Query(options): Query<Options>,
    headers: HeaderMap,
) -> Response {
    let list = || {
        let schema = schema_of(&server, &headers, &id, &options)?;
        let store = server.registry.lock();
        let mut subjects: Vec<&str> =
            store.uses(schema.id, options.deleted).iter().map(|(subject, _)| *subject).collect();
        subjects.dedup();
        Ok(json!(subjects))
    };
    respond(list())
}

fn schema_of_guid(server: &Served, headers: &HeaderMap, guid: &str, options: &Options) -> Result<Arc<Schema>, Fault> {
    let caller = server.caller(headers)?;
    let store = server.registry.lock();
    let schema = store.by_guid(Uuid::parse_str(guid).map_err(|_| Fault::no_schema_id(guid))?)?;
    readable(&caller, &store.uses(schema.id, true), options, schema)?;
    Ok(Arc::clone(schema))
}

async fn by_guid(
    State(server): Server,
    Path(guid): Path<String>,
    Query(options): Query<Options>,
    headers: HeaderMap,
) -> Response {
    respond(schema_of_guid(&server, &headers, &guid, &options).map(|schema| schema_fields(&schema)))
}

async fn ids_of_guid(
    State(server): Server,
    Path(guid): Path<String>,
    Query(options): Query<Options>,
    headers: HeaderMap,
) -> Response {
    let id = |schema: Arc<Schema>| json!([{ "context": ".", "id": schema.id }]);
    respond(schema_of_guid(&server, &headers, &guid, &options).map(id))
}

/// Whether a schema would be taken. One that cannot even be read is a fault, or with `verbose` not compatible.
fn check(
    server: &Served,
    headers: &HeaderMap,
    subject: &str,
    version: Option<Version>,
    options: &Options,
    sent: &Bytes,
) -> Answered {
    server.caller(headers)?.needs(Operation::Read, subject)?;
    let text: SchemaText = body(headers, sent)?;
    let messages = match server.registry.lock().check(subject, version, &text)? {
        Ok(messages) => messages,
        Err(fault) if options.verbose => vec![fault.message],
        Err(fault) => return Err(fault),
    };
    let mut fields = json!({ "is_compatible": messages.is_empty() });
    if options.verbose {
        fields["messages"] = json!(messages);
    }
    Ok(fields)
}

async fn check_all(
    State(server): Server,
    Path(subject): Path<String>,
    Query(options): Query<Options>,
    headers: HeaderMap,
    sent: Bytes,
) -> Response {
    respond(check(&server, &headers, &subject, None, &options, &sent))
}

async fn check_one(
    State(server): Server,
    Path((subject, version)): Path<(String, String)>,
    Query(options): Query<Options>,
    headers: HeaderMap,
    sent: Bytes,
) -> Response {
    respond(version_of(&version).and_then(|version| check(&server, &headers, &subject, Some(version), &options, &sent)))
}
