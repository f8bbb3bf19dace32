//! The connection against a broker whose every answer is written here.

use std::time::Duration;

use bytes::{BufMut, BytesMut};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;

use super::scripted::{ScriptedBroker, body, connected, options};
use super::*;

fn coordinator_of(key: &'static str) -> FindCoordinatorRequest {
    FindCoordinatorRequest::default().with_coordinator_keys(vec![StrBytes::from_static_str(key)])
}

fn heartbeat(generation: i32) -> HeartbeatRequest {
    HeartbeatRequest::default().with_generation_id(generation)
}

#[tokio::test]
async fn the_first_request_asks_for_versions_and_says_who_asks() {
    let (client, mut broker) = ScriptedBroker::new();
    let options = options();
    let opening = Connection::open(Box::new(client), "b:1".to_owned(), &options);
    let script = async {
        let arrived = broker.expect(ApiKey::ApiVersions).await;
        assert_eq!((arrived.version, arrived.client_id.as_deref()), (4, Some("tester")));
        let request: ApiVersionsRequest = body(&arrived);
        assert_eq!(request.client_software_name.as_str(), SOFTWARE_NAME);
        broker.answer(&arrived, &ApiVersionsResponse::default().with_api_keys(scripted::versions())).await;
    };
    let (connection, ()) = tokio::join!(opening, script);
    let connection = connection.unwrap();
    assert_eq!(connection.negotiated::<FetchRequest>(), Some(18));
    assert_eq!(connection.negotiated::<CreateTopicsRequest>(), None);
}

#[tokio::test]
async fn a_broker_that_does_not_know_the_newest_versions_request_is_asked_with_its_own() {
    let (client, mut broker) = ScriptedBroker::new();
    let options = options();
    let opening = Connection::open(Box::new(client), "b:1".to_owned(), &options);
    let script = async {
        let arrived = broker.expect(ApiKey::ApiVersions).await;
        // Error 35 in version 0, with the one range that matters (KIP-511).
        let mut refusal = BytesMut::new();
        refusal.put_i16(35);
        refusal.put_i32(1);
        refusal.put_slice(&[0, 18, 0, 0, 0, 3]);
        broker.answer_bytes(&arrived, &refusal).await;
        let again = broker.expect(ApiKey::ApiVersions).await;
        assert_eq!(again.version, 3);
        broker.answer(&again, &ApiVersionsResponse::default().with_api_keys(scripted::versions())).await;
    };
    let (connection, ()) = tokio::join!(opening, script);
    assert!(connection.is_ok());
}

#[tokio::test]
async fn requests_go_out_in_the_order_of_send_and_answers_find_their_request() {
    let (connection, mut broker) = connected().await;
    let mut answers = Vec::new();
    for generation in 0..5 {
        answers.push(connection.send(heartbeat(generation)).await.unwrap());
    }
    let script = async {
        let mut arrived = Vec::new();
        for generation in 0..5 {
            let request = broker.expect(ApiKey::Heartbeat).await;
            assert_eq!(body::<HeartbeatRequest>(&request).generation_id, generation);
            arrived.push(request);
        }
        // A broker answers in order; even if it did not, each answer would find its request.
        for (generation, request) in arrived.iter().enumerate().rev() {
            broker.answer(request, &HeartbeatResponse::default().with_throttle_time_ms(generation as i32)).await;
        }
    };
    let (answers, ()) = tokio::join!(futures::future::join_all(answers), script);
    let throttles: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().throttle_time_ms).collect();
    assert_eq!(throttles, [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn a_capped_call_goes_out_at_the_cap() {
    let (connection, mut broker) = connected().await;
    let request = FindCoordinatorRequest::default().with_key(StrBytes::from_static_str("g"));
    let script = async {
        let arrived = broker.expect(ApiKey::FindCoordinator).await;
        assert_eq!(arrived.version, 3);
        broker.answer(&arrived, &FindCoordinatorResponse::default().with_port(9092)).await;
    };
    let (answer, ()) = tokio::join!(connection.call_capped(request, 3), script);
    assert_eq!(answer.unwrap().port, 9092);
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_answer_in_time_ends_the_connection_for_all() {
    let (connection, mut broker) = connected().await;
    let late = connection.send_capped(heartbeat(1), i16::MAX, Duration::from_secs(3)).await.unwrap();
    let behind = connection.send(heartbeat(2)).await.unwrap();
    broker.expect(ApiKey::Heartbeat).await;

    let error = late.await.unwrap_err();
    assert!(matches!(error, ConnectionError::Timeout { written: Written::Maybe, .. }), "{error}");
    assert!(error.to_string().contains("Heartbeat") && error.to_string().contains("7 (scripted:9092)"), "{error}");
    let error = behind.await.unwrap_err();
    let Some(CloseReason::Unanswered { .. }) = connection.closed() else { panic!("still open") };
    assert_eq!(error.written(), Written::Maybe);

    let error = connection.call(heartbeat(3)).await.unwrap_err();
    assert_eq!(error.written(), Written::No, "{error}");
    assert!(error.is_retriable());
}

#[tokio::test]
async fn a_connection_that_ends_says_so_to_whoever_waits_and_to_whoever_comes() {
    let (connection, mut broker) = connected().await;
    let waiting = connection.send(heartbeat(1)).await.unwrap();
    broker.expect(ApiKey::Heartbeat).await;
    drop(broker);
    let error = waiting.await.unwrap_err();
    assert!(
        matches!(&error, ConnectionError::Closed { reason: CloseReason::EndOfStream, written: Written::Maybe, .. }),
        "{error}"
    );
    assert_eq!(connection.call(heartbeat(2)).await.unwrap_err().written(), Written::No);
}

#[tokio::test]
async fn an_idle_connection_that_the_broker_closes_is_noticed_without_a_request() {
    let (connection, broker) = connected().await;
    drop(broker);
    assert_eq!(connection.ended().await, CloseReason::EndOfStream);
    assert!(connection.closed().is_some());
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_ends_the_connection() {
    let (connection, mut broker) = connected().await;
    let script = async {
        let arrived = broker.expect(ApiKey::FindCoordinator).await;
        let mut hostile = BytesMut::new();
        hostile.put_i32(0);
        hostile.put_slice(&[0xff, 0xff, 0xff, 0xff, 0x0f]);
        broker.answer_bytes(&arrived, &hostile).await;
    };
    let (answer, ()) = tokio::join!(connection.call(coordinator_of("g")), script);
    let error = answer.unwrap_err();
    assert!(matches!(error, ConnectionError::Decode { version: 6, .. }), "{error}");
    assert!(matches!(connection.closed(), Some(CloseReason::Malformed(_))));
}

#[tokio::test]
async fn an_answer_with_bytes_left_over_is_not_believed() {
    let (connection, mut broker) = connected().await;
    let script = async {
        let arrived = broker.expect(ApiKey::Heartbeat).await;
        broker.answer_bytes(&arrived, &[0, 0, 0, 0, 0, 0, 0, 0xee]).await;
    };
    let (answer, ()) = tokio::join!(connection.call(heartbeat(1)), script);
    assert!(answer.unwrap_err().to_string().contains("left over"));
}

#[tokio::test]
async fn a_frame_above_the_limit_is_refused_and_ends_the_connection() {
    let (connection, mut broker) = connected().await;
    let script = async {
        broker.expect(ApiKey::Heartbeat).await;
        broker.write_raw(&(100_000_u32).to_be_bytes()).await;
        broker.write_raw(&vec![0; 100_000]).await;
    };
    let (answer, ()) = tokio::join!(connection.call(heartbeat(1)), script);
    let error = answer.unwrap_err().to_string();
    assert!(error.contains("65536") && error.contains("100000"), "{error}");
}

#[tokio::test]
async fn a_request_that_cannot_be_encoded_leaves_the_connection_as_it_was() {
    let (connection, mut broker) = connected().await;
    // `key` is of versions 0 to 3; the newest has a list.
    let request = FindCoordinatorRequest::default().with_key(StrBytes::from_static_str("g"));
    let error = connection.call(request).await.unwrap_err();
    assert!(matches!(error, ConnectionError::Encode { .. }), "{error}");
    assert_eq!((error.written(), connection.closed()), (Written::No, None));
    let script = async {
        let arrived = broker.expect(ApiKey::Heartbeat).await;
        broker.answer(&arrived, &HeartbeatResponse::default()).await;
    };
    let (answer, ()) = tokio::join!(connection.call(heartbeat(1)), script);
    answer.unwrap();
}

#[tokio::test]
async fn whoever_holds_the_connection_has_it_after_earlier_answers_and_before_later_requests() {
    let (connection, mut broker) = connected().await;
    let earlier = connection.send(heartbeat(1)).await.unwrap();
    let holding = async {
        let held = connection.hold().await;
        held.exchange(SaslHandshakeRequest::default()).await.unwrap();
        held.exchange(SaslAuthenticateRequest::default()).await.unwrap();
    };
    let later = async {
        // The holder has asked first.
        tokio::task::yield_now().await;
        connection.call(heartbeat(2)).await.unwrap();
    };
    let script = async {
        let first = broker.expect(ApiKey::Heartbeat).await;
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        broker.answer(&first, &HeartbeatResponse::default()).await;
        let handshake = broker.expect(ApiKey::SaslHandshake).await;
        broker.answer(&handshake, &SaslHandshakeResponse::default()).await;
        let authenticate = broker.expect(ApiKey::SaslAuthenticate).await;
        broker.answer(&authenticate, &SaslAuthenticateResponse::default()).await;
        let second = broker.expect(ApiKey::Heartbeat).await;
        assert_eq!(body::<HeartbeatRequest>(&second).generation_id, 2);
        broker.answer(&second, &HeartbeatResponse::default()).await;
    };
    let (earlier, (), (), ()) = tokio::join!(earlier, holding, later, script);
    earlier.unwrap();
}

#[tokio::test]
async fn an_answer_that_nobody_waits_for_disturbs_nobody() {
    let (connection, mut broker) = connected().await;
    drop(connection.send(heartbeat(1)).await.unwrap());
    let script = async {
        for _ in 0..2 {
            let arrived = broker.expect(ApiKey::Heartbeat).await;
            broker.answer(&arrived, &HeartbeatResponse::default()).await;
        }
    };
    let (answer, ()) = tokio::join!(connection.call(heartbeat(2)), script);
    answer.unwrap();
}

#[tokio::test]
async fn dropping_the_connection_closes_it_even_while_an_answer_is_awaited() {
    let (connection, mut broker) = connected().await;
    let waiting = connection.send(heartbeat(1)).await.unwrap();
    broker.expect(ApiKey::Heartbeat).await;
    drop(connection);
    assert!(waiting.await.is_err());
    assert!(broker.next().await.is_none());
}

#[tokio::test]
async fn a_large_request_arrives_whole_through_a_full_pipe() {
    let (connection, mut broker) = connected().await;
    let large = StrBytes::from_string("x".repeat(3 * 1024 * 1024));
    let request = FindCoordinatorRequest::default().with_coordinator_keys(vec![large.clone()]);
    let script = async {
        let arrived = broker.expect(ApiKey::FindCoordinator).await;
        assert_eq!(body::<FindCoordinatorRequest>(&arrived).coordinator_keys, [large]);
        broker.answer(&arrived, &FindCoordinatorResponse::default()).await;
    };
    let (answer, ()) = tokio::join!(connection.call(request), script);
    answer.unwrap();
}

/// What a client of TLS 1.3 sees of a broker that wants another certificate: its own handshake ends well, its first read fails.
struct RefusedAfterTheHandshake;

impl tokio::io::AsyncRead for RefusedAfterTheHandshake {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        _: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        use tokio_rustls::rustls::{AlertDescription, Error};
        let alert = Error::AlertReceived(AlertDescription::CertificateRequired);
        std::task::Poll::Ready(Err(std::io::Error::new(std::io::ErrorKind::InvalidData, alert)))
    }
}

impl tokio::io::AsyncWrite for RefusedAfterTheHandshake {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::task::Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_client_certificate_that_the_broker_refuses_is_no_outage() {
    let error = Connection::open(Box::new(RefusedAfterTheHandshake), "b:1".to_owned(), &options()).await.unwrap_err();
    assert!(error.is_distrust() && !error.is_retriable(), "{error}");
    assert!(error.to_string().contains("ssl.certificate.location"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_takes_long_rings_for_somebody_to_ask_whether_the_broker_is_still_there() {
    let (client, mut broker) = ScriptedBroker::new();
    let options = options();
    let opening = Connection::open(Box::new(client), "7 (scripted:9092)".to_owned(), &options);
    let (connection, ()) = tokio::join!(opening, broker.answer_versions());
    let connection = connection.unwrap();
    let began = Instant::now();
    let answer = tokio::spawn(connection.send(MetadataRequest::default()).await.unwrap());
    options.silence.noticed().await;
    assert_eq!(began.elapsed().as_secs(), 3);
    // It is still waited for.
    let arrived = broker.expect(ApiKey::Metadata).await;
    broker.answer(&arrived, &MetadataResponse::default()).await;
    answer.await.unwrap().unwrap();
}
