//! Access tokens: fetched by OIDC client credentials, read from a file, or given.
//!
//! A [`TokenSource`] is asked for a token whenever someone logs in: Kafka connections (SASL/OAUTHBEARER) and the Schema
//! Registry client (Bearer). It answers from memory; a background task replaces the token at 80 to 85 % of its life, one
//! fetch serves however many wait, and a token that could not be replaced is used as long as it lives.
//!
//! What this crate is not: it does not verify tokens, which is for those who receive them.

mod error;
mod grant;
mod schedule;
mod source;
mod token;

pub use error::TokenError;
pub use grant::{ClientAuthentication, ClientCredentials, Keys};
pub use schedule::RefreshSchedule;
pub use source::TokenSource;
pub use token::Token;
