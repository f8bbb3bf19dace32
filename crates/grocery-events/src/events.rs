//! The two records as they travel, and what ties each to its topic.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::rules::{self, InvalidEvent};

/// The topic that carries [`GroceryOrder`]s.
pub const ORDERS_TOPIC: &str = "grocery.orders.v1";

/// The topic that carries [`GroceryPicklist`]s.
pub const PICKLISTS_TOPIC: &str = "grocery.picklist.v1";

/// An event of the pipeline: a record with a schema, a topic and a subject of its own.
pub trait Event: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The topic that it travels on.
    const TOPIC: &'static str;
    /// The registry's subject for its schema: the topic's name with `-value` (TopicNameStrategy).
    const SUBJECT: &'static str;
    /// The full name of its record.
    const RECORD: &'static str;
    /// The text of its schema, as it stands in `schemas/`.
    const SCHEMA: &'static str;

    /// The record's key: both events are keyed by order id, so that one order's events keep their order.
    fn key(&self) -> &str;

    /// Checks every rule of the event.
    ///
    /// # Errors
    /// The first rule broken, with the field and what was found there.
    fn validate(&self) -> Result<(), InvalidEvent>;
}

/// An order of a customer: `com.demo.GroceryOrder`.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename = "GroceryOrder")]
pub struct GroceryOrder {
    /// A UUID; also the record's key.
    pub order_id: String,
    /// Who ordered; the same for every order of one customer.
    pub customer_id: String,
    /// Item names, one each piece ordered.
    pub items: Vec<String>,
    /// What the items cost together, right to the cent.
    pub order_total: f64,
    /// When it was ordered, as `2025-09-08 14:30:00` (see [`crate::time`]).
    pub order_time: String,
}

/// What a picker has to collect for one order: `com.demo.GroceryPicklist`.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename = "GroceryPicklist")]
pub struct GroceryPicklist {
    /// A UUID, the same each time the same order is turned into a pick list.
    pub picklist_id: String,
    /// The order that it belongs to; also the record's key.
    pub order_id: String,
    /// The order's items, none more and none less.
    pub items_to_pick: Vec<String>,
    /// Who picks.
    pub assigned_picker: String,
    /// When the list was made, as `2025-09-08 14:30:00` (see [`crate::time`]).
    pub created_time: String,
}

impl Event for GroceryOrder {
    const TOPIC: &'static str = ORDERS_TOPIC;
    const SUBJECT: &'static str = "grocery.orders.v1-value";
    const RECORD: &'static str = "com.demo.GroceryOrder";
    const SCHEMA: &'static str = include_str!("../../../schemas/grocery.orders.v1-value/1.avsc");

    fn key(&self) -> &str {
        &self.order_id
    }

    fn validate(&self) -> Result<(), InvalidEvent> {
        rules::order(self)
    }
}

impl Event for GroceryPicklist {
    const TOPIC: &'static str = PICKLISTS_TOPIC;
    const SUBJECT: &'static str = "grocery.picklist.v1-value";
    const RECORD: &'static str = "com.demo.GroceryPicklist";
    const SCHEMA: &'static str = include_str!("../../../schemas/grocery.picklist.v1-value/1.avsc");

    fn key(&self) -> &str {
        &self.order_id
    }

    fn validate(&self) -> Result<(), InvalidEvent> {
        rules::picklist(self)
    }
}
