//! Makes grocery orders and sends them to grocery.orders.v1.
//!
//! Baskets come from a file ([`baskets`]) or from the [`simulator`], one [`source`] either way; [`orders`] gives them a customer, a price and an id;
//! [`pace`] says when the next one is due.

mod args;
pub mod baskets;
mod command;
mod customers;
pub mod orders;
pub mod pace;
mod service;
pub mod simulator;
pub mod source;

pub use args::{Args, Rate};
pub use command::{Command, SERVICE, main};
pub use service::run;
