//! `grocery healthcheck`: asks a service whether it is ready, for whoever has no other program to ask with.
//!
//! An image from scratch has no shell and no curl, and a store device may have neither; the executable is there in any case.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use service_kit::config::{Environment, ProcessEnvironment};
use service_kit::{ExitStatus, HTTP_VARIABLE, ServiceError, http_of_environment, parse_duration};

use crate::http_get::fetch;

/// Where a service is asked when nobody says where it is.
const DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

const READY: &str = "/readyz";
const ALIVE: &str = "/healthz";

/// More of an answer than this is not from one of our services.
const SHOWN: usize = 400;

/// Whom to ask for what.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Where the service's health is served, as HOST:PORT or http://HOST:PORT[/PATH]; without it the environment's GROCERY_HTTP,
    /// else 127.0.0.1:8080
    #[arg(value_name = "URL|ADDRESS")]
    pub(crate) service: Option<String>,

    /// Ask only whether the process is alive (/healthz), not whether it is ready (/readyz)
    #[arg(long)]
    pub(crate) live: bool,

    /// How long an answer may take
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = parse_duration)]
    pub(crate) timeout: Duration,
}

/// A place to ask at.
#[derive(Debug, PartialEq, Eq)]
struct Question {
    /// Host and port.
    authority: String,
    path: String,
}

/// Prints what the service says. Exit code 0: it is ready; 1: it is not, or does not answer; 2: the question makes no sense.
pub(crate) fn main(args: &Args) -> ExitCode {
    match question(args, &ProcessEnvironment).and_then(|question| ask(&question, args.timeout)) {
        Ok(said) => {
            println!("{said}");
            ExitStatus::Done.into()
        }
        Err(error) => {
            eprintln!("grocery healthcheck: {error}");
            error.exit_status().into()
        }
    }
}

fn question(args: &Args, environment: &impl Environment) -> Result<Question, ServiceError> {
    let path = if args.live { ALIVE } else { READY };
    let Some(given) = &args.service else {
        let address = http_of_environment(environment)?.map_or(Ok(DEFAULT), reachable)?;
        return Ok(Question { authority: address.to_string(), path: path.to_owned() });
    };
    if given.starts_with("https://") {
        return Err(refused(given, "a service serves its health without TLS: write http://"));
    }
    let rest = given.strip_prefix("http://").unwrap_or(given);
    let (authority, own_path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
    let port =
        authority.rsplit_once(':').and_then(|(host, port)| port.parse::<u16>().ok().filter(|_| !host.is_empty()));
    if port.is_none_or(|port| port == 0)
        || authority.contains([' ', '@', '?', '#'])
        || own_path.contains([' ', '\r', '\n'])
    {
        return Err(refused(given, "write HOST:PORT or http://HOST:PORT/PATH"));
    }
    if args.live && own_path.len() > 1 {
        return Err(refused(given, "--live names the path already; leave one of them out"));
    }
    Ok(Question { authority: authority.to_owned(), path: if own_path.len() > 1 { own_path } else { path }.to_owned() })
}

fn refused(given: &str, why: &str) -> ServiceError {
    ServiceError::Usage(format!("`{given}` cannot be asked: {why}"))
}

/// Where somebody on this machine finds a service that listens on `address`.
fn reachable(address: SocketAddr) -> Result<SocketAddr, ServiceError> {
    if address.port() == 0 {
        return Err(ServiceError::Usage(format!(
            "{HTTP_VARIABLE}={address} is any free port; name the one that the service logged, as HOST:PORT"
        )));
    }
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Ok(SocketAddr::new(ip, address.port()))
}

fn ask(question: &Question, timeout: Duration) -> Result<String, ServiceError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| ServiceError::Internal(format!("no async runtime: {error}")))?;
    let Question { authority, path } = question;
    let no = |what: String| ServiceError::Unsatisfied(format!("http://{authority}{path}: {what}"));
    let answer = runtime.block_on(async { tokio::time::timeout(timeout, fetch(authority, authority, path)).await });
    // A name that is still being looked up would hold the process until it is done.
    runtime.shutdown_background();
    match answer {
        Ok(Ok((200, body))) => Ok(shown(&body)),
        Ok(Ok((status, body))) => Err(no(format!("not ready ({status}): {}", shown(&body)))),
        Ok(Err(error)) => Err(no(error.to_string())),
        Err(_) => Err(no(format!("no answer within {timeout:?} (--timeout)"))),
    }
}

/// The first line of an answer, cut to what people read.
fn shown(body: &str) -> String {
    body.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn asks(service: Option<&str>, live: bool, http: Option<&str>) -> Result<String, String> {
        let args = Args { service: service.map(str::to_owned), live, timeout: Duration::from_secs(1) };
        let environment: BTreeMap<&str, &str> = http.map(|value| (HTTP_VARIABLE, value)).into_iter().collect();
        let question = question(&args, &environment).map_err(|error| error.to_string())?;
        Ok(format!("{}{}", question.authority, question.path))
    }

    #[test]
    fn a_service_is_found_where_it_was_told_to_be() {
        assert_eq!(asks(None, false, None).unwrap(), "127.0.0.1:8080/readyz");
        assert_eq!(asks(None, true, Some("0.0.0.0:9000")).unwrap(), "127.0.0.1:9000/healthz");
        assert_eq!(asks(None, false, Some("[::]:9000")).unwrap(), "[::1]:9000/readyz");
        assert_eq!(asks(Some("10.0.0.7:1"), false, Some("0.0.0.0:9000")).unwrap(), "10.0.0.7:1/readyz");
        assert_eq!(asks(Some("http://device-7:1/"), true, None).unwrap(), "device-7:1/healthz");
        assert_eq!(asks(Some("http://registry:8081/subjects"), false, None).unwrap(), "registry:8081/subjects");
    }

    #[test]
    fn what_cannot_be_asked_says_what_to_write() {
        for (given, hint) in [
            ("https://x:1", "http://"),
            ("8080", "HOST:PORT"),
            (":8080", "HOST:PORT"),
            ("x:0", "HOST:PORT"),
            ("x:1/a b", "HOST:PORT"),
            ("me@x:1", "HOST:PORT"),
        ] {
            let refused = asks(Some(given), false, None).unwrap_err();
            assert!(refused.contains(given) && refused.contains(hint), "{refused}");
        }
        assert!(asks(Some("x:1/metrics"), true, None).unwrap_err().contains("--live"));
        assert!(asks(None, false, Some("127.0.0.1:0")).unwrap_err().contains("GROCERY_HTTP"));
    }
}
