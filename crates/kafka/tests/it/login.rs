//! Logging in: to the sandbox, or to a broker with an identity provider beside it where the environment names them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kafka::{ClientConfig, Cluster, Sasl, Transport};
use oauth::{ClientCredentials, TokenSource};
use tls::TlsOptions;

use crate::target::run_sandbox;

/// Where to log in, and how tokens are had.
struct Login {
    bootstrap: String,
    token_url: String,
    ca_file: Option<std::path::PathBuf>,
    pool: String,
}

impl Login {
    /// The sandbox with tokens of this lifetime, and the secret of a client there.
    fn to_sandbox(client: &str, token_lifetime: Duration) -> (Self, String) {
        let sandbox = run_sandbox(|config| config.token_lifetime = token_lifetime).lock().expect("nobody else uses it");
        let endpoints = sandbox.endpoints();
        let login = Self {
            bootstrap: endpoints.kafka.clone(),
            token_url: endpoints.token_url.clone(),
            ca_file: endpoints.ca_file.clone(),
            pool: format!("pool-{client}"),
        };
        (login, sandbox.client_secret(client).expect("a client of the rules").to_owned())
    }

    /// The broker under test and the secret of a client there: the sandbox, or whichever `GROCERY_TEST_TLS_BOOTSTRAP` names.
    fn to(client: &str) -> (Self, String) {
        if is_sandbox() {
            return Self::to_sandbox(client, Duration::from_secs(60));
        }
        let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is needed"));
        let login = Self {
            bootstrap: variable("GROCERY_TEST_TLS_BOOTSTRAP"),
            token_url: variable("GROCERY_TEST_TOKEN_URL"),
            ca_file: Some(variable("GROCERY_TEST_CA").into()),
            pool: format!("pool-{client}"),
        };
        (login, format!("{client}-secret"))
    }

    fn config(&self, client: &str, secret: &str) -> ClientConfig {
        let tls = TlsOptions { ca_file: self.ca_file.clone(), ..TlsOptions::default() };
        let mut credentials = ClientCredentials::new(&self.token_url, client, secret.to_owned().into());
        credentials.tls = tls.clone();
        let tokens = TokenSource::client_credentials(credentials).expect("the token URL is one");
        let extensions = [("logicalCluster", "lkc-sandbox"), ("identityPoolId", &self.pool)];
        let extensions: BTreeMap<_, _> = extensions.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let mut config = ClientConfig::new([self.bootstrap.clone()]);
        config.client_id = client.to_owned();
        config.transport = Transport::Tls(tls);
        config.sasl = Some(Sasl::OauthBearer { tokens, extensions });
        config
    }
}

fn is_sandbox() -> bool {
    std::env::var_os("GROCERY_TEST_TLS_BOOTSTRAP").is_none()
}

/// Asks all the time; returns how often, and how long the slowest took.
async fn ask_for(duration: Duration, cluster: &Cluster) -> (u32, Duration) {
    let admin = cluster.admin();
    let began = Instant::now();
    let (mut requests, mut slowest) = (0, Duration::ZERO);
    while began.elapsed() < duration {
        let sent = Instant::now();
        admin.list_topics().await.expect("no request fails");
        slowest = slowest.max(sent.elapsed());
        requests += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (requests, slowest)
}

#[tokio::test]
async fn no_request_fails_while_short_lived_tokens_come_and_go() {
    let (client, (login, secret), lifetimes) = if is_sandbox() {
        ("operator", Login::to_sandbox("operator", Duration::from_secs(3)), Duration::from_secs(8))
    } else {
        ("short-lived", Login::to("short-lived"), Duration::from_secs(50))
    };
    let cluster = Cluster::connect(login.config(client, &secret)).await.unwrap();
    let (requests, slowest) = ask_for(lifetimes, &cluster).await;
    println!("{requests} requests, slowest {slowest:?}");
    assert!(requests > 100, "{requests} requests");
}

#[tokio::test]
async fn a_pool_of_someone_else_is_refused_with_what_to_check() {
    if !is_sandbox() {
        return println!(
            "skipped: a_pool_of_someone_else_is_refused_with_what_to_check: Apache Kafka takes every extension"
        );
    }
    let (mut login, secret) = Login::to_sandbox("order-producer", Duration::from_secs(60));
    login.pool = "pool-operator".to_owned();
    let error = Cluster::connect(login.config("order-producer", &secret)).await.unwrap_err();
    assert!(error.is_authentication() && error.is_fatal(), "{error}");
    for part in ["order-producer", "pool-operator", "sasl.oauthbearer.extensions"] {
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[tokio::test]
async fn a_wrong_secret_is_refused_with_what_to_check() {
    let (login, _) = Login::to("order-producer");
    let error = Cluster::connect(login.config("order-producer", "not-it")).await.unwrap_err();
    assert!(error.is_authentication() && error.to_string().contains("sasl.oauthbearer.client.secret"), "{error}");
}

#[tokio::test]
async fn a_listener_under_another_authority_is_not_trusted() {
    let (mut login, secret) = Login::to("order-producer");
    let (other, _) = Login::to_sandbox("order-producer", Duration::from_secs(60));
    login.bootstrap = other.bootstrap;
    let error = Cluster::connect(login.config("order-producer", &secret)).await.unwrap_err();
    assert!(error.is_fatal() && error.is_configuration() && !error.is_authentication(), "{error}");
    assert!(error.to_string().contains("ssl.ca.location"), "{error}");
}

#[tokio::test]
async fn an_identity_provider_under_another_authority_is_not_waited_for() {
    if !is_sandbox() {
        return println!(
            "skipped: an_identity_provider_under_another_authority_is_not_waited_for: this provider speaks no TLS"
        );
    }
    let (mut login, secret) = Login::to_sandbox("order-producer", Duration::from_secs(60));
    login.ca_file = None;
    let mut config = login.config("order-producer", &secret);
    config.transport = Transport::Plaintext;
    let Some(Sasl::OauthBearer { tokens, .. }) = &config.sasl else { panic!("it logs in by token") };
    let error = tokens.token().await.unwrap_err();
    assert!(!error.is_retriable() && error.is_configuration(), "{error}");
    assert!(error.to_string().contains("https.ca.location"), "{error}");
}

#[tokio::test]
#[ignore = "needs an identity provider with a client of another audience, which scripts/conformance starts"]
async fn a_token_for_another_audience_is_refused_with_what_to_check() {
    let (login, secret) = Login::to("wrong-audience");
    let config = login.config("wrong-audience", &secret);
    let error = Cluster::connect(config).await.unwrap_err();
    assert!(error.is_authentication() && error.is_fatal(), "{error}");
    assert!(error.to_string().contains("invalid_token") && error.to_string().contains("identityPoolId"), "{error}");
}

/// An Apache Kafka that wants a certificate, then the API key `KEY` with the secret `s3cret`, and that again every 4 s
/// (`ssl.client.auth=required`, PLAIN, `connections.max.reauth.ms=4000`).
fn with_a_certificate_and_an_api_key(password: &str) -> ClientConfig {
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is needed"));
    let folder = std::path::PathBuf::from(variable("GROCERY_TEST_MTLS_FOLDER"));
    let mut config = ClientConfig::new([variable("GROCERY_TEST_MTLS_BOOTSTRAP")]);
    config.transport = Transport::Tls(TlsOptions {
        ca_file: Some(folder.join("ca.pem")),
        certificate_file: Some(folder.join("client.pem")),
        key_file: Some(folder.join("client.key")),
        ..TlsOptions::default()
    });
    config.sasl = Some(Sasl::Plain { username: "KEY".to_owned(), password: password.to_owned().into() });
    config.api_timeout = Duration::from_secs(10);
    config
}

#[tokio::test]
#[ignore = "needs a broker with mutual TLS and PLAIN, which scripts/conformance starts"]
async fn a_certificate_and_an_api_key_are_shown_as_often_as_the_broker_asks() {
    let cluster = Cluster::connect(with_a_certificate_and_an_api_key("s3cret")).await.unwrap();
    let (requests, slowest) = ask_for(Duration::from_secs(15), &cluster).await;
    println!("{requests} requests, slowest {slowest:?}");
}

#[tokio::test]
#[ignore = "needs a broker with mutual TLS and PLAIN, which scripts/conformance starts"]
async fn a_missing_certificate_and_a_wrong_api_secret_are_told_apart() {
    let error = Cluster::connect(with_a_certificate_and_an_api_key("wrong")).await.unwrap_err();
    assert!(error.is_authentication() && error.is_fatal(), "{error}");
    assert!(error.to_string().contains("sasl.password"), "{error}");

    let mut config = with_a_certificate_and_an_api_key("s3cret");
    if let Transport::Tls(tls) = &mut config.transport {
        (tls.certificate_file, tls.key_file) = (None, None);
    }
    let error = Cluster::connect(config).await.unwrap_err();
    assert!(error.to_string().contains("ssl.certificate.location"), "{error}");
    assert!(error.is_fatal(), "{error}");
}
