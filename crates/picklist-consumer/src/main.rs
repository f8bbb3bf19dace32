//! picklist-consumer as a program of its own; `grocery picklist-consumer` is the same.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    picklist_consumer::main(picklist_consumer::Command::parse())
}
