//! From keys to the Schema Registry client's settings.

use std::time::Duration;

use oauth::{ClientCredentials, TokenSource};
use schema_registry::{RegistryAuth, RegistryConfig};
use secrecy::{ExposeSecret, SecretString};
use tls::TlsOptions;

use super::{Config, ConfigError};

const URL: &str = "schema.registry.url";
const BASIC_SOURCE: &str = "basic.auth.credentials.source";
const USER_INFO: &str = "basic.auth.user.info";
const BEARER_SOURCE: &str = "bearer.auth.credentials.source";
const BEARER_ENDPOINT: &str = "bearer.auth.issuer.endpoint.url";

#[derive(Debug, Clone, Copy)]
enum Basic {
    Url,
    UserInfo,
    SaslInherit,
}

#[derive(Debug, Clone, Copy)]
enum Bearer {
    Oauth,
    Static,
    SaslInherit,
}

const BASIC: &[(&str, Basic)] =
    &[("URL", Basic::Url), ("USER_INFO", Basic::UserInfo), ("SASL_INHERIT", Basic::SaslInherit)];

const BEARER: &[(&str, Bearer)] = &[
    ("OAUTHBEARER", Bearer::Oauth),
    ("STATIC_TOKEN", Bearer::Static),
    ("SASL_OAUTHBEARER_INHERIT", Bearer::SaslInherit),
];

impl Config {
    /// The registry client's settings. Must be called inside a runtime when the login is by token.
    ///
    /// # Errors
    /// A key that is missing, contradicts another or has a value it does not take.
    pub fn registry(&self) -> Result<RegistryConfig, ConfigError> {
        let urls = self.text(URL).ok_or_else(|| ConfigError::Missing {
            key: URL,
            reason: "SCHEMA_REGISTRY_URL sets it too; several are separated by commas".to_owned(),
        })?;
        let urls: Vec<&str> = urls.split(',').map(str::trim).filter(|url| !url.is_empty()).collect();
        if !urls.iter().all(|url| url.starts_with("http://") || url.starts_with("https://")) || urls.is_empty() {
            return Err(self.refused(URL, "each URL starts with http:// or https://".to_owned()));
        }
        let mut registry = RegistryConfig::new(urls);
        registry.auth = self.registry_auth()?;
        let own = self.file("schema.registry.ssl.ca.location", "schema.registry.ssl.truststore.location")?;
        let ca_file = match own {
            Some(path) => Some(path),
            None => self.file("ssl.ca.location", "ssl.truststore.location")?,
        };
        registry.tls = TlsOptions { ca_file, provider: self.provider()?, ..TlsOptions::default() };
        let timeout: &mut Duration = &mut registry.request_timeout;
        *timeout = self.milliseconds("schema.registry.request.timeout.ms")?.unwrap_or(*timeout);
        Ok(registry)
    }

    fn registry_auth(&self) -> Result<RegistryAuth, ConfigError> {
        let basic = self.choice(BASIC_SOURCE, BASIC)?;
        let bearer = self.choice(BEARER_SOURCE, BEARER)?;
        // Whoever gives the pair means it to be used.
        let basic = basic.or_else(|| self.text(USER_INFO).map(|_| Basic::UserInfo));
        match (basic, bearer) {
            (None | Some(Basic::Url), None) => Ok(RegistryAuth::None),
            (Some(Basic::UserInfo), None) => self.user_info(),
            (Some(Basic::SaslInherit), None) => self.basic_of_sasl(),
            (None, Some(source)) => Ok(RegistryAuth::Bearer {
                tokens: self.registry_tokens(source)?,
                logical_cluster: self.text("bearer.auth.logical.cluster").map(str::to_owned),
                identity_pool: self.text("bearer.auth.identity.pool.id").map(str::to_owned),
            }),
            (Some(_), Some(_)) => {
                let basic_key = if self.text(BASIC_SOURCE).is_some() { BASIC_SOURCE } else { USER_INFO };
                Err(self.contradiction(basic_key, BEARER_SOURCE, "the registry takes one login; keep one"))
            }
        }
    }

    fn user_info(&self) -> Result<RegistryAuth, ConfigError> {
        let pair = self.registry_secret(USER_INFO, "basic.auth.credentials.source=USER_INFO")?;
        let Some((username, password)) = pair.expose_secret().split_once(':') else {
            return Err(self.refused(USER_INFO, "it is KEY:SECRET".to_owned()));
        };
        Ok(RegistryAuth::Basic { username: username.to_owned(), password: SecretString::from(password) })
    }

    fn basic_of_sasl(&self) -> Result<RegistryAuth, ConfigError> {
        match self.sasl()? {
            kafka::Sasl::Plain { username, password } => Ok(RegistryAuth::Basic { username, password }),
            kafka::Sasl::OauthBearer { .. } => {
                let reason =
                    "SASL has no user name; bearer.auth.credentials.source=SASL_OAUTHBEARER_INHERIT takes its token";
                Err(self.refused(BASIC_SOURCE, reason.to_owned()))
            }
        }
    }

    fn registry_tokens(&self, source: Bearer) -> Result<TokenSource, ConfigError> {
        match source {
            Bearer::SaslInherit => self.tokens(),
            Bearer::Static => {
                let token = self.registry_secret("bearer.auth.token", "bearer.auth.credentials.source=STATIC_TOKEN")?;
                Ok(TokenSource::fixed(token))
            }
            Bearer::Oauth => {
                let by = "bearer.auth.credentials.source=OAUTHBEARER";
                let mut grant = ClientCredentials::new(
                    self.registry_secret(BEARER_ENDPOINT, by)?.expose_secret(),
                    self.registry_secret("bearer.auth.client.id", by)?.expose_secret(),
                    self.registry_secret("bearer.auth.client.secret", by)?,
                );
                grant.keys = oauth::Keys::REGISTRY;
                grant.scope = self.text("bearer.auth.scope").map(str::to_owned);
                self.grant_details(&mut grant)?;
                TokenSource::client_credentials(grant).map_err(|error| self.refused(BEARER_ENDPOINT, error.to_string()))
            }
        }
    }

    fn registry_secret(&self, key: &'static str, needed_by: &str) -> Result<SecretString, ConfigError> {
        self.secret(key).ok_or_else(|| ConfigError::Missing { key, reason: format!("{needed_by} needs it") })
    }
}
