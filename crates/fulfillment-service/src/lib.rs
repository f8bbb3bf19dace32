//! Turns each order into one pick list.
//!
//! [`picklist`] is the pure part: which list an order becomes. It depends on the order alone, so an order that is handled
//! twice gives the same list twice.

mod args;
pub mod picklist;

pub use args::Args;
pub use picklist::DEFAULT_PICKERS;
