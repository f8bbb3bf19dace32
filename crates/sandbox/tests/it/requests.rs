//! One of every request that the sandbox offers, in every version: with names that exist, with names that do not, and with as
//! little in it as the protocol allows.

use std::ops::RangeInclusive;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Request, StrBytes};
use uuid::Uuid;

use crate::transactional_requests;
use crate::wire::{Answered, batch, read_answer};

/// What the request asks about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    Known,
    Unknown,
    Nothing,
}

/// A request as bytes, and how its answer is read.
pub(crate) struct Case {
    pub(crate) api: i16,
    pub(crate) version: i16,
    pub(crate) about: About,
    pub(crate) body: Bytes,
    pub(crate) read: fn(Bytes, i16) -> Answered,
}

/// What a broker has for its tests.
#[derive(Debug, Clone)]
pub(crate) struct There {
    /// Tells this test's names from those of others.
    pub(crate) run: String,
    /// The topic `orders-RUN`.
    pub(crate) orders_id: Uuid,
    /// The producers of the transactional ids `payments-RUN` and `unused-RUN`.
    pub(crate) payments: (ProducerId, i16),
    pub(crate) unused: (ProducerId, i16),
}

/// The names that requests are about.
pub(crate) struct Names<'a> {
    pub(crate) about: About,
    pub(crate) there: &'a There,
}

impl Names<'_> {
    pub(crate) fn text(&self, known: &str) -> StrBytes {
        StrBytes::from_string(self.own(if self.about == About::Known { known } else { "nobody" }))
    }

    /// A name that no other test uses.
    pub(crate) fn own(&self, name: &str) -> String {
        format!("{name}-{}", self.there.run)
    }

    pub(crate) fn topic(&self) -> TopicName {
        TopicName(self.text("orders"))
    }

    fn topic_id(&self) -> Uuid {
        if self.about == About::Known { self.there.orders_id } else { Uuid::from_u128(7) }
    }

    pub(crate) fn group(&self) -> GroupId {
        GroupId(self.text("readers"))
    }

    /// One of `one`, unless the request is about nothing.
    pub(crate) fn list<T>(&self, one: T) -> Vec<T> {
        if self.about == About::Nothing { Vec::new() } else { vec![one] }
    }
}

/// Every case, for what is there and for groups of which some are made on the way.
pub(crate) fn all(there: &There) -> Vec<Case> {
    let mut cases = Cases { there: there.clone(), cases: Vec::new() };
    records(&mut cases);
    positions(&mut cases);
    groups(&mut cases);
    topics(&mut cases);
    cluster(&mut cases);
    transactional_requests::add(&mut cases);
    cases.cases
}

/// The groups that the requests of a run are about.
pub(crate) fn group_names(run: &str) -> Vec<GroupId> {
    let own = |name: &str| GroupId(StrBytes::from_string(format!("{name}-{run}")));
    let joined = (2..=9).map(|version| format!("joined-in-version-{version}"));
    joined
        .chain(["readers", "emptied", "consumers", "nobody", "nothing"].map(str::to_owned))
        .map(|name| own(&name))
        .collect()
}

pub(crate) struct Cases {
    there: There,
    cases: Vec<Case>,
}

impl Cases {
    pub(crate) fn add<R: Request<Response: std::fmt::Debug>>(
        &mut self,
        versions: RangeInclusive<i16>,
        make: impl Fn(&Names<'_>, i16) -> R,
    ) {
        for version in versions {
            for about in [About::Known, About::Unknown, About::Nothing] {
                let mut body = BytesMut::new();
                let names = Names { about, there: &self.there };
                make(&names, version).encode(&mut body, version).unwrap();
                let body = body.freeze();
                self.cases.push(Case { api: R::KEY, version, about, body, read: read_answer::<R> });
            }
        }
    }
}

fn records(cases: &mut Cases) {
    cases.add(3..=13, |names, version| {
        let partition = PartitionProduceData::default().with_records(Some(batch(None, &[b"value"])));
        let topic = TopicProduceData::default().with_partition_data(vec![partition]);
        let topic = if version < 13 { topic.with_name(names.topic()) } else { topic.with_topic_id(names.topic_id()) };
        ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(names.list(topic))
    });
    cases.add(4..=17, |names, version| {
        let partition = FetchPartition::default().with_partition_max_bytes(1 << 20);
        let topic = FetchTopic::default().with_partitions(vec![partition]);
        let topic = if version < 13 { topic.with_topic(names.topic()) } else { topic.with_topic_id(names.topic_id()) };
        let request = FetchRequest::default().with_max_bytes(1 << 26).with_topics(names.list(topic));
        let forgotten = ForgottenTopic::default().with_partitions(vec![0]);
        match version {
            ..7 => request,
            7..13 => request.with_forgotten_topics_data(names.list(forgotten.with_topic(names.topic()))),
            13.. => request.with_forgotten_topics_data(names.list(forgotten.with_topic_id(names.topic_id()))),
        }
    });
    cases.add(1..=10, |names, _| {
        let partition = |timestamp| ListOffsetsPartition::default().with_timestamp(timestamp);
        let topic = ListOffsetsTopic::default().with_name(names.topic()).with_partitions(vec![
            partition(-1),
            partition(-2).with_partition_index(1),
            partition(0).with_partition_index(2),
        ]);
        ListOffsetsRequest::default().with_topics(names.list(topic))
    });
    cases.add(2..=4, |names, _| {
        let topic = OffsetForLeaderTopic::default()
            .with_topic(names.topic())
            .with_partitions(vec![OffsetForLeaderPartition::default()]);
        OffsetForLeaderEpochRequest::default().with_topics(names.list(topic))
    });
    cases.add(0..=2, |names, _| {
        let partition = DeleteRecordsPartition::default().with_offset(0);
        let topic = DeleteRecordsTopic::default().with_name(names.topic()).with_partitions(vec![partition]);
        DeleteRecordsRequest::default().with_topics(names.list(topic))
    });
}

fn positions(cases: &mut Cases) {
    cases.add(2..=9, |names, version| {
        let epoch = if version < 6 { -1 } else { 0 };
        let partition = OffsetCommitRequestPartition::default()
            .with_committed_offset(1)
            .with_committed_leader_epoch(epoch)
            .with_committed_metadata(Some(StrBytes::from_static_str("here")));
        let topic = OffsetCommitRequestTopic::default().with_name(names.topic()).with_partitions(vec![partition]);
        OffsetCommitRequest::default()
            .with_group_id(names.group())
            .with_generation_id_or_member_epoch(-1)
            .with_topics(names.list(topic))
    });
    cases.add(1..=9, |names, version| {
        if version < 8 {
            let topic =
                OffsetFetchRequestTopic::default().with_name(names.topic()).with_partition_indexes(vec![0, 1, 9]);
            let topics = Some(names.list(topic)).filter(|topics| version < 2 || !topics.is_empty());
            return OffsetFetchRequest::default().with_group_id(names.group()).with_topics(topics);
        }
        let topic = OffsetFetchRequestTopics::default().with_name(names.topic()).with_partition_indexes(vec![0, 1, 9]);
        let group = OffsetFetchRequestGroup::default().with_group_id(names.group()).with_topics(Some(vec![topic]));
        OffsetFetchRequest::default().with_groups(names.list(group))
    });
    cases.add(0..=0, |names, _| {
        let partition = OffsetDeleteRequestPartition::default();
        let topic = OffsetDeleteRequestTopic::default().with_name(names.topic()).with_partitions(vec![partition]);
        OffsetDeleteRequest::default().with_group_id(names.group()).with_topics(names.list(topic))
    });
}

fn groups(cases: &mut Cases) {
    cases.add(2..=9, |names, version| {
        let protocol = JoinGroupRequestProtocol::default().with_name(StrBytes::from_static_str("range"));
        // A group of its own for each version, or each would wait for the one before.
        let group = match names.about {
            About::Known => names.text(&format!("joined-in-version-{version}")),
            About::Unknown => names.text(""),
            About::Nothing => StrBytes::from_string(names.own("nothing")),
        };
        JoinGroupRequest::default()
            .with_group_id(GroupId(group))
            .with_member_id(if names.about == About::Unknown { names.text("") } else { StrBytes::new() })
            .with_session_timeout_ms(10_000)
            .with_rebalance_timeout_ms(10_000)
            .with_protocol_type(StrBytes::from_static_str("consumer"))
            .with_protocols(names.list(protocol))
    });
    cases.add(0..=5, |names, _| {
        let assignment = SyncGroupRequestAssignment::default().with_assignment(Bytes::from_static(b"all"));
        SyncGroupRequest::default().with_group_id(names.group()).with_assignments(names.list(assignment))
    });
    cases.add(0..=4, |names, _| HeartbeatRequest::default().with_group_id(names.group()));
    cases.add(0..=5, |names, version| {
        let request = LeaveGroupRequest::default().with_group_id(names.group());
        if version < 3 { request } else { request.with_members(names.list(MemberIdentity::default())) }
    });
    cases.add(0..=6, |names, version| {
        let group = GroupId(names.text("joined-in-version-2"));
        DescribeGroupsRequest::default().with_groups(names.list(group)).with_include_authorized_operations(version >= 3)
    });
    cases.add(0..=5, |names, version| {
        let states = if version < 4 { Vec::new() } else { names.list(StrBytes::from_static_str("Empty")) };
        ListGroupsRequest::default().with_states_filter(states)
    });
    cases.add(0..=1, |names, version| {
        // One member after the other in one group; a stranger's heartbeat, and one that says too little.
        let request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(GroupId(names.text("consumers")))
            .with_member_id(names.text(&format!("consumer-{version}")))
            .with_rebalance_timeout_ms(-1)
            .with_subscribed_topic_names(None)
            .with_topic_partitions(None);
        match names.about {
            About::Known => request
                .with_rebalance_timeout_ms(10_000)
                .with_subscribed_topic_names(Some(vec![names.topic()]))
                .with_topic_partitions(Some(Vec::new())),
            About::Unknown => request.with_member_epoch(1),
            About::Nothing => request,
        }
    });
    cases.add(0..=1, |names, _| {
        let group = GroupId(names.text("consumers"));
        ConsumerGroupDescribeRequest::default()
            .with_group_ids(names.list(group))
            .with_include_authorized_operations(true)
    });
    cases.add(0..=2, |names, _| {
        DeleteGroupsRequest::default().with_groups_names(names.list(GroupId(names.text("emptied"))))
    });
}

fn topics(cases: &mut Cases) {
    const TOPIC: i8 = 2;
    cases.add(2..=7, |names, version| {
        let config = CreatableTopicConfig::default()
            .with_name(StrBytes::from_static_str("retention.ms"))
            .with_value(Some(StrBytes::from_static_str("1000")));
        let name = match names.about {
            About::Known => names.own(&format!("created-in-version-{version}")),
            About::Unknown | About::Nothing => "no name".to_owned(),
        };
        let topic = CreatableTopic::default()
            .with_name(TopicName(StrBytes::from_string(name)))
            .with_num_partitions(2)
            .with_replication_factor(1)
            .with_configs(vec![config]);
        CreateTopicsRequest::default().with_topics(names.list(topic)).with_timeout_ms(1000)
    });
    cases.add(1..=6, |names, version| {
        let name = match names.about {
            About::Known => names.own(&format!("created-in-version-{}", version + 1)),
            About::Unknown | About::Nothing => names.own("nobody"),
        };
        let name = TopicName(StrBytes::from_string(name));
        let request = DeleteTopicsRequest::default().with_timeout_ms(1000);
        if version < 6 {
            return request.with_topic_names(names.list(name));
        }
        let by_id = DeleteTopicState::default().with_topic_id(Uuid::from_u128(7));
        let state = if names.about == About::Known { DeleteTopicState::default().with_name(Some(name)) } else { by_id };
        request.with_topics(names.list(state))
    });
    cases.add(0..=3, |names, version| {
        let topic = CreatePartitionsTopic::default()
            .with_name(names.topic())
            .with_count(i32::from(version) + 4)
            .with_assignments(None);
        CreatePartitionsRequest::default().with_topics(names.list(topic)).with_timeout_ms(1000)
    });
    cases.add(1..=4, |names, _| {
        let resource = DescribeConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(names.topic().0)
            .with_configuration_keys(None);
        DescribeConfigsRequest::default().with_resources(names.list(resource)).with_include_synonyms(true)
    });
    cases.add(0..=2, |names, _| {
        let config = alter_configs_request::AlterableConfig::default()
            .with_name(StrBytes::from_static_str("retention.ms"))
            .with_value(Some(StrBytes::from_static_str("3600000")));
        let resource = alter_configs_request::AlterConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(names.topic().0)
            .with_configs(vec![config]);
        AlterConfigsRequest::default().with_resources(names.list(resource))
    });
    cases.add(0..=1, |names, _| {
        let config = incremental_alter_configs_request::AlterableConfig::default()
            .with_name(StrBytes::from_static_str("cleanup.policy"))
            .with_config_operation(2)
            .with_value(Some(StrBytes::from_static_str("delete")));
        let resource = incremental_alter_configs_request::AlterConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(names.topic().0)
            .with_configs(vec![config]);
        IncrementalAlterConfigsRequest::default().with_resources(names.list(resource))
    });
}

fn cluster(cases: &mut Cases) {
    cases.add(0..=13, |names, version| {
        let by_id = version >= 12 && names.about == About::Unknown;
        let topic = MetadataRequestTopic::default();
        let topic = if by_id {
            topic.with_name(None).with_topic_id(names.topic_id())
        } else {
            topic.with_name(Some(names.topic()))
        };
        let all = version > 0 && names.about == About::Nothing;
        MetadataRequest::default()
            .with_topics(if all { None } else { Some(names.list(topic)) })
            .with_include_topic_authorized_operations(version >= 8)
            .with_include_cluster_authorized_operations((8..=10).contains(&version))
    });
    cases.add(0..=2, |names, version| {
        let wanted = if version > 0 && names.about == About::Unknown { 2 } else { 1 };
        DescribeClusterRequest::default().with_include_cluster_authorized_operations(true).with_endpoint_type(wanted)
    });
    cases.add(0..=6, |names, version| {
        let request = FindCoordinatorRequest::default();
        if version < 4 {
            request.with_key(names.group().0)
        } else {
            request.with_coordinator_keys(names.list(names.group().0))
        }
    });
    cases.add(0..=4, |names, version| {
        let named = version >= 3 && names.about == About::Known;
        let text = |text| if named { StrBytes::from_static_str(text) } else { StrBytes::new() };
        ApiVersionsRequest::default()
            .with_client_software_name(text("a-client"))
            .with_client_software_version(text("1.0"))
    });
    cases.add(0..=1, |names, _| SaslHandshakeRequest::default().with_mechanism(names.text("mechanism")));
    cases.add(0..=2, |names, _| {
        let token = Bytes::from_static(b"n,,\x01auth=Bearer t\x01\x01");
        SaslAuthenticateRequest::default().with_auth_bytes(if names.about == About::Nothing {
            Bytes::new()
        } else {
            token
        })
    });
}
