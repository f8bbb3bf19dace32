//! Access tokens for Kafka and the registry.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

/// An access token.
#[derive(Clone, Debug)]
pub struct Token {
    secret: Arc<SecretString>,
    expires_at: Option<SystemTime>,
}

/// No token to be had.
#[derive(Debug, Error)]
pub enum TokenError {
    /// The file with the token cannot be read.
    #[error("{path}: {problem}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        problem: std::io::Error,
    },
}

impl TokenError {
    /// Whether waiting may mend it.
    pub fn is_retriable(&self) -> bool {
        true
    }
}

/// Where tokens come from. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TokenSource(Arc<Origin>);

#[derive(Debug)]
enum Origin {
    Fixed(Token),
    File(PathBuf),
}

impl TokenSource {
    /// Always this token.
    pub fn fixed(secret: SecretString) -> Self {
        Self(Arc::new(Origin::Fixed(Token::new(secret))))
    }

    /// Whatever the file holds when asked.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Arc::new(Origin::File(path.into())))
    }

    /// A token.
    ///
    /// # Errors
    /// If there is none.
    pub async fn token(&self) -> Result<Token, TokenError> {
        match &*self.0 {
            Origin::Fixed(token) => Ok(token.clone()),
            Origin::File(path) => match std::fs::read_to_string(path) {
                Ok(text) => Ok(Token::new(text.trim().to_owned().into())),
                Err(problem) => Err(TokenError::File { path: path.clone(), problem }),
            },
        }
    }

    /// A token with at least so much life left, where one can be had.
    ///
    /// # Errors
    /// If there is none.
    pub async fn token_with_life(&self, _min: Duration) -> Result<Token, TokenError> {
        self.token().await
    }

    /// Says that this token was refused.
    pub fn invalidate(&self, _refused: &Token) {}
}

impl Token {
    fn new(secret: SecretString) -> Self {
        let expires_at = expiry(secret.expose_secret());
        Self { secret: Arc::new(secret), expires_at }
    }

    /// The token itself.
    pub fn secret(&self) -> &str {
        self.secret.expose_secret()
    }

    /// When it ends, if it says.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.expires_at
    }

    /// What it has left; zero once it is over.
    pub fn remaining(&self, now: SystemTime) -> Option<Duration> {
        self.expires_at.map(|at| at.duration_since(now).unwrap_or_default())
    }
}

fn expiry(jwt: &str) -> Option<SystemTime> {
    let payload = URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1)?).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&payload).ok()?;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(claims.get("exp")?.as_u64()?))
}
