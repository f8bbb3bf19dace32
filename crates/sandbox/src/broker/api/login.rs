//! SaslHandshake and SaslAuthenticate.

use std::time::SystemTime;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{
    ApiKey, SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};

use super::super::Broker;
use super::super::sasl::{Login, MECHANISM};
use super::{Answer, Request, Unanswerable, text, versions};

/// Takes one step of the login.
pub(in super::super) fn log_in(
    broker: &Broker,
    login: &mut Login,
    request: &Request,
    now: SystemTime,
) -> Result<Answer, Unanswerable> {
    if !versions::is_offered(request.api_key, request.version) {
        return Err(Unanswerable::Version { api: request.api_key, version: request.version });
    }
    if request.api_key == ApiKey::SaslHandshake {
        let message: SaslHandshakeRequest = request.decode()?;
        let Some(result) = login.handshake(&message.mechanism, now) else {
            return Err(request.malformed("a handshake in the middle of a login"));
        };
        if request.version == 0 {
            login.expect_bare_tokens();
        }
        let mut response = SaslHandshakeResponse::default().with_mechanisms(vec![text(MECHANISM)]);
        response.error_code = result.err().map_or(0, |error| error.code());
        return request.encode(&response, request.version);
    }
    let message: SaslAuthenticateRequest = request.decode()?;
    let Some(outcome) = login.authenticate(&message.auth_bytes, &*broker.verify, &broker.rules, now) else {
        return Err(request.malformed("a login that has already failed, or that did not begin with a handshake"));
    };
    let response = SaslAuthenticateResponse::default()
        .with_error_code(outcome.error.map_or(0, |error| error.code()))
        .with_error_message(outcome.message.map(text))
        .with_auth_bytes(outcome.bytes.into())
        .with_session_lifetime_ms(outcome.session_lifetime.as_millis() as i64);
    request.encode(&response, request.version)
}

/// A login where none is taken, or none is due: Kafka says so and goes on.
pub(in super::super) fn refuse_login(request: &Request) -> Result<Answer, Unanswerable> {
    if !versions::is_offered(request.api_key, request.version) {
        return Err(Unanswerable::Version { api: request.api_key, version: request.version });
    }
    let illegal = ResponseError::IllegalSaslState.code();
    if request.api_key == ApiKey::SaslHandshake {
        let _: SaslHandshakeRequest = request.decode()?;
        return request.encode(&SaslHandshakeResponse::default().with_error_code(illegal), request.version);
    }
    let _: SaslAuthenticateRequest = request.decode()?;
    let response = SaslAuthenticateResponse::default().with_error_code(illegal).with_error_message(Some(text(
        "This listener takes no login; set security.protocol=PLAINTEXT (or SSL) for it.",
    )));
    request.encode(&response, request.version)
}
