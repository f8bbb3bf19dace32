//! The flags that every service has.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::config::Environment;
use crate::error::ServiceError;

/// Where health and metrics are served when no flag says so. In the environment, so that an image or a unit can say it once for the
/// service and for whoever asks after its health.
pub const HTTP_VARIABLE: &str = "GROCERY_HTTP";

/// Flags common to every service; a service flattens them into its own.
#[derive(Debug, Clone, clap::Args)]
pub struct ServiceArgs {
    /// Java-properties file with Kafka's configuration names; may be given again, later files win
    #[arg(long, value_name = "FILE")]
    pub config: Vec<PathBuf>,

    /// One configuration key, stronger than file and environment; may be given again
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,

    /// Where /healthz, /readyz and /metrics are served; port 0 takes a free one and logs which. Without it the environment's
    /// GROCERY_HTTP, else 127.0.0.1:0
    #[arg(long, value_name = "ADDRESS")]
    pub http: Option<SocketAddr>,

    /// Logs for people or one JSON object a line, on standard error
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// Least level that is logged, or a filter such as `info,kafka=debug`
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log_level: String,

    /// How long a drain may take after SIGTERM or SIGINT before the process ends with code 7
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    pub drain_timeout: Duration,

    /// Drain and end when the process with this id is no longer the parent
    #[arg(long, value_name = "PID", hide = true)]
    pub exit_with_parent: Option<u32>,
}

impl ServiceArgs {
    /// Where health and metrics are served.
    pub(crate) fn http(&self, environment: &impl Environment) -> Result<SocketAddr, ServiceError> {
        let free_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Ok(self.http.or(http_of_environment(environment)?).unwrap_or(free_port))
    }
}

/// The address in [`HTTP_VARIABLE`]; none when it is unset or empty.
///
/// # Errors
/// It holds something else than an IP address and a port.
pub fn http_of_environment(environment: &impl Environment) -> Result<Option<SocketAddr>, ServiceError> {
    let Some(text) = environment.variable(HTTP_VARIABLE).filter(|text| !text.is_empty()) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| {
        ServiceError::Usage(format!("{HTTP_VARIABLE}: `{text}` is not an IP address and a port, such as 0.0.0.0:8080"))
    })
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Compact lines for people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// Reads a duration written as `20s`, `500ms`, `2m` or `1h`; a bare number is seconds.
///
/// # Errors
/// A sentence that says what is accepted.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let refused = || format!("`{text}` is not a duration: write 500ms, 20s, 2m or 1h");
    let number: f64 = number.parse().map_err(|_| refused())?;
    let seconds = match unit.trim() {
        "ms" => number / 1000.0,
        "" | "s" => number,
        "m" | "min" => number * 60.0,
        "h" => number * 3600.0,
        _ => return Err(refused()),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        service: ServiceArgs,
    }

    #[test]
    fn the_flag_comes_before_the_environment_and_both_before_a_free_port() {
        let with = |flags: &[&str], variable: Option<&str>| {
            let flags = Flags::parse_from([&["x"], flags].concat()).service;
            let environment: BTreeMap<&str, &str> = variable.map(|value| (HTTP_VARIABLE, value)).into_iter().collect();
            flags.http(&environment).map(|address| address.to_string()).map_err(|error| error.to_string())
        };
        let flag = ["--http", "127.0.0.1:9"];
        assert_eq!(with(&[], None).unwrap(), "127.0.0.1:0");
        assert_eq!(with(&[], Some("")).unwrap(), "127.0.0.1:0");
        assert_eq!(with(&[], Some("0.0.0.0:8080")).unwrap(), "0.0.0.0:8080");
        assert_eq!(with(&flag, Some("0.0.0.0:8080")).unwrap(), "127.0.0.1:9");
        let refused = with(&[], Some("8080")).unwrap_err();
        assert!(refused.contains("GROCERY_HTTP") && refused.contains("0.0.0.0:8080"), "{refused}");
    }

    #[test]
    fn durations_are_read_with_their_unit() {
        assert_eq!(parse_duration("20s"), Ok(Duration::from_secs(20)));
        assert_eq!(parse_duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("7"), Ok(Duration::from_secs(7)));
        assert!(parse_duration("soon").unwrap_err().contains("write 500ms"));
        assert!(parse_duration("3 weeks").is_err());
    }
}
