//! The requests that the broker answers: reading them, finding who handles them, writing the answers.
//!
//! One file a family. A handler takes the decoded request and returns the response; authorization is its first step.

mod bounded;
mod clusters;
mod configs;
mod consumer_groups;
mod fetch;
mod groups;
mod login;
mod offsets;
mod produce;
mod records;
mod topics;
mod transaction_admin;
mod transaction_offsets;
mod transactions;
mod versions;

use std::collections::HashSet;
use std::hash::Hash;
use std::net::IpAddr;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request as Message, StrBytes};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

pub(super) use self::login::{log_in, refuse_login};
pub(super) use self::versions::{api_versions, is_offered};
use super::Broker;
use crate::access::Principal;

/// Requests other than Produce carry nothing that could be larger. A bound on what a small element in the frame, such as an empty
/// name, can grow to when it is decoded and answered.
const MAX_BODY_BYTES: usize = 1 << 20;

/// A frame, its header read.
pub(super) struct Request {
    pub(super) api_key: ApiKey,
    pub(super) version: i16,
    correlation_id: i32,
    client_id: String,
    body: Bytes,
}

/// Who asks, and how it reached us.
pub(super) struct Caller<'a> {
    pub(super) principal: Principal,
    /// The listener's own address, which is what its clients are to be told.
    pub(super) advertised: &'a (String, u16),
    pub(super) host: IpAddr,
    /// The client has closed its side: nobody waits for an answer any more.
    pub(super) gone: &'a CancellationToken,
}

/// What goes back.
pub(super) enum Answer {
    Frame(BytesMut),
    /// A produce with acks=0, or a client that is gone.
    None,
}

/// A request that cannot be answered; its connection is closed.
#[derive(Debug, Error)]
pub(super) enum Unanswerable {
    #[error("{api:?} version {version} is not offered")]
    Version { api: ApiKey, version: i16 },
    #[error("{api:?} version {version} cannot be read or answered: {reason}")]
    Malformed { api: ApiKey, version: i16, reason: String },
}

impl Request {
    pub(super) fn parse(mut frame: Bytes) -> Result<Self, String> {
        if frame.len() < 8 {
            return Err("a frame without a request header".to_owned());
        }
        let key = i16::from_be_bytes([frame[0], frame[1]]);
        let version = i16::from_be_bytes([frame[2], frame[3]]);
        let api_key = ApiKey::try_from(key).map_err(|()| format!("an unknown API key {key}"))?;
        // What is not offered has a header that we may not be able to read; its first fields never change.
        if api_key == ApiKey::ApiVersions && !versions::is_offered(api_key, version) {
            let correlation_id = i32::from_be_bytes([frame[4], frame[5], frame[6], frame[7]]);
            return Ok(Self { api_key, version, correlation_id, client_id: String::new(), body: Bytes::new() });
        }
        let header_version = api_key.request_header_version(version);
        let header = RequestHeader::decode(&mut frame, header_version)
            .map_err(|error| format!("a bad request header: {error}"))?;
        Ok(Self {
            api_key,
            version,
            correlation_id: header.correlation_id,
            client_id: header.client_id.map(|id| id.to_string()).unwrap_or_default(),
            body: frame,
        })
    }

    fn malformed(&self, reason: impl ToString) -> Unanswerable {
        Unanswerable::Malformed { api: self.api_key, version: self.version, reason: reason.to_string() }
    }

    /// Decodes the body as `M`, which must be the message of this request's key.
    fn decode<M: Message>(&self) -> Result<M, Unanswerable> {
        if self.body.len() > MAX_BODY_BYTES {
            return Err(self.malformed(format!("it has {} bytes; only a Produce may be that large", self.body.len())));
        }
        bounded::decode(self.body.clone(), self.version).map_err(|reason| self.malformed(reason))
    }

    /// Encodes `response` as the answer, in `version`.
    fn encode<R: Encodable + HeaderVersion>(&self, response: &R, version: i16) -> Result<Answer, Unanswerable> {
        let mut frame = BytesMut::with_capacity(256);
        frame.put_i32(0);
        ResponseHeader::default()
            .with_correlation_id(self.correlation_id)
            .encode(&mut frame, R::header_version(version))
            .and_then(|()| response.encode(&mut frame, version))
            .map_err(|error| self.malformed(error))?;
        let length = i32::try_from(frame.len() - 4).map_err(|error| self.malformed(error))?;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        Ok(Answer::Frame(frame))
    }
}

/// Decodes the request as the handler's own type and encodes what it returns.
macro_rules! answer {
    ($request:expr, $handler:expr) => {{
        let message = $request.decode()?;
        let response = $handler(message);
        $request.encode(&response, $request.version)
    }};
}

/// Answers everything but ApiVersions and logins.
pub(super) async fn handle(broker: &Broker, caller: &Caller<'_>, request: Request) -> Result<Answer, Unanswerable> {
    let version = request.version;
    if !versions::is_offered(request.api_key, version) {
        return Err(Unanswerable::Version { api: request.api_key, version });
    }
    match request.api_key {
        ApiKey::Produce => {
            // The records are taken out of the frame, so nothing else may hold it.
            let Request { api_key, version, correlation_id, client_id, body } = request;
            let message = bounded::decode(body, version);
            let request = Request { api_key, version, correlation_id, client_id, body: Bytes::new() };
            let message = message.map_err(|reason| request.malformed(reason))?;
            match produce::produce(broker, caller, message, version)
                .await
                .map_err(|reason| request.malformed(reason))?
            {
                Some(response) => request.encode(&response, version),
                None => Ok(Answer::None),
            }
        }
        ApiKey::Fetch => match fetch::fetch(broker, caller, request.decode()?, version).await {
            Some(response) => request.encode(&response, version),
            None => Ok(Answer::None),
        },
        ApiKey::JoinGroup => match groups::join(broker, caller, request.decode()?, &request.client_id, version).await {
            Some(response) => request.encode(&response, version),
            None => Ok(Answer::None),
        },
        ApiKey::SyncGroup => match groups::sync(broker, caller, request.decode()?, version).await {
            Some(response) => request.encode(&response, version),
            None => Ok(Answer::None),
        },
        ApiKey::Heartbeat => answer!(request, |message| groups::heartbeat(broker, caller, &message)),
        ApiKey::LeaveGroup => answer!(request, |message| groups::leave(broker, caller, message, version)),
        ApiKey::DescribeGroups => answer!(request, |message| groups::describe(broker, caller, message, version)),
        ApiKey::ListGroups => answer!(request, |message| groups::list(broker, caller, &message)),
        ApiKey::DeleteGroups => answer!(request, |message| groups::delete(broker, caller, message)),
        ApiKey::ConsumerGroupHeartbeat => {
            let client_id = &request.client_id;
            answer!(request, |message| consumer_groups::heartbeat(broker, caller, message, client_id, version))
        }
        ApiKey::ConsumerGroupDescribe => answer!(request, |message| consumer_groups::describe(broker, caller, message)),
        ApiKey::OffsetCommit => answer!(request, |message| offsets::commit(broker, caller, message, version)),
        ApiKey::OffsetFetch => answer!(request, |message| offsets::fetch(broker, caller, message, version)),
        ApiKey::OffsetDelete => answer!(request, |message| offsets::delete(broker, caller, message)),
        ApiKey::ListOffsets => answer!(request, |message| records::list_offsets(broker, caller, message, version)),
        ApiKey::OffsetForLeaderEpoch => {
            answer!(request, |message| records::offset_for_leader_epoch(broker, caller, message))
        }
        ApiKey::DeleteRecords => answer!(request, |message| records::delete(broker, caller, message)),
        ApiKey::Metadata => answer!(request, |message| clusters::metadata(broker, caller, message, version)),
        ApiKey::DescribeCluster => answer!(request, |message| clusters::describe(broker, caller, &message)),
        ApiKey::FindCoordinator => {
            answer!(request, |message| clusters::find_coordinator(broker, caller, message, version))
        }
        ApiKey::InitProducerId => {
            answer!(request, |message| transactions::init_producer_id(broker, caller, &message, version))
        }
        ApiKey::AddPartitionsToTxn => {
            answer!(request, |message| transactions::add_partitions(broker, caller, message, version))
        }
        ApiKey::AddOffsetsToTxn => {
            answer!(request, |message| transactions::add_offsets(broker, caller, &message, version))
        }
        ApiKey::TxnOffsetCommit => {
            answer!(request, |message| transaction_offsets::commit(broker, caller, message, version))
        }
        ApiKey::EndTxn => answer!(request, |message| transactions::end(broker, caller, &message, version)),
        ApiKey::DescribeProducers => {
            answer!(request, |message| transaction_admin::describe_producers(broker, caller, message))
        }
        ApiKey::DescribeTransactions => {
            answer!(request, |message| transaction_admin::describe(broker, caller, message))
        }
        ApiKey::ListTransactions => answer!(request, |message| transaction_admin::list(broker, caller, message)),
        ApiKey::CreateTopics => answer!(request, |message| topics::create(broker, caller, message)),
        ApiKey::DeleteTopics => answer!(request, |message| topics::delete(broker, caller, message, version)),
        ApiKey::CreatePartitions => answer!(request, |message| topics::create_partitions(broker, caller, message)),
        ApiKey::DescribeConfigs => answer!(request, |message| configs::describe(broker, caller, message)),
        ApiKey::AlterConfigs => answer!(request, |message| configs::alter(broker, caller, message)),
        ApiKey::IncrementalAlterConfigs => {
            answer!(request, |message| configs::alter_incrementally(broker, caller, message))
        }
        api => Err(Unanswerable::Version { api, version }),
    }
}

/// Leaves the first item of each key. What a request names twice is answered once, or its answer could be any multiple of its size.
fn once_each<T, K: Eq + Hash>(items: &mut Vec<T>, key: impl Fn(&T) -> K) {
    let mut seen = HashSet::new();
    items.retain(|item| seen.insert(key(item)));
}

/// A string of the protocol.
fn text(value: impl AsRef<str>) -> StrBytes {
    StrBytes::from_string(value.as_ref().to_owned())
}
