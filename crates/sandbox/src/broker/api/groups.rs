//! JoinGroup, SyncGroup, Heartbeat, LeaveGroup, and the administration of groups.

use std::time::Duration;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse, GroupId,
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse,
    ListGroupsRequest, ListGroupsResponse, SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::super::Broker;
use super::clusters::authorized_operations;
use super::{Caller, once_each, text};
use crate::access::{Operation, ResourceKind};
use crate::groups::{Join, Leave, Sync};

/// SyncGroup, KIP-559.
const FIRST_SYNC_WITH_PROTOCOL: i16 = 5;

fn millis(value: i32) -> Duration {
    Duration::from_millis(u64::try_from(value).unwrap_or_default())
}

fn check(broker: &Broker, caller: &Caller<'_>, group: &str, operation: Operation) -> Result<(), ResponseError> {
    if !broker.allows(&caller.principal, ResourceKind::Group, group, operation) {
        return Err(ResponseError::GroupAuthorizationFailed);
    }
    if group.is_empty() { Err(ResponseError::InvalidGroupId) } else { Ok(()) }
}

/// JoinGroup. `None` when the client left while waiting; its session then ends by itself.
pub(super) async fn join(
    broker: &Broker,
    caller: &Caller<'_>,
    request: JoinGroupRequest,
    client_id: &str,
    version: i16,
) -> Option<JoinGroupResponse> {
    let failed = |error: ResponseError, member_id: &str| {
        JoinGroupResponse::default()
            .with_error_code(error.code())
            .with_generation_id(-1)
            .with_protocol_name((version < 7).then(StrBytes::new))
            .with_member_id(text(member_id))
    };
    let group = request.group_id.0.to_string();
    if let Err(error) = check(broker, caller, &group, Operation::Read) {
        return Some(failed(error, &request.member_id));
    }
    let join = Join {
        member_id: request.member_id.to_string(),
        instance_id: request.group_instance_id.map(|id| id.to_string()),
        client_id: client_id.to_owned(),
        client_host: format!("/{}", caller.host),
        session_timeout: millis(request.session_timeout_ms),
        rebalance_timeout: millis(request.rebalance_timeout_ms),
        protocol_type: request.protocol_type.to_string(),
        protocols: request
            .protocols
            .into_iter()
            .map(|protocol| (protocol.name.to_string(), protocol.metadata))
            .collect(),
        requires_member_id: version >= 4,
        skips_assignment: version >= 9,
    };
    let member_id = join.member_id.clone();
    let topics = broker.topics.catalogue();
    let joined = tokio::select! {
        joined = broker.groups.join(&group, join, &topics) => joined,
        () = caller.gone.cancelled() => return None,
    };
    Some(match joined {
        Err(_) => failed(ResponseError::CoordinatorNotAvailable, &member_id),
        Ok(Err((error, member_id))) => failed(error, &member_id),
        Ok(Ok(joined)) => {
            let members = joined.members.into_iter().map(|member| {
                JoinGroupResponseMember::default()
                    .with_member_id(text(member.member_id))
                    .with_group_instance_id(member.instance_id.map(text))
                    .with_metadata(member.metadata)
            });
            JoinGroupResponse::default()
                .with_generation_id(joined.generation)
                .with_protocol_type(Some(text(joined.protocol_type)))
                .with_protocol_name(Some(text(joined.protocol)))
                .with_leader(text(joined.leader))
                .with_skip_assignment(joined.skip_assignment)
                .with_member_id(text(joined.member_id))
                .with_members(members.collect())
        }
    })
}

/// SyncGroup. `None` when the client left while waiting.
pub(super) async fn sync(
    broker: &Broker,
    caller: &Caller<'_>,
    request: SyncGroupRequest,
    version: i16,
) -> Option<SyncGroupResponse> {
    let failed = |error: ResponseError| SyncGroupResponse::default().with_error_code(error.code());
    let named = request.protocol_type.is_some() && request.protocol_name.is_some();
    if version >= FIRST_SYNC_WITH_PROTOCOL && !named {
        return Some(failed(ResponseError::InconsistentGroupProtocol));
    }
    let group = request.group_id.0.to_string();
    if let Err(error) = check(broker, caller, &group, Operation::Read) {
        return Some(failed(error));
    }
    let sync = Sync {
        generation: request.generation_id,
        member_id: request.member_id.to_string(),
        instance_id: request.group_instance_id.map(|id| id.to_string()),
        protocol_type: request.protocol_type.map(|name| name.to_string()),
        protocol: request.protocol_name.map(|name| name.to_string()),
        assignments: request.assignments.into_iter().map(|one| (one.member_id.to_string(), one.assignment)).collect(),
    };
    let topics = broker.topics.catalogue();
    let synced = tokio::select! {
        synced = broker.groups.sync(&group, sync, &topics) => synced,
        () = caller.gone.cancelled() => return None,
    };
    Some(match synced {
        Err(_) => failed(ResponseError::CoordinatorNotAvailable),
        Ok(Err(error)) => failed(error),
        Ok(Ok(synced)) => SyncGroupResponse::default()
            .with_protocol_type(Some(text(synced.protocol_type)))
            .with_protocol_name(Some(text(synced.protocol)))
            .with_assignment(synced.assignment),
    })
}

/// Heartbeat.
pub(super) fn heartbeat(broker: &Broker, caller: &Caller<'_>, request: &HeartbeatRequest) -> HeartbeatResponse {
    let alive = check(broker, caller, &request.group_id.0, Operation::Read).and_then(|()| {
        let instance = request.group_instance_id.as_deref();
        broker.groups.heartbeat(&request.group_id.0, &request.member_id, instance, request.generation_id)
    });
    HeartbeatResponse::default().with_error_code(alive.err().map_or(0, |error| error.code()))
}

/// LeaveGroup, for one member (before version 3) or several.
pub(super) fn leave(
    broker: &Broker,
    caller: &Caller<'_>,
    request: LeaveGroupRequest,
    version: i16,
) -> LeaveGroupResponse {
    if let Err(error) = check(broker, caller, &request.group_id.0, Operation::Read) {
        return LeaveGroupResponse::default().with_error_code(error.code());
    }
    let leaves: Vec<Leave> = if version < 3 {
        vec![Leave { member_id: request.member_id.to_string(), instance_id: None }]
    } else {
        let one = |member: &kafka_protocol::messages::leave_group_request::MemberIdentity| Leave {
            member_id: member.member_id.to_string(),
            instance_id: member.group_instance_id.as_ref().map(|id| id.to_string()),
        };
        request.members.iter().map(one).collect()
    };
    let results = broker.groups.leave(&request.group_id.0, &leaves);
    if version < 3 {
        let error = results.first().and_then(|result| result.err());
        return LeaveGroupResponse::default().with_error_code(error.map_or(0, |error| error.code()));
    }
    let members = leaves.into_iter().zip(results).map(|(leave, result)| {
        MemberResponse::default()
            .with_member_id(text(leave.member_id))
            .with_group_instance_id(leave.instance_id.map(text))
            .with_error_code(result.err().map_or(0, |error| error.code()))
    });
    LeaveGroupResponse::default().with_members(members.collect())
}

/// DescribeGroups.
pub(super) fn describe(
    broker: &Broker,
    caller: &Caller<'_>,
    mut request: DescribeGroupsRequest,
    version: i16,
) -> DescribeGroupsResponse {
    once_each(&mut request.groups, Clone::clone);
    let groups = request.groups.into_iter().map(|id| {
        let described = DescribedGroup::default().with_group_id(id.clone());
        if !broker.allows(&caller.principal, ResourceKind::Group, &id.0, Operation::Describe) {
            return described.with_error_code(ResponseError::GroupAuthorizationFailed.code());
        }
        let described = broker.groups.with(&id.0, false, |entry| {
            let why_not = if entry.is_some() { "is not a classic group" } else { "not found" };
            match entry.and_then(|entry| entry.group.classic_mut()) {
                // What does not exist is described as dead; from version 6 on it is an error as well (KIP-1043).
                None if version < 6 => described.with_group_state(text("Dead")),
                None => described
                    .with_group_state(text("Dead"))
                    .with_error_code(ResponseError::GroupIdNotFound.code())
                    .with_error_message(Some(text(format!("Group {} {why_not}.", &*id.0)))),
                Some(group) => {
                    let mut members = Vec::new();
                    group.each_member(|member_id, instance_id, client_id, host, metadata, assignment| {
                        members.push(
                            DescribedGroupMember::default()
                                .with_member_id(text(member_id))
                                .with_group_instance_id(instance_id.map(text))
                                .with_client_id(text(client_id))
                                .with_client_host(text(host))
                                .with_member_metadata(metadata)
                                .with_member_assignment(assignment),
                        );
                    });
                    described
                        .with_group_state(text(group.state().name()))
                        .with_protocol_type(text(group.protocol_type()))
                        .with_protocol_data(text(group.protocol()))
                        .with_members(members)
                }
            }
        });
        if request.include_authorized_operations {
            let operations = authorized_operations(broker, caller, ResourceKind::Group, &id.0);
            return described.with_authorized_operations(operations);
        }
        described
    });
    DescribeGroupsResponse::default().with_groups(groups.collect())
}

/// ListGroups: those that the caller may see.
pub(super) fn list(broker: &Broker, caller: &Caller<'_>, request: &ListGroupsRequest) -> ListGroupsResponse {
    let mut groups = Vec::new();
    let named =
        |filter: &[StrBytes], name: &str| filter.is_empty() || filter.iter().any(|one| one.eq_ignore_ascii_case(name));
    broker.groups.each(|id, entry| {
        let (state, kind) = (entry.group.state_name(), entry.group.type_name());
        let visible = broker.may_see(&caller.principal, ResourceKind::Group, id);
        if visible && named(&request.states_filter, state) && named(&request.types_filter, kind) {
            groups.push(
                ListedGroup::default()
                    .with_group_id(GroupId(text(id)))
                    .with_protocol_type(text(entry.group.protocol_type()))
                    .with_group_state(text(state))
                    .with_group_type(text(kind)),
            );
        }
    });
    ListGroupsResponse::default().with_groups(groups)
}

/// DeleteGroups: empty ones.
pub(super) fn delete(broker: &Broker, caller: &Caller<'_>, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let results = request.groups_names.into_iter().map(|id| {
        let deleted = check(broker, caller, &id.0, Operation::Delete).and_then(|()| broker.groups.delete(&id.0));
        DeletableGroupResult::default().with_group_id(id).with_error_code(deleted.err().map_or(0, |error| error.code()))
    });
    DeleteGroupsResponse::default().with_results(results.collect())
}
