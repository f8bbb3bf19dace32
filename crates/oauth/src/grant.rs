//! The client-credentials grant (RFC 6749, section 4.4): one POST with its retries.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use reqwest::{Client, Url, redirect};
use secrecy::zeroize::Zeroize;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tls::TlsOptions;
use tokio::time::{Instant, sleep};

use crate::{RefreshSchedule, Token, TokenError};

/// An answer longer than this is not a token.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// A provider that stumbles is not news; one that has not answered so many attempts, which is after a second or so, is.
const SAID_AFTER: u32 = 4;

/// How to ask an identity provider for tokens. The configuration keys are those of a login by SASL; a registry's login of
/// its own has others, see [`Keys`].
#[derive(Clone)]
pub struct ClientCredentials {
    /// `sasl.oauthbearer.token.endpoint.url`: http or https.
    pub token_url: String,
    /// `sasl.oauthbearer.client.id`.
    pub client_id: String,
    /// `sasl.oauthbearer.client.secret`.
    pub client_secret: SecretString,
    /// Where id and secret go.
    pub authentication: ClientAuthentication,
    /// `sasl.oauthbearer.header.urlencode`: percent-encode id and secret in the header, as RFC 6749 says and most
    /// providers do not expect.
    pub header_urlencode: bool,
    /// `sasl.oauthbearer.scope`.
    pub scope: Option<String>,
    /// Further form fields that some providers want, such as `audience` or `resource`.
    pub parameters: BTreeMap<String, String>,
    /// For https.
    pub tls: TlsOptions,
    /// `sasl.login.connect.timeout.ms`.
    pub connect_timeout: Duration,
    /// `sasl.login.read.timeout.ms`: bound on one attempt as a whole.
    pub request_timeout: Duration,
    /// `sasl.login.retry.backoff.ms`: the wait after the first failure, doubled each time.
    pub retry_backoff: Duration,
    /// `sasl.login.retry.backoff.max.ms`: bound on all attempts of one fetch together.
    pub retry_budget: Duration,
    /// When to fetch the next one.
    pub schedule: RefreshSchedule,
    /// Which keys errors name.
    pub keys: Keys,
}

/// The configuration keys that these settings came from, for errors that say what to change.
#[derive(Debug, Clone, Copy)]
pub struct Keys {
    /// That of the token endpoint.
    pub token_url: &'static str,
    /// That of the client id.
    pub client_id: &'static str,
    /// That of the secret.
    pub client_secret: &'static str,
    /// That of the scope.
    pub scope: &'static str,
}

impl Keys {
    /// A login by SASL.
    pub const SASL: Self = Self {
        token_url: "sasl.oauthbearer.token.endpoint.url",
        client_id: "sasl.oauthbearer.client.id",
        client_secret: "sasl.oauthbearer.client.secret",
        scope: "sasl.oauthbearer.scope",
    };
    /// A Schema Registry's login of its own.
    pub const REGISTRY: Self = Self {
        token_url: "bearer.auth.issuer.endpoint.url",
        client_id: "bearer.auth.client.id",
        client_secret: "bearer.auth.client.secret",
        scope: "bearer.auth.scope",
    };
}

/// Leaves out what may be secret: form parameters may be as well.
impl fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCredentials")
            .field("token_url", &self.token_url)
            .field("client_id", &self.client_id)
            .field("authentication", &self.authentication)
            .field("scope", &self.scope)
            .field("parameters", &self.parameters.keys())
            .finish_non_exhaustive()
    }
}

/// Where a client shows its id and secret.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ClientAuthentication {
    /// In the Basic header (`client_secret_basic`).
    #[default]
    Header,
    /// In the form (`client_secret_post`).
    Body,
}

impl ClientCredentials {
    /// Java's defaults for everything but who asks whom.
    pub fn new(token_url: impl Into<String>, client_id: impl Into<String>, client_secret: SecretString) -> Self {
        Self {
            token_url: token_url.into(),
            client_id: client_id.into(),
            client_secret,
            authentication: ClientAuthentication::Header,
            header_urlencode: false,
            scope: None,
            parameters: BTreeMap::new(),
            tls: TlsOptions::default(),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(20),
            retry_backoff: Duration::from_millis(100),
            retry_budget: Duration::from_secs(10),
            schedule: RefreshSchedule::default(),
            keys: Keys::SASL,
        }
    }
}

/// A grant whose settings have been checked.
pub(crate) struct Grant {
    config: ClientCredentials,
    client: Client,
    url: Url,
    authorization: Option<HeaderValue>,
}

#[derive(Deserialize)]
struct Answer {
    access_token: Option<String>,
    id_token: Option<String>,
    expires_in: Option<serde_json::Value>,
}

enum Attempt {
    Granted(Token),
    /// Worth another try.
    Failed(String),
    Refused(TokenError),
}

impl Grant {
    pub(crate) fn new(config: ClientCredentials) -> Result<Self, TokenError> {
        let bad = |key, problem: String| TokenError::Config { key, problem };
        let url_key = config.keys.token_url;
        // The text itself is not shown: it may hold a password.
        let url = Url::parse(&config.token_url).map_err(|error| bad(url_key, format!("is not a URL: {error}")))?;
        if !url.username().is_empty() || url.password().is_some() {
            let (id, secret) = (config.keys.client_id, config.keys.client_secret);
            return Err(bad(url_key, format!("holds a user or a password: they belong into {id} and {secret}")));
        }
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad(url_key, format!("{url} is neither http nor https")));
        }
        if config.client_id.is_empty() {
            return Err(bad(config.keys.client_id, "is empty".to_owned()));
        }
        let tls = config.tls.client_config().map_err(|error| bad("https.ca.location", error.to_string()))?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls.as_ref().clone())
            .no_proxy()
            // A redirected POST would carry the secret to wherever the answer says.
            .redirect(redirect::Policy::none())
            .connect_timeout(config.connect_timeout)
            .timeout(config.request_timeout)
            .build()
            .map_err(|error| bad(url_key, error.to_string()))?;
        let authorization = match config.authentication {
            ClientAuthentication::Header => Some(basic_header(&config)?),
            ClientAuthentication::Body => None,
        };
        Ok(Self { config, client, url, authorization })
    }

    pub(crate) fn schedule(&self) -> RefreshSchedule {
        self.config.schedule
    }

    /// Asks until a token or a refusal comes back or the budget is spent.
    pub(crate) async fn fetch(&self) -> Result<Token, TokenError> {
        let began = Instant::now();
        let mut wait = self.config.retry_backoff;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let last = match self.attempt().await {
                Attempt::Granted(token) => return Ok(token),
                Attempt::Refused(error) => return Err(error),
                Attempt::Failed(last) => last,
            };
            let pause = wait.mul_f64(0.5 + fastrand::f64());
            if began.elapsed() + pause >= self.config.retry_budget {
                return Err(TokenError::Unavailable { url: self.url.to_string(), attempts, last });
            }
            if attempts == SAID_AFTER {
                let budget = self.config.retry_budget;
                tracing::warn!("no token from {} yet, trying for {budget:?}: {last}", self.url);
            }
            sleep(pause).await;
            wait *= 2;
        }
    }

    async fn attempt(&self) -> Attempt {
        let mut form: Vec<(&str, &str)> = vec![("grant_type", "client_credentials")];
        form.extend(self.config.scope.iter().map(|scope| ("scope", scope.as_str())));
        form.extend(self.config.parameters.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        let mut request = self.client.post(self.url.clone()).header(ACCEPT, "application/json");
        match &self.authorization {
            Some(header) => request = request.header(AUTHORIZATION, header.clone()),
            None => {
                form.push(("client_id", &self.config.client_id));
                form.push(("client_secret", self.config.client_secret.expose_secret()));
            }
        }
        let response = match request.form(&form).send().await {
            Ok(response) => response,
            Err(error) => match tls::distrust(&error) {
                Some(problem) => return Attempt::Refused(TokenError::Untrusted { url: self.url.to_string(), problem }),
                None => return Attempt::Failed(causes(&error)),
            },
        };
        let status = response.status().as_u16();
        let mut body = match read(response).await {
            Ok(body) => body,
            Err(problem) => return Attempt::Failed(problem),
        };
        let outcome = self.judge(status, &body, SystemTime::now());
        body.zeroize();
        outcome
    }

    fn judge(&self, status: u16, body: &[u8], now: SystemTime) -> Attempt {
        let url = || self.url.to_string();
        let keys = &self.config.keys;
        let malformed = |problem: &str| {
            let (url, problem) = (url(), problem.to_owned());
            Attempt::Refused(TokenError::Malformed { url, problem, key: keys.token_url })
        };
        if !matches!(status, 200 | 201) {
            let detail = said(body);
            if is_elsewhere(status) {
                return malformed(&format!("HTTP {status}{detail}"));
            }
            if is_final(status) {
                let client_id = self.config.client_id.clone();
                let Keys { client_id: id, client_secret, scope, .. } = keys;
                let keys = format!(
                    "{id}, {client_secret}, {scope} and sasl.oauthbearer.client.authentication (header or body)"
                );
                return Attempt::Refused(TokenError::Refused { url: url(), client_id, status, detail, keys });
            }
            return Attempt::Failed(format!("HTTP {status}{detail}"));
        }
        let Ok(answer) = serde_json::from_slice::<Answer>(body) else {
            return malformed("it is not a JSON object");
        };
        let Some(secret) = answer.access_token.or(answer.id_token).filter(|token| !token.is_empty()) else {
            return malformed("it has no access_token");
        };
        let expires_in = answer.expires_in.as_ref().and_then(seconds).map(Duration::from_secs);
        let token = Token::new(SecretString::from(secret), expires_in, now);
        if !token.lives(Duration::ZERO, now) {
            return malformed("the token has expired already; compare this machine's clock with the provider's");
        }
        Attempt::Granted(token)
    }
}

/// A number, or a number in quotes as some providers write it; with a fraction it is rounded down. Nothing comes of a life
/// that is negative or none.
fn seconds(value: &serde_json::Value) -> Option<u64> {
    let number = value.as_f64().or_else(|| value.as_str()?.parse().ok())?;
    (number >= 0.0).then_some(number as u64)
}

/// The statuses of a URL that is not the token endpoint; a redirect is not followed.
fn is_elsewhere(status: u16) -> bool {
    matches!(status, 300..=399 | 404 | 405 | 410)
}

/// The statuses that Java does not retry: the request itself is at fault.
fn is_final(status: u16) -> bool {
    matches!(status, 400..=407 | 409..=415 | 501 | 505)
}

/// What an error body says for people (RFC 6749, section 5.2; Okta's own names as well).
fn said(body: &[u8]) -> String {
    const SHOWN_CHARS: usize = 300;
    let Ok(body) = serde_json::from_slice::<serde_json::Value>(body) else { return String::new() };
    let mut text = String::new();
    for name in ["error", "error_description", "errorCode", "errorSummary"] {
        if let Some(said) = body.get(name).and_then(serde_json::Value::as_str) {
            let said: String = said.chars().filter(|c| !c.is_control()).take(SHOWN_CHARS).collect();
            let _ = write!(text, ": {said}");
        }
    }
    text
}

fn basic_header(config: &ClientCredentials) -> Result<HeaderValue, TokenError> {
    let secret = config.client_secret.expose_secret();
    let mut pair = if config.header_urlencode {
        format!("{}:{}", form_encoded(&config.client_id), form_encoded(secret))
    } else {
        format!("{}:{secret}", config.client_id)
    };
    let mut header = format!("Basic {}", STANDARD.encode(&pair));
    let value = HeaderValue::from_str(&header);
    pair.zeroize();
    header.zeroize();
    let mut value = value
        .map_err(|error| TokenError::Config { key: "sasl.oauthbearer.client.secret", problem: error.to_string() })?;
    value.set_sensitive(true);
    Ok(value)
}

/// `application/x-www-form-urlencoded` of one value.
fn form_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => encoded.push(char::from(byte)),
            b' ' => encoded.push('+'),
            other => {
                let _ = write!(encoded, "%{other:02X}");
            }
        }
    }
    encoded
}

async fn read(mut response: reqwest::Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| causes(&error))? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(format!("an answer of more than {MAX_ANSWER_BYTES} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The whole chain: reqwest's own message stops at "error sending request".
fn causes(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        let separator = if text.is_empty() { "" } else { ": " };
        let _ = write!(text, "{separator}{error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant() -> Grant {
        Grant::new(ClientCredentials::new("http://idp.example/token", "order-producer", "s".to_owned().into())).unwrap()
    }

    fn judged(status: u16, body: &str) -> String {
        match grant().judge(status, body.as_bytes(), SystemTime::UNIX_EPOCH) {
            Attempt::Granted(token) => format!("{} {:?}", token.secret(), token.remaining(SystemTime::UNIX_EPOCH)),
            Attempt::Failed(problem) => format!("again: {problem}"),
            Attempt::Refused(error) => error.to_string(),
        }
    }

    #[test]
    fn a_token_is_taken_from_access_token_else_from_id_token() {
        assert_eq!(judged(200, r#"{"access_token":"a","id_token":"b","expires_in":60}"#), "a Some(60s)");
        assert_eq!(judged(201, r#"{"id_token":"b","expires_in":"60"}"#), "b Some(60s)");
        assert_eq!(judged(200, r#"{"access_token":"a"}"#), "a None");
        assert_eq!(judged(200, r#"{"access_token":"a","expires_in":59.9}"#), "a Some(59s)");
    }

    #[test]
    fn a_refusal_names_the_client_and_the_keys_to_check() {
        let refusal = judged(401, r#"{"error":"invalid_client","error_description":"no such client"}"#);
        for part in ["order-producer", "401", "invalid_client", "no such client", "sasl.oauthbearer.client.secret"] {
            assert!(refusal.contains(part), "{refusal}");
        }
    }

    #[test]
    fn an_unwell_provider_is_asked_again() {
        for status in [408, 429, 500, 502, 503, 504] {
            assert!(judged(status, "").starts_with("again"), "{status}");
        }
    }

    #[test]
    fn what_is_not_a_token_points_at_the_url() {
        for body in ["", "<html>", "[]", "{}", r#"{"access_token":""}"#] {
            assert!(judged(200, body).contains("sasl.oauthbearer.token.endpoint.url"), "{body}");
        }
    }

    #[test]
    fn an_endpoint_that_is_somewhere_else_points_at_the_url() {
        for status in [301, 302, 307, 308, 404, 405] {
            assert!(judged(status, "").contains("sasl.oauthbearer.token.endpoint.url"), "{status}");
        }
    }

    #[test]
    fn a_registrys_login_names_its_own_keys() {
        let mut config = ClientCredentials::new("http://idp.example/token", "c", "s".to_owned().into());
        config.keys = Keys::REGISTRY;
        let grant = Grant::new(config).unwrap();
        for (status, key) in [(401, "bearer.auth.client.secret"), (404, "bearer.auth.issuer.endpoint.url")] {
            let Attempt::Refused(error) = grant.judge(status, b"", SystemTime::UNIX_EPOCH) else { panic!("{status}") };
            assert!(error.to_string().contains(key), "{error}");
        }
    }

    #[test]
    fn what_may_be_secret_is_not_in_debug_output() {
        let mut config = ClientCredentials::new("http://idp.example/token", "c", "s3cret".to_owned().into());
        config.parameters.insert("client_assertion".into(), "eyJhbGciOi".into());
        let shown = format!("{config:?}");
        assert!(shown.contains("client_assertion") && !shown.contains("eyJ") && !shown.contains("s3cret"), "{shown}");
    }

    #[test]
    fn id_and_secret_are_encoded_in_the_header_only_when_asked() {
        let mut config = ClientCredentials::new("http://idp.example/token", "a b", "p%:ü".to_owned().into());
        let decoded = |config: &ClientCredentials| {
            let header = basic_header(config).unwrap();
            let encoded = header.to_str().unwrap().strip_prefix("Basic ").unwrap().to_owned();
            String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap()
        };
        assert_eq!(decoded(&config), "a b:p%:ü");
        config.header_urlencode = true;
        assert_eq!(decoded(&config), "a+b:p%25%3A%C3%BC");
    }

    #[test]
    fn settings_that_cannot_work_are_named() {
        let error = |url: &str| {
            let config = ClientCredentials::new(url, "c", "s".to_owned().into());
            Grant::new(config).err().unwrap().to_string()
        };
        for url in ["", "idp.example/token", "ftp://idp.example", "http://a:pass@idp.example/token"] {
            assert!(error(url).starts_with("sasl.oauthbearer.token.endpoint.url"), "{url}");
            assert!(!error(url).contains("pass@"), "{url}");
        }
    }
}
