//! Logging in to a real broker. The addresses come from the environment, because only a broker with an identity provider
//! beside it can tell.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kafka::{ClientConfig, Cluster, Sasl, Transport};
use oauth::{ClientCredentials, TokenSource};
use tls::TlsOptions;

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is needed"))
}

fn config(client: &str, secret: &str) -> ClientConfig {
    let credentials = ClientCredentials::new(variable("GROCERY_TEST_TOKEN_URL"), client, secret.to_owned().into());
    let tokens = TokenSource::client_credentials(credentials).expect("the token URL is one");
    let extensions = [("logicalCluster", "lkc-sandbox"), ("identityPoolId", "pool-operator")];
    let extensions: BTreeMap<_, _> = extensions.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let mut config = ClientConfig::new([variable("GROCERY_TEST_TLS_BOOTSTRAP")]);
    config.client_id = client.to_owned();
    config.transport =
        Transport::Tls(TlsOptions { ca_file: Some(variable("GROCERY_TEST_CA").into()), ..TlsOptions::default() });
    config.sasl = Some(Sasl::OauthBearer { tokens, extensions });
    config
}

#[tokio::test]
#[ignore = "needs a broker with an identity provider, and a minute"]
async fn no_request_fails_while_twenty_second_tokens_come_and_go() {
    let cluster = Cluster::connect(config("short-lived", "short-lived-secret")).await.unwrap();
    let admin = cluster.admin();
    let began = Instant::now();
    let mut requests = 0_u32;
    let mut slowest = Duration::ZERO;
    while began.elapsed() < Duration::from_secs(70) {
        let sent = Instant::now();
        admin.list_topics().await.unwrap();
        slowest = slowest.max(sent.elapsed());
        requests += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!("{requests} requests in {:?}, slowest {slowest:?}", began.elapsed());
}

#[tokio::test]
#[ignore = "needs a broker with an identity provider"]
async fn a_token_for_another_audience_is_refused_with_what_to_check() {
    let error = Cluster::connect(config("wrong-audience", "wrong-audience-secret")).await.unwrap_err();
    println!("{error}");
    assert!(error.is_authentication() && error.is_fatal(), "{error}");
    assert!(error.to_string().contains("invalid_token") && error.to_string().contains("identityPoolId"), "{error}");
}

#[tokio::test]
#[ignore = "needs a broker with an identity provider"]
async fn a_wrong_client_secret_is_told_apart_from_an_outage() {
    let error = Cluster::connect(config("order-producer", "not-it")).await.unwrap_err();
    println!("{error}");
    assert!(error.is_authentication(), "{error}");
    assert!(error.to_string().contains("sasl.oauthbearer.client.secret"), "{error}");
}
