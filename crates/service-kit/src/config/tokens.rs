//! Where access tokens come from: a static one, a file, or an identity provider.

use oauth::TokenSource;

use super::{Config, ConfigError};

const ENDPOINT: &str = "sasl.oauthbearer.token.endpoint.url";
const FIXED: &str = "sasl.oauthbearer.token";

impl Config {
    /// The one source of tokens for brokers, and for a registry that inherits it. Must be called inside a runtime.
    ///
    /// # Errors
    /// A key that is missing, contradicts another or has a value it does not take.
    pub fn tokens(&self) -> Result<TokenSource, ConfigError> {
        if let Some(tokens) = self.tokens.get() {
            return Ok(tokens.clone());
        }
        let tokens = self.new_tokens()?;
        Ok(self.tokens.get_or_init(|| tokens).clone())
    }

    fn new_tokens(&self) -> Result<TokenSource, ConfigError> {
        let endpoint = self.text(ENDPOINT);
        if let Some(token) = self.secret(FIXED) {
            if endpoint.is_some() {
                return Err(self.contradiction(FIXED, ENDPOINT, "tokens come from one of them; keep one"));
            }
            return Ok(TokenSource::fixed(token));
        }
        let endpoint = endpoint.ok_or_else(|| ConfigError::Missing {
            key: ENDPOINT,
            reason: "OAUTHBEARER needs it; OAUTH_TOKEN_URL sets it too".to_owned(),
        })?;
        if let Some(path) = endpoint.strip_prefix("file:") {
            return Ok(TokenSource::file(path.strip_prefix("//").unwrap_or(path)));
        }
        Err(self.refused(ENDPOINT, "identity providers are not supported yet".to_owned()))
    }
}
