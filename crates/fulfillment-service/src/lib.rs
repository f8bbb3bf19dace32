//! Turns each order into one pick list.
//!
//! [`picklist`] is the pure part: which list an order becomes. It depends on the order alone, so an order that is handled
//! twice gives the same list twice.

mod args;
mod command;
pub mod picklist;
mod service;
mod under_way;

pub use args::Args;
pub use command::{Command, SERVICE, main};
pub use picklist::DEFAULT_PICKERS;
pub use service::{GROUP, run};
