//! The `deodar` command: parses, runs, exits.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    let exit = deodar::cli::run(std::env::args_os());
    ExitCode::from(exit as u8)
}
