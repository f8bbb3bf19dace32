//! Which version of each API to speak with one broker.

use std::collections::HashMap;

use kafka_protocol::messages::{ApiKey, ApiVersionsResponse};
use kafka_protocol::protocol::{Message, Request};

/// What a broker said it speaks, and the cluster's finalized features.
#[derive(Debug, Clone, Default)]
pub(super) struct Versions {
    ranges: HashMap<i16, (i16, i16)>,
    features: HashMap<String, i16>,
}

/// Versions that only brokers may send although the range says otherwise (KIP-890, KIP-939).
fn client_maximum(key: i16) -> i16 {
    match ApiKey::try_from(key) {
        Ok(ApiKey::AddPartitionsToTxn) => 3,
        Ok(ApiKey::InitProducerId) => 5,
        _ => i16::MAX,
    }
}

impl Versions {
    pub(super) fn from_answer(answer: &ApiVersionsResponse) -> Self {
        let ranges = answer.api_keys.iter().map(|api| (api.api_key, (api.min_version, api.max_version))).collect();
        // An epoch of -1 says that the features are unknown (KIP-584).
        let features = if answer.finalized_features_epoch < 0 {
            HashMap::new()
        } else {
            answer.finalized_features.iter().map(|f| (f.name.to_string(), f.max_version_level)).collect()
        };
        Self { ranges, features }
    }

    /// The level of a finalized feature, such as `transaction.version`.
    pub(super) fn feature(&self, name: &str) -> Option<i16> {
        self.features.get(name).copied()
    }

    pub(super) fn broker_range(&self, key: i16) -> Option<(i16, i16)> {
        self.ranges.get(&key).copied()
    }

    /// The highest version of `R` up to `cap` that both sides speak.
    ///
    /// Versions before the API became flexible are not spoken even where both could: every supported broker has the
    /// later ones, and only their lengths can be checked (see [`super::bounded`]).
    pub(super) fn choose<R: Request>(&self, cap: i16) -> Option<i16> {
        let (low, high) = self.broker_range(R::KEY)?;
        let (our_low, our_high) = own_range::<R>();
        let version = high.min(our_high).min(cap);
        (version >= low.max(our_low)).then_some(version)
    }
}

/// What this client speaks of an API.
pub(super) fn own_range<R: Request>() -> (i16, i16) {
    let spelled = <R as Message>::VERSIONS;
    let low = (spelled.min..=spelled.max).find(|version| is_flexible::<R>(*version)).unwrap_or(spelled.min);
    (low, spelled.max.min(client_maximum(R::KEY)))
}

pub(super) fn is_flexible<R: Request>(version: i16) -> bool {
    R::header_version(version) >= 2
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::api_versions_response::ApiVersion;
    use kafka_protocol::messages::*;

    use super::*;

    fn broker(key: ApiKey, low: i16, high: i16) -> Versions {
        let api = ApiVersion::default().with_api_key(key as i16).with_min_version(low).with_max_version(high);
        Versions::from_answer(&ApiVersionsResponse::default().with_api_keys(vec![api]))
    }

    #[test]
    fn the_highest_common_version_is_spoken_up_to_the_cap() {
        let kafka_4 = broker(ApiKey::Produce, 0, 13);
        assert_eq!(kafka_4.choose::<ProduceRequest>(i16::MAX), Some(13));
        assert_eq!(kafka_4.choose::<ProduceRequest>(11), Some(11));
        assert_eq!(broker(ApiKey::Produce, 0, 99).choose::<ProduceRequest>(i16::MAX), Some(13));
    }

    #[test]
    fn produce_is_never_sent_below_version_3_though_brokers_advertise_it() {
        assert_eq!(broker(ApiKey::Produce, 0, 2).choose::<ProduceRequest>(i16::MAX), None);
        assert_eq!(broker(ApiKey::Produce, 0, 13).choose::<ProduceRequest>(2), None);
    }

    #[test]
    fn an_api_the_broker_does_not_name_is_not_spoken() {
        assert_eq!(broker(ApiKey::Produce, 0, 13).choose::<FetchRequest>(i16::MAX), None);
    }

    #[test]
    fn versions_meant_for_brokers_are_left_to_them() {
        assert_eq!(broker(ApiKey::AddPartitionsToTxn, 0, 5).choose::<AddPartitionsToTxnRequest>(i16::MAX), Some(3));
    }

    #[test]
    fn every_api_but_two_has_flexible_versions_to_speak() {
        assert_eq!(own_range::<SaslHandshakeRequest>(), (0, 1));
        assert_eq!(own_range::<OffsetDeleteRequest>(), (0, 0));
        assert_eq!(own_range::<FetchRequest>(), (12, 18));
        assert_eq!(own_range::<ApiVersionsRequest>(), (3, 4));
    }

    #[test]
    fn features_of_an_unknown_epoch_do_not_count() {
        use kafka_protocol::messages::api_versions_response::FinalizedFeatureKey;
        let feature = FinalizedFeatureKey::default().with_name("transaction.version".into()).with_max_version_level(2);
        let answer = ApiVersionsResponse::default().with_finalized_features(vec![feature]);
        let unknown = Versions::from_answer(&answer.clone().with_finalized_features_epoch(-1));
        assert_eq!(unknown.feature("transaction.version"), None);
        let known = Versions::from_answer(&answer.with_finalized_features_epoch(0));
        assert_eq!(known.feature("transaction.version"), Some(2));
    }
}
