//! Logging in to a broker, and staying logged in on the same connection (KIP-368).
//!
//! SaslHandshake names the mechanism, SaslAuthenticate carries its messages; both are ordinary requests to the messenger.
//! The exchange runs on a [`HeldConnection`]: from the handshake to the last answer a broker accepts nothing else.

mod error;
mod keeper;
mod message;
mod session;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest};
use kafka_protocol::protocol::StrBytes;
use oauth::Token;
use secrecy::ExposeSecret;
use tokio::time::Instant;

pub use error::AuthenticationError;
pub(crate) use keeper::keep_authenticated;
pub(crate) use message::validate;
pub(crate) use session::Session;

use crate::config::Sasl;
use crate::connection::HeldConnection;
use crate::error::ErrorCode;

/// A token with less life than this is not worth presenting: a clock that is off could make it expired on arrival, which
/// a broker that allows for skew accepts and then cuts off at the next request.
const MIN_TOKEN_LIFE: Duration = Duration::from_secs(10);

/// What OAUTHBEARER wants to hear after it refused a token, before it says why (RFC 7628, section 3.2.3).
const GO_ON: &[u8] = &[0x01];

/// How this client logs in, wherever it connects to.
pub(crate) struct Login {
    sasl: Sasl,
    /// `client.id`, for messages.
    client_id: Arc<str>,
}

impl Login {
    pub(crate) fn new(sasl: Sasl, client_id: Arc<str>) -> Self {
        Self { sasl, client_id }
    }

    /// Makes sure that a token with at least `min_life` is at hand, so that [`authenticate`](Self::authenticate) need not
    /// fetch one while it keeps a connection to itself.
    pub(crate) async fn prepare(&self, min_life: Duration) -> Result<Option<Token>, AuthenticationError> {
        match &self.sasl {
            Sasl::Plain { .. } => Ok(None),
            Sasl::OauthBearer { tokens, .. } => {
                tokens.token_with_life(min_life).await.map(Some).map_err(|e| AuthenticationError::Token(Arc::new(e)))
            }
        }
    }

    /// Tells the token source that a broker refused this token.
    pub(crate) fn refused(&self, token: &Token) {
        if let Sasl::OauthBearer { tokens, .. } = &self.sasl {
            tokens.invalidate(token);
        }
    }

    /// The life that a token should have left, given how long the broker's sessions last.
    pub(crate) fn min_life(session_lifetime: Option<Duration>) -> Duration {
        // Where tokens live for seconds, asking for more than half of that would fetch one each time.
        session_lifetime.filter(|life| !life.is_zero()).map_or(MIN_TOKEN_LIFE, |life| MIN_TOKEN_LIFE.min(life / 2))
    }

    /// One exchange from handshake to outcome with the token that [`prepare`](Self::prepare) returned.
    ///
    /// # Errors
    /// [`AuthenticationError::Refused`] if the broker does not accept who we say we are.
    pub(crate) async fn authenticate(
        &self,
        held: &HeldConnection<'_>,
        token: Option<&Token>,
    ) -> Result<Session, AuthenticationError> {
        let (mechanism, first) = match (&self.sasl, token) {
            (Sasl::Plain { username, password }, _) => ("PLAIN", message::plain(username, password.expose_secret())),
            (Sasl::OauthBearer { extensions, .. }, Some(token)) => {
                ("OAUTHBEARER", message::client_first(token.secret(), extensions))
            }
            (Sasl::OauthBearer { .. }, None) => return Err(AuthenticationError::NoToken),
        };
        let began = Instant::now();
        self.handshake(held, mechanism).await?;
        let answer = held.exchange(authenticate_request(first)).await?;
        self.check(held, mechanism, &answer)?;
        if mechanism == "OAUTHBEARER" && !answer.auth_bytes.is_empty() {
            return Err(self.after_refusal(held, &answer.auth_bytes).await);
        }
        let lifetime = Duration::from_millis(u64::try_from(answer.session_lifetime_ms).unwrap_or(0));
        Ok(Session::new(began, lifetime, token.and_then(|token| token.remaining(SystemTime::now()))))
    }

    async fn handshake(&self, held: &HeldConnection<'_>, mechanism: &'static str) -> Result<(), AuthenticationError> {
        let request = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism));
        let answer = held.exchange(request).await?;
        match ErrorCode::check(answer.error_code) {
            Ok(()) => Ok(()),
            Err(ErrorCode::UNSUPPORTED_SASL_MECHANISM) => Err(AuthenticationError::Mechanism {
                broker: held.broker().to_owned(),
                mechanism,
                offered: answer.mechanisms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            }),
            Err(code) => Err(AuthenticationError::Handshake { broker: held.broker().to_owned(), code }),
        }
    }

    fn check(
        &self,
        held: &HeldConnection<'_>,
        mechanism: &'static str,
        answer: &SaslAuthenticateResponse,
    ) -> Result<(), AuthenticationError> {
        ErrorCode::check(answer.error_code).map_err(|code| {
            let said = answer.error_message.as_deref().unwrap_or_default();
            self.refusal(held, mechanism, &format!("{code}: {said}"))
        })
    }

    /// Error 0 with bytes is OAUTHBEARER's refusal. The broker waits for one byte, then says it as an error and closes.
    async fn after_refusal(&self, held: &HeldConnection<'_>, status: &Bytes) -> AuthenticationError {
        // The status is known already; whether the closing error still arrives changes nothing.
        let closing = held.exchange(authenticate_request(Bytes::from_static(GO_ON))).await;
        tracing::debug!(broker = held.broker(), closing = ?closing.map(|answer| answer.error_code), "token refused");
        self.refusal(held, "OAUTHBEARER", &String::from_utf8_lossy(status))
    }

    fn refusal(&self, held: &HeldConnection<'_>, mechanism: &'static str, status: &str) -> AuthenticationError {
        const SHOWN_CHARS: usize = 300;
        let status = status.chars().filter(|c| !c.is_control()).take(SHOWN_CHARS).collect();
        let (who, check) = match &self.sasl {
            Sasl::Plain { username, .. } => {
                (format!("username {username}"), "sasl.username and sasl.password (or sasl.jaas.config)")
            }
            Sasl::OauthBearer { extensions, .. } => {
                let mut who = format!("client {}", self.client_id);
                for (key, value) in extensions {
                    who.push_str(&format!(", {key} {value}"));
                }
                (
                    who,
                    "sasl.oauthbearer.client.id and sasl.oauthbearer.client.secret, what the token is for \
                     (sasl.oauthbearer.scope), and sasl.oauthbearer.extensions (logicalCluster, identityPoolId)",
                )
            }
        };
        AuthenticationError::Refused { broker: held.broker().to_owned(), mechanism, who, status, check }
    }
}

fn authenticate_request(auth_bytes: impl Into<Bytes>) -> SaslAuthenticateRequest {
    SaslAuthenticateRequest::default().with_auth_bytes(auth_bytes.into())
}

#[cfg(test)]
mod tests;
