//! `--kill-every`: instances that die without warning, and are started again as a supervisor would.

use std::time::Duration;

use super::services::Services;
use crate::supervisor::Supervised;

/// Kills the instances of fulfillment-service, each in turn. Never returns.
pub(super) async fn run(services: &Services, every: Option<Duration>) {
    let Some(every) = every else { return std::future::pending().await };
    let mut turn = services.fulfillment.iter().cycle();
    loop {
        tokio::time::sleep(every).await;
        if let Some(service) = turn.next() {
            kill(service).await;
        }
    }
}

/// One that was killed as the run ended is started again: what it left open has to be finished.
pub(super) async fn leave_all_running(services: &Services) {
    for service in &services.fulfillment {
        if service.status().lifecycle.state == crate::supervisor::lifecycle::State::Crashed {
            start(service).await;
        }
    }
}

async fn kill(service: &Supervised) {
    let pid = service.status().lifecycle.pid.and_then(|pid| i32::try_from(pid).ok());
    let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) else { return };
    if rustix::process::kill_process(pid, rustix::process::Signal::KILL).is_ok() {
        service.ended().await;
        println!(
            "killed        {} (process {}) with SIGKILL; it is started again",
            service.name(),
            pid.as_raw_nonzero()
        );
        start(service).await;
    }
}

async fn start(service: &Supervised) {
    // Somebody may have started it on the page in this moment.
    if let Err(problem) = service.start().await {
        tracing::info!("{problem}");
    }
}
