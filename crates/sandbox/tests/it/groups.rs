//! Classic groups, request by request.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse,
    LeaveGroupRequest, OffsetCommitRequest, SyncGroupRequest, SyncGroupResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use crate::wire::{Broker, Wire};

const OK: i16 = 0;
/// Subscriptions of version 0 without user data: to `orders`, and to nothing.
const TO_ORDERS: &[u8] = b"\0\0\0\0\0\x01\0\x06orders\xff\xff\xff\xff";
const TO_NOTHING: &[u8] = b"\0\0\0\0\0\0\xff\xff\xff\xff";

fn code(error: ResponseError) -> i16 {
    error.code()
}

fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

fn group(broker: &Broker) -> GroupId {
    GroupId(text(&format!("readers-{}", broker.run)))
}

/// One member: a connection and what it was told.
struct Member {
    wire: Wire,
    group: GroupId,
    id: StrBytes,
    instance: Option<StrBytes>,
    generation: i32,
    protocols: Vec<(&'static str, &'static [u8])>,
}

impl Member {
    async fn new(broker: &Broker, instance: Option<&str>) -> Self {
        let protocols: Vec<(&str, &[u8])> = vec![("range", TO_ORDERS), ("sticky", TO_NOTHING)];
        let instance = instance.map(text);
        let (wire, group) = (Wire::open(broker).await, group(broker));
        Self { wire, group, id: StrBytes::new(), instance, generation: -1, protocols }
    }

    fn join_request(&self) -> JoinGroupRequest {
        let protocols = self.protocols.iter().map(|(name, metadata)| {
            JoinGroupRequestProtocol::default().with_name(text(name)).with_metadata(Bytes::from_static(metadata))
        });
        JoinGroupRequest::default()
            .with_group_id(self.group.clone())
            .with_member_id(self.id.clone())
            .with_group_instance_id(self.instance.clone())
            .with_session_timeout_ms(10_000)
            .with_rebalance_timeout_ms(10_000)
            .with_protocol_type(text("consumer"))
            .with_protocols(protocols.collect())
    }

    /// Joins, with the id that a stranger is told first.
    async fn join(&mut self) -> JoinGroupResponse {
        let mut answer = self.wire.call(&self.join_request(), 9).await.unwrap();
        if answer.error_code == code(ResponseError::MemberIdRequired) {
            self.id = answer.member_id;
            answer = self.wire.call(&self.join_request(), 9).await.unwrap();
        }
        if answer.error_code == OK {
            self.id = answer.member_id.clone();
            self.generation = answer.generation_id;
        }
        answer
    }

    async fn sync(&mut self, assignments: &[(&StrBytes, &'static [u8])]) -> SyncGroupResponse {
        let assignments = assignments.iter().map(|(id, bytes)| {
            let assignment = Bytes::from_static(bytes);
            SyncGroupRequestAssignment::default().with_member_id((*id).clone()).with_assignment(assignment)
        });
        let request = SyncGroupRequest::default()
            .with_group_id(self.group.clone())
            .with_generation_id(self.generation)
            .with_member_id(self.id.clone())
            .with_group_instance_id(self.instance.clone())
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(Some(text("range")))
            .with_assignments(assignments.collect());
        self.wire.call(&request, 5).await.unwrap()
    }

    async fn heartbeat(&mut self) -> i16 {
        let request = HeartbeatRequest::default()
            .with_group_id(self.group.clone())
            .with_generation_id(self.generation)
            .with_member_id(self.id.clone())
            .with_group_instance_id(self.instance.clone());
        self.wire.call(&request, 4).await.unwrap().error_code
    }

    async fn commit(&mut self, topic: &str) -> i16 {
        let partition = OffsetCommitRequestPartition::default().with_committed_offset(3);
        let topic =
            OffsetCommitRequestTopic::default().with_name(TopicName(text(topic))).with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(self.group.clone())
            .with_generation_id_or_member_epoch(self.generation)
            .with_member_id(self.id.clone())
            .with_group_instance_id(self.instance.clone())
            .with_topics(vec![topic]);
        self.wire.call(&request, 9).await.unwrap().topics[0].partitions[0].error_code
    }

    async fn leave(&mut self) -> i16 {
        let identity =
            MemberIdentity::default().with_member_id(self.id.clone()).with_group_instance_id(self.instance.clone());
        let request = LeaveGroupRequest::default().with_group_id(self.group.clone()).with_members(vec![identity]);
        self.wire.call(&request, 5).await.unwrap().members[0].error_code
    }

    /// Heartbeats until the group says that it rebalances, as a member learns of it.
    async fn wait_for_rebalance(&mut self) {
        while self.heartbeat().await != code(ResponseError::RebalanceInProgress) {
            tokio::task::yield_now().await;
        }
    }
}

/// Two members of a stable group; the first leads.
async fn pair(broker: &Broker) -> (Member, Member) {
    let (mut first, mut second) = (Member::new(broker, None).await, Member::new(broker, None).await);
    let alone = first.join().await;
    assert_eq!((alone.generation_id, alone.leader == first.id, alone.members.len()), (1, true, 1));
    assert_eq!(first.sync(&[(&first.id.clone(), b"all")]).await.assignment, Bytes::from_static(b"all"));
    let (joined, leading) = tokio::join!(second.join(), async {
        first.wait_for_rebalance().await;
        first.join().await
    });
    assert_eq!((joined.error_code, joined.generation_id, joined.members.len()), (OK, 2, 0));
    assert_eq!((leading.error_code, leading.generation_id, leading.members.len()), (OK, 2, 2));
    assert_eq!((&joined.leader, joined.protocol_name), (&first.id, Some(text("range"))));
    let (a, b) = (first.id.clone(), second.id.clone());
    let assignments: [(&StrBytes, &'static [u8]); 2] = [(&a, b"one half"), (&b, b"other half")];
    let (followed, led) = tokio::join!(second.sync(&[]), first.sync(&assignments));
    assert_eq!((led.error_code, led.assignment), (OK, Bytes::from_static(b"one half")));
    assert_eq!((followed.error_code, followed.assignment), (OK, Bytes::from_static(b"other half")));
    (first, second)
}

#[tokio::test]
async fn a_generation_accepts_its_members_and_nobody_else() {
    let broker = Broker::start().await;
    let (mut first, mut second) = pair(&broker).await;
    assert_eq!((first.heartbeat().await, second.heartbeat().await), (OK, OK));
    assert_eq!(first.commit(&broker.orders).await, OK);

    let mut stale = Member::new(&broker, None).await;
    (stale.id, stale.generation) = (first.id.clone(), 1);
    assert_eq!(stale.heartbeat().await, code(ResponseError::IllegalGeneration));
    assert_eq!(stale.commit(&broker.orders).await, code(ResponseError::IllegalGeneration));
    assert_eq!(stale.sync(&[]).await.error_code, code(ResponseError::IllegalGeneration));
    (stale.id, stale.generation) = (text("stranger"), 2);
    assert_eq!(stale.heartbeat().await, code(ResponseError::UnknownMemberId));
    assert_eq!(stale.commit(&broker.orders).await, code(ResponseError::UnknownMemberId));
    assert_eq!(stale.join().await.error_code, code(ResponseError::UnknownMemberId));
    assert_eq!(stale.leave().await, code(ResponseError::UnknownMemberId));
    (stale.id, stale.generation) = (StrBytes::new(), -1);
    assert_eq!(stale.commit(&broker.orders).await, code(ResponseError::UnknownMemberId), "the group has members");

    assert_eq!(second.join().await.generation_id, 2, "a follower that asks again is told the same");
    assert_eq!(second.leave().await, OK);
    assert_eq!(first.heartbeat().await, code(ResponseError::RebalanceInProgress));
    assert_eq!(first.sync(&[]).await.error_code, code(ResponseError::RebalanceInProgress));
    assert_eq!(first.commit(&broker.orders).await, OK, "the old generation may still say where it stopped");
    assert_eq!(first.join().await.generation_id, 3);
    assert_eq!(first.commit(&broker.orders).await, code(ResponseError::RebalanceInProgress));
    assert_eq!(first.leave().await, OK);
    assert_eq!(stale.commit(&broker.orders).await, OK, "nobody is in it any more");
    broker.shutdown().await;
}

#[tokio::test]
async fn whoever_speaks_no_common_strategy_is_kept_out() {
    let broker = Broker::start().await;
    let (_first, _second) = pair(&broker).await;
    let mut other = Member::new(&broker, None).await;
    other.protocols = vec![("roundrobin", TO_ORDERS)];
    assert_eq!(other.join().await.error_code, code(ResponseError::InconsistentGroupProtocol));
    other.protocols = Vec::new();
    assert_eq!(other.join().await.error_code, code(ResponseError::InconsistentGroupProtocol));
    let hasty = other.join_request().with_session_timeout_ms(1);
    let answer = other.wire.call(&hasty, 9).await.unwrap();
    assert_eq!(answer.error_code, code(ResponseError::InvalidSessionTimeout));
    broker.shutdown().await;
}

#[tokio::test]
async fn a_static_member_comes_back_without_a_rebalance_and_fences_its_older_self() {
    let broker = Broker::start().await;
    let mut member = Member::new(&broker, Some("till-1")).await;
    assert_eq!(member.join().await.generation_id, 1, "it needs no id first");
    member.sync(&[(&member.id.clone(), b"all")]).await;
    let mut again = Member::new(&broker, Some("till-1")).await;
    let back = again.join().await;
    assert_eq!((back.error_code, back.generation_id, back.skip_assignment), (OK, 1, true));
    assert_ne!(again.id, member.id);
    assert_eq!(again.sync(&[]).await.assignment, Bytes::from_static(b"all"));
    assert_eq!(member.heartbeat().await, code(ResponseError::FencedInstanceId));
    assert_eq!(member.commit(&broker.orders).await, code(ResponseError::FencedInstanceId));
    assert_eq!(member.join().await.error_code, code(ResponseError::FencedInstanceId));
    assert_eq!(again.heartbeat().await, OK);
    again.id = StrBytes::new();
    assert_eq!(again.leave().await, OK, "the instance's name is enough");
    broker.shutdown().await;
}

#[tokio::test]
async fn a_group_is_described_with_its_members_and_deleted_without_them() {
    let broker = Broker::start().await;
    let (mut first, mut second) = pair(&broker).await;
    let mut wire = Wire::open(&broker).await;
    let request = DescribeGroupsRequest::default().with_groups(vec![group(&broker)]);
    let described = wire.call(&request, 5).await.unwrap().groups.remove(0);
    let states = (&*described.group_state, &*described.protocol_type, &*described.protocol_data);
    assert_eq!(states, ("Stable", "consumer", "range"));
    let member = described.members.iter().find(|member| member.member_id == second.id).unwrap();
    assert_eq!((&member.member_metadata[..], &member.member_assignment[..]), (TO_ORDERS, &b"other half"[..]));

    let delete = DeleteGroupsRequest::default().with_groups_names(vec![group(&broker)]);
    let error = |answer: kafka_protocol::messages::DeleteGroupsResponse| answer.results[0].error_code;
    assert_eq!(error(wire.call(&delete, 2).await.unwrap()), code(ResponseError::NonEmptyGroup));
    assert_eq!((first.leave().await, second.leave().await), (OK, OK));
    assert_eq!(error(wire.call(&delete, 2).await.unwrap()), OK);
    assert_eq!(error(wire.call(&delete, 2).await.unwrap()), code(ResponseError::GroupIdNotFound));
    broker.shutdown().await;
}
