//! The one-binary front: the demo, the sandbox, the three services and the operator's commands.
//!
//! `demo` runs everything on one machine: the sandbox in its own process, the services as processes of the same
//! executable under a [`supervisor`], a [`dashboard`] that shows and controls them, and at the end a [`reconciliation`].

pub mod audit;
mod cli;
pub mod dashboard;
pub mod demo;
mod healthcheck;
mod http_get;
mod operator;
mod rate;
pub mod reconciliation;
mod rewind;
mod sandbox_command;
mod schemas;
mod scrape;
pub mod supervisor;

pub use cli::main;
pub use sandbox_command::grocery_sandbox;
