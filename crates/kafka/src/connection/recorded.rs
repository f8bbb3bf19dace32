//! Answers of Apache Kafka 4.3.1 (`fixtures/capture.py`), read as this client reads them.

use bytes::Bytes;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Request};

use super::bounded::{BoundedBytes, Encoding};
use super::versions::{Versions, is_flexible};
use crate::cluster::Metadata;

fn read<R: Request>(recorded: &'static [u8], version: i16) -> R::Response {
    let encoding = if is_flexible::<R>(version) { Encoding::Flexible } else { Encoding::Fixed };
    let mut body = BoundedBytes::new(Bytes::from_static(recorded), encoding);
    let answer = <R::Response as Decodable>::decode(&mut body, version).unwrap();
    assert_eq!(bytes::Buf::remaining(&body), 0);
    answer
}

#[test]
fn versions_and_features_are_known_before_any_login() {
    let answer = read::<ApiVersionsRequest>(include_bytes!("fixtures/api_versions-4.bin"), 4);
    let versions = Versions::from_answer(&answer);
    assert_eq!(versions.choose::<ProduceRequest>(i16::MAX), Some(13));
    assert_eq!(versions.choose::<FetchRequest>(i16::MAX), Some(18));
    assert_eq!(versions.choose::<MetadataRequest>(i16::MAX), Some(13));
    assert_eq!(versions.feature("transaction.version"), Some(2));
    assert_eq!(versions.feature("group.version"), Some(1));
}

#[test]
fn every_api_that_this_client_uses_has_a_version_that_kafka_speaks() {
    let answer = read::<ApiVersionsRequest>(include_bytes!("fixtures/api_versions-4.bin"), 4);
    let versions = Versions::from_answer(&answer);
    let chosen = [
        versions.choose::<ListOffsetsRequest>(i16::MAX),
        versions.choose::<OffsetCommitRequest>(i16::MAX),
        versions.choose::<OffsetFetchRequest>(i16::MAX),
        versions.choose::<FindCoordinatorRequest>(i16::MAX),
        versions.choose::<JoinGroupRequest>(i16::MAX),
        versions.choose::<HeartbeatRequest>(i16::MAX),
        versions.choose::<LeaveGroupRequest>(i16::MAX),
        versions.choose::<SyncGroupRequest>(i16::MAX),
        versions.choose::<InitProducerIdRequest>(i16::MAX),
        versions.choose::<OffsetForLeaderEpochRequest>(i16::MAX),
        versions.choose::<SaslHandshakeRequest>(i16::MAX),
        versions.choose::<SaslAuthenticateRequest>(i16::MAX),
        versions.choose::<CreateTopicsRequest>(i16::MAX),
        versions.choose::<DeleteTopicsRequest>(i16::MAX),
        versions.choose::<DescribeConfigsRequest>(i16::MAX),
        versions.choose::<IncrementalAlterConfigsRequest>(i16::MAX),
        versions.choose::<DescribeClusterRequest>(i16::MAX),
        versions.choose::<ListGroupsRequest>(i16::MAX),
        versions.choose::<DescribeGroupsRequest>(i16::MAX),
        versions.choose::<DeleteGroupsRequest>(i16::MAX),
        versions.choose::<DeleteRecordsRequest>(i16::MAX),
        versions.choose::<OffsetDeleteRequest>(i16::MAX),
    ];
    assert!(chosen.iter().all(Option::is_some), "{chosen:?}");
}

#[test]
fn a_topic_is_read_with_its_id_its_leaders_and_their_epochs() {
    let answer = read::<MetadataRequest>(include_bytes!("fixtures/metadata-13.bin"), 13);
    let known = Metadata::default().updated(&answer);
    let topic = known.topic("orders").unwrap();
    assert!(!topic.id.is_nil());
    assert_eq!(
        topic.partitions.iter().map(|p| (p.index, p.leader, p.leader_epoch)).collect::<Vec<_>>(),
        [(0, Some(1), 0), (1, Some(1), 0), (2, Some(1), 0)]
    );
    assert_eq!(known.broker(1).unwrap().endpoint.to_string(), "127.0.0.1:30780");
    assert_eq!(known.controller(), Some(1));
}

#[test]
fn a_coordinator_is_found() {
    let answer = read::<FindCoordinatorRequest>(include_bytes!("fixtures/find_coordinator-6.bin"), 6);
    assert_eq!((answer.coordinators[0].node_id.0, answer.coordinators[0].port), (1, 30780));
}

#[test]
fn a_refused_token_is_error_zero_with_bytes_and_then_error_58() {
    let offered = read::<SaslHandshakeRequest>(include_bytes!("fixtures/sasl_handshake-1.bin"), 1);
    assert_eq!((offered.error_code, offered.mechanisms[0].as_str()), (0, "OAUTHBEARER"));
    let refused = read::<SaslAuthenticateRequest>(include_bytes!("fixtures/sasl_authenticate-2-refused.bin"), 2);
    assert_eq!((refused.error_code, refused.auth_bytes.as_ref()), (0, br#"{"status":"invalid_token"}"#.as_ref()));
    let closing = read::<SaslAuthenticateRequest>(include_bytes!("fixtures/sasl_authenticate-2-closing.bin"), 2);
    assert_eq!(closing.error_code, 58);
    let other = read::<SaslHandshakeRequest>(include_bytes!("fixtures/sasl_handshake-1-unsupported.bin"), 1);
    assert_eq!((other.error_code, other.mechanisms[0].as_str()), (33, "OAUTHBEARER"));
}
