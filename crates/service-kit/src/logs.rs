//! Log lines on standard error: compact for people, JSON for machines.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::args::LogFormat;
use crate::error::ServiceError;

/// Starts logging for this process. `level` is a level or a filter such as `info,kafka=debug`.
///
/// # Errors
/// The filter cannot be read, or logging was started before.
pub fn init(format: LogFormat, level: &str) -> Result<(), ServiceError> {
    let filter = EnvFilter::try_new(level)
        .map_err(|error| ServiceError::Usage(format!("--log-level `{level}` is not a level or filter: {error}")))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => lines.compact().with_target(false).with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().with_current_span(false).with_span_list(false).with_ansi(false).try_init(),
    }
    .map_err(|error| ServiceError::Internal(format!("logging cannot start: {error}")))
}
