//! `grocery`: the one binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    grocery::main()
}
