//! The pages of levels and modes, of the registry and of a subject.

use super::{
    Answered, Bytes, Caller, Deserialize, Fault, HeaderMap, Level, Mode, Operation, Options, Path, Query, Response,
    Server, body, json, respond,
};

#[derive(Deserialize)]
struct LevelBody {
    compatibility: String,
}

#[derive(Deserialize)]
struct ModeBody {
    mode: String,
}

/// A subject's settings need the right on the subject, the registry's that on the cluster.
fn allowed(caller: &Caller<'_>, operation: Operation, subject: Option<&str>) -> Result<(), Fault> {
    subject.map_or_else(|| caller.needs_globally(operation), |subject| caller.needs(operation, subject))
}

fn read_level(server: &Server, headers: &HeaderMap, subject: Option<&str>, options: &Options) -> Answered {
    let caller = server.caller(headers)?;
    // Everybody may know the registry's level: it decides about subjects that have none of their own.
    if subject.is_some() {
        allowed(&caller, Operation::ReadCompatibility, subject)?;
    }
    let level = server.registry.lock().level(subject, options.default_to_global)?;
    Ok(json!({ "compatibilityLevel": level }))
}

fn write_level(server: &Server, headers: &HeaderMap, subject: Option<&str>, sent: &Bytes) -> Answered {
    allowed(&server.caller(headers)?, Operation::WriteCompatibility, subject)?;
    let asked: LevelBody = body(headers, sent)?;
    let level = Level::from_name(&asked.compatibility).ok_or_else(Fault::invalid_level)?;
    server.registry.lock().set_level(subject, Some(level))?;
    Ok(json!({ "compatibility": level }))
}

fn remove_level(server: &Server, headers: &HeaderMap, subject: Option<&str>) -> Answered {
    allowed(&server.caller(headers)?, Operation::WriteCompatibility, subject)?;
    let mut store = server.registry.lock();
    let before = match subject {
        Some(name) => store.level(subject, false).map_err(|_| Fault::no_subject(name))?,
        None => store.level(None, true)?,
    };
    store.set_level(subject, None)?;
    Ok(json!({ "compatibilityLevel": before }))
}

fn read_mode(server: &Server, headers: &HeaderMap, subject: Option<&str>, options: &Options) -> Answered {
    let caller = server.caller(headers)?;
    if subject.is_some() {
        allowed(&caller, Operation::ReadCompatibility, subject)?;
    }
    let mode = server.registry.lock().mode(subject, options.default_to_global)?;
    Ok(json!({ "mode": mode }))
}

fn write_mode(server: &Server, headers: &HeaderMap, subject: Option<&str>, sent: &Bytes) -> Answered {
    allowed(&server.caller(headers)?, Operation::WriteCompatibility, subject)?;
    let asked: ModeBody = body(headers, sent)?;
    let mode = match asked.mode.to_ascii_uppercase().as_str() {
        "READWRITE" => Mode::ReadWrite,
        "READONLY" => Mode::ReadOnly,
        _ => return Err(Fault::invalid_mode()),
    };
    server.registry.lock().set_mode(subject, Some(mode))?;
    Ok(json!({ "mode": mode }))
}

fn remove_mode(server: &Server, headers: &HeaderMap, subject: &str) -> Answered {
    allowed(&server.caller(headers)?, Operation::WriteCompatibility, Some(subject))?;
    let mut store = server.registry.lock();
    let before = store.mode(Some(subject), false)?;
    store.set_mode(Some(subject), None)?;
    Ok(json!({ "mode": before }))
}

pub(super) async fn level(server: Server, headers: HeaderMap, Query(options): Query<Options>) -> Response {
    respond(read_level(&server, &headers, None, &options))
}

pub(super) async fn set_level(server: Server, headers: HeaderMap, sent: Bytes) -> Response {
    respond(write_level(&server, &headers, None, &sent))
}

pub(super) async fn unset_level(server: Server, headers: HeaderMap) -> Response {
    respond(remove_level(&server, &headers, None))
}

pub(super) async fn subject_level(
    server: Server,
    Path(subject): Path<String>,
    headers: HeaderMap,
    Query(options): Query<Options>,
) -> Response {
    respond(read_level(&server, &headers, Some(&subject), &options))
}

pub(super) async fn set_subject_level(
    server: Server,
    Path(subject): Path<String>,
    headers: HeaderMap,
    sent: Bytes,
) -> Response {
    respond(write_level(&server, &headers, Some(&subject), &sent))
}

pub(super) async fn unset_subject_level(server: Server, Path(subject): Path<String>, headers: HeaderMap) -> Response {
    respond(remove_level(&server, &headers, Some(&subject)))
}

pub(super) async fn mode(server: Server, headers: HeaderMap, Query(options): Query<Options>) -> Response {
    respond(read_mode(&server, &headers, None, &options))
}

pub(super) async fn set_mode(server: Server, headers: HeaderMap, sent: Bytes) -> Response {
    respond(write_mode(&server, &headers, None, &sent))
}

pub(super) async fn subject_mode(
    server: Server,
    Path(subject): Path<String>,
    headers: HeaderMap,
    Query(options): Query<Options>,
) -> Response {
    respond(read_mode(&server, &headers, Some(&subject), &options))
}

pub(super) async fn set_subject_mode(
    server: Server,
    Path(subject): Path<String>,
    headers: HeaderMap,
    sent: Bytes,
) -> Response {
    respond(write_mode(&server, &headers, Some(&subject), &sent))
}

pub(super) async fn unset_subject_mode(server: Server, Path(subject): Path<String>, headers: HeaderMap) -> Response {
    respond(remove_mode(&server, &headers, &subject))
}
