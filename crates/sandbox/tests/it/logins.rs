//! The listener that wants a login: its order, its ends, and what it refuses to whom.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, MetadataRequest, SaslAuthenticateRequest, SaslHandshakeRequest,
};
use kafka_protocol::protocol::StrBytes;
use tokio::io::AsyncWriteExt;

use crate::recorded::Answers;
use crate::requests::{self, About};
use crate::wire::{Ability, Broker, Wire, first_message, is_elsewhere, sandbox, sandbox_with, token, token_elsewhere};

fn handshake(mechanism: &'static str) -> SaslHandshakeRequest {
    SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism))
}

fn authenticate(bytes: impl Into<Bytes>) -> SaslAuthenticateRequest {
    SaslAuthenticateRequest::default().with_auth_bytes(bytes.into())
}

#[tokio::test]
async fn requests_before_the_login_close_the_connection_but_one_for_the_versions() {
    let sandbox = sandbox().await;
    let mut wire = Wire::guarded(&sandbox).await;
    assert!(wire.call(&ApiVersionsRequest::default(), 0).await.is_some());
    assert_eq!(wire.call(&handshake("OAUTHBEARER"), 1).await.unwrap().error_code, 0);

    let mut twice = Wire::guarded(&sandbox).await;
    assert!(twice.call(&ApiVersionsRequest::default(), 0).await.is_some());
    assert_eq!(twice.call(&ApiVersionsRequest::default(), 0).await, None);
    let mut early = Wire::guarded(&sandbox).await;
    assert_eq!(early.call(&MetadataRequest::default(), 9).await, None);
    let mut first = Wire::guarded(&sandbox).await;
    assert_eq!(first.call(&authenticate("n,,"), 1).await, None);
}

#[tokio::test]
async fn a_refusal_is_told_and_ends_the_connection() {
    let sandbox = sandbox().await;
    let mut wire = Wire::guarded(&sandbox).await;
    wire.call(&handshake("OAUTHBEARER"), 1).await.unwrap();
    let first = wire.call(&authenticate(first_message("not-a-token")), 2).await.unwrap();
    assert_eq!((first.error_code, first.auth_bytes.as_ref()), (0, br#"{"status":"invalid_token"}"#.as_slice()));
    let last = wire.call(&authenticate("\x01"), 2).await.unwrap();
    assert_eq!(last.error_code, ResponseError::SaslAuthenticationFailed.code());
    assert_eq!(wire.receive().await, None, "the broker closes, not the client");

    let mut other = Wire::guarded(&sandbox).await;
    let answer = other.call(&handshake("PLAIN"), 1).await.unwrap();
    assert_eq!(answer.error_code, ResponseError::UnsupportedSaslMechanism.code());
    assert_eq!(answer.mechanisms, [StrBytes::from_static_str("OAUTHBEARER")]);
    assert_eq!(other.receive().await, None);
}

#[tokio::test]
async fn after_a_handshake_of_version_0_the_token_comes_bare() {
    let sandbox = sandbox().await;
    let mut wire = Wire::guarded(&sandbox).await;
    assert_eq!(wire.call(&handshake("OAUTHBEARER"), 0).await.unwrap().error_code, 0);
    let message = first_message(&token(&sandbox, "operator").await);
    let mut frame = BytesMut::new();
    frame.put_u32(message.len() as u32);
    frame.put_slice(&message);
    wire.0.write_all(&frame).await.unwrap();
    assert_eq!(wire.receive().await, Some(Bytes::new()));
    assert!(wire.call(&MetadataRequest::default(), 9).await.is_some());
}

#[tokio::test]
async fn a_session_ends_with_its_token_unless_it_logs_in_again() {
    // The client and the life of its tokens: the other broker's provider has one whose tokens are short.
    let (client, lifetime) = if is_elsewhere() { ("short-lived", 20) } else { ("operator", 4) };
    let sandbox = sandbox_with(|config| config.token_lifetime = Duration::from_secs(4)).await;
    let mut kept = Wire::log_in(&sandbox, client).await;
    let mut lost = Wire::log_in(&sandbox, client).await;
    // Tokens end on a whole second, so the second one lasts for half a life and a second more at least.
    tokio::time::sleep(Duration::from_secs(lifetime) / 2).await;
    assert_eq!(kept.call(&handshake("OAUTHBEARER"), 1).await.unwrap().error_code, 0);
    let again = authenticate(first_message(&token(&sandbox, client).await));
    assert_eq!(kept.call(&again, 2).await.unwrap().error_code, 0);
    tokio::time::sleep(Duration::from_secs(lifetime) / 2 + Duration::from_millis(100)).await;
    assert!(kept.call(&MetadataRequest::default(), 9).await.is_some());
    assert_eq!(lost.call(&ApiVersionsRequest::default(), 0).await, None);
}

#[tokio::test]
async fn a_client_of_another_cluster_is_refused() {
    if is_elsewhere() {
        return println!("skipped: a_client_of_another_cluster_is_refused: Apache Kafka takes every extension");
    }
    let sandbox = sandbox().await;
    let mut wire = Wire::guarded(&sandbox).await;
    wire.call(&handshake("OAUTHBEARER"), 1).await.unwrap();
    let message = String::from_utf8(first_message(&token(&sandbox, "operator").await).to_vec()).unwrap();
    let elsewhere = message.replace("lkc-sandbox", "lkc-elsewhere");
    assert!(!wire.call(&authenticate(elsewhere), 2).await.unwrap().auth_bytes.is_empty());
}

/// `picklist-consumer` has no rule for the topic, the groups or the cluster; `outsider` on a Kafka has no ACL.
#[tokio::test]
async fn whoever_has_no_rule_is_refused_by_every_api_as_kafka_does() {
    let Some(broker) = Broker::start_with_ability(Ability::Kafka43).await else { return };
    let mut wire = match &broker.sandbox {
        Some(sandbox) => Wire::log_in(sandbox, "picklist-consumer").await,
        None => {
            let mut wire =
                Wire::to(&std::env::var("GROCERY_TEST_GUARDED").expect("GROCERY_TEST_GUARDED is needed")).await;
            wire.authenticate(&token_elsewhere("outsider").await).await;
            wire
        }
    };
    let mut answers = Answers::default();
    let sasl = [ApiKey::SaslHandshake as i16, ApiKey::SaslAuthenticate as i16];
    for case in requests::all(&broker.there()) {
        if case.about == About::Known && !sasl.contains(&case.api) {
            let frame = wire.exchange(case.api, case.version, &case.body).await.unwrap();
            let answer = (case.read)(frame, case.version);
            let listed = case.api == ApiKey::ListGroups as i16;
            assert!(!listed || !answer.contains("readers"), "a group that it may not see: {answer}");
            answers.add(&case, Some(&answer));
        }
    }
    answers.compare("kafka-refusals.txt", include_str!("kafka-refusals.txt"));
    let all = MetadataRequest::default().with_topics(None);
    let untouched = Wire::open(&broker).await.call(&all, 13).await.unwrap();
    let orders = untouched.topics.iter().find(|topic| topic.topic_id == broker.orders_id).unwrap();
    assert_eq!(orders.partitions.len(), 3);
    broker.shutdown().await;
}
