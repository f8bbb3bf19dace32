//! Administering a cluster: topics and their settings, groups and their offsets, records.
//!
//! Every method that takes several things answers for each of them: the outer error means that nothing can be said about
//! any, an inner one is about its item alone. Requests go where they belong (controller, coordinator, leader) and are
//! repeated while what comes back is worth repeating, up to [`api_timeout`](crate::ClientConfig::api_timeout). A request
//! whose answer was lost is sent again as well, so creating what was created reads as "already exists" then.

mod configs;
mod groups;
mod offsets;
mod records;
mod topics;

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::messages::{DescribeClusterRequest, TopicName};
use kafka_protocol::protocol::{Request, StrBytes};
use tokio::time::{Instant, timeout_at};
use tracing::debug;

pub use configs::{ConfigChange, ConfigEntry, ConfigResource, ConfigSource};
pub use groups::{GroupDescription, GroupListing, GroupMember};
pub use offsets::CommittedOffset;
pub use records::{ListedOffset, OffsetSpec};
pub use topics::{CreatedTopic, NewTopic};

use crate::cluster::{BrokerInfo, Cluster, ClusterError, CoordinatorKind, Lane};
use crate::config::Endpoint;
use crate::connection::{Connection, ConnectionError};
use crate::error::ErrorCode;

/// Administers a cluster. Cheap to clone; made by [`Cluster::admin`].
///
/// All methods are cancel safe in that the client stays usable; the request may or may not have taken effect.
///
/// ```no_run
/// # async fn example(cluster: kafka::Cluster) -> Result<(), kafka::ClusterError> {
/// use kafka::NewTopic;
/// let admin = cluster.admin();
/// for (name, outcome) in admin.create_topics([NewTopic::new("orders").partitions(3)]).await? {
///     println!("{name}: {outcome:?}");
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Admin {
    cluster: Cluster,
}

/// A cluster as its brokers describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterDescription {
    /// Given when the cluster was formatted.
    pub cluster_id: String,
    /// A broker that takes requests for the controller.
    pub controller: Option<i32>,
    /// By id.
    pub brokers: Vec<BrokerInfo>,
}

impl Cluster {
    /// The administrator of this cluster.
    pub fn admin(&self) -> Admin {
        Admin { cluster: self.clone() }
    }
}

/// Who answers a request.
#[derive(Debug, Clone, Copy)]
enum At<'a> {
    Any,
    Controller,
    Broker(i32),
    Coordinator(&'a str),
}

impl Admin {
    /// The cluster's id and brokers (DescribeCluster).
    ///
    /// # Errors
    /// An outage, or a missing right to describe the cluster.
    pub async fn describe_cluster(&self) -> Result<ClusterDescription, ClusterError> {
        let answer = self
            .ask(At::Any, DescribeClusterRequest::default().with_endpoint_type(1), |answer| answer.error_code)
            .await?;
        check("cluster", answer.error_code, answer.error_message.as_deref())?;
        let broker = |broker: &kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker| {
            let endpoint = Endpoint { host: broker.host.to_string(), port: u16::try_from(broker.port).unwrap_or(0) };
            BrokerInfo { id: broker.broker_id.0, endpoint, rack: broker.rack.as_ref().map(ToString::to_string) }
        };
        let mut brokers: Vec<_> = answer.brokers.iter().map(broker).collect();
        brokers.sort_by_key(|broker| broker.id);
        Ok(ClusterDescription {
            cluster_id: answer.cluster_id.to_string(),
            controller: (answer.controller_id.0 >= 0).then_some(answer.controller_id.0),
            brokers,
        })
    }

    /// Sends a request to where it belongs until its answer is worth keeping: `code` finds the error code that decides.
    async fn ask<R>(
        &self,
        at: At<'_>,
        request: R,
        code: impl Fn(&R::Response) -> i16,
    ) -> Result<R::Response, ClusterError>
    where
        R: Request + Clone + Send + 'static,
        R::Response: Send,
    {
        let attempt = |connection: Arc<Connection>| {
            let request = request.clone();
            async move { connection.call(request).await }
        };
        self.retrying(at, attempt, code).await
    }

    /// Makes attempts until one succeeds, fails for good or time is up. An attempt that comes back with a retriable code
    /// is what is returned in the end if no later one does better.
    async fn retrying<T, F>(
        &self,
        at: At<'_>,
        attempt: impl Fn(Arc<Connection>) -> F,
        code: impl Fn(&T) -> i16,
    ) -> Result<T, ClusterError>
    where
        F: Future<Output = Result<T, ConnectionError>>,
    {
        let config = self.cluster.config();
        let mut backoff = config.retry.until(Instant::now() + config.api_timeout);
        loop {
            let outcome = timeout_at(backoff.deadline(), async {
                let connection = self.connection(at).await?;
                Ok::<_, ClusterError>(attempt(connection).await?)
            });
            let last = match outcome.await {
                Ok(Ok(answer)) => match ErrorCode::check(code(&answer)) {
                    Err(code) if code.is_retriable() => {
                        debug!(?at, %code, "worth another try");
                        Ok(answer)
                    }
                    _ => return Ok(answer),
                },
                Ok(Err(error)) if error.is_fatal() => return Err(error),
                Ok(Err(error)) => Err(error),
                Err(_) => return Err(self.timed_out()),
            };
            match at {
                At::Coordinator(group) => self.cluster.forget_coordinator(CoordinatorKind::Group, group),
                _ => self.cluster.metadata_is_stale(),
            }
            if !backoff.sleep_after_failure().await {
                return last;
            }
        }
    }

    async fn connection(&self, at: At<'_>) -> Result<Arc<Connection>, ClusterError> {
        match at {
            At::Any => self.cluster.any_broker().await,
            // In KRaft each broker passes such requests on, and names one of them as the controller.
            At::Controller => match self.cluster.metadata().controller() {
                Some(id) => self.cluster.broker(id, Lane::General).await,
                None => self.cluster.any_broker().await,
            },
            At::Broker(id) => self.cluster.broker(id, Lane::General).await,
            At::Coordinator(group) => self.cluster.coordinator(CoordinatorKind::Group, group).await,
        }
    }

    fn timed_out(&self) -> ClusterError {
        let waited = self.cluster.config().api_timeout;
        let code = ErrorCode::REQUEST_TIMED_OUT;
        ClusterError::Refused { what: format!("no answer within {waited:?}"), code, message: None }
    }

    fn request_timeout_ms(&self) -> i32 {
        i32::try_from(self.cluster.config().request_timeout.as_millis()).unwrap_or(i32::MAX)
    }
}

/// The first retriable code among many, which makes the request worth repeating; zero if there is none.
///
/// An unknown topic is retriable elsewhere; to an administrator it is the answer.
fn first_retriable(codes: impl IntoIterator<Item = i16>) -> i16 {
    let mut codes = codes.into_iter().map(ErrorCode::from);
    let busy = codes.find(|code| code.is_retriable() && *code != ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    busy.map_or(0, ErrorCode::code)
}

fn check(what: impl Into<String>, code: i16, message: Option<&str>) -> Result<(), ClusterError> {
    ErrorCode::check(code).map_err(|code| ClusterError::refused(what, code, message.filter(|text| !text.is_empty())))
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

/// Adds an answer for every item that a broker left out.
fn complete<T>(
    mut answered: BTreeMap<String, Result<T, ClusterError>>,
    asked: &[String],
) -> BTreeMap<String, Result<T, ClusterError>> {
    for name in asked {
        answered.entry(name.clone()).or_insert_with(|| Err(unmentioned(name)));
    }
    answered
}

fn unmentioned(what: &str) -> ClusterError {
    let message = Some("the broker's answer does not mention it".to_owned());
    ClusterError::Refused { what: what.to_owned(), code: ErrorCode::UNKNOWN_SERVER_ERROR, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_send<T: Send>(_: &T) {}

    /// Services call these from spawned tasks.
    #[allow(dead_code, reason = "compiled, not run")]
    fn every_method_can_run_on_any_thread(admin: &Admin) {
        let partition = || crate::TopicPartition::new("t", 0);
        is_send(&admin.describe_cluster());
        is_send(&admin.create_topics([NewTopic::new("t")]));
        is_send(&admin.delete_topics(["t"]));
        is_send(&admin.describe_topics(["t"]));
        is_send(&admin.list_topics());
        is_send(&admin.describe_configs([ConfigResource::Broker(1)]));
        is_send(&admin.alter_configs(ConfigResource::Broker(1), [("k", ConfigChange::Delete)]));
        is_send(&admin.list_groups());
        is_send(&admin.describe_groups(["g"]));
        is_send(&admin.delete_groups(["g"]));
        is_send(&admin.list_group_offsets("g"));
        is_send(&admin.alter_group_offsets("g", [(partition(), 0)]));
        is_send(&admin.delete_group_offsets("g", [partition()]));
        is_send(&admin.list_offsets([partition()], OffsetSpec::Latest));
        is_send(&admin.delete_records([(partition(), 0)]));
    }
}
