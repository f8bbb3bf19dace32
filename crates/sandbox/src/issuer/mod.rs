//! An OpenID provider for machines: discovery, keys, and tokens by client credentials.
//!
//! It signs JWTs with ES256 (RFC 7518) under a key made at start, and verifies them for the broker and the registry the
//! way a real broker does: signature, issuer, audience, both times. Its state is fixed once started, but for the tokens'
//! lifetime, which an operator may want short.

mod http;
mod jwt;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use thiserror::Error;

use self::jwt::{Claims, Keys};

/// What an issuer is told at start.
#[derive(Debug, Clone)]
pub struct IssuerConfig {
    /// The URL under which it is reached, without a slash at its end; `iss` of its tokens.
    pub url: String,
    /// `aud` of its tokens.
    pub audience: String,
    /// How long its tokens live.
    pub token_lifetime: Duration,
    /// Secrets by client id.
    pub clients: BTreeMap<String, String>,
}

/// The provider. Cheap to clone.
#[derive(Clone)]
pub struct Issuer {
    inner: Arc<Inner>,
}

struct Inner {
    config: IssuerConfig,
    keys: Keys,
}

/// A token that this issuer signed and that has not expired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedToken {
    /// `sub`: the client id.
    pub subject: String,
    /// `exp`.
    pub expires_at: SystemTime,
}

/// Why a token is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TokenRefusal {
    /// Not three parts of JSON in base64url.
    #[error("it is not a JWT")]
    Malformed,
    /// Another algorithm, `none` included.
    #[error("it is signed with {0}, not ES256")]
    Algorithm(String),
    /// A key that this issuer does not have.
    #[error("its key id {0:?} is unknown")]
    UnknownKey(String),
    /// The signature is not this key's over this text.
    #[error("its signature is wrong")]
    Signature,
    /// Another issuer's.
    #[error("it is issued by {0}")]
    Issuer(String),
    /// For someone else.
    #[error("it is not for the audience {0}")]
    Audience(String),
    /// Over.
    #[error("it expired")]
    Expired,
    /// Issued in the future.
    #[error("it was issued in the future")]
    Future,
}

impl Issuer {
    /// An issuer with a new key.
    pub fn new(config: IssuerConfig) -> Self {
        Self { inner: Arc::new(Inner { config, keys: Keys::new() }) }
    }

    /// Where clients get tokens: `sasl.oauthbearer.token.endpoint.url`.
    pub fn token_url(&self) -> String {
        format!("{}/token", self.inner.config.url)
    }

    /// What it was told at start.
    pub fn config(&self) -> &IssuerConfig {
        &self.inner.config
    }

    /// Its pages: `/.well-known/openid-configuration`, `/jwks` and `/token`.
    pub fn router(&self) -> axum::Router {
        http::router(self.clone())
    }

    /// A token for a client that has shown who it is.
    pub fn issue(&self, client: &str, scope: Option<&str>, now: SystemTime) -> String {
        let issued = seconds(now);
        self.inner.keys.sign(&Claims {
            iss: self.inner.config.url.clone(),
            sub: client.to_owned(),
            aud: self.inner.config.audience.clone(),
            iat: issued,
            exp: issued + self.inner.config.token_lifetime.as_secs().max(1),
            jti: uuid::Uuid::new_v4().to_string(),
            client_id: client.to_owned(),
            scope: scope.map(str::to_owned),
        })
    }

    /// Checks a token as of `now`.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn verify(&self, jwt: &str, now: SystemTime) -> Result<VerifiedToken, TokenRefusal> {
        let claims = self.inner.keys.verify(jwt)?;
        let config = &self.inner.config;
        if claims.iss != config.url {
            return Err(TokenRefusal::Issuer(claims.iss));
        }
        if claims.aud != config.audience {
            return Err(TokenRefusal::Audience(config.audience.clone()));
        }
        let now = seconds(now);
        if claims.exp <= now {
            return Err(TokenRefusal::Expired);
        }
        if claims.iat > now {
            return Err(TokenRefusal::Future);
        }
        let expires_at = SystemTime::UNIX_EPOCH + Duration::from_secs(claims.exp.min(u32::MAX.into()));
        Ok(VerifiedToken { subject: claims.sub, expires_at })
    }

    fn knows(&self, client: &str, secret: &str) -> bool {
        self.inner.config.clients.get(client).is_some_and(|known| same(known.as_bytes(), secret.as_bytes()))
    }
}

/// Compares without telling by its time how much of a guess was right.
fn same(known: &[u8], given: &[u8]) -> bool {
    known.len() == given.len() && known.iter().zip(given).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_700_000_000);

    fn at(offset: i64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(NOW.as_secs().saturating_add_signed(offset))
    }

    fn issuer() -> Issuer {
        Issuer::new(IssuerConfig {
            url: "https://localhost:1".to_owned(),
            audience: "grocery".to_owned(),
            token_lifetime: Duration::from_secs(20),
            clients: BTreeMap::from([("order-producer".to_owned(), "secret".to_owned())]),
        })
    }

    #[test]
    fn a_token_is_good_until_its_end() {
        let issuer = issuer();
        let token = issuer.issue("order-producer", None, at(0));
        let verified = issuer.verify(&token, at(19)).unwrap();
        assert_eq!((verified.subject.as_str(), verified.expires_at), ("order-producer", at(20)));
        assert_eq!(issuer.verify(&token, at(20)), Err(TokenRefusal::Expired));
        assert_eq!(issuer.verify(&token, at(-1)), Err(TokenRefusal::Future));
    }

    #[test]
    fn a_token_of_another_key_or_changed_on_the_way_is_refused() {
        let token = issuer().issue("order-producer", None, at(0));
        assert!(matches!(issuer().verify(&token, at(0)), Err(TokenRefusal::UnknownKey(_))));

        let issuer = issuer();
        let token = issuer.issue("order-producer", None, at(0));
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let (header, payload) = signed.split_once('.').unwrap();
        let other = issuer.issue("operator", None, at(0));
        let forged = format!("{header}.{}.{signature}", other.split('.').nth(1).unwrap());
        assert_eq!(issuer.verify(&forged, at(0)), Err(TokenRefusal::Signature));
        let none = format!("eyJhbGciOiJub25lIn0.{payload}.");
        assert_eq!(issuer.verify(&none, at(0)), Err(TokenRefusal::Algorithm("none".to_owned())));
        for nonsense in ["", ".", "..", "a.b.c", "a.b.c.d"] {
            assert_eq!(issuer.verify(nonsense, at(0)), Err(TokenRefusal::Malformed), "{nonsense}");
        }
    }

    #[test]
    fn only_the_right_secret_is_the_right_secret() {
        let issuer = issuer();
        assert!(issuer.knows("order-producer", "secret"));
        for (client, secret) in [("order-producer", "secre"), ("order-producer", ""), ("nobody", "secret"), ("", "")] {
            assert!(!issuer.knows(client, secret), "{client} {secret}");
        }
    }
}
