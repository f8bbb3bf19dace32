//! Counts the instructions of the hot paths and compares them with those on file.
//!
//! Each path is run by this program under callgrind, a number of times and then twice as often: the difference is the path
//! alone, without the start of a process.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use bench_micro::{BATCH, CASES, Material};
use clap::{Parser, Subcommand};

/// How much more than on file is too much, in percent.
const MOST_PERCENT: f64 = 5.0;

/// How often a path is run; the other run is twice as long.
const TIMES: u32 = 20;

#[derive(Parser)]
struct Arguments {
    /// The file of counts
    #[arg(long)]
    counts: Option<PathBuf>,
    /// Write it
    #[arg(long)]
    update: bool,
    #[command(subcommand)]
    command: Option<Run>,
}

#[derive(Subcommand)]
enum Run {
    /// One path, so often: what is counted
    Run { case: String, times: u32 },
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool, Box<dyn Error>> {
    if let Some(Run::Run { case, times }) = &arguments.command {
        let (_, path) = CASES.iter().find(|(name, _)| name == case).ok_or_else(|| format!("no path '{case}'"))?;
        let (material, mut buffer) = (Material::default(), Vec::new());
        (0..*times).for_each(|_| path(&material, &mut buffer));
        return Ok(true);
    }
    let file = arguments.counts.as_ref().ok_or("--counts FILE is missing")?;
    let mut counts = BTreeMap::new();
    for (name, _) in CASES {
        let of_path = callgrind(name, 2 * TIMES)?.saturating_sub(callgrind(name, TIMES)?);
        counts.insert(name.to_owned(), of_path as f64 / f64::from(TIMES) / BATCH as f64);
    }
    if arguments.update {
        let lines = counts.iter().map(|(name, count)| format!("{count:8.1}  {name}\n"));
        std::fs::write(file, format!("{HEAD}{}", lines.collect::<String>()))?;
        return Ok(true);
    }
    Ok(compare(&counts, &on_file(&std::fs::read_to_string(file)?)))
}

const HEAD: &str = "# Instructions an order, as callgrind counts them (x86_64, release profile, the pinned toolchain). \
                    `scripts/bench --check` compares, `scripts/bench --check --update` writes.\n";

/// The instructions of a process that does a path so often.
fn callgrind(case: &str, times: u32) -> Result<u64, Box<dyn Error>> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["run", case, &times.to_string()])
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("'{case}' ended with {}: {told}", output.status).into());
    }
    let line = told.lines().find_map(|line| line.split_once("Collected : ")).ok_or("callgrind told no count")?;
    Ok(line.1.trim().parse()?)
}

fn on_file(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let count = |line: &str| {
        let (count, name) = line.trim().split_once("  ")?;
        Some((name.trim().to_owned(), count.parse().ok()?))
    };
    lines.filter_map(count).collect()
}

/// Prints each path's counts; whether none is too high, and all are on file.
fn compare(counts: &BTreeMap<String, f64>, on_file: &BTreeMap<String, f64>) -> bool {
    let mut good = true;
    for (name, count) in counts {
        let verdict = match on_file.get(name) {
            None => "not on file: scripts/bench --check --update".to_owned(),
            Some(before) => {
                let percent = (count / before - 1.0) * 100.0;
                let too_many = percent > MOST_PERCENT;
                format!("{percent:+5.1} % {}", if too_many { "TOO MANY" } else { "" })
            }
        };
        good &= !verdict.contains("TOO MANY") && !verdict.contains("not on file");
        println!("{count:8.1} instructions an order  {name:20} {verdict}");
    }
    if !good {
        println!("more than {MOST_PERCENT} % above what is on file: find out why, or write it down with --update");
    }
    good
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(of: f64) -> BTreeMap<String, f64> {
        BTreeMap::from([("record encode".to_owned(), of)])
    }

    #[test]
    fn five_percent_more_pass_and_six_do_not_nor_does_what_is_not_on_file() {
        let before = on_file("# a comment\n   100.0  record encode\n");
        assert_eq!(before, counts(100.0));
        assert!(compare(&counts(104.9), &before) && compare(&counts(50.0), &before));
        assert!(!compare(&counts(106.0), &before));
        assert!(!compare(&counts(100.0), &BTreeMap::new()));
    }
}
