//! Shows pick lists as picking instructions on a store device.
//!
//! [`screen`] is the pure part: a pick list grouped by aisle in walking order, for people or as JSON.

mod args;
pub mod screen;

pub use args::{Args, Format};
