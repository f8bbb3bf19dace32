//! Every offered version of every offered API gets a well-formed answer, with the errors that Kafka gives.

use std::collections::BTreeMap;

use kafka_protocol::messages::ApiVersionsRequest;

use crate::recorded::Answers;
use crate::requests;
use crate::wire::{Ability, Broker, Wire};

#[tokio::test]
async fn every_version_of_every_api_is_answered_as_kafka_does() {
    let Some(broker) = Broker::start_with_ability(Ability::Kafka43).await else { return };
    let mut wire = Wire::open(&broker).await;
    let cases = requests::all(&broker.there());

    let offered = wire.call(&ApiVersionsRequest::default(), 0).await.unwrap();
    let offered: BTreeMap<i16, (i16, i16)> =
        offered.api_keys.iter().map(|api| (api.api_key, (api.min_version, api.max_version))).collect();
    let mut covered: BTreeMap<i16, (i16, i16)> = BTreeMap::new();
    for case in &cases {
        let range = covered.entry(case.api).or_insert((case.version, case.version));
        *range = (range.0.min(case.version), range.1.max(case.version));
    }
    // Produce 0 to 2 are named for librdkafka's sake and refused, as Kafka does it.
    covered.entry(0).and_modify(|range| range.0 = 0);
    if broker.sandbox.is_some() {
        assert_eq!(covered, offered);
    }

    let mut answers = Answers::default();
    for case in cases {
        match wire.exchange(case.api, case.version, &case.body).await {
            Some(frame) => answers.add(&case, Some(&(case.read)(frame, case.version))),
            None => {
                answers.add(&case, None);
                wire = Wire::open(&broker).await;
            }
        }
    }
    answers.compare("kafka-errors.txt", include_str!("kafka-errors.txt"));
    broker.shutdown().await;
}
