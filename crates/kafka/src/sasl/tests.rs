//! Logins against a broker whose every answer is written here.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use oauth::TokenSource;

use super::*;
use crate::connection::scripted::{ScriptedBroker, body, connected};
use crate::connection::{CloseReason, Connection};

fn oauth_login() -> Login {
    let extensions = [("logicalCluster", "lkc-1"), ("identityPoolId", "pool-2")];
    let extensions: BTreeMap<_, _> = extensions.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let tokens = TokenSource::fixed("tok".to_owned().into());
    Login::new(Sasl::OauthBearer { tokens, extensions }, "order-producer".into())
}

async fn log_in(connection: &Connection, login: &Login) -> Result<Session, AuthenticationError> {
    let token = login.prepare(Duration::ZERO).await?;
    login.authenticate(&connection.hold().await, token.as_ref()).await
}

/// Answers handshake and first message; returns what the client sent.
async fn accept(broker: &mut ScriptedBroker, lifetime: Duration) -> Bytes {
    let handshake = broker.expect(ApiKey::SaslHandshake).await;
    assert_eq!(handshake.version, 1, "version 0 would leave the tokens without a frame");
    broker.answer(&handshake, &SaslHandshakeResponse::default()).await;
    let authenticate = broker.expect(ApiKey::SaslAuthenticate).await;
    assert_eq!(authenticate.version, 2);
    let answer = SaslAuthenticateResponse::default().with_session_lifetime_ms(lifetime.as_millis() as i64);
    broker.answer(&authenticate, &answer).await;
    body::<SaslAuthenticateRequest>(&authenticate).auth_bytes
}

#[tokio::test]
async fn oauthbearer_is_one_message_and_the_session_lives_as_long_as_the_broker_says() {
    let (connection, mut broker) = connected().await;
    let login = oauth_login();
    let (session, sent) = tokio::join!(log_in(&connection, &login), accept(&mut broker, Duration::from_secs(20)));
    assert_eq!(sent.as_ref(), b"n,,\x01auth=Bearer tok\x01identityPoolId=pool-2\x01logicalCluster=lkc-1\x01\x01");
    assert_eq!(session.unwrap().lifetime(), Some(Duration::from_secs(20)));
}

#[tokio::test]
async fn plain_sends_username_and_password() {
    let (connection, mut broker) = connected().await;
    let login = Login::new(
        Sasl::Plain { username: "KEY".to_owned(), password: "s3cret".to_owned().into() },
        "order-producer".into(),
    );
    let (session, sent) = tokio::join!(log_in(&connection, &login), accept(&mut broker, Duration::ZERO));
    assert_eq!(sent.as_ref(), b"\0KEY\0s3cret");
    assert_eq!(session.unwrap().renewal(0.5), None);
}

#[tokio::test]
async fn error_zero_with_bytes_is_a_refusal_that_is_answered_with_one_byte() {
    let (connection, mut broker) = connected().await;
    let login = oauth_login();
    let script = async {
        let handshake = broker.expect(ApiKey::SaslHandshake).await;
        broker.answer(&handshake, &SaslHandshakeResponse::default()).await;
        let first = broker.expect(ApiKey::SaslAuthenticate).await;
        let status = Bytes::from_static(br#"{"status":"invalid_token"}"#);
        broker.answer(&first, &SaslAuthenticateResponse::default().with_auth_bytes(status)).await;
        let second = broker.expect(ApiKey::SaslAuthenticate).await;
        assert_eq!(body::<SaslAuthenticateRequest>(&second).auth_bytes.as_ref(), &[1]);
        broker.answer(&second, &SaslAuthenticateResponse::default().with_error_code(58)).await;
    };
    let (outcome, ()) = tokio::join!(log_in(&connection, &login), script);
    let error = outcome.unwrap_err();
    assert!(matches!(error, AuthenticationError::Refused { .. }) && !error.is_retriable());
    for part in ["invalid_token", "order-producer", "identityPoolId pool-2", "sasl.oauthbearer.extensions"] {
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[tokio::test]
async fn a_listener_with_other_mechanisms_names_them() {
    let (connection, mut broker) = connected().await;
    let login = oauth_login();
    let script = async {
        let handshake = broker.expect(ApiKey::SaslHandshake).await;
        let mechanisms = vec![StrBytes::from_static_str("PLAIN"), StrBytes::from_static_str("SCRAM-SHA-256")];
        let answer = SaslHandshakeResponse::default().with_error_code(33).with_mechanisms(mechanisms);
        broker.answer(&handshake, &answer).await;
    };
    let (outcome, ()) = tokio::join!(log_in(&connection, &login), script);
    let error = outcome.unwrap_err().to_string();
    assert!(error.contains("PLAIN, SCRAM-SHA-256") && error.contains("sasl.mechanism"), "{error}");
}

#[tokio::test]
async fn a_broker_that_hangs_up_during_the_login_is_an_outage() {
    let (connection, mut broker) = connected().await;
    let login = oauth_login();
    let script = async move {
        broker.expect(ApiKey::SaslHandshake).await;
    };
    let (outcome, ()) = tokio::join!(log_in(&connection, &login), script);
    assert!(outcome.unwrap_err().is_retriable());
}

#[tokio::test(start_paused = true)]
async fn while_sessions_come_and_go_no_request_fails_and_none_comes_between_handshake_and_answer() {
    const LIFETIME: Duration = Duration::from_secs(20);
    let (connection, mut broker) = connected().await;
    let login = std::sync::Arc::new(oauth_login());
    let (session, _) = tokio::join!(log_in(&connection, &login), accept(&mut broker, LIFETIME));
    keep_authenticated(&connection, login, session.unwrap());

    let began = Instant::now();
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let broker = tokio::spawn(async move {
        let mut logins = Vec::new();
        loop {
            let arrived = tokio::select! {
                arrived = broker.next() => arrived.unwrap(),
                _ = &mut stopped => return logins,
            };
            match arrived.key {
                ApiKey::Heartbeat => {
                    tokio::time::sleep(Duration::from_millis(30)).await;
                    broker.answer(&arrived, &HeartbeatResponse::default()).await;
                }
                ApiKey::SaslHandshake => {
                    logins.push(began.elapsed());
                    broker.answer(&arrived, &SaslHandshakeResponse::default()).await;
                    // Whatever else came here would end the connection of a real broker.
                    let next = broker.expect(ApiKey::SaslAuthenticate).await;
                    let lifetime = LIFETIME.as_millis() as i64;
                    broker.answer(&next, &SaslAuthenticateResponse::default().with_session_lifetime_ms(lifetime)).await;
                }
                other => panic!("{other:?}"),
            }
        }
    });
    let callers = (0..4).map(|caller| {
        let connection = std::sync::Arc::clone(&connection);
        tokio::spawn(async move {
            while began.elapsed() < Duration::from_secs(300) {
                connection.call(HeartbeatRequest::default().with_generation_id(caller)).await.unwrap();
                tokio::time::sleep(Duration::from_millis(7)).await;
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    stop.send(()).unwrap();
    let logins = broker.await.unwrap();
    let gaps: Vec<f64> = logins.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
    assert!((14..=17).contains(&logins.len()), "{logins:?}");
    assert!(gaps.iter().all(|gap| (16.9..=19.5).contains(gap)), "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn a_new_login_that_is_refused_ends_the_connection() {
    let (connection, mut broker) = connected().await;
    let login = std::sync::Arc::new(oauth_login());
    let (session, _) = tokio::join!(log_in(&connection, &login), accept(&mut broker, Duration::from_secs(20)));
    keep_authenticated(&connection, login, session.unwrap());
    let script = async {
        let handshake = broker.expect(ApiKey::SaslHandshake).await;
        broker.answer(&handshake, &SaslHandshakeResponse::default()).await;
        let first = broker.expect(ApiKey::SaslAuthenticate).await;
        broker.answer(&first, &SaslAuthenticateResponse::default().with_error_code(58)).await;
    };
    let (reason, ()) = tokio::join!(connection.ended(), script);
    assert!(matches!(reason, CloseReason::Reauthentication(_)), "{reason}");
}

#[test]
fn settings_that_a_broker_would_refuse_are_refused_by_their_key() {
    let plain = |username: &str, password: &str| {
        validate(&Sasl::Plain { username: username.to_owned(), password: password.to_owned().into() })
    };
    assert!(plain("KEY", "secret").is_ok());
    assert!(plain("", "secret").unwrap_err().to_string().contains("sasl.username"));
    assert!(plain("KEY", "se\0cret").is_err());
}
