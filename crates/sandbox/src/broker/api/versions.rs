//! What is offered: APIs and their versions.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse};

use super::super::Broker;
use super::{Answer, Request, Unanswerable, text};
use crate::transactions::TransactionSettings;

/// As Kafka 4.1 has them. Not here: WriteTxnMarkers, which brokers send each other.
const OFFERED: &[(ApiKey, i16, i16)] = &[
    (ApiKey::Produce, 3, 13),
    (ApiKey::Fetch, 4, 17),
    (ApiKey::ListOffsets, 1, 10),
    (ApiKey::Metadata, 0, 13),
    (ApiKey::OffsetCommit, 2, 9),
    (ApiKey::OffsetFetch, 1, 9),
    (ApiKey::FindCoordinator, 0, 6),
    (ApiKey::JoinGroup, 2, 9),
    (ApiKey::Heartbeat, 0, 4),
    (ApiKey::LeaveGroup, 0, 5),
    (ApiKey::SyncGroup, 0, 5),
    (ApiKey::DescribeGroups, 0, 6),
    (ApiKey::ListGroups, 0, 5),
    (ApiKey::SaslHandshake, 0, 1),
    (ApiKey::ApiVersions, 0, 4),
    (ApiKey::CreateTopics, 2, 7),
    (ApiKey::DeleteTopics, 1, 6),
    (ApiKey::DeleteRecords, 0, 2),
    (ApiKey::InitProducerId, 0, 5),
    (ApiKey::OffsetForLeaderEpoch, 2, 4),
    (ApiKey::AddPartitionsToTxn, 0, 5),
    (ApiKey::AddOffsetsToTxn, 0, 4),
    (ApiKey::EndTxn, 0, 5),
    (ApiKey::TxnOffsetCommit, 0, 5),
    (ApiKey::DescribeConfigs, 1, 4),
    (ApiKey::AlterConfigs, 0, 2),
    (ApiKey::SaslAuthenticate, 0, 2),
    (ApiKey::CreatePartitions, 0, 3),
    (ApiKey::DeleteGroups, 0, 2),
    (ApiKey::IncrementalAlterConfigs, 0, 1),
    (ApiKey::OffsetDelete, 0, 0),
    (ApiKey::DescribeCluster, 0, 2),
    (ApiKey::ConsumerGroupHeartbeat, 0, 1),
    (ApiKey::ConsumerGroupDescribe, 0, 1),
    (ApiKey::DescribeProducers, 0, 0),
    (ApiKey::DescribeTransactions, 0, 0),
    (ApiKey::ListTransactions, 0, 2),
];

/// librdkafka takes a broker that does not say Produce 0 for one older than 0.10 (KAFKA-18659); Kafka says it and refuses it.
const ADVERTISED_PRODUCE_MIN: i16 = 0;

/// KIP-511.
const FIRST_VERSION_WITH_SOFTWARE: i16 = 3;

/// The offset in the cluster's metadata at which the features were set, which is all that a client can know of it.
const FEATURES_EPOCH: i64 = 1;

/// Older clients are kept from features that may be at level 0, which they take for a mistake (KIP-1022).
const FIRST_VERSION_WITH_LEVEL_0: i16 = 4;

/// What the broker could do and what the cluster does (KIP-584). A feature at level 0 is off, which Kafka does not mention.
fn features(broker: &Broker, version: i16) -> (Vec<SupportedFeatureKey>, Vec<FinalizedFeatureKey>) {
    let has_consumer_groups = u8::from(broker.groups.consumer_settings().is_some());
    let levels = [
        ("group.version", 1, has_consumer_groups),
        ("transaction.version", TransactionSettings::MAX_VERSION, broker.transactions.settings.version),
    ];
    let shown = levels.iter().filter(|_| version >= FIRST_VERSION_WITH_LEVEL_0);
    let supported = shown.map(|(name, max, _)| {
        SupportedFeatureKey::default().with_name(text(name)).with_min_version(0).with_max_version(i16::from(*max))
    });
    let finalized = levels.iter().filter(|(_, _, level)| *level > 0).map(|(name, _, level)| {
        let level = i16::from(*level);
        FinalizedFeatureKey::default().with_name(text(name)).with_min_version_level(level).with_max_version_level(level)
    });
    (supported.collect(), finalized.collect())
}

/// Whether a client's name or version is one: letters and digits, and in between also points and hyphens.
fn is_software(text: &str) -> bool {
    let ends = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    ends(text.bytes().next())
        && ends(text.bytes().last())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte))
}

pub(in super::super) fn is_offered(api: ApiKey, version: i16) -> bool {
    OFFERED.iter().any(|(key, min, max)| *key == api && (*min..=*max).contains(&version))
}

/// ApiVersions. A version that is not offered is answered in version 0 with error 35 and what there is (KIP-511).
pub(in super::super) fn api_versions(broker: &Broker, request: &Request) -> Result<Answer, Unanswerable> {
    let keys = OFFERED.iter().map(|(key, min, max)| {
        let min = if *key == ApiKey::Produce { ADVERTISED_PRODUCE_MIN } else { *min };
        ApiVersion::default().with_api_key(*key as i16).with_min_version(min).with_max_version(*max)
    });
    let (supported, finalized) = features(broker, request.version);
    let mut response = ApiVersionsResponse::default()
        .with_api_keys(keys.collect())
        .with_supported_features(supported)
        .with_finalized_features_epoch(FEATURES_EPOCH)
        .with_finalized_features(finalized);
    if !is_offered(ApiKey::ApiVersions, request.version) {
        response.error_code = ResponseError::UnsupportedVersion.code();
        return request.encode(&response, 0);
    }
    let message: ApiVersionsRequest = request.decode()?;
    let (name, version) = (&message.client_software_name, &message.client_software_version);
    if request.version >= FIRST_VERSION_WITH_SOFTWARE && !(is_software(name) && is_software(version)) {
        let refused = ApiVersionsResponse::default().with_error_code(ResponseError::InvalidRequest.code());
        return request.encode(&refused, request.version);
    }
    request.encode(&response, request.version)
}
