//! The issuer's three pages.

use std::time::SystemTime;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::Issuer;

pub(super) fn router(issuer: Issuer) -> Router {
    Router::new()
        .route("/.well-known/openid-configuration", get(discovery))
        .route("/jwks", get(jwks))
        .route("/token", post(token))
        .with_state(issuer)
}

async fn discovery(State(issuer): State<Issuer>) -> Response {
    let url = &issuer.config().url;
    Json(json!({
        "issuer": url,
        "token_endpoint": issuer.token_url(),
        "jwks_uri": format!("{url}/jwks"),
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "response_types_supported": ["token"],
        "subject_types_supported": ["public"],
    }))
    .into_response()
}

async fn jwks(State(issuer): State<Issuer>) -> Response {
    Json(issuer.inner.keys.jwks()).into_response()
}

#[derive(Deserialize)]
struct TokenRequest {
    grant_type: Option<String>,
    scope: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
}

/// RFC 6749, section 4.4, with the errors of section 5.2.
async fn token(State(issuer): State<Issuer>, headers: HeaderMap, Form(request): Form<TokenRequest>) -> Response {
    if request.grant_type.as_deref() != Some("client_credentials") {
        return error(StatusCode::BAD_REQUEST, "unsupported_grant_type", "only client_credentials is offered");
    }
    let in_header = basic(&headers);
    let in_body = request.client_id.zip(request.client_secret);
    let shown = match (in_header, in_body) {
        (Some(_), Some(_)) => {
            return error(StatusCode::BAD_REQUEST, "invalid_request", "credentials both in the header and in the body");
        }
        (shown, None) | (None, shown) => shown,
    };
    let Some((client, _)) = shown.filter(|(client, secret)| issuer.knows(client, secret)) else {
        return error(StatusCode::UNAUTHORIZED, "invalid_client", "unknown client or wrong secret");
    };
    let scope = request.scope.filter(|scope| !scope.is_empty());
    let token = issuer.issue(&client, scope.as_deref(), SystemTime::now());
    let mut body = json!({
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": issuer.config().token_lifetime.as_secs().max(1),
    });
    if let Some(scope) = scope {
        body["scope"] = scope.into();
    }
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

fn error(status: StatusCode, error: &str, description: &str) -> Response {
    let body = Json(json!({ "error": error, "error_description": description }));
    let mut response = (status, [(header::CACHE_CONTROL, "no-store")], body).into_response();
    if status == StatusCode::UNAUTHORIZED {
        let challenge = header::HeaderValue::from_static("Basic realm=\"sandbox\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// Id and secret of the Basic header, as they are or percent-encoded as RFC 6749 has it; this issuer's own hold nothing
/// that the two could differ in but a few characters that are decoded here.
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (client, secret) = pair.split_once(':')?;
    Some((client.to_owned(), secret.to_owned()))
}
