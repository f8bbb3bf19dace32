//! Groups and their members.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::{DeleteGroupsRequest, DescribeGroupsRequest, GroupId, ListGroupsRequest};

use super::{Admin, At, check, complete, text};
use crate::cluster::ClusterError;

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

/// A classic group and who is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its id.
    pub group: String,
    /// Such as `Stable`, `PreparingRebalance`, `Empty` or `Dead`.
    pub state: String,
    /// `consumer` for consumers.
    pub protocol_type: String,
    /// The assignor that its members agreed on.
    pub protocol: String,
    /// Its members.
    pub members: Vec<GroupMember>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMember {
    /// Given by the coordinator.
    pub member_id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// `client.id`.
    pub client_id: String,
    /// Where it connects from.
    pub host: String,
    /// Its subscription as it sent it.
    pub subscription: Bytes,
    /// Its assignment as it was given.
    pub assignment: Bytes,
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

    /// Describes classic groups (DescribeGroups). A group that nobody knows is `Dead`, or `GROUP_ID_NOT_FOUND` from newer
    /// brokers.
    ///
    /// # Errors
    /// For each group: a missing right, a coordinator that cannot be reached.
    pub async fn describe_groups(
        &self,
        groups: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<BTreeMap<String, Result<GroupDescription, ClusterError>>, ClusterError> {
        let groups: Vec<String> = groups.into_iter().map(Into::into).collect();
        let mut described = BTreeMap::new();
        for group in &groups {
            let request = DescribeGroupsRequest::default().with_groups(vec![GroupId(text(group))]);
            let code = |answer: &kafka_protocol::messages::DescribeGroupsResponse| {
                answer.groups.first().map_or(0, |group| group.error_code)
            };
            let answer = self.ask(At::Coordinator(group), request, code).await;
            for answer in answer.iter().flat_map(|answer| &answer.groups) {
                described.insert(answer.group_id.to_string(), description(answer));
            }
            if let Err(error) = answer {
                described.insert(group.clone(), Err(error));
            }
        }
        Ok(complete(described, &groups))
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

fn description(answer: &DescribedGroup) -> Result<GroupDescription, ClusterError> {
    check(format!("group {}", answer.group_id.as_str()), answer.error_code, answer.error_message.as_deref())?;
    let member = |member: &DescribedGroupMember| GroupMember {
        member_id: member.member_id.to_string(),
        instance_id: member.group_instance_id.as_ref().map(ToString::to_string),
        client_id: member.client_id.to_string(),
        host: member.client_host.to_string(),
        subscription: member.member_metadata.clone(),
        assignment: member.member_assignment.clone(),
    };
    Ok(GroupDescription {
        group: answer.group_id.to_string(),
        state: answer.group_state.to_string(),
        protocol_type: answer.protocol_type.to_string(),
        protocol: answer.protocol_data.to_string(),
        members: answer.members.iter().map(member).collect(),
    })
}
