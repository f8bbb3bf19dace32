//! One of each request that has to do with transactions, in every version. See [`requests`](crate::requests).

use kafka_protocol::messages::add_partitions_to_txn_request::{AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction};
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;

use crate::requests::{About, Cases, Names};

/// From here on AddPartitionsToTxn is a broker's request.
const FIRST_ADD_OF_BROKERS: i16 = 4;
const TRANSACTION: i8 = 1;

impl Names<'_> {
    fn transactional_id(&self) -> TransactionalId {
        TransactionalId(self.text("payments"))
    }

    /// The producer of `payments-RUN`, or one that does not exist.
    fn producer(&self) -> (ProducerId, i16) {
        if self.about == About::Known { self.there.payments } else { (ProducerId(7), 0) }
    }
}

/// Adds all cases.
pub(crate) fn add(cases: &mut Cases) {
    cases.add(0..=5, |names, _| {
        // About nothing: an idempotent producer. About what is not there: a timeout that no broker allows.
        let id = TransactionalId(StrBytes::from_string(names.own("initialized")));
        let timeout_ms = if names.about == About::Unknown { 900_001 } else { 60_000 };
        InitProducerIdRequest::default()
            .with_transactional_id(Some(id).filter(|_| names.about != About::Nothing))
            .with_transaction_timeout_ms(timeout_ms)
    });
    cases.add(1..=6, |names, version| {
        let request = FindCoordinatorRequest::default().with_key_type(TRANSACTION);
        let key = names.transactional_id().0;
        if version < 4 { request.with_key(key) } else { request.with_coordinator_keys(names.list(key)) }
    });
    cases.add(0..=5, |names, version| {
        let topic = AddPartitionsToTxnTopic::default().with_name(names.topic()).with_partitions(vec![0, 1]);
        let (id, epoch) = names.producer();
        let request = AddPartitionsToTxnRequest::default();
        if version < FIRST_ADD_OF_BROKERS {
            return request
                .with_v3_and_below_transactional_id(names.transactional_id())
                .with_v3_and_below_producer_id(id)
                .with_v3_and_below_producer_epoch(epoch)
                .with_v3_and_below_topics(names.list(topic));
        }
        let transaction = AddPartitionsToTxnTransaction::default()
            .with_transactional_id(names.transactional_id())
            .with_producer_id(id)
            .with_producer_epoch(epoch)
            .with_topics(names.list(topic));
        // Kafka never answers a request without transactions.
        request.with_transactions(vec![transaction])
    });
    cases.add(0..=4, |names, _| {
        let (id, epoch) = names.producer();
        AddOffsetsToTxnRequest::default()
            .with_transactional_id(names.transactional_id())
            .with_producer_id(id)
            .with_producer_epoch(epoch)
            .with_group_id(names.group())
    });
    cases.add(0..=5, |names, version| {
        let partition = TxnOffsetCommitRequestPartition::default()
            .with_committed_offset(1)
            .with_committed_leader_epoch(if version < 2 { -1 } else { 0 });
        let topic = TxnOffsetCommitRequestTopic::default().with_name(names.topic()).with_partitions(vec![partition]);
        let (id, epoch) = names.producer();
        TxnOffsetCommitRequest::default()
            .with_transactional_id(names.transactional_id())
            .with_group_id(names.group())
            .with_producer_id(id)
            .with_producer_epoch(epoch)
            .with_topics(names.list(topic))
    });
    // A commit before there is anything to commit; and one by somebody else.
    cases.add(0..=5, |names, _| {
        let (id, epoch) = if names.about == About::Known { names.there.unused } else { names.producer() };
        let known = StrBytes::from_string(names.own("unused"));
        let transactional_id = if names.about == About::Known { known } else { names.text("") };
        EndTxnRequest::default()
            .with_transactional_id(TransactionalId(transactional_id))
            .with_producer_id(id)
            .with_producer_epoch(epoch)
            .with_committed(true)
    });
    cases.add(0..=0, |names, _| {
        let topic = TopicRequest::default().with_name(names.topic()).with_partition_indexes(vec![0, 9]);
        DescribeProducersRequest::default().with_topics(names.list(topic))
    });
    cases.add(0..=0, |names, _| {
        DescribeTransactionsRequest::default().with_transactional_ids(names.list(names.transactional_id()))
    });
    cases.add(0..=2, |names, version| {
        let filters = if names.about == About::Unknown { vec![names.text("")] } else { Vec::new() };
        let request = ListTransactionsRequest::default().with_state_filters(filters);
        if version < 1 { request } else { request.with_duration_filter(0) }
    });
}
