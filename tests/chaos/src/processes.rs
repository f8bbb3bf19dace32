//! The services as processes, with a supervisor as a small one would be: what ends is started again after a moment.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;
use tokio::sync::watch;

/// Between the end of a process and its next start.
const RESTART_AFTER: Duration = Duration::from_millis(500);

/// A drain takes less.
const STOP_WITHIN: Duration = Duration::from_secs(40);

/// What to start.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    /// Its name, and its log's.
    pub(crate) name: String,
    /// The executable.
    pub(crate) program: PathBuf,
    /// Its arguments.
    pub(crate) arguments: Vec<OsString>,
}

/// A process that nobody had told to end.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    /// Whose.
    pub(crate) name: String,
    /// With what.
    pub(crate) status: String,
    /// What it last wrote.
    pub(crate) last_words: String,
}

#[derive(Debug, Default)]
struct State {
    pid: Option<i32>,
    /// A signal of ours explains the next end.
    signalled: bool,
    ended: Vec<Ended>,
}

/// One service under supervision.
pub(crate) struct Service {
    spec: Spec,
    state: Arc<Mutex<State>>,
    wanted: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Service {
    /// Starts it and looks after it. Its log is appended to `logs/NAME.log`.
    pub(crate) fn start(spec: Spec, logs: &Path) -> Self {
        let (wanted, watched) = watch::channel(true);
        let state = Arc::new(Mutex::new(State::default()));
        let log = logs.join(format!("{}.log", spec.name));
        let task = tokio::spawn(supervise(spec.clone(), log, watched, Arc::clone(&state)));
        Self { spec, state, wanted, task }
    }

    /// What it is called.
    pub(crate) fn name(&self) -> &str {
        &self.spec.name
    }

    /// Sends a signal, if it runs.
    pub(crate) fn signal(&self, with: Signal) {
        let mut state = lock(&self.state);
        if let Some(pid) = state.pid {
            state.signalled |= matches!(with, Signal::KILL | Signal::TERM);
            // It may have ended by itself in this moment.
            let _ = signal(pid, with);
        }
    }

    /// Ends it for good; true if it drained with exit code 0, in time. What ended by itself is returned too.
    pub(crate) async fn stop(self) -> (bool, Vec<Ended>) {
        self.wanted.send_replace(false);
        self.signal(Signal::CONT);
        self.signal(Signal::TERM);
        let began = Instant::now();
        let mut task = self.task;
        if tokio::time::timeout(STOP_WITHIN, &mut task).await.is_err() {
            let pid = lock(&self.state).pid;
            if let Some(pid) = pid {
                let _ = signal(pid, Signal::KILL);
            }
            let _ = task.await;
        }
        let state = lock(&self.state);
        let drained = began.elapsed() < STOP_WITHIN && state.ended.last().is_none_or(|ended| ended.status != LAST);
        (drained, state.ended.iter().filter(|ended| ended.status != LAST).cloned().collect())
    }
}

/// Marks the end of a process that was told to stop and did not end with code 0.
const LAST: &str = "not drained";

async fn supervise(spec: Spec, log: PathBuf, mut wanted: watch::Receiver<bool>, state: Arc<Mutex<State>>) {
    while *wanted.borrow() {
        let spawned = spawn(&spec, &log);
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) => {
                let status = format!("cannot be started: {error}");
                lock(&state).ended.push(Ended { name: spec.name.clone(), status, last_words: String::new() });
                return;
            }
        };
        {
            let mut state = lock(&state);
            state.pid = child.id().and_then(|pid| i32::try_from(pid).ok());
            state.signalled = false;
        }
        let status = child.wait().await;
        let expected = {
            let mut state = lock(&state);
            state.pid = None;
            state.signalled
        };
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        let stopping = !*wanted.borrow();
        if stopping && status != "exit status: 0" {
            lock(&state).ended.push(Ended { name: spec.name.clone(), status: LAST.to_owned(), last_words: status });
        } else if !expected && !stopping {
            let last_words = last_line(&log);
            lock(&state).ended.push(Ended { name: spec.name.clone(), status, last_words });
        }
        tokio::select! {
            () = tokio::time::sleep(RESTART_AFTER) => {}
            _ = wanted.wait_for(|wanted| !wanted) => {}
        }
    }
}

fn spawn(spec: &Spec, log: &Path) -> std::io::Result<tokio::process::Child> {
    let log = OpenOptions::new().create(true).append(true).open(log)?;
    Command::new(&spec.program)
        .args(&spec.arguments)
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| name == "PATH" || name == "TMPDIR" || name == "RUST_BACKTRACE"))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
}

fn last_line(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(2_000)..]).into_owned();
    text.lines().next_back().unwrap_or_default().to_owned()
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends a signal to a process.
///
/// # Errors
/// There is no such process.
pub(crate) fn signal(pid: i32, with: Signal) -> std::io::Result<()> {
    let pid = Pid::from_raw(pid).ok_or(std::io::ErrorKind::InvalidInput)?;
    Ok(kill_process(pid, with)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(name: &str, script: &str) -> Spec {
        let arguments = ["-c", script].map(OsString::from).to_vec();
        Spec { name: name.to_owned(), program: "/bin/sh".into(), arguments }
    }

    async fn starts(log: &Path, count: usize) {
        let look = async {
            while std::fs::read_to_string(log).unwrap_or_default().lines().count() < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), look).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_killed_is_started_again_until_it_is_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let spec = shell("kept", "trap 'exit 0' TERM; echo started; while :; do sleep 0.05; done");
        let service = Service::start(spec, folder.path());
        let log = folder.path().join("kept.log");
        starts(&log, 1).await;
        service.signal(Signal::KILL);
        starts(&log, 2).await;
        let (drained, ended) = service.stop().await;
        assert!(drained && ended.is_empty(), "{ended:?}");
    }

    #[tokio::test]
    async fn what_ends_by_itself_is_told_with_its_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let service = Service::start(shell("tired", "echo no more; exit 5"), folder.path());
        starts(&folder.path().join("tired.log"), 2).await;
        let (_, ended) = service.stop().await;
        assert_eq!((ended[0].status.as_str(), ended[0].last_words.as_str()), ("exit status: 5", "no more"));
    }
}
