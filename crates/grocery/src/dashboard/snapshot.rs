//! What the page shows at one moment. Field names are the page's.

use serde::Serialize;

use crate::supervisor::lifecycle::State;

/// Everything but the logs.
#[derive(Debug, Clone, Serialize, Default)]
pub struct Snapshot {
    /// When the demo started, in milliseconds of Unix time.
    pub started: u64,
    /// When this was taken, in milliseconds of Unix time.
    pub now: u64,
    /// The services in the order of the flow.
    pub services: Vec<ServiceView>,
    /// Where the sandbox's parts are and whether they answer.
    pub sandbox: SandboxView,
    /// Counts along the way.
    pub flow: Flow,
    /// Newest first.
    pub orders: Vec<OrderView>,
    /// Newest first.
    pub picklists: Vec<PicklistView>,
}

/// One service.
#[derive(Debug, Clone, Serialize)]
pub struct ServiceView {
    /// Its name.
    pub name: &'static str,
    /// Its process's state.
    pub state: State,
    /// Why, when there is more to say.
    pub detail: String,
    /// Process id while there is a process.
    pub pid: Option<u32>,
    /// When the state began, in milliseconds of Unix time.
    pub since: u64,
    /// Starts after the first.
    pub restarts: u32,
    /// Whether `/readyz` says so.
    pub ready: bool,
    /// Records a second.
    pub rate: f64,
    /// Records since its process started.
    pub count: u64,
    /// Records of its group's topic that it has not read; none for a service that reads nothing.
    pub lag: Option<u64>,
    /// Life left of its access token.
    pub token_seconds: Option<u64>,
}

/// The sandbox's three parts.
#[derive(Debug, Clone, Serialize, Default)]
pub struct SandboxView {
    /// The Kafka broker.
    pub broker: PartView,
    /// The Schema Registry.
    pub registry: PartView,
    /// The OpenID issuer.
    pub issuer: PartView,
}

/// One part of the sandbox.
#[derive(Debug, Clone, Serialize, Default)]
pub struct PartView {
    /// `up` or `down`.
    pub state: &'static str,
    /// Where it listens.
    pub address: String,
    /// More, in a sentence.
    pub detail: String,
}

/// Counts from topic to topic.
#[derive(Debug, Clone, Serialize, Default)]
pub struct Flow {
    /// Orders on their topic.
    pub orders: u64,
    /// Pick lists on their topic.
    pub picklists: u64,
    /// Pick lists that a device showed.
    pub shown: u64,
    /// Orders a second.
    pub orders_rate: f64,
    /// Pick lists a second.
    pub picklists_rate: f64,
    /// Pick lists shown a second.
    pub shown_rate: f64,
    /// Orders that the fulfilment group has not committed.
    pub orders_lag: u64,
    /// Pick lists that the consumer group has not committed.
    pub picklists_lag: u64,
    /// Records that could not be decoded or used.
    pub set_aside: u64,
}

/// One order.
#[derive(Debug, Clone, Serialize, PartialEq)]
pub struct OrderView {
    /// Its UUID.
    pub order_id: String,
    /// Who ordered.
    pub customer_id: String,
    /// What.
    pub items: Vec<String>,
    /// For how much.
    pub total: f64,
    /// When, `2025-09-08 14:30:00`.
    pub time: String,
    /// Where on the topic.
    pub partition: i32,
    /// Where in the partition.
    pub offset: i64,
}

/// One pick list.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct PicklistView {
    /// Its UUID.
    pub picklist_id: String,
    /// The order it is for.
    pub order_id: String,
    /// Who picks.
    pub picker: String,
    /// When, `2025-09-08 14:30:00`.
    pub time: String,
    /// In walking order.
    pub aisles: Vec<AisleView>,
}

/// One stop on the way through the store.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct AisleView {
    /// The aisle's name.
    pub aisle: String,
    /// What to take there.
    pub items: Vec<String>,
}
