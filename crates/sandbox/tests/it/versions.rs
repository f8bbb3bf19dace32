//! Every offered version of every offered API gets a well-formed answer.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::messages::{ApiVersionsRequest, MetadataRequest};

use crate::requests::{self, About};
use crate::wire::{Wire, sandbox};

pub(crate) async fn topic_id(wire: &mut Wire) -> uuid::Uuid {
    let metadata = wire.call(&MetadataRequest::default().with_topics(None), 13).await.unwrap();
    metadata.topics.iter().find(|topic| topic.name.as_ref().is_some_and(|name| &*name.0 == "orders")).unwrap().topic_id
}

#[tokio::test]
async fn every_version_of_every_api_is_answered_whatever_it_asks_about() {
    let sandbox = sandbox().await;
    let mut wire = Wire::open(&sandbox).await;
    let cases = requests::all(topic_id(&mut wire).await);

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
    assert_eq!(covered, offered);

    let mut unanswered = BTreeSet::new();
    for case in cases {
        match wire.exchange(case.api, case.version, &case.body).await {
            Some(frame) => {
                let answer = (case.read)(frame, case.version);
                let (describe_groups, known) = (15, case.about == About::Known);
                assert!(case.api != describe_groups || !known || answer.contains("by-hand"), "{answer}");
            }
            None => {
                unanswered.insert(format!("API {} version {} about {:?}", case.api, case.version, case.about));
                wire = Wire::open(&sandbox).await;
            }
        }
    }
    assert_eq!(unanswered, BTreeSet::new());
    sandbox.shutdown().await;
}
