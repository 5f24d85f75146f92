//! The daemon's start-up: arguments, the router, signals.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match maglane::daemon::run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("maglane: {error}");
            ExitCode::FAILURE
        }
    }
}
