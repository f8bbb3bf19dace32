//! Groups and their members.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DeleteGroupsRequest, DescribeGroupsRequest,
    DescribeGroupsResponse, GroupId, ListGroupsRequest, consumer_group_describe_response as consumer,
    describe_groups_response as classic,
};

use super::{Admin, At, check, complete, text, unmentioned};
use crate::cluster::ClusterError;
use crate::connection::ConnectionError;
use crate::error::ErrorCode;
use crate::group::subscription::decode_assignment;
use crate::{GroupProtocol, TopicPartition};

/// A group in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupListing {
    /// Its id.
    pub group: String,
    /// `consumer` for consumers; empty for a group that only has offsets.
    pub protocol_type: String,
    /// Such as `Stable` or `Empty`, if the broker says.
    pub state: String,
    /// `Classic` or `Consumer`, if the broker says (KIP-848).
    pub kind: String,
}

/// A group of consumers and who is in it, whichever protocol its members speak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its id.
    pub group: String,
    /// Which of the two protocols the coordinator keeps it by.
    pub protocol: GroupProtocol,
    /// Such as `Stable` or `Empty`; `PreparingRebalance`, `CompletingRebalance` and `Dead` of a classic group, `Assigning` and
    /// `Reconciling` of a consumer group.
    pub state: String,
    /// The assignor that its members agreed on, or that the coordinator uses.
    pub assignor: String,
    /// Its members.
    pub members: Vec<GroupMember>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMember {
    /// Given by the coordinator, or chosen by the member (KIP-1082).
    pub member_id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// `client.id`.
    pub client_id: String,
    /// Where it connects from.
    pub host: String,
    /// The partitions that it has now; none while a classic group rebalances.
    pub assignment: BTreeSet<TopicPartition>,
}

impl Admin {
    /// The groups of all brokers, by id (ListGroups).
    ///
    /// # Errors
    /// An outage of any broker: a list without its groups would look complete.
    pub async fn list_groups(&self) -> Result<Vec<GroupListing>, ClusterError> {
        let brokers: Vec<i32> = self.cluster.metadata().brokers().map(|broker| broker.id).collect();
        let mut listed = Vec::new();
        for broker in brokers {
            let answer = self.ask(At::Broker(broker), ListGroupsRequest::default(), |answer| answer.error_code).await?;
            check("groups", answer.error_code, None)?;
            listed.extend(answer.groups.iter().map(|group| GroupListing {
                group: group.group_id.to_string(),
                protocol_type: group.protocol_type.to_string(),
                state: group.group_state.to_string(),
                kind: group.group_type.to_string(),
            }));
        }
        listed.sort_by(|a, b| a.group.cmp(&b.group));
        Ok(listed)
    }

    /// Describes groups of consumers: ConsumerGroupDescribe, and DescribeGroups for those that are not kept by that protocol. A
    /// classic group that nobody knows is `Dead`, or `GROUP_ID_NOT_FOUND` from newer brokers.
    ///
    /// # Errors
    /// For each group: a missing right (of a consumer group also to describe the topics that it reads), `GROUP_ID_NOT_FOUND` for one
    /// that is not of consumers, a coordinator that cannot be reached.
    pub async fn describe_groups(
        &self,
        groups: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<BTreeMap<String, Result<GroupDescription, ClusterError>>, ClusterError> {
        let mut described = BTreeMap::new();
        for group in groups {
            let group = group.into();
            let description = match self.describe_consumer_group(&group).await {
                Ok(Some(description)) => Ok(description),
                Ok(None) => self.describe_classic_group(&group).await,
                Err(error) => Err(error),
            };
            described.insert(group, description);
        }
        Ok(described)
    }

    /// None if the coordinator does not keep it by that protocol, or does not know the protocol.
    async fn describe_consumer_group(&self, group: &str) -> Result<Option<GroupDescription>, ClusterError> {
        let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![GroupId(text(group))]);
        let code = |answer: &ConsumerGroupDescribeResponse| answer.groups.first().map_or(0, |group| group.error_code);
        let answer = match self.ask(At::Coordinator(group), request, code).await {
            Err(ClusterError::Connection(ConnectionError::Unsupported { .. })) => return Ok(None),
            answer => answer?,
        };
        let Some(answer) = answer.groups.first() else { return Err(unmentioned(group)) };
        match ErrorCode::from(answer.error_code) {
            ErrorCode::GROUP_ID_NOT_FOUND | ErrorCode::UNSUPPORTED_VERSION => Ok(None),
            _ => {
                check(format!("group {group}"), answer.error_code, answer.error_message.as_deref())?;
                Ok(Some(consumer_group(answer)))
            }
        }
    }

    async fn describe_classic_group(&self, group: &str) -> Result<GroupDescription, ClusterError> {
        let request = DescribeGroupsRequest::default().with_groups(vec![GroupId(text(group))]);
        let code = |answer: &DescribeGroupsResponse| answer.groups.first().map_or(0, |group| group.error_code);
        let answer = self.ask(At::Coordinator(group), request, code).await?;
        let Some(answer) = answer.groups.first() else { return Err(unmentioned(group)) };
        check(format!("group {group}"), answer.error_code, answer.error_message.as_deref())?;
        classic_group(answer)
    }

    /// Deletes groups without members, offsets and all (DeleteGroups).
    ///
    /// # Errors
    /// For each group: `NON_EMPTY_GROUP`, `GROUP_ID_NOT_FOUND`, a missing right, a coordinator that cannot be reached.
    pub async fn delete_groups(
        &self,
        groups: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<BTreeMap<String, Result<(), ClusterError>>, ClusterError> {
        let groups: Vec<String> = groups.into_iter().map(Into::into).collect();
        let mut deleted = BTreeMap::new();
        for group in &groups {
            let request = DeleteGroupsRequest::default().with_groups_names(vec![GroupId(text(group))]);
            let code = |answer: &kafka_protocol::messages::DeleteGroupsResponse| {
                answer.results.first().map_or(0, |group| group.error_code)
            };
            match self.ask(At::Coordinator(group), request, code).await {
                Ok(answer) => deleted.extend(answer.results.iter().map(|result| {
                    let what = format!("group {}", result.group_id.as_str());
                    (result.group_id.to_string(), check(what, result.error_code, None))
                })),
                Err(error) => {
                    deleted.insert(group.clone(), Err(error));
                }
            }
        }
        Ok(complete(deleted, &groups))
    }
}

fn consumer_group(answer: &consumer::DescribedGroup) -> GroupDescription {
    let member = |member: &consumer::Member| GroupMember {
        member_id: member.member_id.to_string(),
        instance_id: member.instance_id.as_ref().map(ToString::to_string),
        client_id: member.client_id.to_string(),
        host: member.client_host.to_string(),
        assignment: (member.assignment.topic_partitions.iter())
            .flat_map(|topic| {
                let name: Arc<str> = topic.topic_name.as_str().into();
                topic.partitions.iter().map(move |partition| TopicPartition::new(Arc::clone(&name), *partition))
            })
            .collect(),
    };
    GroupDescription {
        group: answer.group_id.to_string(),
        protocol: GroupProtocol::Consumer,
        state: answer.group_state.to_string(),
        assignor: answer.assignor_name.to_string(),
        members: answer.members.iter().map(member).collect(),
    }
}

/// # Errors
/// The group is not one of consumers, or a member's assignment cannot be read.
fn classic_group(answer: &classic::DescribedGroup) -> Result<GroupDescription, ClusterError> {
    let refused = |message: String| {
        let what = format!("group {}", answer.group_id.as_str());
        ClusterError::Refused { what, code: ErrorCode::GROUP_ID_NOT_FOUND, message: Some(message) }
    };
    // A group that only has offsets has no type.
    if !matches!(answer.protocol_type.as_str(), "" | "consumer") {
        return Err(refused(format!("it is not a group of consumers but of type {}", answer.protocol_type.as_str())));
    }
    let member = |member: &classic::DescribedGroupMember| {
        // Empty until the leader has given it.
        let assignment = match &member.member_assignment {
            blob if blob.is_empty() => BTreeSet::new(),
            blob => decode_assignment(blob).map_err(|error| refused(error.to_string()))?,
        };
        Ok::<_, ClusterError>(GroupMember {
            member_id: member.member_id.to_string(),
            instance_id: member.group_instance_id.as_ref().map(ToString::to_string),
            client_id: member.client_id.to_string(),
            host: member.client_host.to_string(),
            assignment,
        })
    };
    Ok(GroupDescription {
        group: answer.group_id.to_string(),
        protocol: GroupProtocol::Classic,
        state: answer.group_state.to_string(),
        assignor: answer.protocol_data.to_string(),
        members: answer.members.iter().map(member).collect::<Result<_, _>>()?,
    })
}
