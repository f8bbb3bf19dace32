//! The task that owns one service's process.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command as Process};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::logs::{Line, LogBuffer};
use super::{Command, ServiceSpec, Status};

/// Ends when nobody can send commands any more; a process that still runs is killed then.
pub(super) async fn own(
    spec: ServiceSpec,
    mut inbox: mpsc::Receiver<Command>,
    publish: watch::Sender<Status>,
    logs: Arc<Mutex<LogBuffer>>,
) {
    let mut child: Option<Child> = None;
    let mut kill_at: Option<Instant> = None;
    loop {
        tokio::select! {
            command = inbox.recv() => match command {
                None => break,
                Some(Command::Start(reply)) => {
                    let answer = if child.is_some() {
                        Err(format!("{} runs already", spec.name))
                    } else {
                        start(&spec, &publish, &logs).map(|started| child = Some(started))
                    };
                    let _ = reply.send(answer);
                }
                Some(Command::Stop(reply)) => {
                    let answer = match &child {
                        None => Err(format!("{} does not run", spec.name)),
                        Some(running) => {
                            kill_at.get_or_insert_with(|| Instant::now() + spec.stop_timeout);
                            publish.send_modify(|status| status.lifecycle.stop_asked(SystemTime::now()));
                            terminate(running)
                        }
                    };
                    let _ = reply.send(answer);
                }
            },
            status = exit_of(&mut child) => {
                child = None;
                kill_at = None;
                publish.send_modify(|shown| {
                    shown.http = None;
                    match status {
                        Ok(status) => shown.lifecycle.exited(status, SystemTime::now()),
                        Err(error) => shown.lifecycle.not_spawned(&error, SystemTime::now()),
                    }
                });
                let detail = publish.borrow().lifecycle.detail.clone();
                note(&logs, format!("process ended: {detail}"));
            }
            () = due(kill_at) => {
                kill_at = None;
                publish.send_modify(|status| status.lifecycle.overdue());
                if let Some(running) = &mut child {
                    // It may have ended in this very moment; then the arm above sees it.
                    let _ = running.start_kill();
                }
            }
        }
    }
    if let Some(mut running) = child {
        let _ = running.kill().await;
    }
}

fn start(spec: &ServiceSpec, publish: &watch::Sender<Status>, logs: &Arc<Mutex<LogBuffer>>) -> Result<Child, String> {
    let mut process = Process::new(&spec.program);
    if !spec.inherits_stdin {
        // Ctrl-C in a terminal reaches the whole foreground group, but the demo decides in which order services drain.
        // (A background group may not read from the terminal, so a service that does stays in ours.)
        process.process_group(0);
    }
    let spawned = process
        .args((spec.arguments)(publish.borrow().lifecycle.starts))
        .env_clear()
        .envs(spec.environment.iter().map(|(name, value)| (name, value)))
        .stdin(if spec.inherits_stdin { Stdio::inherit() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    match spawned {
        Ok(mut child) => {
            publish.send_modify(|status| status.lifecycle.spawned(child.id(), SystemTime::now()));
            if let Some(stdout) = child.stdout.take() {
                tokio::spawn(keep_lines(stdout, Arc::clone(logs), Line::from_stdout, |_| {}));
            }
            if let Some(stderr) = child.stderr.take() {
                let publish = publish.clone();
                let announced = move |raw: &str| {
                    if let Some(address) = Line::field(raw, "http").and_then(|address| address.parse().ok()) {
                        publish.send_modify(|status| {
                            status.http = Some(address);
                            status.lifecycle.announced(SystemTime::now());
                        });
                    }
                };
                tokio::spawn(keep_lines(stderr, Arc::clone(logs), Line::from_stderr, announced));
            }
            Ok(child)
        }
        Err(error) => {
            publish.send_modify(|status| status.lifecycle.not_spawned(&error, SystemTime::now()));
            let program = spec.program.display();
            note(logs, format!("{program} could not be started: {error}"));
            Err(format!("{}: {program} could not be started: {error}", spec.name))
        }
    }
}

fn terminate(child: &Child) -> Result<(), String> {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    // Without an id it has ended and is about to be waited for.
    let Some(pid) = pid else { return Ok(()) };
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).map_err(|error| format!("SIGTERM: {error}"))
}

async fn exit_of(child: &mut Option<Child>) -> std::io::Result<ExitStatus> {
    match child {
        Some(running) => running.wait().await,
        None => std::future::pending().await,
    }
}

async fn due(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Reads to the end, so that a chatty process never blocks on a full pipe.
async fn keep_lines(
    pipe: impl AsyncRead + Unpin,
    logs: Arc<Mutex<LogBuffer>>,
    read: fn(&str) -> Line,
    announced: impl Fn(&str),
) {
    let mut pipe = BufReader::with_capacity(64 * 1024, pipe);
    let mut raw = Vec::new();
    loop {
        raw.clear();
        match pipe.read_until(b'\n', &mut raw).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&raw);
        let text = text.trim_end_matches(['\n', '\r']);
        announced(text);
        logs.lock().unwrap_or_else(PoisonError::into_inner).push(read(text));
    }
}

fn note(logs: &Mutex<LogBuffer>, text: String) {
    let line = Line { time: String::new(), level: "warn", text };
    logs.lock().unwrap_or_else(PoisonError::into_inner).push(line);
}
