//! The real executable, as people run it: the demo as a whole, and its services alone beside a sandbox.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod alone;
mod audit;
mod demo;
mod healthcheck;
mod least_privilege;
mod operator;
mod page;
mod process;
mod schemas;
mod versions;
