//! The demo's services as real processes: started, stopped, watched, their log lines kept.
//!
//! One task owns each process. Others ask it by channel and read its state from a watch, so that nobody waits for a
//! process but its owner, and every process is waited for: there are no zombies. A process is asked to end by SIGTERM,
//! and ended by SIGKILL when it has not within its bound. If this process dies, the services see that their parent
//! changed and end themselves (`--exit-with-parent`).

mod child;
pub mod lifecycle;
pub mod logs;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot, watch};

use lifecycle::Lifecycle;
use logs::LogBuffer;

/// What the start with a number is started with.
pub type Arguments = Box<dyn Fn(u32) -> Vec<OsString> + Send + Sync>;

/// How a service's process is started.
pub struct ServiceSpec {
    /// The name that the page shows.
    pub name: &'static str,
    /// The executable.
    pub program: PathBuf,
    /// Arguments of the start with this number, counted from zero: a producer started again has fewer orders left.
    pub arguments: Arguments,
    /// Its whole environment: what this process's has is for this process.
    pub environment: Vec<(OsString, OsString)>,
    /// Whether it reads this process's standard input.
    pub inherits_stdin: bool,
    /// Between SIGTERM and SIGKILL.
    pub stop_timeout: Duration,
}

/// A service as others see it. Cheap to clone.
#[derive(Clone)]
pub struct Supervised {
    name: &'static str,
    commands: mpsc::Sender<Command>,
    status: watch::Receiver<Status>,
    logs: Arc<Mutex<LogBuffer>>,
}

/// What is known of a service's process.
#[derive(Debug, Clone)]
pub struct Status {
    /// Its state.
    pub lifecycle: Lifecycle,
    /// Where it serves health and metrics, once it said so.
    pub http: Option<SocketAddr>,
}

enum Command {
    Start(oneshot::Sender<Result<(), String>>),
    Stop(oneshot::Sender<Result<(), String>>),
}

impl Supervised {
    /// Begins to look after a service; its process is not started yet. Must be called inside a runtime.
    #[must_use]
    pub fn new(spec: ServiceSpec) -> Self {
        let (commands, inbox) = mpsc::channel(8);
        let (publish, status) = watch::channel(Status { lifecycle: Lifecycle::new(SystemTime::now()), http: None });
        let logs = Arc::default();
        let name = spec.name;
        tokio::spawn(child::own(spec, inbox, publish, Arc::clone(&logs)));
        Self { name, commands, status, logs }
    }

    /// The service's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The state now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// The kept log lines. The lock is never held across an await.
    pub fn logs(&self) -> MutexGuard<'_, LogBuffer> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the process.
    ///
    /// # Errors
    /// A sentence: it runs already, or could not be spawned.
    pub async fn start(&self) -> Result<(), String> {
        self.ask(Command::Start).await
    }

    /// Asks the process to end; returns at once, the state says when it did.
    ///
    /// # Errors
    /// A sentence: there is no process.
    pub async fn stop(&self) -> Result<(), String> {
        self.ask(Command::Stop).await
    }

    /// Returns once there is no process. Cancel safe.
    pub async fn ended(&self) {
        let mut status = self.status.clone();
        // An error means that the owning task is gone, and its process with it.
        let _ = status.wait_for(|status| !status.lifecycle.is_alive()).await;
    }

    async fn ask(&self, command: impl FnOnce(oneshot::Sender<Result<(), String>>) -> Command) -> Result<(), String> {
        let (reply, answer) = oneshot::channel();
        let gone = || format!("{} is no longer supervised: the demo is ending", self.name);
        self.commands.send(command(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

#[cfg(test)]
mod tests;
