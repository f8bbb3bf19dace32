//! Where access tokens come from: a static one, a file, or an identity provider.

use std::collections::BTreeMap;
use std::time::Duration;

use oauth::{ClientAuthentication, ClientCredentials, TokenSource};
use secrecy::{ExposeSecret, SecretString};
use tls::TlsOptions;

use super::{Config, ConfigError};

const ENDPOINT: &str = "sasl.oauthbearer.token.endpoint.url";
const FIXED: &str = "sasl.oauthbearer.token";
const PARAMETERS: &str = "sasl.oauthbearer.token.endpoint.parameters";

/// Where a client shows its id and secret, as OpenID Connect calls it.
const AUTHENTICATION: &[(&str, ClientAuthentication)] =
    &[("client_secret_basic", ClientAuthentication::Header), ("client_secret_post", ClientAuthentication::Body)];

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
        let scope = self.secret_or_jaas("sasl.oauthbearer.scope", "scope")?;
        let mut grant = ClientCredentials::new(
            endpoint,
            self.login("sasl.oauthbearer.client.id", "clientId", "CLIENT_ID")?.expose_secret(),
            self.login("sasl.oauthbearer.client.secret", "clientSecret", "CLIENT_SECRET")?,
        );
        grant.scope = scope.map(|scope| scope.expose_secret().to_owned());
        self.grant_details(&mut grant)?;
        TokenSource::client_credentials(grant).map_err(|error| self.refused(ENDPOINT, error.to_string()))
    }

    /// What brokers and a registry with a login of its own have in common: how requests are made.
    pub(super) fn grant_details(&self, grant: &mut ClientCredentials) -> Result<(), ConfigError> {
        let authentication = self.choice("sasl.oauthbearer.client.authentication", AUTHENTICATION)?;
        grant.authentication = authentication.unwrap_or_default();
        grant.header_urlencode = self.boolean("sasl.oauthbearer.header.urlencode")?.unwrap_or(false);
        grant.parameters = self.form_parameters()?;
        let waits: [(&str, &mut Duration); 4] = [
            ("sasl.login.connect.timeout.ms", &mut grant.connect_timeout),
            ("sasl.login.read.timeout.ms", &mut grant.request_timeout),
            ("sasl.login.retry.backoff.ms", &mut grant.retry_backoff),
            ("sasl.login.retry.backoff.max.ms", &mut grant.retry_budget),
        ];
        for (key, wait) in waits {
            *wait = self.milliseconds(key)?.unwrap_or(*wait);
        }
        // librdkafka trusts https.ca.location for the identity provider; without it brokers' CA file serves for both.
        let own = self.file("https.ca.location", "https.ca.location")?;
        let ca_file = match own {
            Some(path) => Some(path),
            None => self.file("ssl.ca.location", "ssl.truststore.location")?,
        };
        grant.tls = TlsOptions { ca_file, provider: self.provider()?, ..TlsOptions::default() };
        Ok(())
    }

    fn form_parameters(&self) -> Result<BTreeMap<String, String>, ConfigError> {
        let mut parameters = BTreeMap::new();
        for pair in self.text(PARAMETERS).unwrap_or_default().split(',').filter(|pair| !pair.trim().is_empty()) {
            let Some((name, value)) = pair.split_once('=') else {
                let reason = "each parameter is name=value, separated by commas, such as audience=grocery".to_owned();
                return Err(self.refused(PARAMETERS, reason));
            };
            parameters.insert(name.trim().to_owned(), value.trim().to_owned());
        }
        Ok(parameters)
    }

    fn login(&self, key: &'static str, option: &str, variable: &str) -> Result<SecretString, ConfigError> {
        self.secret_or_jaas(key, option)?.ok_or_else(|| ConfigError::Missing {
            key,
            reason: format!("the login by OAUTHBEARER needs it; {variable} sets it too"),
        })
    }

    /// A key's value, else the option of a JAAS line.
    fn secret_or_jaas(&self, key: &str, option: &str) -> Result<Option<SecretString>, ConfigError> {
        if let Some(value) = self.secret(key) {
            return Ok(Some(value));
        }
        Ok(self.jaas("OAuthBearerLoginModule")?.and_then(|jaas| jaas.option(option).cloned()))
    }
}
