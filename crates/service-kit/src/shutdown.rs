//! SIGTERM and SIGINT ask for a drain; asked twice, the process ends at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::error::ExitStatus;

/// Cancels `shutdown` on the first SIGTERM or SIGINT and ends the process on the second. Must run inside a runtime.
///
/// # Errors
/// The operating system refused to install the handlers.
pub fn on_signals(shutdown: CancellationToken) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        loop {
            let (name, status) = tokio::select! {
                _ = terminate.recv() => ("SIGTERM", ExitStatus::Terminated),
                _ = interrupt.recv() => ("SIGINT", ExitStatus::Interrupted),
            };
            if shutdown.is_cancelled() {
                tracing::warn!(signal = name, "asked again: ending without waiting for the drain");
                std::process::exit(status as i32);
            }
            tracing::info!(signal = name, "draining; the same signal again ends at once");
            shutdown.cancel();
        }
    });
    Ok(())
}
