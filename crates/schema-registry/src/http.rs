//! One request: which URL, how often, with which credentials, and what the answer means.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use oauth::Token;
use reqwest::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;

use crate::config::{RegistryAuth, RegistryConfig};
use crate::error::RegistryError;

/// The registry's own media type; it also takes plain JSON, proxies in front of it may not.
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// No schema is that large; an answer that is comes from something else.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// How much of an answer that is no registry's is shown, in characters.
const SHOWN_CHARS: usize = 200;

/// Sends requests, each to the base URL that answered last and to the others when it does not.
#[derive(Debug)]
pub(crate) struct Http {
    client: Client,
    urls: Vec<String>,
    /// Which URL answered last.
    current: AtomicUsize,
    auth: RegistryAuth,
    retries: u32,
    retry_wait: Duration,
    retry_max_wait: Duration,
}

/// A call, apart from where it goes.
pub(crate) struct Call<'a> {
    /// What it does, as `cannot` is followed by it in errors.
    pub(crate) what: String,
    pub(crate) method: Method,
    /// Percent-encoded, with its query.
    pub(crate) path: String,
    /// JSON.
    pub(crate) body: Option<&'a str>,
}

/// What the registry says when it refuses.
#[derive(serde::Deserialize)]
struct Refusal {
    error_code: i32,
    #[serde(default)]
    message: Option<String>,
}

/// Which URL answered, and what.
type Answer = Result<(String, StatusCode, Vec<u8>), RegistryError>;

/// What one attempt came to.
enum Attempt {
    Answered(StatusCode, Vec<u8>),
    /// Worth another attempt, perhaps not before the given time.
    Failed(String, Option<Duration>),
    /// One side does not trust the other.
    Untrusted(String),
}

impl Http {
    pub(crate) fn new(config: &RegistryConfig) -> Result<Self, RegistryError> {
        let refused = |problem: String| RegistryError::Config { key: "schema.registry.url", problem };
        if config.urls.is_empty() {
            return Err(refused("is empty: give at least one URL".into()));
        }
        let mut urls = Vec::new();
        for url in &config.urls {
            let parsed = reqwest::Url::parse(url).map_err(|error| refused(format!("{url:?} is not a URL: {error}")))?;
            if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none_or(str::is_empty) {
                return Err(refused(format!("{url:?} does not start with http:// or https:// and a host")));
            }
            if !parsed.username().is_empty() || parsed.password().is_some() {
                return Err(refused("holds a password: it belongs into basic.auth.user.info".into()));
            }
            if parsed.query().is_some() || parsed.fragment().is_some() {
                return Err(refused(format!("{url:?} has more than a host and a path")));
            }
            urls.push(url.trim_end_matches('/').to_owned());
        }
        let tls = config.tls.client_config()?;
        let client = Client::builder()
            .tls_backend_preconfigured(std::sync::Arc::unwrap_or_clone(tls))
            .no_proxy()
            .redirect(Policy::none())
            .connect_timeout(config.connect_timeout)
            .timeout(config.request_timeout)
            .user_agent(concat!("grocery/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| refused(format!("no HTTP client can be made: {}", causes(&error))))?;
        Ok(Self {
            client,
            urls,
            current: AtomicUsize::new(0),
            auth: config.auth.clone(),
            retries: config.retries,
            retry_wait: config.retry_wait,
            retry_max_wait: config.retry_max_wait,
        })
    }

    /// Makes a call and reads its answer.
    ///
    /// Each URL is tried once before any is tried again; between rounds there is a pause with jitter. A refused token is
    /// replaced once.
    pub(crate) async fn call<T: DeserializeOwned>(&self, call: &Call<'_>) -> Result<T, RegistryError> {
        let (url, status, body) = self.answer(call).await?;
        let malformed = |reason: String| RegistryError::Malformed { what: call.what.clone(), url: url.clone(), reason };
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| malformed(format!("{error}: {}", shown(&body))));
        }
        let refusal = serde_json::from_slice::<Refusal>(&body).ok();
        let (code, message) = match refusal {
            Some(refusal) => (refusal.error_code, refusal.message.unwrap_or_default()),
            // A proxy in front of the registry, or something else altogether.
            None if status.is_client_error() => (i32::from(status.as_u16()), shown(&body)),
            None => return Err(malformed(format!("status {status}: {}", shown(&body)))),
        };
        Err(RegistryError::Refused { what: call.what.clone(), url, status: status.as_u16(), code, message })
    }

    /// Boxed here, so that the HTTP client is compiled in this crate and not anew in each that makes a call.
    fn answer<'a>(&'a self, call: &'a Call<'_>) -> BoxFuture<'a, Answer> {
        Box::pin(self.try_all(call))
    }

    async fn try_all(&self, call: &Call<'_>) -> Answer {
        let first = self.current.load(Ordering::Relaxed);
        let mut attempts = 0;
        let mut renewed = false;
        loop {
            let place = (first + attempts as usize) % self.urls.len();
            let url = &self.urls[place];
            let token = self.token().await?;
            let attempt = self.attempt(call, url, token.as_ref()).await;
            attempts += 1;
            let (reason, not_before) = match attempt {
                Attempt::Answered(StatusCode::UNAUTHORIZED, _) if token.is_some() && !renewed => {
                    renewed = true;
                    attempts -= 1;
                    self.refused(token.as_ref());
                    continue;
                }
                Attempt::Answered(status, body) => {
                    self.current.store(place, Ordering::Relaxed);
                    return Ok((url.clone(), status, body));
                }
                Attempt::Untrusted(problem) => {
                    return Err(RegistryError::Untrusted { what: call.what.clone(), url: url.clone(), problem });
                }
                Attempt::Failed(reason, not_before) => (reason, not_before),
            };
            let rounds = attempts / self.urls.len() as u32;
            if rounds > self.retries {
                return Err(RegistryError::Unavailable { what: call.what.clone(), url: url.clone(), attempts, reason });
            }
            tracing::debug!(url, attempts, reason, "schema registry: trying again");
            if attempts.is_multiple_of(self.urls.len() as u32) {
                tokio::time::sleep(self.pause(rounds, not_before)).await;
            }
        }
    }

    async fn attempt(&self, call: &Call<'_>, url: &str, token: Option<&Token>) -> Attempt {
        let mut request = self.client.request(call.method.clone(), format!("{url}{}", call.path));
        request = self.authorized(request.header(ACCEPT, MEDIA_TYPE), token);
        if let Some(body) = call.body {
            // A field that this server is too old for is passed over and no error.
            request = request.header("Confluent-Accept-Unknown-Properties", "true");
            request = request.header(CONTENT_TYPE, MEDIA_TYPE).body(body.to_owned());
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                return match tls::distrust(&error) {
                    Some(problem) => Attempt::Untrusted(problem),
                    None => Attempt::Failed(causes(&error), None),
                };
            }
        };
        let status = response.status();
        let not_before = retry_after(&response);
        match body(response).await {
            Ok(body) if matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504) => {
                Attempt::Failed(format!("status {status}: {}", shown(&body)), not_before)
            }
            Ok(body) => Attempt::Answered(status, body),
            Err(reason) => Attempt::Failed(reason, None),
        }
    }

    async fn token(&self) -> Result<Option<Token>, RegistryError> {
        match &self.auth {
            RegistryAuth::Bearer { tokens, .. } => Ok(Some(tokens.token().await?)),
            _ => Ok(None),
        }
    }

    fn refused(&self, token: Option<&Token>) {
        if let (RegistryAuth::Bearer { tokens, .. }, Some(token)) = (&self.auth, token) {
            tokens.invalidate(token);
        }
    }

    fn authorized(&self, request: RequestBuilder, token: Option<&Token>) -> RequestBuilder {
        match (&self.auth, token) {
            (RegistryAuth::Basic { username, password }, _) => {
                request.basic_auth(username, Some(password.expose_secret()))
            }
            (RegistryAuth::Bearer { logical_cluster, identity_pool, .. }, Some(token)) => {
                let mut request = request.bearer_auth(token.secret());
                if let Some(cluster) = logical_cluster {
                    request = request.header("target-sr-cluster", cluster);
                }
                if let Some(pool) = identity_pool {
                    request = request.header("Confluent-Identity-Pool-Id", pool);
                }
                request
            }
            _ => request,
        }
    }

    /// Full jitter under a bound that doubles with each round.
    fn pause(&self, rounds: u32, not_before: Option<Duration>) -> Duration {
        let bound =
            self.retry_wait.saturating_mul(2u32.saturating_pow(rounds.saturating_sub(1))).min(self.retry_max_wait);
        bound.mul_f64(fastrand::f64()).max(not_before.unwrap_or_default()).min(self.retry_max_wait)
    }
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

async fn body(mut response: Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= MAX_ANSWER_BYTES => body.extend_from_slice(&chunk),
            Ok(Some(_)) => return Err(format!("the answer is larger than {MAX_ANSWER_BYTES} bytes")),
            Ok(None) => return Ok(body),
            Err(error) => return Err(causes(&error)),
        }
    }
}

/// An error with its causes; reqwest's own words stop at "error sending request".
fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}

fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * SHOWN_CHARS)]);
    format!("{:?}", text.trim().chars().take(SHOWN_CHARS).collect::<String>())
}

/// A subject as one segment of a path.
pub(crate) fn segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_becomes_one_segment_whatever_it_holds() {
        assert_eq!(segment("grocery.orders.v1-value"), "grocery.orders.v1-value");
        assert_eq!(segment(":.ctx:a/b c?é%"), "%3A.ctx%3Aa%2Fb%20c%3F%C3%A9%25");
    }

    #[test]
    fn a_url_that_cannot_work_is_refused_with_its_key() {
        for (url, expected) in [
            ("", "\"\" is not a URL"),
            ("localhost:8081", "does not start with http:// or https://"),
            ("ftp://host", "does not start with http:// or https://"),
            ("http://key:secret@host", "it belongs into basic.auth.user.info"),
            ("http://host/?a=b", "has more than a host and a path"),
        ] {
            let message = Http::new(&RegistryConfig::new([url])).unwrap_err().to_string();
            assert!(message.starts_with("schema.registry.url: "), "{message}");
            assert!(message.contains(expected), "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
        let none: [&str; 0] = [];
        assert!(Http::new(&RegistryConfig::new(none)).unwrap_err().is_configuration());
    }
}
