//! Log lines on standard error: compact for people, JSON for machines.

use std::io::IsTerminal;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt, registry};

use crate::args::LogFormat;
use crate::error::ServiceError;

/// Starts logging for this process. `level` is a level or a filter such as `info,kafka=debug`.
///
/// # Errors
/// The filter cannot be read, or logging was started before.
pub fn init(format: LogFormat, level: &str) -> Result<(), ServiceError> {
    let filter: Targets = level
        .parse()
        .map_err(|error| ServiceError::Usage(format!("--log-level `{level}` is not a level or filter: {error}")))?;
    let lines = fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Text => {
            let lines = lines.compact().with_target(false).with_ansi(std::io::stderr().is_terminal());
            registry().with(lines.with_filter(filter)).try_init()
        }
        LogFormat::Json => {
            let lines = lines.json().with_current_span(false).with_span_list(false).with_ansi(false);
            registry().with(lines.with_filter(filter)).try_init()
        }
    }
    .map_err(|error| ServiceError::Internal(format!("logging cannot start: {error}")))
}
