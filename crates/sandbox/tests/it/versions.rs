//! Every offered version of every offered API gets a well-formed answer, with the errors that Kafka gives.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::messages::ApiVersionsRequest;

use crate::requests;
use crate::wire::{Broker, Wire};

/// What Apache Kafka 4.3.1 answered, one line for an API, what is asked about and the error codes, with the versions that it holds for:
/// `GROCERY_TEST_BOOTSTRAP=... GROCERY_TEST_RECORD=crates/sandbox/tests/it/kafka-errors.txt cargo test -p sandbox --test it versions`.
const RECORDED: &str = include_str!("kafka-errors.txt");

/// The error codes in an answer's `Debug` text, each once.
fn errors(answer: &str) -> String {
    let codes = answer.split("error_code: ").skip(1);
    let codes: BTreeSet<&str> =
        codes.filter_map(|rest| rest.split(|c: char| c != '-' && !c.is_ascii_digit()).next()).collect();
    codes.into_iter().collect::<Vec<_>>().join(",")
}

#[tokio::test]
async fn every_version_of_every_api_is_answered_as_kafka_does() {
    let broker = Broker::start().await;
    let mut wire = Wire::open(&broker).await;
    let cases = requests::all(broker.orders_id, &broker.run);

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

    let mut answers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for case in cases {
        let answer = match wire.exchange(case.api, case.version, &case.body).await {
            Some(frame) => errors(&(case.read)(frame, case.version)),
            None => {
                wire = Wire::open(&broker).await;
                "closed".to_owned()
            }
        };
        let line = format!("API {:2} about {:?}: {answer}", case.api, case.about);
        answers.entry(line).or_default().push(case.version.to_string());
    }
    let lines = answers.into_iter().map(|(line, versions)| format!("{line} in versions {}\n", versions.join(",")));
    let answered: String = lines.collect();
    match std::env::var("GROCERY_TEST_RECORD") {
        Ok(path) => std::fs::write(std::path::Path::new("../..").join(path), answered).unwrap(),
        Err(_) => {
            let (answered, recorded): (BTreeSet<_>, BTreeSet<_>) =
                (answered.lines().collect(), RECORDED.lines().collect());
            let differences: Vec<_> = answered.symmetric_difference(&recorded).collect();
            assert!(differences.is_empty(), "{differences:#?}");
        }
    }
    broker.shutdown().await;
}
