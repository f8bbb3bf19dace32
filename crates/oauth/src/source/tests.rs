//! A source against a provider that is a few lines of HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::ClientAuthentication;

/// Answers each request by `answer(number of the request from 1, the request)`.
struct Provider {
    url: String,
    requests: Arc<AtomicU32>,
}

impl Provider {
    async fn start(answer: impl Fn(u32, &str) -> (u16, String) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut request = Vec::new();
                let mut chunk = [0; 4096];
                while !is_whole(&request) {
                    let read = socket.read(&mut chunk).await.unwrap();
                    request.extend_from_slice(&chunk[..read]);
                }
                let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
                let (status, body) = answer(number, &String::from_utf8_lossy(&request));
                let head =
                    format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                socket.write_all(head.as_bytes()).await.unwrap();
                socket.write_all(body.as_bytes()).await.unwrap();
            }
        });
        Self { url, requests }
    }

    fn config(&self) -> ClientCredentials {
        let mut config = ClientCredentials::new(&self.url, "order-producer", "s3cret".to_owned().into());
        config.retry_backoff = Duration::from_millis(5);
        config.retry_budget = Duration::from_millis(500);
        config
    }

    fn source(&self) -> TokenSource {
        TokenSource::client_credentials(self.config()).unwrap()
    }

    fn requests(&self) -> u32 {
        self.requests.load(Ordering::SeqCst)
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).and_then(|l| l.parse().ok());
    body.len() >= length.unwrap_or(0)
}

fn granted(number: u32, seconds: u32) -> (u16, String) {
    (200, format!(r#"{{"access_token":"token-{number}","expires_in":{seconds}}}"#))
}

#[tokio::test]
async fn however_many_wait_one_fetch_serves_them() {
    let provider = Provider::start(|number, _| granted(number, 3600)).await;
    let source = provider.source();
    let waiting = (0..50).map(|_| {
        let source = source.clone();
        tokio::spawn(async move { source.token().await.unwrap().secret().to_owned() })
    });
    for token in waiting.collect::<Vec<_>>() {
        assert_eq!(token.await.unwrap(), "token-1");
    }
    assert_eq!(provider.requests(), 1);
}

#[tokio::test]
async fn one_who_stops_waiting_does_not_stop_the_fetch() {
    let provider = Provider::start(|number, _| granted(number, 3600)).await;
    let source = provider.source();
    let waiting = source.clone();
    let mut first = Box::pin(async move { waiting.token().await });
    assert!(futures_pending(&mut first).await);
    drop(first);
    assert_eq!(source.token().await.unwrap().secret(), "token-1");
    assert_eq!(provider.requests(), 1);
}

async fn futures_pending<F: Future + Unpin>(future: &mut F) -> bool {
    tokio::select! {
        biased;
        _ = future => false,
        () = std::future::ready(()) => true,
    }
}

#[tokio::test]
async fn id_and_secret_go_into_the_header_and_scope_and_parameters_into_the_form() {
    let provider = Provider::start(|_, request| {
        let wanted = [
            "authorization: Basic b3JkZXItcHJvZHVjZXI6czNjcmV0",
            "grant_type=client_credentials&scope=api%3A%2F%2Fgrocery%2F.default&audience=grocery",
        ];
        let missing = wanted.iter().find(|part| !request.contains(**part));
        if let Some(missing) = missing { (400, format!(r#"{{"error":"no {missing}"}}"#)) } else { granted(1, 60) }
    })
    .await;
    let mut config = provider.config();
    config.scope = Some("api://grocery/.default".to_owned());
    config.parameters.insert("audience".to_owned(), "grocery".to_owned());
    TokenSource::client_credentials(config).unwrap().token().await.unwrap();
}

#[tokio::test]
async fn id_and_secret_go_into_the_form_when_asked() {
    let provider = Provider::start(|_, request| {
        let in_form = request.contains("client_id=order-producer&client_secret=s3cret");
        if in_form && !request.contains("authorization") { granted(1, 60) } else { (400, String::new()) }
    })
    .await;
    let mut config = provider.config();
    config.authentication = ClientAuthentication::Body;
    TokenSource::client_credentials(config).unwrap().token().await.unwrap();
}

#[tokio::test]
async fn a_provider_that_stumbles_is_asked_again() {
    let provider =
        Provider::start(|number, _| if number < 3 { (503, String::new()) } else { granted(number, 60) }).await;
    assert_eq!(provider.source().token().await.unwrap().secret(), "token-3");
}

#[tokio::test]
async fn a_wrong_secret_is_reported_at_once_and_without_the_secret() {
    let provider = Provider::start(|_, _| (401, r#"{"error":"invalid_client"}"#.to_owned())).await;
    let error = provider.source().token().await.unwrap_err();
    assert_eq!(provider.requests(), 1);
    assert!(!error.is_retriable());
    assert!(error.to_string().contains("invalid_client") && !error.to_string().contains("s3cret"), "{error}");
}

#[tokio::test]
async fn a_provider_that_stays_away_is_an_outage() {
    let provider = Provider::start(|_, _| (500, String::new())).await;
    let error = provider.source().token().await.unwrap_err();
    assert!(error.is_retriable() && provider.requests() > 1, "{error}");
}

#[tokio::test]
async fn a_refused_token_is_replaced_unless_it_has_been_already() {
    let provider = Provider::start(|number, _| granted(number, 3600)).await;
    let source = provider.source();
    let first = source.token().await.unwrap();
    source.invalidate(&first);
    assert_eq!(source.token().await.unwrap().secret(), "token-2");
    source.invalidate(&first);
    assert_eq!(source.token().await.unwrap().secret(), "token-2");
}

#[tokio::test]
async fn a_token_is_replaced_in_the_background_before_it_ends() {
    let provider = Provider::start(|number, _| granted(number, 3600)).await;
    let source = provider.source();
    source.token().await.unwrap();
    let mut renewed = source.inner.renewed.subscribe();
    let_time_pass(Duration::from_secs(3600 * 85 / 100)).await;
    // Nobody asks.
    renewed.changed().await.unwrap();
    assert_eq!((source.token().await.unwrap().secret(), provider.requests()), ("token-2", 2));
}

/// The timers' time; sockets need the real one.
async fn let_time_pass(time: Duration) {
    // What was just spawned sets its timer first.
    tokio::task::yield_now().await;
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_token_that_cannot_be_replaced_is_used_while_it_lives() {
    let provider = Provider::start(|number, _| if number == 1 { granted(1, 60) } else { (401, String::new()) }).await;
    let source = provider.source();
    source.token().await.unwrap();
    let_time_pass(Duration::from_millis(1_050)).await;
    let token = source.token_with_life(Duration::from_secs(3600)).await.unwrap();
    assert_eq!((token.secret(), provider.requests()), ("token-1", 2));
}

#[tokio::test]
async fn a_file_is_read_again_when_its_token_was_refused() {
    let path = std::env::temp_dir().join(format!("oauth-token-{}", fastrand::u64(..)));
    std::fs::write(&path, "one\n").unwrap();
    let source = TokenSource::file(&path);
    let first = source.token().await.unwrap();
    std::fs::write(&path, "two").unwrap();
    source.invalidate(&first);
    assert_eq!((first.secret(), source.token().await.unwrap().secret()), ("one", "two"));
    std::fs::remove_file(&path).unwrap();
    source.invalidate(&source.token().await.unwrap());
    assert!(source.token().await.unwrap_err().to_string().contains("token file"));
}

#[tokio::test]
async fn a_file_that_changes_is_noticed_and_one_that_goes_leaves_the_old_token() {
    let path = std::env::temp_dir().join(format!("oauth-token-{}", fastrand::u64(..)));
    std::fs::write(&path, "one").unwrap();
    let source = TokenSource::file(&path);
    assert_eq!(source.token().await.unwrap().secret(), "one");
    let mut renewed = source.inner.renewed.subscribe();
    std::fs::write(&path, "two").unwrap();
    let_time_pass(FILE_PERIOD).await;
    renewed.changed().await.unwrap();
    assert_eq!(source.token().await.unwrap().secret(), "two");
    std::fs::remove_file(&path).unwrap();
    let_time_pass(JUST_FETCHED).await;
    assert_eq!(source.token_with_life(Duration::from_secs(60)).await.unwrap().secret(), "two");
}

#[tokio::test]
async fn a_provider_that_takes_too_long_is_an_outage() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    let mut config = ClientCredentials::new(&url, "order-producer", "s3cret".to_owned().into());
    config.request_timeout = Duration::from_millis(50);
    config.retry_budget = Duration::ZERO;
    // It takes the connection and never answers.
    let error = TokenSource::client_credentials(config).unwrap().token().await.unwrap_err();
    assert!(error.is_retriable(), "{error}");
    drop(listener);
}
