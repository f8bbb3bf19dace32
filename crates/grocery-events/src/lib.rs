//! The events of the grocery pipeline: what an order and a pick list hold, which rules they keep, and how they are bound
//! to the schemas in `schemas/`.
//!
//! - [`GroceryOrder`] and [`GroceryPicklist`] are the records `com.demo.*` as they travel, field for field;
//!   [`Event`] ties each to its topic, subject and schema text.
//! - [`EventVersion`] is the version of its schema in which an event is written; every version is read.
//! - [`Event::validate`] names the field and the rule that an event breaks.
//! - [`time`] is the one place that writes and reads the events' times, [`money`] that of amounts.
//! - [`Catalogue`] knows what the supermarket sells: price, aisle, place in the walking order, popularity.
//! - [`stops`] is the way that a picker walks for a list.
//! - [`AuditLog`] writes down what a service has finished, for a reconciliation.
//! - [`basket`] splits a line of a comma-separated file, for the catalogue and for files of baskets alike.

mod audit;
pub mod basket;
mod catalogue;
mod events;
mod lines;
pub mod money;
mod rules;
mod stops;
pub mod time;
mod versions;

pub use audit::{AuditError, AuditLog};
pub use catalogue::{Catalogue, CatalogueError, CatalogueItem, Stock, UNKNOWN_AISLE, UNKNOWN_PRICE, UNKNOWN_WALK};
pub use events::{
    DEFAULT_CURRENCY, Event, GroceryOrder, GroceryPicklist, ORDERS_TOPIC, OrderLine, PICKLISTS_TOPIC, PickLine,
};
pub use money::Cents;
pub use rules::{InvalidEvent, MAX_ITEMS, MAX_TEXT_BYTES, is_currency};
pub use stops::{Pick, Stop, stops};
pub use versions::{EventVersion, SCHEMAS, SUBJECTS_JSON, SubjectSchemas, Versioned};
