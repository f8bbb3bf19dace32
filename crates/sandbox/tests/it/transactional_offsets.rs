//! Positions that are committed in a transaction.

use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;

use crate::consumer_groups::{ASSIGNMENT_INTERVAL, Member};
use crate::payments::Payments;
use crate::wire::{Ability, Broker};

const UNSTABLE_OFFSET_COMMIT: i16 = 88;

/// A reader of orders whose positions a producer commits.
struct Reader<'a> {
    payments: Payments<'a>,
    group: GroupId,
    orders: TopicName,
}

impl<'a> Reader<'a> {
    async fn start(broker: &'a Broker) -> Self {
        let text = |text: String| StrBytes::from_string(text);
        Self {
            payments: Payments::start(broker).await,
            group: GroupId(text(format!("readers-{}", broker.run))),
            orders: TopicName(text(broker.orders.clone())),
        }
    }

    fn request(&self, offset: i64) -> TxnOffsetCommitRequest {
        let partition = TxnOffsetCommitRequestPartition::default().with_committed_offset(offset);
        let topic = TxnOffsetCommitRequestTopic::default()
            .with_name(self.orders.clone())
            .with_partitions(vec![partition.with_committed_leader_epoch(-1)]);
        TxnOffsetCommitRequest::default()
            .with_transactional_id(self.payments.id.clone())
            .with_group_id(self.group.clone())
            .with_producer_id(self.payments.producer)
            .with_producer_epoch(self.payments.epoch)
            .with_topics(vec![topic])
    }

    async fn try_send(&mut self, request: &TxnOffsetCommitRequest, version: i16) -> i16 {
        let answer = self.payments.wire.call(request, version).await.unwrap();
        answer.topics[0].partitions[0].error_code
    }

    async fn try_commit(&mut self, offset: i64, version: i16) -> i16 {
        let request = self.request(offset);
        self.try_send(&request, version).await
    }

    async fn commit(&mut self, offset: i64) {
        loop {
            match self.try_commit(offset, 5).await {
                0 => return,
                error => assert_eq!(error, 51),
            }
        }
    }

    /// A commit outside of transactions.
    async fn commit_plainly(&mut self, offset: i64) {
        let partition = OffsetCommitRequestPartition::default().with_committed_offset(offset);
        let topic = OffsetCommitRequestTopic::default().with_name(self.orders.clone()).with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(self.group.clone())
            .with_generation_id_or_member_epoch(-1)
            .with_topics(vec![topic]);
        assert_eq!(self.payments.wire.call(&request, 8).await.unwrap().topics[0].partitions[0].error_code, 0);
    }

    /// Where the group stands, and the error that comes with it.
    async fn position(&mut self, stable: bool) -> (i64, i16) {
        let topic = OffsetFetchRequestTopics::default().with_name(self.orders.clone()).with_partition_indexes(vec![0]);
        let group = OffsetFetchRequestGroup::default().with_group_id(self.group.clone()).with_topics(Some(vec![topic]));
        let request = OffsetFetchRequest::default().with_groups(vec![group]).with_require_stable(stable);
        let answer = self.payments.wire.call(&request, 8).await.unwrap();
        let partition = &answer.groups[0].topics[0].partitions[0];
        (partition.committed_offset, partition.error_code)
    }

    /// Where the group stands once every transaction is over.
    async fn stable_position(&mut self) -> i64 {
        loop {
            match self.position(true).await {
                (offset, 0) => return offset,
                unstable => assert_eq!(unstable, (-1, UNSTABLE_OFFSET_COMMIT)),
            }
        }
    }
}

#[tokio::test]
async fn positions_are_seen_when_their_transaction_is_committed() {
    let Some(broker) = Broker::start_with_ability(Ability::TransactionsOfVersion2).await else { return };
    let mut reader = Reader::start(&broker).await;
    reader.commit(5).await;
    assert_eq!(reader.position(true).await, (-1, UNSTABLE_OFFSET_COMMIT));
    assert_eq!(reader.position(false).await, (-1, 0));
    reader.payments.end(false).await;
    assert_eq!(reader.stable_position().await, -1);
    reader.commit(6).await;
    reader.commit(7).await;
    reader.payments.end(true).await;
    assert_eq!(reader.stable_position().await, 7);
    broker.shutdown().await;
}

#[tokio::test]
async fn a_later_commit_outside_of_the_transaction_stays() {
    let Some(broker) = Broker::start_with_ability(Ability::TransactionsOfVersion2).await else { return };
    let mut reader = Reader::start(&broker).await;
    reader.commit(5).await;
    reader.commit_plainly(9).await;
    assert_eq!(reader.position(false).await, (9, 0));
    reader.payments.end(true).await;
    assert_eq!(reader.stable_position().await, 9);
    reader.commit(6).await;
    reader.payments.end(true).await;
    assert_eq!(reader.stable_position().await, 6);
    broker.shutdown().await;
}

#[tokio::test]
async fn before_version_5_the_group_must_have_been_added() {
    let broker = Broker::start().await;
    let mut reader = Reader::start(&broker).await;
    assert_eq!(reader.try_commit(5, 3).await, 48);
    assert_eq!(reader.try_commit(5, 4).await, 120);
    let add = AddOffsetsToTxnRequest::default()
        .with_transactional_id(reader.payments.id.clone())
        .with_producer_id(reader.payments.producer)
        .with_producer_epoch(reader.payments.epoch)
        .with_group_id(reader.group.clone());
    assert_eq!(reader.payments.wire.call(&add, 4).await.unwrap().error_code, 0);
    assert_eq!(reader.try_commit(5, 4).await, 0);
    let fenced = add.clone().with_producer_epoch(reader.payments.epoch + 1);
    assert_eq!(reader.payments.wire.call(&fenced, 1).await.unwrap().error_code, 47);
    assert_eq!(reader.payments.wire.call(&fenced, 4).await.unwrap().error_code, 90);
    broker.shutdown().await;
}

#[tokio::test]
async fn positions_are_taken_from_members_of_the_generation_only() {
    let Some(broker) = Broker::start_with_ability(Ability::TransactionsOfVersion2).await else { return };
    let mut reader = Reader::start(&broker).await;
    let request = reader.request(5);
    let text = StrBytes::from_static_str;
    assert_eq!(reader.try_send(&request.clone().with_generation_id(3), 5).await, 22, "there is no such group");
    reader.commit_plainly(1).await;
    let member = request.clone().with_generation_id(3).with_member_id(text("nobody"));
    assert_eq!(reader.try_send(&member, 5).await, 25);
    let member = request.clone().with_group_instance_id(Some(text("nobody"))).with_generation_id(0);
    assert_eq!(reader.try_send(&member, 5).await, 25);
    assert_eq!(reader.try_send(&request.clone().with_group_id(GroupId::default()), 5).await, 24);
    let fenced = request.clone().with_producer_epoch(reader.payments.epoch + 1);
    assert_eq!(reader.try_send(&fenced, 5).await, 47);
    assert_eq!(reader.try_send(&fenced, 3).await, 47);
    let stranger = request.with_producer_id(ProducerId(reader.payments.producer.0 + 1_000_000));
    assert_eq!(reader.try_send(&stranger, 5).await, 49);
    broker.shutdown().await;
}

#[tokio::test]
async fn a_member_of_a_consumer_group_commits_under_an_epoch_in_which_the_partition_was_its_own() {
    let Some(broker) = Broker::start_with_ability(Ability::ConsumerGroups).await else { return };
    let mut reader = Reader::start(&broker).await;
    let (mut first, mut second) = (Member::new(&broker, "a").await, Member::new(&broker, "b").await);
    first.group = reader.group.clone();
    second.group = reader.group.clone();
    assert_eq!(first.join().await.error_code, 0);
    let epoch = first.epoch;
    let text = StrBytes::from_static_str;
    let request = reader.request(5).with_member_id(text("a"));
    assert_eq!(reader.try_send(&request.clone().with_generation_id(epoch), 5).await, 0);
    for other in [epoch - 1, epoch + 1] {
        let stale = request.clone().with_generation_id(other);
        assert_eq!(reader.try_send(&stale, 5).await, 22, "clients know what to do about a generation of the past");
        assert_eq!(reader.try_send(&stale, 3).await, 22);
    }
    let stranger = request.clone().with_generation_id(epoch).with_member_id(text("nobody"));
    assert_eq!(reader.try_send(&stranger, 5).await, 25);
    let anonymous = reader.request(6);
    assert_eq!(reader.try_send(&anonymous, 5).await, 0, "clients of before KIP-447 name no member");

    tokio::time::sleep(ASSIGNMENT_INTERVAL).await;
    second.join().await;
    first.beat().await;
    first.acknowledge().await;
    assert_eq!(first.epoch, epoch + 1);
    let given = (0..3).find(|partition| !first.owned.contains(partition)).unwrap();
    let of = |partition: i32, epoch: i32| {
        let mut request = request.clone().with_generation_id(epoch);
        request.topics[0].partitions[0].partition_index = partition;
        request
    };
    let (kept, given) = (of(first.owned[0], epoch), of(given, epoch));
    assert_eq!(reader.try_send(&kept, 5).await, 0);
    assert_eq!(reader.try_send(&given, 5).await, 22);
    let mut both = given;
    both.topics[0].partitions.extend(kept.topics[0].partitions.clone());
    let answer = reader.payments.wire.call(&both, 5).await.unwrap();
    let errors: Vec<_> = answer.topics[0].partitions.iter().map(|partition| partition.error_code).collect();
    assert_eq!(errors, [22, 22], "all or nothing");
    reader.payments.end(true).await;
    assert_eq!(reader.stable_position().await, 5);
    broker.shutdown().await;
}
