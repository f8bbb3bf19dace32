//! What every service shares: configuration, logs, metrics, health, readiness, shutdown and exit codes.
//!
//! A service's `main` parses its flags and calls [`run`]; everything that is the same for every long-lived process
//! happens there: configuration is read once (and nowhere else is the environment touched), logs go to standard error,
//! `/healthz`, `/readyz` and `/metrics` share one port, SIGTERM and SIGINT ask for a drain that has a bound, and the
//! process ends with a code that tells configuration, authentication and outage apart.
//!
//! Nothing here knows about groceries.

mod args;
mod commits;
pub mod config;
mod error;
mod http;
mod logs;
mod metrics;
mod outage;
mod parent;
mod pipeline;
mod progress;
mod readiness;
mod run;
mod shutdown;
mod version;
mod waiting;

pub use args::{HTTP_VARIABLE, LogFormat, ServiceArgs, http_of_environment, parse_duration};
pub use commits::Commits;
pub use config::{Config, ConfigError, Identity};
pub use error::{ExitStatus, ServiceError};
pub use logs::init as init_logs;
pub use metrics::Metrics;
pub use outage::Outage;
pub use pipeline::{LOOK, Lag};
pub use progress::Progress;
pub use readiness::{Condition, Readiness};
pub use run::{Context, Service, run};
pub use shutdown::on_signals;
pub use version::VERSION;
pub use waiting::{speak_of, wait_out};
