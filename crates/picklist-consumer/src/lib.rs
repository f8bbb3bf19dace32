//! Shows pick lists as picking instructions on a store device.
//!
//! [`screen`] is the pure part: a pick list grouped by aisle in walking order, for people or as JSON.

mod args;
mod command;
mod recent;
pub mod screen;
mod service;

pub use args::{Args, Format};
pub use command::{Command, SERVICE, main};
pub use service::{GROUP, run};
