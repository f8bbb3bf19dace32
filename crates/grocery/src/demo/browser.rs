//! Showing the page without being asked to, where somebody could see it.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use service_kit::config::{Environment, ProcessEnvironment};

/// The page's address as people write it.
pub(super) fn url(bound: SocketAddr) -> String {
    if bound.ip().is_loopback() || bound.ip().is_unspecified() {
        format!("http://localhost:{}", bound.port())
    } else {
        format!("http://{bound}")
    }
}

/// Asks the desktop to open the page, if a person runs this on one. Failing to is no news: the address is printed.
pub(super) fn open(url: &str) {
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let desktop = cfg!(target_os = "macos") || has_screen(&ProcessEnvironment);
    if !desktop || !std::io::stdout().is_terminal() {
        return;
    }
    let asked = Command::new(opener).arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    if let Ok(mut opener) = asked {
        // Some openers stay as long as the browser; whoever waits for one must not be the demo.
        std::thread::spawn(move || opener.wait());
    }
}

fn has_screen(environment: &impl Environment) -> bool {
    ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| environment.variable(name).is_some_and(|value| !value.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_called_localhost() {
        assert_eq!(url("127.0.0.1:8501".parse().unwrap()), "http://localhost:8501");
        assert_eq!(url("192.0.2.7:80".parse().unwrap()), "http://192.0.2.7:80");
    }
}
