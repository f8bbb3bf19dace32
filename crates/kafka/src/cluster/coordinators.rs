//! Which broker coordinates a group or a transactional id.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use kafka_protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;

use super::metadata::BrokerInfo;
use super::{ClusterError, Connection};
use crate::config::Endpoint;
use crate::error::ErrorCode;

/// What a coordinator coordinates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum CoordinatorKind {
    /// A consumer group.
    Group,
    /// A producer's transactions.
    Transaction,
}

impl CoordinatorKind {
    fn key_type(self) -> i8 {
        match self {
            Self::Group => 0,
            Self::Transaction => 1,
        }
    }

    /// `group x`, for messages.
    pub(crate) fn describe(self, key: &str) -> String {
        match self {
            Self::Group => format!("group {key}"),
            Self::Transaction => format!("transactional id {key}"),
        }
    }
}

/// The first version that asks for several keys at once, and answers with a list (KIP-699).
const BATCHED_VERSION: i16 = 4;

/// What was found, until someone finds it wrong.
#[derive(Debug, Default)]
pub(super) struct Coordinators {
    found: Mutex<HashMap<(CoordinatorKind, String), i32>>,
}

impl Coordinators {
    pub(super) fn get(&self, kind: CoordinatorKind, key: &str) -> Option<i32> {
        self.lock().get(&(kind, key.to_owned())).copied()
    }

    pub(super) fn remember(&self, kind: CoordinatorKind, key: &str, broker: i32) {
        self.lock().insert((kind, key.to_owned()), broker);
    }

    pub(super) fn forget(&self, kind: CoordinatorKind, key: &str) {
        self.lock().remove(&(kind, key.to_owned()));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(CoordinatorKind, String), i32>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks one broker for the coordinator of one key.
pub(super) async fn find(
    connection: &Connection,
    kind: CoordinatorKind,
    key: &str,
) -> Result<BrokerInfo, ClusterError> {
    let name = StrBytes::from_string(key.to_owned());
    let batched = connection.negotiated::<FindCoordinatorRequest>().is_some_and(|version| version >= BATCHED_VERSION);
    let request = FindCoordinatorRequest::default().with_key_type(kind.key_type());
    let request = if batched { request.with_coordinator_keys(vec![name]) } else { request.with_key(name) };
    let answer = connection.call(request).await?;
    read(&answer, batched, key).map_err(|(code, message)| {
        ClusterError::refused(kind.describe(key), code, message.as_deref()).needing("Describe")
    })
}

fn read(answer: &FindCoordinatorResponse, batched: bool, key: &str) -> Result<BrokerInfo, (ErrorCode, Option<String>)> {
    let said = |message: &Option<StrBytes>| message.as_ref().map(ToString::to_string).filter(|text| !text.is_empty());
    let (code, message, id, host, port) = if batched {
        let Some(found) = answer.coordinators.iter().find(|found| found.key.as_str() == key) else {
            return Err((ErrorCode::COORDINATOR_NOT_AVAILABLE, Some("the answer does not name it".to_owned())));
        };
        (found.error_code, said(&found.error_message), found.node_id.0, &found.host, found.port)
    } else {
        (answer.error_code, said(&answer.error_message), answer.node_id.0, &answer.host, answer.port)
    };
    ErrorCode::check(code).map_err(|code| (code, message))?;
    match u16::try_from(port) {
        Ok(port) if port != 0 && id >= 0 => {
            Ok(BrokerInfo { id, endpoint: Endpoint { host: host.to_string(), port }, rack: None })
        }
        _ => Err((ErrorCode::COORDINATOR_NOT_AVAILABLE, Some(format!("it is said to be broker {id} on port {port}")))),
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::BrokerId;
    use kafka_protocol::messages::find_coordinator_response::Coordinator;

    use super::*;

    #[test]
    fn a_batched_answer_is_read_by_its_key() {
        let coordinator = |key: &str, id| {
            let host = StrBytes::from_static_str("b");
            Coordinator::default()
                .with_key(key.to_owned().into())
                .with_node_id(BrokerId(id))
                .with_host(host)
                .with_port(9092)
        };
        let answer =
            FindCoordinatorResponse::default().with_coordinators(vec![coordinator("other", 1), coordinator("g", 2)]);
        assert_eq!(read(&answer, true, "g").unwrap().id, 2);
        assert_eq!(read(&answer, true, "h").unwrap_err().0, ErrorCode::COORDINATOR_NOT_AVAILABLE);
    }

    #[test]
    fn a_coordinator_that_is_still_being_chosen_is_worth_another_try() {
        let answer = FindCoordinatorResponse::default().with_error_code(15);
        let (code, message) = read(&answer, false, "g").unwrap_err();
        assert!(ClusterError::refused("group g", code, message.as_deref()).is_retriable());
    }

    #[test]
    fn a_group_that_this_principal_may_not_describe_is_an_access_error() {
        let answer = FindCoordinatorResponse::default().with_error_code(30);
        let (code, message) = read(&answer, false, "g").unwrap_err();
        let error = ClusterError::refused("group g", code, message.as_deref());
        assert!(error.is_authorization() && error.is_fatal(), "{error}");
    }
}
