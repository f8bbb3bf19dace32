//! Turns each order into one pick list, exactly once.
//!
//! [`picklist`] is the pure part: which list an order becomes. [`run`] reads orders and writes their lists, and the group's
//! position behind them, in transactions: of an order that is handled twice only one list is ever committed.

mod args;
mod command;
pub mod picklist;
mod service;
mod taken;
mod work;

pub use args::Args;
pub use command::{Command, SERVICE, main};
pub use picklist::DEFAULT_PICKERS;
pub use service::{GROUP, run};
