//! The flags of `grocery demo`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use order_producer::Rate;
use service_kit::parse_duration;

/// The port of the original demo's page.
const DASHBOARD_PORT: u16 = 8501;

/// Run the whole pipeline on this machine: sandbox, three services, dashboard
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Stop after N orders; the exit code is 1 if anything is missing or duplicated then
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub orders: Option<u64>,

    /// Orders a second, or `max`; one every two seconds without it
    #[arg(long, value_name = "R", default_value_t)]
    pub rate: Rate,

    /// Read baskets from FILE, one a line (`-`: standard input); without it a simulator draws them
    #[arg(long, value_name = "FILE")]
    pub baskets: Option<PathBuf>,

    /// Make the same baskets, customers and order ids as any other run with this number
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,

    /// How many instances of fulfillment-service share the orders: 1 to 3, as many as the topic has partitions
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=3))]
    pub instances: u8,

    /// End an instance of fulfillment-service with SIGKILL every so often, each in turn, and start it again
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub kill_every: Option<Duration>,

    /// Where the dashboard is served: a port of this machine, or ADDRESS:PORT
    #[arg(long, value_name = "PORT|ADDRESS:PORT", default_value = "8501", value_parser = parse_dashboard)]
    pub dashboard: SocketAddr,

    /// Serve the dashboard, but do not try to open a browser
    #[arg(long)]
    pub no_browser: bool,

    /// Serve no dashboard
    #[arg(long)]
    pub headless: bool,

    /// How long access tokens live
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
    pub token_lifetime: Duration,

    /// Speak without TLS: SASL_PLAINTEXT and http
    #[arg(long)]
    pub plaintext: bool,

    /// How long the drain at the end may take, and how long it may stand still
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    pub drain_timeout: Duration,

    /// Start each service through this command: an emulator with its flags, a tracer; the words are separated by spaces
    #[arg(long, value_name = "COMMAND", hide = true)]
    pub through: Option<String>,

    /// Least level that the services log, or a filter such as `info,kafka=debug`
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log_level: String,
}

fn parse_dashboard(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse::<u16>() {
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    }
    text.parse().map_err(|_| format!("`{text}` is neither a port such as {DASHBOARD_PORT} nor ADDRESS:PORT"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_means_this_machine_only() {
        assert_eq!(parse_dashboard("8501").unwrap(), "127.0.0.1:8501".parse().unwrap());
        assert_eq!(parse_dashboard("0.0.0.0:80").unwrap(), "0.0.0.0:80".parse().unwrap());
        assert!(parse_dashboard("here").is_err());
    }
}
