//! One run of one client: what the operating system says of the whole process, and what the process says itself.

use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsString;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use wait4::Wait4 as _;

/// What a run took.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    /// User and system time of the process, from its start to its end.
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
    /// The most memory that was resident.
    pub(crate) rss_bytes: u64,
    /// User-space instructions, where the processor counts them.
    pub(crate) instructions: Option<u64>,
    /// What the client printed: records, seconds, p50_ms and so on.
    pub(crate) told: BTreeMap<String, f64>,
}

impl Sample {
    pub(crate) fn told(&self, figure: &str) -> f64 {
        self.told.get(figure).copied().unwrap_or(f64::NAN)
    }
}

/// A client at work.
pub(crate) struct Running {
    child: std::process::Child,
    started: Instant,
    counts: Option<std::path::PathBuf>,
}

/// Whether this machine counts instructions, and lets us read them.
pub(crate) fn counts_instructions() -> bool {
    let output = Command::new("perf").args(["stat", "-x,", "-e", "instructions:u", "true"]).output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stderr).lines().any(|line| counted(line).is_some()))
}

fn counted(line: &str) -> Option<u64> {
    line.split_once(',')?.0.parse().ok()
}

/// Starts a client. With `counts`, its instructions are counted, by way of that file.
pub(crate) fn start(program: &Path, words: &[OsString], counts: Option<&Path>) -> Result<Running, Box<dyn Error>> {
    let mut command = match counts {
        Some(file) => {
            let mut perf = Command::new("perf");
            perf.args(["stat", "-x,", "-e", "instructions:u", "-o"]).arg(file).arg(program);
            perf
        }
        None => Command::new(program),
    };
    // Kafka's own tools get the compiler that a long-running program has.
    command.env("KAFKA_TOOL_JVM_OPTS", "-XX:TieredStopAtLevel=4 -Xmx1g");
    command.args(words).stdout(Stdio::piped());
    let started = Instant::now();
    let child = command.spawn().map_err(|error| format!("{}: {error}", program.display()))?;
    Ok(Running { child, started, counts: counts.map(Path::to_owned) })
}

impl Running {
    /// The client's own process, which is another than ours if its instructions are counted.
    pub(crate) fn pid(&self) -> u32 {
        let parent = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
        match (&self.counts, children.split_whitespace().next().and_then(|pid| pid.parse().ok())) {
            (Some(_), Some(child)) => child,
            _ => parent,
        }
    }

    /// What is resident now.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
    }

    /// Asks it to end, by SIGTERM.
    pub(crate) fn terminate(&self) -> Result<(), Box<dyn Error>> {
        Command::new("kill").arg("-TERM").arg(self.pid().to_string()).status()?;
        Ok(())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It failed; what it said of it is on standard error.
    pub(crate) fn finish(mut self) -> Result<Sample, Box<dyn Error>> {
        let mut output = String::new();
        if let Some(mut stdout) = self.child.stdout.take() {
            stdout.read_to_string(&mut output)?;
        }
        let ended = self.child.wait4()?;
        let wall = self.started.elapsed();
        if !ended.status.success() {
            return Err(format!("a client ended with {}: {output}", ended.status).into());
        }
        let counts = self.counts.and_then(|file| std::fs::read_to_string(file).ok());
        Ok(Sample {
            cpu: ended.rusage.utime + ended.rusage.stime,
            wall,
            rss_bytes: ended.rusage.maxrss,
            instructions: counts.and_then(|text| text.lines().find_map(counted)),
            told: told(&output),
        })
    }
}

/// The figures of the last line that is JSON, or those of Kafka's own tools.
fn told(output: &str) -> BTreeMap<String, f64> {
    let json = output.lines().rev().find_map(|line| serde_json::from_str::<Value>(line).ok());
    if let Some(Value::Object(figures)) = json {
        return figures.into_iter().filter_map(|(name, value)| Some((name, value.as_f64()?))).collect();
    }
    // `2000000 records sent, 450000.0 records/sec (73.8 MB/sec), ...`, or a table whose sixth column is records a second.
    let last = output.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let rate = match last.split_once(" records sent, ") {
        Some((_, rest)) => rest.split(' ').next().and_then(|rate| rate.parse::<f64>().ok()),
        None => last.split(',').nth(5).and_then(|rate| rate.trim().parse().ok()),
    };
    rate.map(|rate| ("records_per_second".to_owned(), rate)).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_a_clients_line_and_from_kafkas_tools() {
        assert_eq!(told("noise\n{\"records\":2,\"seconds\":0.5}\n")["seconds"], 0.5);
        let producer =
            "1 records sent, 9.0 records/sec\n2000000 records sent, 450123.5 records/sec (73.84 MB/sec), 1 ms avg\n";
        assert_eq!(told(producer)["records_per_second"], 450_123.5);
        let consumer = "start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms\n\
                        2026-01-01 00:00:00:000, 2026-01-01 00:00:01:000, 328.0, 328.0, 2000000, 1600000.0, 300\n";
        assert_eq!(told(consumer)["records_per_second"], 1_600_000.0);
        assert!(told("").is_empty());
    }

    #[test]
    fn a_count_is_read_and_its_absence_too() {
        assert_eq!(counted("1824363850,,instructions:u,711629416,100.00,,"), Some(1_824_363_850));
        assert_eq!(counted("<not supported>,,instructions:u,0,100.00,,"), None);
    }
}
