//! Consumer groups of KIP-848, heartbeat by heartbeat.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::consumer_group_describe_response::DescribedGroup;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, DeleteGroupsRequest,
    DescribeGroupsRequest, GroupId, JoinGroupRequest, LeaveGroupRequest, ListGroupsRequest, OffsetCommitRequest,
    OffsetFetchRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::wire::{Ability, Broker, Wire, sandbox_with};

pub(crate) const OK: i16 = 0;
const VERSION: i16 = 1;
/// `group.consumer.assignment.interval.ms` and some: after it, a heartbeat sees what an earlier one changed.
pub(crate) const ASSIGNMENT_INTERVAL: Duration = Duration::from_millis(1_050);

pub(crate) fn code(error: ResponseError) -> i16 {
    error.code()
}

pub(crate) fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

fn group_id(broker: &Broker) -> GroupId {
    GroupId(text(&format!("consumers-{}", broker.run)))
}

/// One member: a connection and what it was told.
pub(crate) struct Member {
    pub(crate) wire: Wire,
    pub(crate) group: GroupId,
    id: StrBytes,
    instance: Option<StrBytes>,
    pub(crate) epoch: i32,
    topic: String,
    topic_id: Uuid,
    pub(crate) owned: Vec<i32>,
}

impl Member {
    pub(crate) async fn new(broker: &Broker, id: &str) -> Self {
        Self {
            wire: Wire::open(broker).await,
            group: group_id(broker),
            id: text(id),
            instance: None,
            epoch: 0,
            topic: broker.orders.clone(),
            topic_id: broker.orders_id,
            owned: Vec::new(),
        }
    }

    pub(crate) async fn with_instance(broker: &Broker, id: &str, instance: &str) -> Self {
        Self { instance: Some(text(instance)), ..Self::new(broker, id).await }
    }

    /// Says as little as it may.
    fn beating(&self) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest::default()
            .with_group_id(self.group.clone())
            .with_member_id(self.id.clone())
            .with_instance_id(self.instance.clone())
            .with_member_epoch(self.epoch)
            .with_rebalance_timeout_ms(-1)
            .with_subscribed_topic_names(None)
            .with_topic_partitions(None)
    }

    pub(crate) fn joining(&self) -> ConsumerGroupHeartbeatRequest {
        self.beating()
            .with_member_epoch(0)
            .with_rebalance_timeout_ms(10_000)
            .with_subscribed_topic_names(Some(vec![TopicName(text(&self.topic))]))
            .with_topic_partitions(Some(Vec::new()))
    }

    fn joining_by_pattern(&self, pattern: &str) -> ConsumerGroupHeartbeatRequest {
        self.joining().with_subscribed_topic_names(None).with_subscribed_topic_regex(Some(text(pattern)))
    }

    /// Says what it holds.
    fn owning(&self, owned: &[i32]) -> ConsumerGroupHeartbeatRequest {
        let partitions = TopicPartitions::default().with_topic_id(self.topic_id).with_partitions(owned.to_vec());
        self.beating().with_topic_partitions(Some(if owned.is_empty() { Vec::new() } else { vec![partitions] }))
    }

    pub(crate) fn leaving(&self, epoch: i32) -> ConsumerGroupHeartbeatRequest {
        self.beating().with_member_epoch(epoch)
    }

    pub(crate) async fn send(&mut self, request: ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse {
        let answer = self.wire.call(&request, VERSION).await.unwrap();
        if answer.error_code == OK {
            self.epoch = answer.member_epoch;
            if let Some(assignment) = &answer.assignment {
                let topics = &assignment.topic_partitions;
                assert!(topics.iter().all(|topic| topic.topic_id == self.topic_id), "{topics:?}");
                self.owned = topics.iter().flat_map(|topic| topic.partitions.clone()).collect();
                self.owned.sort_unstable();
            }
        }
        answer
    }

    pub(crate) async fn join(&mut self) -> ConsumerGroupHeartbeatResponse {
        self.send(self.joining()).await
    }

    /// A heartbeat that says nothing new.
    pub(crate) async fn beat(&mut self) -> ConsumerGroupHeartbeatResponse {
        self.send(self.beating()).await
    }

    /// Says that it holds exactly what it was told to.
    pub(crate) async fn acknowledge(&mut self) -> ConsumerGroupHeartbeatResponse {
        self.send(self.owning(&self.owned)).await
    }

    async fn error_of(&mut self, request: ConsumerGroupHeartbeatRequest) -> i16 {
        self.send(request).await.error_code
    }

    /// Heartbeats until it holds these, as a member learns of them.
    pub(crate) async fn wait_for(&mut self, partitions: &[i32]) {
        for _ in 0..200 {
            assert_eq!(self.acknowledge().await.error_code, OK);
            if self.owned == partitions {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{} waits for {partitions:?} and has {:?}", self.id, self.owned);
    }

    async fn commit(&mut self, partition: i32, epoch: i32, version: i16) -> i16 {
        let partition =
            OffsetCommitRequestPartition::default().with_partition_index(partition).with_committed_offset(3);
        let topic = OffsetCommitRequestTopic::default()
            .with_name(TopicName(text(&self.topic)))
            .with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(self.group.clone())
            .with_generation_id_or_member_epoch(epoch)
            .with_member_id(self.id.clone())
            .with_topics(vec![topic]);
        self.wire.call(&request, version).await.unwrap().topics[0].partitions[0].error_code
    }

    /// The committed offset of a partition, or the error of the group.
    async fn fetch(&mut self, member: Option<&str>, epoch: i32, partition: i32) -> Result<i64, i16> {
        let name = TopicName(text(&self.topic));
        let topic = OffsetFetchRequestTopics::default().with_name(name).with_partition_indexes(vec![partition]);
        let group = OffsetFetchRequestGroup::default()
            .with_group_id(self.group.clone())
            .with_member_id(member.map(text))
            .with_member_epoch(epoch)
            .with_topics(Some(vec![topic]));
        let answer = self.wire.call(&OffsetFetchRequest::default().with_groups(vec![group]), 9).await.unwrap();
        match answer.groups[0].error_code {
            OK => Ok(answer.groups[0].topics[0].partitions[0].committed_offset),
            error => Err(error),
        }
    }
}

pub(crate) async fn describe(broker: &Broker) -> DescribedGroup {
    let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group_id(broker)]);
    Wire::open(broker).await.call(&request, 1).await.unwrap().groups.remove(0)
}

#[tokio::test]
async fn a_partition_goes_to_a_new_member_once_the_old_one_says_that_it_gave_it_up() {
    let Some(broker) = Broker::start_with_ability(Ability::ConsumerGroups).await else { return };
    let (mut first, mut second) = (Member::new(&broker, "a").await, Member::new(&broker, "b").await);
    let joined = first.join().await;
    assert_eq!((joined.error_code, joined.member_id.as_deref()), (OK, Some("a")));
    assert_eq!((first.owned.as_slice(), joined.heartbeat_interval_ms), (&[0, 1, 2][..], 5_000));
    let before = first.epoch;
    assert_eq!(first.acknowledge().await.assignment, None, "it has changed nothing");

    tokio::time::sleep(ASSIGNMENT_INTERVAL).await;
    second.join().await;
    assert_eq!((second.owned.as_slice(), second.epoch), (&[][..], before + 1));
    assert_eq!(describe(&broker).await.group_state, text("Reconciling"));
    first.beat().await;
    assert_eq!((first.owned.len(), first.epoch), (2, before), "it is asked to give one up, under its epoch");
    let kept = first.owned.clone();
    let given = (0..3).find(|partition| !kept.contains(partition)).unwrap();
    second.beat().await;
    assert!(second.owned.is_empty(), "the first may still be reading it");
    first.send(first.owning(&[0, 1, 2])).await;
    assert_eq!((first.epoch, &first.owned), (before, &kept), "it says that it still holds all");
    second.beat().await;
    assert!(second.owned.is_empty());
    assert_eq!(first.commit(given, before, 9).await, OK, "it commits what it gives up");

    first.acknowledge().await;
    assert_eq!((first.epoch, &first.owned), (before + 1, &kept));
    second.beat().await;
    assert_eq!(second.owned, [given]);
    second.acknowledge().await;
    let described = describe(&broker).await;
    assert_eq!((&*described.group_state, &*described.assignor_name), ("Stable", "uniform"));
    assert_eq!((described.group_epoch, described.assignment_epoch), (before + 1, before + 1));
    let other = described.members.iter().find(|member| member.member_id == second.id).unwrap();
    assert_eq!((other.member_epoch, other.member_type), (before + 1, 1));
    assert_eq!(other.assignment.topic_partitions[0].partitions, [given]);
    assert_eq!(other.subscribed_topic_names, [TopicName(text(&broker.orders))]);

    tokio::time::sleep(ASSIGNMENT_INTERVAL).await;
    assert_eq!(second.send(second.leaving(-1)).await.member_epoch, -1);
    first.wait_for(&[0, 1, 2]).await;
    broker.shutdown().await;
}

#[tokio::test]
async fn an_epoch_that_is_not_the_members_is_fenced() {
    let Some(broker) = Broker::start_with_ability(Ability::ConsumerGroups).await else { return };
    let mut member = Member::new(&broker, "a").await;
    member.join().await;
    let epoch = member.epoch;
    for other in [epoch + 1, epoch - 1] {
        let request = member.owning(&member.owned).with_member_epoch(other);
        assert_eq!(member.error_of(request).await, code(ResponseError::FencedMemberEpoch));
    }
    member.join().await;
    assert_eq!((member.epoch, member.owned.len()), (epoch, 3), "whoever joins again is told what it has");
    let mut stranger = Member::new(&broker, "b").await;
    stranger.epoch = epoch;
    assert_eq!(stranger.error_of(stranger.beating()).await, code(ResponseError::UnknownMemberId));
    assert_eq!(stranger.error_of(stranger.leaving(-1)).await, code(ResponseError::UnknownMemberId));
    stranger.group = GroupId(text(&format!("nobody-{}", broker.run)));
    assert_eq!(stranger.error_of(stranger.beating()).await, code(ResponseError::GroupIdNotFound));
    assert_eq!(stranger.error_of(stranger.leaving(-1)).await, code(ResponseError::GroupIdNotFound));
    broker.shutdown().await;
}

#[tokio::test]
async fn positions_are_committed_under_an_epoch_in_which_the_partition_was_the_members() {
    let Some(broker) = Broker::start_with_ability(Ability::ConsumerGroups).await else { return };
    let mut first = Member::new(&broker, "a").await;
    first.join().await;
    let epoch = first.epoch;
    assert_eq!(first.commit(0, epoch, 9).await, OK);
    for stale in [epoch - 1, epoch + 1, -1] {
        assert_eq!(first.commit(0, stale, 9).await, code(ResponseError::StaleMemberEpoch));
    }
    assert_eq!(first.commit(0, epoch, 8).await, code(ResponseError::UnsupportedVersion));
    assert_eq!(first.fetch(Some("a"), epoch, 0).await, Ok(3));
    assert_eq!(first.fetch(None, -1, 0).await, Ok(3), "an administrator is no member");
    assert_eq!(first.fetch(Some("a"), epoch - 1, 0).await, Err(code(ResponseError::StaleMemberEpoch)));
    assert_eq!(first.fetch(Some("b"), epoch, 0).await, Err(code(ResponseError::UnknownMemberId)));

    tokio::time::sleep(ASSIGNMENT_INTERVAL).await;
    let mut second = Member::new(&broker, "b").await;
    second.join().await;
    first.beat().await;
    first.acknowledge().await;
    assert_eq!(first.epoch, epoch + 1);
    let given = (0..3).find(|partition| !first.owned.contains(partition)).unwrap();
    assert_eq!(first.commit(first.owned[0], epoch, 9).await, OK, "it was its own then and is still");
    assert_eq!(first.commit(given, epoch, 9).await, code(ResponseError::StaleMemberEpoch));
    second.wait_for(&[given]).await;
    assert_eq!(second.commit(given, second.epoch, 9).await, OK);
    assert_eq!(second.commit(given, epoch, 9).await, code(ResponseError::StaleMemberEpoch), "it was not its own then");

    first.send(first.leaving(-1)).await;
    second.send(second.leaving(-1)).await;
    assert_eq!(first.commit(0, -1, 9).await, OK, "nobody is in it any more");
    assert_eq!(first.commit(0, 7, 9).await, code(ResponseError::UnknownMemberId));
    first.group = GroupId(text(&format!("nobody-{}", broker.run)));
    assert_eq!(first.commit(0, 7, 9).await, code(ResponseError::GroupIdNotFound));
    assert_eq!(first.commit(0, 7, 8).await, code(ResponseError::IllegalGeneration));
    broker.shutdown().await;
}

#[tokio::test]
async fn a_static_member_that_left_for_a_while_comes_back_to_its_partitions() {
    let Some(broker) = Broker::start_with_ability(Ability::ConsumerGroups).await else { return };
    let mut old = Member::with_instance(&broker, "a", "till-1").await;
    let mut new = Member::with_instance(&broker, "b", "till-1").await;
    old.join().await;
    let epoch = old.epoch;
    assert_eq!(new.error_of(new.joining()).await, code(ResponseError::UnreleasedInstanceId));
    assert_eq!(old.error_of(old.joining()).await, code(ResponseError::UnreleasedInstanceId), "itself as well");
    assert_eq!(new.error_of(new.leaving(-2)).await, code(ResponseError::FencedInstanceId));
    assert_eq!(new.error_of(new.leaving(epoch)).await, code(ResponseError::FencedInstanceId));
    let elsewhere = old.beating().with_instance_id(Some(text("till-2")));
    assert_eq!(old.error_of(elsewhere).await, code(ResponseError::UnknownMemberId));
    assert_eq!(old.error_of(old.leaving(-2).with_instance_id(None)).await, code(ResponseError::InvalidRequest));

    assert_eq!(old.send(old.leaving(-2)).await.member_epoch, -2);
    assert_eq!(old.error_of(old.leaving(epoch)).await, code(ResponseError::FencedMemberEpoch));
    new.join().await;
    assert_eq!((new.epoch, new.owned.as_slice()), (epoch, &[0, 1, 2][..]), "at once, and nothing was rebalanced");
    assert_eq!(old.error_of(old.leaving(epoch)).await, code(ResponseError::FencedInstanceId));
    assert_eq!(new.send(new.leaving(-1)).await.member_epoch, -1);
    assert_eq!(describe(&broker).await.group_state, text("Empty"));
    broker.shutdown().await;
}

#[tokio::test]
async fn a_pattern_finds_topics_by_their_whole_names() {
    let Some(broker) = Broker::start_with_ability(Ability::ConsumerGroups).await else { return };
    let mut member = Member::new(&broker, "a").await;
    let bad = member.joining_by_pattern("((");
    assert_eq!(member.error_of(bad).await, code(ResponseError::InvalidRegularExpression));
    let part = member.joining_by_pattern(&format!("rders-{}", broker.run));
    assert_eq!(member.error_of(part).await, OK);
    let whole = member.beating().with_subscribed_topic_regex(Some(text(&format!("o[r]ders-{}", broker.run))));
    assert_eq!(member.error_of(whole).await, OK);
    member.wait_for(&[0, 1, 2]).await;
    let described = describe(&broker).await;
    assert_eq!(described.members[0].subscribed_topic_regex, Some(text(&format!("o[r]ders-{}", broker.run))));
    let none = member.beating().with_subscribed_topic_regex(Some(text("")));
    assert_eq!(member.error_of(none).await, OK);
    member.wait_for(&[]).await;
    broker.shutdown().await;
}

#[tokio::test]
async fn a_request_that_says_too_little_or_nonsense_is_refused() {
    let Some(broker) = Broker::start_with_ability(Ability::ConsumerGroups).await else { return };
    let mut member = Member::new(&broker, "a").await;
    let invalid = [
        member.joining().with_member_id(text("")),
        member.joining().with_group_id(GroupId(text(""))),
        member.joining().with_instance_id(Some(text(""))),
        member.joining().with_rack_id(Some(text(" "))),
        member.joining().with_rebalance_timeout_ms(-1),
        member.joining().with_topic_partitions(None),
        member.owning(&[0]).with_rebalance_timeout_ms(1).with_subscribed_topic_names(Some(Vec::new())),
        member.joining().with_subscribed_topic_names(None),
        member.leaving(-3),
        member.leaving(-2),
    ];
    for request in invalid {
        let answer = member.send(request.clone()).await;
        assert_eq!(answer.error_code, code(ResponseError::InvalidRequest), "{request:?}");
        assert!(answer.error_message.is_some_and(|message| message.ends_with('.')));
    }
    let unknown = member.joining().with_server_assignor(Some(text("sticky")));
    assert_eq!(member.error_of(unknown).await, code(ResponseError::UnsupportedAssignor));
    let nameless = member.joining().with_member_id(text(""));
    let answer = member.wire.call(&nameless, 0).await.unwrap();
    assert_eq!(answer.error_code, OK, "before version 1 the coordinator chose the ids");
    assert!(answer.member_id.is_some_and(|id| !id.is_empty()));
    broker.shutdown().await;
}

#[tokio::test]
async fn whoever_asks_for_ranges_gets_them() {
    let Some(broker) = Broker::start_with_ability(Ability::ConsumerGroups).await else { return };
    let (mut first, mut second) = (Member::new(&broker, "a").await, Member::new(&broker, "b").await);
    for member in [&mut first, &mut second] {
        let request = member.joining().with_server_assignor(Some(text("range")));
        assert_eq!(member.error_of(request).await, OK);
    }
    tokio::time::sleep(ASSIGNMENT_INTERVAL).await;
    second.beat().await;
    first.wait_for(&[0, 1]).await;
    first.acknowledge().await;
    second.wait_for(&[2]).await;
    assert_eq!(describe(&broker).await.assignor_name, text("range"));
    broker.shutdown().await;
}

#[tokio::test]
async fn a_group_is_listed_by_its_kind_and_deleted_without_members() {
    let Some(broker) = Broker::start_with_ability(Ability::ConsumerGroups).await else { return };
    let mut member = Member::new(&broker, "a").await;
    member.join().await;
    let mut wire = Wire::open(&broker).await;
    let mut listed = async |kind: &str| {
        let request = ListGroupsRequest::default().with_types_filter(vec![text(kind)]);
        let groups = wire.call(&request, 5).await.unwrap().groups;
        groups.into_iter().find(|group| group.group_id == group_id(&broker))
    };
    let found = listed("consumer").await.unwrap();
    assert_eq!((&*found.group_type, &*found.protocol_type, &*found.group_state), ("consumer", "consumer", "Stable"));
    assert!(listed("classic").await.is_none());
    let mut wire = Wire::open(&broker).await;
    let request = DescribeGroupsRequest::default().with_groups(vec![group_id(&broker)]);
    let described = wire.call(&request, 6).await.unwrap().groups.remove(0);
    assert_eq!((described.error_code, &*described.group_state), (code(ResponseError::GroupIdNotFound), "Dead"));

    let delete = DeleteGroupsRequest::default().with_groups_names(vec![group_id(&broker)]);
    let error = |answer: kafka_protocol::messages::DeleteGroupsResponse| answer.results[0].error_code;
    assert_eq!(error(wire.call(&delete, 2).await.unwrap()), code(ResponseError::NonEmptyGroup));
    member.send(member.leaving(-1)).await;
    assert_eq!(error(wire.call(&delete, 2).await.unwrap()), OK);
    assert_eq!(describe(&broker).await.error_code, code(ResponseError::GroupIdNotFound));
    broker.shutdown().await;
}

#[tokio::test]
async fn a_group_without_members_may_change_its_protocol_and_keeps_its_positions() {
    let Some(broker) = Broker::start_with_ability(Ability::ConsumerGroups).await else { return };
    let mut member = Member::new(&broker, "a").await;
    member.join().await;
    assert_eq!(member.commit(0, member.epoch, 9).await, OK);
    member.send(member.leaving(-1)).await;

    let protocol = JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        .with_metadata(Bytes::from_static(b"\0\0\0\0\0\0\xff\xff\xff\xff"));
    let join = JoinGroupRequest::default()
        .with_group_id(member.group.clone())
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(10_000)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol]);
    let mut wire = Wire::open(&broker).await;
    let joined = wire.call(&join, 3).await.unwrap();
    assert_eq!((joined.error_code, joined.leader), (OK, joined.member_id.clone()), "it leads a classic group");
    assert_eq!(describe(&broker).await.error_code, code(ResponseError::GroupIdNotFound));
    assert_eq!(member.fetch(None, -1, 0).await, Ok(3));
    let leave = LeaveGroupRequest::default().with_group_id(member.group.clone()).with_member_id(joined.member_id);
    assert_eq!(wire.call(&leave, 2).await.unwrap().error_code, OK);

    assert_eq!(member.join().await.error_code, OK);
    assert_eq!(describe(&broker).await.members.len(), 1);
    assert_eq!(member.fetch(None, -1, 0).await, Ok(3));
    broker.shutdown().await;
}

#[tokio::test]
async fn a_cluster_that_has_it_off_says_so() {
    let sandbox = sandbox_with(|config| config.consumer_groups = None).await;
    let mut wire = Wire::to(sandbox.endpoints().open.as_ref().unwrap()).await;
    let request = ConsumerGroupHeartbeatRequest::default().with_group_id(GroupId(text("readers")));
    let answer = wire.call(&request, VERSION).await.unwrap();
    assert_eq!(answer.error_code, code(ResponseError::UnsupportedVersion));
    let versions = kafka_protocol::messages::ApiVersionsRequest::default()
        .with_client_software_name(text("a-client"))
        .with_client_software_version(text("1"));
    let offered = wire.call(&versions, 3).await.unwrap();
    assert!(offered.api_keys.iter().any(|api| api.api_key == 68), "Kafka offers it all the same");
    assert!(offered.finalized_features.iter().all(|feature| feature.name != text("group.version")));
}
