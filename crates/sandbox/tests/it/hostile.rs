//! Frames that lie about their lengths close their own connection and nothing else.

use bytes::{BufMut, BytesMut};
use kafka_protocol::messages::{ApiVersionsRequest, ProducerId};
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

use crate::requests::{self, About, Case, There};
use crate::wire::{Broker, Wire, frame};

/// Four bytes that are a large length, and five that are a larger one in the flexible encodings.
const LIES: [&[u8]; 3] = [&[0x7f, 0xff, 0xff, 0xff], &[0x00, 0x7f, 0xff, 0xff], &[0xff, 0xff, 0xff, 0xff, 0x0f]];

#[tokio::test]
async fn a_lying_length_anywhere_in_any_request_harms_nobody_else() {
    let broker = Broker::start().await;
    let mut bystander = Wire::open(&broker).await;
    let nobody = (ProducerId(7), 0);
    let there = There { run: "run".to_owned(), orders_id: Uuid::from_u128(7), payments: nobody, unused: nobody };
    let cases: Vec<_> = requests::all(&there).into_iter().filter(|case| case.about == About::Unknown).collect();
    // The oldest version of an API is in the fixed encodings and the newest in the flexible ones, where it has both.
    let ends = |case: &&Case| {
        let versions = || cases.iter().filter(|other| other.api == case.api).map(|other| other.version);
        versions().min() == Some(case.version) || versions().max() == Some(case.version)
    };
    for case in cases.iter().filter(ends) {
        for at in 0..=case.body.len() {
            for lie in LIES {
                let mut body = BytesMut::from(&case.body[..at]);
                body.put_slice(lie);
                body.put_slice(case.body.get(at + lie.len()..).unwrap_or_default());
                let mut wire = Wire::open(&broker).await;
                // The broker may have closed the connection already; that is its right.
                let _ = wire.0.write_all(&frame(case.api, case.version, &body)).await;
            }
        }
        assert!(
            bystander.call(&ApiVersionsRequest::default(), 0).await.is_some(),
            "API {} version {}",
            case.api,
            case.version
        );
    }
    broker.shutdown().await;
}

#[tokio::test]
async fn a_frame_of_twenty_bytes_is_answered_by_closing_its_connection() {
    let broker = Broker::start().await;
    let mut bystander = Wire::open(&broker).await;
    let mut wire = Wire::open(&broker).await;
    let metadata = 3;
    assert_eq!(wire.exchange(metadata, 1, &i32::MAX.to_be_bytes()).await, None);
    assert!(bystander.call(&ApiVersionsRequest::default(), 0).await.is_some());
    broker.shutdown().await;
}
