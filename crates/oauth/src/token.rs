//! One access token and how long it lives.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};

/// An access token. Cloning shares it; the last clone wipes it.
#[derive(Clone)]
pub struct Token {
    secret: Arc<SecretString>,
    issued_at: Option<SystemTime>,
    expires_at: Option<SystemTime>,
}

impl Token {
    /// Reads the token's life from itself if it is a JWT with `exp`, else takes `expires_in` from `now` on (RFC 6749,
    /// section 5.1). The signature is not looked at.
    pub(crate) fn new(secret: SecretString, expires_in: Option<Duration>, now: SystemTime) -> Self {
        let claims = claims(secret.expose_secret());
        let time = |name: &str| {
            let seconds = claims.as_ref()?.get(name)?;
            let seconds = seconds.as_u64().or_else(|| seconds.as_f64().map(|seconds| seconds as u64))?;
            SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
        };
        let expires_at = time("exp").or_else(|| now.checked_add(expires_in?));
        Self { secret: Arc::new(secret), issued_at: time("iat"), expires_at }
    }

    /// The token itself, to be sent and not to be shown.
    pub fn secret(&self) -> &str {
        self.secret.expose_secret()
    }

    /// When it ends, if anybody said.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.expires_at
    }

    /// When it was issued, if it says.
    pub fn issued_at(&self) -> Option<SystemTime> {
        self.issued_at
    }

    /// What it has left at `now`: zero once it is over, `None` if it has no known end.
    pub fn remaining(&self, now: SystemTime) -> Option<Duration> {
        self.expires_at.map(|at| at.duration_since(now).unwrap_or_default())
    }

    /// Whether it has at least `min` left, and anything at all.
    pub(crate) fn lives(&self, min: Duration, now: SystemTime) -> bool {
        self.remaining(now).is_none_or(|left| !left.is_zero() && left >= min)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("secret", &"[REDACTED]")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// The payload of a JWT (RFC 7519), unverified; `None` for an opaque token.
fn claims(token: &str) -> Option<serde_json::Value> {
    let mut parts = token.split('.');
    let (_header, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&payload).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(payload: &str) -> SecretString {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.sig", encode(r#"{"alg":"ES256"}"#), encode(payload)).into()
    }

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1000)
    }

    #[test]
    fn a_jwts_own_end_counts_before_what_the_answer_says() {
        let token = Token::new(jwt(r#"{"exp":1600,"iat":900}"#), Some(Duration::from_secs(5)), now());
        assert_eq!(token.remaining(now()), Some(Duration::from_secs(600)));
        assert_eq!(token.issued_at(), Some(SystemTime::UNIX_EPOCH + Duration::from_secs(900)));
    }

    #[test]
    fn an_opaque_token_lives_as_long_as_the_answer_says_or_for_ever() {
        let opaque = || SecretString::from("opaque");
        assert_eq!(
            Token::new(opaque(), Some(Duration::from_secs(5)), now()).remaining(now()),
            Some(Duration::from_secs(5))
        );
        assert_eq!(Token::new(opaque(), None, now()).remaining(now()), None);
    }

    #[test]
    fn a_token_past_its_end_has_nothing_left_and_does_not_live() {
        let token = Token::new(jwt(r#"{"exp":999}"#), None, now());
        assert_eq!(token.remaining(now()), Some(Duration::ZERO));
        assert!(!token.lives(Duration::ZERO, now()));
    }

    #[test]
    fn claims_that_make_no_sense_are_no_claims() {
        for payload in [r#"{"exp":"soon"}"#, r#"{"exp":-5}"#, "[]", r#"{"exp":1e300}"#] {
            let _ = Token::new(jwt(payload), None, now()).remaining(now());
        }
        assert!(claims("a.b").is_none() && claims("a.b.c.d").is_none() && claims("").is_none());
    }

    #[test]
    fn debug_does_not_show_it() {
        let token = Token::new("s3cret".to_owned().into(), None, now());
        assert!(!format!("{token:?}").contains("s3cret"));
    }
}
