//! The registry's errors: HTTP status, code and words as Confluent's server has them.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::http::answer;

/// A request that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) status: StatusCode,
    pub(crate) code: i32,
    pub(crate) message: String,
}

impl Fault {
    fn new(status: StatusCode, code: i32, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    fn missing(code: i32, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    fn unprocessable(code: i32, message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, message)
    }

    pub(crate) fn no_subject(subject: &str) -> Self {
        Self::missing(40401, format!("Subject '{subject}' not found."))
    }

    pub(crate) fn no_version(version: impl std::fmt::Display) -> Self {
        Self::missing(40402, format!("Version {version} not found."))
    }

    pub(crate) fn no_schema() -> Self {
        Self::missing(40403, "Schema not found")
    }

    pub(crate) fn no_schema_id(id: impl std::fmt::Display) -> Self {
        Self::missing(40403, format!("Schema {id} not found"))
    }

    pub(crate) fn subject_deleted(subject: &str) -> Self {
        let message = format!("Subject '{subject}' was soft deleted. Set permanent=true to delete permanently");
        Self::missing(40404, message)
    }

    pub(crate) fn subject_not_deleted(subject: &str) -> Self {
        Self::missing(40405, format!("Subject '{subject}' was not deleted first before being permanently deleted"))
    }

    pub(crate) fn version_deleted(subject: &str, version: i32) -> Self {
        let message =
            format!("Subject '{subject}' Version {version} was soft deleted. Set permanent=true to delete permanently");
        Self::missing(40406, message)
    }

    pub(crate) fn version_not_deleted(subject: &str, version: i32) -> Self {
        let message =
            format!("Subject '{subject}' Version {version} was not deleted first before being permanently deleted");
        Self::missing(40407, message)
    }

    pub(crate) fn no_subject_level(subject: &str) -> Self {
        Self::missing(40408, format!("Subject '{subject}' does not have subject-level compatibility configured"))
    }

    pub(crate) fn no_subject_mode(subject: &str) -> Self {
        Self::missing(40409, format!("Subject '{subject}' does not have subject-level mode configured"))
    }

    /// The code that servers have sent since 8.2; the status is what clients should go by.
    pub(crate) fn incompatible(subject: &str, details: &[String]) -> Self {
        let message = format!(
            "Schema being registered is incompatible with an earlier schema for subject \"{subject}\", details: [{}]",
            details.join(", ")
        );
        Self::new(StatusCode::CONFLICT, 40901, message)
    }

    pub(crate) fn invalid_schema(reason: impl std::fmt::Display) -> Self {
        Self::unprocessable(42201, format!("Invalid schema: {reason}"))
    }

    pub(crate) fn invalid_version(version: &str) -> Self {
        let message = format!(
            "The specified version '{version}' is not a valid version id. Allowed values are between [1, 2^31-1] and the \
             string \"latest\""
        );
        Self::unprocessable(42202, message)
    }

    pub(crate) fn invalid_level() -> Self {
        let levels = "none, backward, forward, full, backward_transitive, forward_transitive, and full_transitive";
        Self::unprocessable(42203, format!("Invalid compatibility level. Valid values are {levels}"))
    }

    pub(crate) fn invalid_mode() -> Self {
        Self::unprocessable(42204, "Invalid mode. Valid values are READWRITE, READONLY")
    }

    pub(crate) fn read_only(subject: &str) -> Self {
        Self::unprocessable(42205, format!("Subject {subject} is in read-only mode"))
    }

    pub(crate) fn referenced(subject: &str, version: i32) -> Self {
        let message = format!(
            "One or more references exist to the schema {{magic=1,keytype=SCHEMA,subject={subject},version={version}}}."
        );
        Self::unprocessable(42206, message)
    }

    pub(crate) fn invalid_subject(subject: &str) -> Self {
        Self::unprocessable(42208, format!("The specified subject '{subject}' is not a valid."))
    }

    pub(crate) fn full(what: &str) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, 50001, format!("The sandbox keeps no more {what}"))
    }

    pub(crate) fn malformed(reason: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, 400, format!("Unrecognized request: {reason}"))
    }

    pub(crate) fn unauthorized(reason: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, 401, format!("Unauthorized: {reason}"))
    }

    pub(crate) fn denied(operation: &str, resource: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, 40301, format!("User is denied operation {operation} on {resource}"))
    }

    pub(crate) fn other(status: StatusCode, message: &str) -> Self {
        Self::new(status, i32::from(status.as_u16()), message)
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        answer(self.status, &json!({ "error_code": self.code, "message": self.message }))
    }
}
