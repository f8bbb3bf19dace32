//! The client against servers that answer as told: outages, refusals, slow crowds, things that are no registry.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use oauth::TokenSource;
use schema_registry::{RegistryAuth, RegistryClient, RegistryConfig, SchemaText};

mod avro;
mod registry;

/// A server that gives its answers in turn, the last one for ever, and keeps what it was asked.
#[derive(Clone)]
struct Scripted {
    url: String,
    answers: Arc<Mutex<VecDeque<(u16, &'static str)>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

const SCHEMA: &str = r#"{"schema":"\"string\""}"#;
const LOOKED_UP: &str = r#"{"subject":"s","version":1,"id":7,"schema":"\"string\"","somethingNew":[1]}"#;

impl Scripted {
    async fn start(answers: impl IntoIterator<Item = (u16, &'static str)>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scripted = Self {
            url: format!("http://{}/base", listener.local_addr().unwrap()),
            answers: Arc::new(Mutex::new(answers.into_iter().collect())),
            asked: Arc::default(),
        };
        let router = Router::new().fallback(Self::answer).with_state(scripted.clone());
        tokio::spawn(async { axum::serve(listener, router).await });
        scripted
    }

    async fn answer(State(this): State<Self>, request: Request) -> impl IntoResponse {
        let header = |name: &str| request.headers().get(name).map_or("-", |value| value.to_str().unwrap()).to_owned();
        let asked = format!(
            "{} {} {} {} {}",
            request.method(),
            request.uri(),
            header("authorization"),
            header("target-sr-cluster"),
            header("confluent-identity-pool-id")
        );
        this.asked.lock().unwrap().push(asked);
        let mut answers = this.answers.lock().unwrap();
        let (status, body) = if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0] };
        (StatusCode::from_u16(status).unwrap(), body)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn config(urls: &[&Scripted]) -> RegistryConfig {
    RegistryConfig {
        retry_wait: Duration::from_millis(1),
        ..RegistryConfig::new(urls.iter().map(|scripted| scripted.url.as_str()))
    }
}

fn client(urls: &[&Scripted]) -> RegistryClient {
    RegistryClient::new(&config(urls)).unwrap()
}

#[tokio::test]
async fn an_outage_is_waited_out_within_bounds() {
    let registry =
        Scripted::start([(503, "busy"), (500, r#"{"error_code":50001,"message":"store"}"#), (200, SCHEMA)]).await;
    assert_eq!(client(&[&registry]).schema_by_id(7, None).await.unwrap().schema, "\"string\"");
    assert_eq!(registry.asked().len(), 3);

    let down = Scripted::start([(503, "busy")]).await;
    let error = client(&[&down]).schema_by_id(7, None).await.unwrap_err();
    assert!(error.is_retriable(), "{error}");
    assert_eq!(
        error.to_string(),
        format!(
            "cannot fetch schema id 7: status 503 Service Unavailable: \"busy\" (4 attempts; schema.registry.url={})",
            down.url
        )
    );
    assert_eq!(down.asked().len(), 4);
}

#[tokio::test]
async fn the_next_url_is_tried_at_once_and_kept_while_it_answers() {
    let (down, up) = (Scripted::start([(503, "")]).await, Scripted::start([(200, LOOKED_UP)]).await);
    let client = client(&[&down, &up]);
    let schema = SchemaText::avro("\"string\"");
    for subject in ["a", "b", "c"] {
        assert_eq!(client.lookup(subject, &schema, false).await.unwrap().id, 7);
    }
    assert_eq!((down.asked().len(), up.asked().len()), (1, 3));
}

#[tokio::test]
async fn a_crowd_with_one_question_makes_one_request() {
    let registry = Scripted::start([(200, SCHEMA)]).await;
    let client = client(&[&registry]);
    let crowd = (0..100).map(|_| {
        let client = client.clone();
        tokio::spawn(async move { client.schema_by_id(7, Some("s")).await.map(|text| text.schema.clone()) })
    });
    for one in crowd.collect::<Vec<_>>() {
        assert_eq!(one.await.unwrap().unwrap(), "\"string\"");
    }
    assert_eq!(registry.asked(), ["GET /base/schemas/ids/7?subject=s - - -"]);
}

#[tokio::test]
async fn an_error_is_not_remembered() {
    let missing = (404, r#"{"error_code":40403,"message":"Schema 7 not found"}"#);
    let registry = Scripted::start([missing, (200, SCHEMA)]).await;
    let client = client(&[&registry]);
    let error = client.schema_by_id(7, None).await.unwrap_err();
    assert!(error.is_not_found() && error.code() == Some(40403) && !error.is_retriable(), "{error}");
    assert!(client.schema_by_id(7, None).await.is_ok());
}

#[tokio::test]
async fn names_are_encoded_and_normalizing_is_asked_for() {
    let registry = Scripted::start([(200, LOOKED_UP)]).await;
    client(&[&registry]).lookup("a/b c", &SchemaText::avro("\"string\""), true).await.unwrap();
    assert_eq!(registry.asked(), ["POST /base/subjects/a%2Fb%20c?normalize=true - - -"]);
}

#[tokio::test]
async fn credentials_go_along_as_basic_or_as_bearer_with_its_headers() {
    let registry = Scripted::start([(200, SCHEMA)]).await;
    let basic = RegistryAuth::Basic { username: "key".into(), password: "secret".to_owned().into() };
    let bearer = RegistryAuth::Bearer {
        tokens: TokenSource::fixed("token".to_owned().into()),
        logical_cluster: Some("lsrc-1".into()),
        identity_pool: Some("pool-1".into()),
    };
    for auth in [basic, bearer] {
        let config = RegistryConfig { auth, ..config(&[&registry]) };
        assert!(!format!("{config:?}").contains("secret"));
        RegistryClient::new(&config).unwrap().schema_by_id(7, None).await.unwrap();
    }
    assert_eq!(
        registry.asked(),
        ["GET /base/schemas/ids/7 Basic a2V5OnNlY3JldA== - -", "GET /base/schemas/ids/7 Bearer token lsrc-1 pool-1"]
    );
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let refused = (401, r#"{"error_code":401,"message":"Unauthorized"}"#);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, "token").unwrap();
    let with_token = |registry: &Scripted| {
        let auth =
            RegistryAuth::Bearer { tokens: TokenSource::file(&path), logical_cluster: None, identity_pool: None };
        RegistryClient::new(&RegistryConfig { auth, ..config(&[registry]) }).unwrap()
    };
    let once = Scripted::start([refused, (200, SCHEMA)]).await;
    assert!(with_token(&once).schema_by_id(7, None).await.is_ok());

    let always = Scripted::start([refused]).await;
    let error = with_token(&always).schema_by_id(7, None).await.unwrap_err();
    assert!(error.is_authentication() && !error.is_retriable(), "{error}");
    assert!(error.to_string().contains("bearer.auth.*"), "{error}");
    assert_eq!(always.asked().len(), 2);
}

#[tokio::test]
async fn what_is_no_registry_is_told_so() {
    for answer in [(200, "<html>"), (200, "{}"), (302, ""), (501, "")] {
        let registry = Scripted::start([answer]).await;
        let error = client(&[&registry]).schema_by_id(7, None).await.unwrap_err().to_string();
        assert!(error.contains("is not a schema registry's"), "{error}");
    }
    let proxy = Scripted::start([(403, "blocked by policy")]).await;
    let error = client(&[&proxy]).schema_by_id(7, None).await.unwrap_err();
    assert!(error.is_authorization() && error.to_string().contains("blocked by policy"), "{error}");
}

#[tokio::test]
async fn a_deleted_subject_is_asked_for_again() {
    let registry =
        Scripted::start([(200, LOOKED_UP), (200, "[1]"), (404, r#"{"error_code":40401,"message":"gone"}"#)]).await;
    let client = client(&[&registry]);
    let schema = SchemaText::avro("\"string\"");
    client.lookup("s", &schema, false).await.unwrap();
    client.delete_subject("s", false).await.unwrap();
    assert!(client.lookup("s", &schema, false).await.unwrap_err().is_not_found());
}
