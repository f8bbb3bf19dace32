//! The two records as they travel, and what ties each to its topic.

use std::borrow::Cow;

use schema_registry::{AvroDeserializer, RegistryClient};
use serde::de::DeserializeOwned;
use serde::ser::SerializeTupleStruct;
use serde::{Serialize, Serializer};

use crate::EventVersion;
use crate::lines::counted;
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
    /// The texts of every version of its schema, the oldest first, as they stand in `schemas/`.
    const VERSIONS: [&'static str; 2];
    /// The newest version, by which events are read.
    const SCHEMA: &'static str = Self::VERSIONS[1];

    /// The record's key: both events are keyed by order id, so that one order's events keep their order.
    fn key(&self) -> &str;

    /// Checks every rule of the event.
    ///
    /// # Errors
    /// The first rule broken, with the field and what was found there.
    fn validate(&self) -> Result<(), InvalidEvent>;

    /// Writes the fields that this version has, by their place in its schema and without their names: this is for Avro, whose
    /// serializer would look each name up, and would hash each place to see whether a field has come early.
    ///
    /// # Errors
    /// The serializer's.
    fn serialize_as<S: Serializer>(&self, version: EventVersion, to: S) -> Result<S::Ok, S::Error>;

    /// Reads events of every version. Those of this program's versions are read straight into the value.
    ///
    /// # Errors
    /// The schemas in this program cannot be used.
    fn reader(registry: &RegistryClient) -> Result<AvroDeserializer<Self>, String> {
        let reader = AvroDeserializer::new(registry, Self::SUBJECT, Self::SCHEMA)?;
        Self::VERSIONS.iter().try_fold(reader, |reader, version| reader.straight_from(version))
    }
}

/// The currency of every order of version 1, which does not name it, and the schema's default.
pub const DEFAULT_CURRENCY: &str = "EUR";

fn default_currency() -> String {
    DEFAULT_CURRENCY.to_owned()
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
    /// The store that has to fulfil it; empty where nobody said which, as in version 1.
    #[serde(default)]
    pub store_id: String,
    /// What the total is in: three letters of ISO 4217.
    #[serde(default = "default_currency")]
    pub currency: String,
    /// The items once more, each once and with its quantity; empty in version 1 (see [`Self::lines_of`]).
    #[serde(default)]
    pub lines: Vec<OrderLine>,
}

/// An item of an order: `com.demo.OrderLine`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct OrderLine {
    /// The item's name, as in `items`.
    pub item: String,
    /// How many pieces of it.
    pub quantity: i32,
}

impl GroceryOrder {
    /// The lines that say what these items say: each item once, in the order of first appearance.
    #[must_use]
    pub fn lines_of(items: &[String]) -> Vec<OrderLine> {
        let counts = counted(items.iter().map(String::as_str)).into_iter();
        counts.map(|(item, quantity)| OrderLine { item: item.to_owned(), quantity }).collect()
    }
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
    /// The items once more, each once with its quantity and aisle, in walking order; empty in version 1.
    #[serde(default)]
    pub lines: Vec<PickLine>,
}

/// An item of a pick list: `com.demo.PickLine`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PickLine {
    /// The item's name, as in `items_to_pick`.
    pub item: String,
    /// How many pieces of it.
    pub quantity: i32,
    /// Where it is shelved; empty where that is not known.
    #[serde(default)]
    pub aisle: Cow<'static, str>,
}

impl Event for GroceryOrder {
    const TOPIC: &'static str = ORDERS_TOPIC;
    const SUBJECT: &'static str = "grocery.orders.v1-value";
    const RECORD: &'static str = "com.demo.GroceryOrder";
    const VERSIONS: [&'static str; 2] = [
        include_str!("../../../schemas/grocery.orders.v1-value/1.avsc"),
        include_str!("../../../schemas/grocery.orders.v1-value/2.avsc"),
    ];

    fn key(&self) -> &str {
        &self.order_id
    }

    fn validate(&self) -> Result<(), InvalidEvent> {
        rules::order(self)
    }

    fn serialize_as<S: Serializer>(&self, version: EventVersion, to: S) -> Result<S::Ok, S::Error> {
        let fields = match version {
            EventVersion::One => 5,
            EventVersion::Two => 8,
        };
        let mut order = to.serialize_tuple_struct("GroceryOrder", fields)?;
        order.serialize_field(&self.order_id)?;
        order.serialize_field(&self.customer_id)?;
        order.serialize_field(&self.items)?;
        order.serialize_field(&self.order_total)?;
        order.serialize_field(&self.order_time)?;
        if version >= EventVersion::Two {
            order.serialize_field(&self.store_id)?;
            order.serialize_field(&self.currency)?;
            order.serialize_field(&Lines(&self.lines))?;
        }
        order.end()
    }
}

impl Event for GroceryPicklist {
    const TOPIC: &'static str = PICKLISTS_TOPIC;
    const SUBJECT: &'static str = "grocery.picklist.v1-value";
    const RECORD: &'static str = "com.demo.GroceryPicklist";
    const VERSIONS: [&'static str; 2] = [
        include_str!("../../../schemas/grocery.picklist.v1-value/1.avsc"),
        include_str!("../../../schemas/grocery.picklist.v1-value/2.avsc"),
    ];

    fn key(&self) -> &str {
        &self.order_id
    }

    fn validate(&self) -> Result<(), InvalidEvent> {
        rules::picklist(self)
    }

    fn serialize_as<S: Serializer>(&self, version: EventVersion, to: S) -> Result<S::Ok, S::Error> {
        let fields = match version {
            EventVersion::One => 5,
            EventVersion::Two => 6,
        };
        let mut list = to.serialize_tuple_struct("GroceryPicklist", fields)?;
        list.serialize_field(&self.picklist_id)?;
        list.serialize_field(&self.order_id)?;
        list.serialize_field(&self.items_to_pick)?;
        list.serialize_field(&self.assigned_picker)?;
        list.serialize_field(&self.created_time)?;
        if version >= EventVersion::Two {
            list.serialize_field(&Lines(&self.lines))?;
        }
        list.end()
    }
}

/// Lines whose fields are written by their places.
struct Lines<'a, L>(&'a [L]);

/// One of them.
struct Line<'a, L>(&'a L);

impl<'a, L> Serialize for Lines<'a, L>
where
    Line<'a, L>: Serialize,
{
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(Line))
    }
}

impl Serialize for Line<'_, OrderLine> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut line = to.serialize_tuple_struct("OrderLine", 2)?;
        line.serialize_field(&self.0.item)?;
        line.serialize_field(&self.0.quantity)?;
        line.end()
    }
}

impl Serialize for Line<'_, PickLine> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut line = to.serialize_tuple_struct("PickLine", 3)?;
        line.serialize_field(&self.0.item)?;
        line.serialize_field(&self.0.quantity)?;
        line.serialize_field(&self.0.aisle)?;
        line.end()
    }
}
