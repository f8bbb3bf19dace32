//! order-producer as a program of its own; `grocery order-producer` is the same.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    order_producer::main(order_producer::Command::parse())
}
