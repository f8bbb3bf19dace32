//! The one-binary front: the demo, the sandbox, the three services and the operator's commands.

pub mod dashboard;
pub mod http_get;
pub mod rate;
pub mod reconciliation;
pub mod scrape;
pub mod supervisor;
