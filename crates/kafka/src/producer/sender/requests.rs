//! Produce requests and their answers: from batches into messages and back.

use std::sync::Arc;

use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::Sender;
use super::transactional::Transactional;
use crate::connection::Connection;
use crate::error::ErrorCode;
use crate::producer::accumulator::PartitionKey;
use crate::producer::pipeline::{LinkId, Outgoing, PartitionAnswer, RequestId};

/// From which version a produce request names topics by id.
const TOPIC_IDS_FROM: i16 = 13;

/// `acks=all`.
const ALL_IN_SYNC_REPLICAS: i16 = -1;

/// What a request was about, to read its answer by.
pub(super) struct Asked {
    pub(super) broker: i32,
    pub(super) link: LinkId,
    pub(super) topics: Vec<(usize, Arc<str>, Uuid)>,
}

/// A request for a link's writer.
pub(super) struct Encoded {
    pub(super) id: RequestId,
    pub(super) request: ProduceRequest,
    /// The newest version that it may have.
    pub(super) newest: i16,
}

impl Sender {
    pub(super) fn encode(
        &self,
        connection: &Connection,
        broker: i32,
        link: LinkId,
        outgoing: &Outgoing,
    ) -> (Encoded, Asked) {
        let newest = self.transactional.as_ref().map_or(i16::MAX, Transactional::newest_produce);
        let by_id =
            connection.negotiated_capped::<ProduceRequest>(newest).is_some_and(|version| version >= TOPIC_IDS_FROM);
        let mut topics: Vec<(usize, Arc<str>, Uuid)> = Vec::new();
        let mut topic_data: Vec<TopicProduceData> = Vec::new();
        let accumulator = self.shared.accumulator();
        for (key, batch) in &outgoing.batches {
            let at = match topics.iter().position(|(slot, ..)| *slot == key.topic) {
                Some(at) => at,
                None => {
                    let Some((name, id)) = accumulator.topic(key.topic) else { continue };
                    topic_data.push(if by_id {
                        TopicProduceData::default().with_topic_id(id)
                    } else {
                        TopicProduceData::default().with_name(TopicName(StrBytes::from_string(name.to_string())))
                    });
                    topics.push((key.topic, name, id));
                    topics.len() - 1
                }
            };
            let batch = PartitionProduceData::default().with_index(key.partition).with_records(Some(batch.clone()));
            topic_data[at].partition_data.push(batch);
        }
        let request = ProduceRequest::default()
            .with_transactional_id(self.transactional.as_ref().map(Transactional::id))
            .with_acks(ALL_IN_SYNC_REPLICAS)
            .with_timeout_ms(i32::try_from(self.replication_timeout.as_millis()).unwrap_or(i32::MAX))
            .with_topic_data(topic_data);
        (Encoded { id: outgoing.id, request, newest }, Asked { broker, link, topics })
    }
}

pub(super) fn read_answers(asked: &Asked, response: &ProduceResponse) -> Vec<(PartitionKey, PartitionAnswer)> {
    let mut answers = Vec::new();
    for topic in &response.responses {
        let same = |(_, name, id): &&(usize, Arc<str>, Uuid)| {
            if topic.topic_id.is_nil() { **name == **topic.name } else { *id == topic.topic_id }
        };
        let Some((slot, ..)) = asked.topics.iter().find(same) else { continue };
        for partition in &topic.partition_responses {
            let key = PartitionKey { topic: *slot, partition: partition.index };
            let leader = &partition.current_leader;
            let answer = PartitionAnswer {
                error: ErrorCode::check(partition.error_code).err(),
                message: partition.error_message.as_ref().map(|message| message.as_str().into()),
                base_offset: partition.base_offset,
                append_time: Some(partition.log_append_time_ms).filter(|&time| time >= 0),
                log_start_offset: partition.log_start_offset,
                leader: (leader.leader_id.0 >= 0).then_some((leader.leader_id.0, leader.leader_epoch)),
            };
            answers.push((key, answer));
        }
    }
    answers
}
