//! What state a service's process is in. Pure: events in, state out.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::SystemTime;

use serde::Serialize;
use service_kit::ExitStatus as Code;

/// A process's state, in the words the page shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its process runs and has not yet said that it started.
    Starting,
    /// Its process runs.
    Running,
    /// It was asked to end and drains.
    Stopping,
    /// It ended because it was asked to.
    Stopped,
    /// It ended by itself, its work done.
    Finished,
    /// It ended by itself, or by a signal that nobody here sent.
    Crashed,
}

impl State {
    /// Whether nobody needs to look.
    #[must_use]
    pub const fn is_well(self) -> bool {
        matches!(self, Self::Starting | Self::Running | Self::Finished)
    }

    /// The state in a word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Finished => "finished",
            Self::Crashed => "crashed",
        }
    }
}

/// A service's state with what a person wants to know beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lifecycle {
    /// The state.
    pub state: State,
    /// Why, when there is more to say.
    pub detail: String,
    /// Process id while there is a process.
    pub pid: Option<u32>,
    /// When the state began.
    pub since: SystemTime,
    /// How often it was started.
    pub starts: u32,
}

impl Lifecycle {
    /// Never started.
    #[must_use]
    pub fn new(now: SystemTime) -> Self {
        Self { state: State::Stopped, detail: "not started yet".to_owned(), pid: None, since: now, starts: 0 }
    }

    /// Whether there is a process.
    #[must_use]
    pub const fn is_alive(&self) -> bool {
        matches!(self.state, State::Starting | State::Running | State::Stopping)
    }

    /// A process was spawned.
    pub fn spawned(&mut self, pid: Option<u32>, now: SystemTime) {
        self.pid = pid;
        self.starts += 1;
        self.enter(State::Starting, String::new(), now);
    }

    /// No process could be spawned.
    pub fn not_spawned(&mut self, reason: &std::io::Error, now: SystemTime) {
        self.enter(State::Crashed, format!("could not be started: {reason}"), now);
    }

    /// The process said that it is up.
    pub fn announced(&mut self, now: SystemTime) {
        if self.state == State::Starting {
            self.enter(State::Running, String::new(), now);
        }
    }

    /// It was asked to end.
    pub fn stop_asked(&mut self, now: SystemTime) {
        if self.is_alive() {
            self.enter(State::Stopping, "draining".to_owned(), now);
        }
    }

    /// It did not end within its bound.
    pub fn overdue(&mut self) {
        "did not drain in time, killed".clone_into(&mut self.detail);
    }

    /// The process ended.
    pub fn exited(&mut self, status: ExitStatus, now: SystemTime) {
        let asked = self.state == State::Stopping;
        let killed_here = asked && status.signal() == Some(9) && self.detail.contains("killed");
        self.pid = None;
        let (state, detail) = match (status.code(), status.signal()) {
            (Some(0), _) if asked => (State::Stopped, "drained and ended".to_owned()),
            (Some(0), _) => (State::Finished, "its work is done".to_owned()),
            (Some(code), _) if asked => (State::Stopped, format!("ended with code {code}: {}", Code::describe(code))),
            (Some(code), _) => (State::Crashed, format!("ended with code {code}: {}", Code::describe(code))),
            (None, _) if killed_here => (State::Stopped, std::mem::take(&mut self.detail)),
            (None, Some(signal)) if asked && signal == 15 => (State::Stopped, "ended".to_owned()),
            (None, Some(signal)) => (State::Crashed, format!("killed by signal {signal}{}", signal_name(signal))),
            (None, None) => (State::Crashed, "ended in an unknown way".to_owned()),
        };
        self.enter(state, detail, now);
    }

    fn enter(&mut self, state: State, detail: String, now: SystemTime) {
        self.state = state;
        self.detail = detail;
        self.since = now;
    }
}

const fn signal_name(signal: i32) -> &'static str {
    match signal {
        2 => " (SIGINT)",
        6 => " (SIGABRT)",
        9 => " (SIGKILL)",
        11 => " (SIGSEGV)",
        15 => " (SIGTERM)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn running() -> Lifecycle {
        let mut lifecycle = Lifecycle::new(NOW);
        lifecycle.spawned(Some(7), NOW);
        lifecycle.announced(NOW);
        lifecycle
    }

    #[test]
    fn a_signal_from_outside_is_a_crash_and_is_named() {
        let mut service = running();
        service.exited(ExitStatus::from_raw(9), NOW);
        assert_eq!((service.state, service.detail.as_str()), (State::Crashed, "killed by signal 9 (SIGKILL)"));
        assert_eq!(service.pid, None);
    }

    #[test]
    fn ending_when_asked_is_stopped_and_by_itself_is_finished() {
        let mut service = running();
        service.stop_asked(NOW);
        service.exited(ExitStatus::from_raw(0), NOW);
        assert_eq!(service.state, State::Stopped);
        let mut service = running();
        service.exited(ExitStatus::from_raw(0), NOW);
        assert_eq!(service.state, State::Finished);
    }

    #[test]
    fn an_exit_code_is_put_into_words() {
        let mut service = running();
        service.exited(ExitStatus::from_raw(3 << 8), NOW);
        assert_eq!(service.state, State::Crashed);
        assert!(service.detail.contains("code 3: authentication refused"), "{}", service.detail);
    }

    #[test]
    fn killed_by_us_after_its_bound_is_stopped_not_crashed() {
        let mut service = running();
        service.stop_asked(NOW);
        service.overdue();
        service.exited(ExitStatus::from_raw(9), NOW);
        assert_eq!(service.state, State::Stopped);
        assert!(service.detail.contains("killed"));
    }

    #[test]
    fn killed_from_outside_while_it_drains_is_a_crash() {
        let mut service = running();
        service.stop_asked(NOW);
        service.exited(ExitStatus::from_raw(9), NOW);
        assert_eq!(service.state, State::Crashed);
    }
}
