//! A process of the executable under test, and what it says.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

/// Nothing that a test waits for takes so long, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(90);

/// A running process; ended when dropped.
pub(crate) struct Process {
    child: Child,
    lines: mpsc::UnboundedReceiver<String>,
    said: Vec<String>,
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    /// Both outputs, line by line.
    pub(crate) said: String,
}

impl Process {
    /// Starts `grocery` with these arguments and an environment that configures nothing.
    pub(crate) fn start<I: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = I>) -> Self {
        Self::start_with(arguments, &[])
    }

    /// Starts `grocery` with these arguments and with these variables alone.
    pub(crate) fn start_with<I: AsRef<std::ffi::OsStr>>(
        arguments: impl IntoIterator<Item = I>,
        variables: &[(&str, &str)],
    ) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_grocery"))
            .args(arguments)
            .env_clear()
            .envs(std::env::vars().filter(|(name, _)| matches!(&**name, "PATH" | "TMPDIR" | "LLVM_PROFILE_FILE")))
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::unbounded_channel();
        tokio::spawn(pass_on(child.stdout.take().unwrap(), sender.clone()));
        tokio::spawn(pass_on(child.stderr.take().unwrap(), sender));
        Self { child, lines, said: Vec::new() }
    }

    /// Waits for a line with this text.
    pub(crate) async fn says(&mut self, text: &str) -> String {
        let line = tokio::time::timeout(PATIENCE, async {
            loop {
                let line = self.lines.recv().await?;
                self.said.push(line.clone());
                if line.contains(text) {
                    return Some(line);
                }
            }
        });
        line.await.ok().flatten().unwrap_or_else(|| panic!("it never said {text:?} but:\n{}", self.said.join("\n")))
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.child.id().unwrap(), name);
    }

    /// Waits for its end.
    pub(crate) async fn ended(mut self) -> Ended {
        let reading = async {
            while let Some(line) = self.lines.recv().await {
                self.said.push(line);
            }
        };
        let read = tokio::time::timeout(PATIENCE, reading).await;
        assert!(read.is_ok(), "it does not end:\n{}", self.said.join("\n"));
        let status = self.child.wait().await.unwrap();
        Ended { code: status.code(), said: self.said.join("\n") }
    }
}

/// Sends a signal to any process.
pub(crate) fn signal(process: u32, name: &str) {
    let sent = std::process::Command::new("kill").args([format!("-{name}"), process.to_string()]).status().unwrap();
    assert!(sent.success(), "kill -{name} {process}");
}

async fn pass_on(output: impl AsyncRead + Unpin, lines: mpsc::UnboundedSender<String>) {
    let mut output = BufReader::new(output).lines();
    while let Ok(Some(line)) = output.next_line().await {
        // The test may have seen enough.
        let _ = lines.send(line);
    }
}
