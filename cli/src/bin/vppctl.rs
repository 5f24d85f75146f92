//! `vppctl`: types commands at a running `maglane` (or at the real VPP).
#![forbid(unsafe_code)]

use std::io::{self, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use cli::client::{Answer, Client, Watched, default_socket, interact, watch};

/// Types commands at a running maglane.
///
/// With words, runs them as one command. Without, runs the script on standard input, or a session on a terminal. Exits
/// with 1 when a command failed, with 2 when there is nobody to talk to.
#[derive(Parser)]
#[command(name = "vppctl", version)]
struct Arguments {
    /// The socket of the daemon's CLI.
    #[arg(short, long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// The command's words.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let socket = arguments.socket.unwrap_or_else(default_socket);
    let mut client = match Client::connect(&socket) {
        Ok(client) => client,
        Err(error) => {
            let nobody = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused);
            let hint = if nobody { "; is maglane running?" } else { "" };
            eprintln!("vppctl: cannot connect to {}: {error}{hint}", socket.display());
            return ExitCode::from(2);
        }
    };
    let command = arguments.command.join(" ");
    let result = if leaves(&command) {
        Ok(true)
    } else if !arguments.command.is_empty() {
        watched_or_run(&mut client, &command)
    } else if io::stdin().is_terminal() {
        interact(client).map(|()| true)
    } else {
        script(&mut client)
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("vppctl: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether a line ends the session, which is the client's own business.
fn leaves(line: &str) -> bool {
    ["quit", "q", "exit"].contains(&line.trim())
}

/// Runs a command, or shows it again and again to an operator who wants to watch it.
fn watched_or_run(client: &mut Client, command: &str) -> Result<bool, String> {
    match watch(client, command)? {
        Watched::No => run(client, command, None),
        Watched::Last(Answer { text, ok }) => {
            if ok {
                print(&text);
            } else {
                eprint!("{text}");
            }
            Ok(ok)
        }
    }
}

/// Runs one command. Output goes to standard output as it comes; an error, which is the last line of an answer, to
/// standard error, with the line of a script.
fn run(client: &mut Client, command: &str, line: Option<usize>) -> Result<bool, String> {
    let mut held = String::new();
    let mut show = |text: &str| {
        held += text;
        let complete = held.trim_end_matches('\n').rfind('\n').map_or(0, |at| at + 1);
        print(&held[..complete]);
        held.drain(..complete);
        Ok(())
    };
    let answer = client.run_printing(command, &mut show).map_err(|error| error.to_string())?;
    if answer.ok {
        print(&held);
    } else {
        let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
        eprint!("{place}{held}");
    }
    Ok(answer.ok)
}

fn print(text: &str) {
    let mut out = io::stdout();
    // Whoever reads may have seen enough.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn script(client: &mut Client) -> Result<bool, String> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).map_err(|error| format!("cannot read the script: {error}"))?;
    for (number, line) in cli::script_lines(&text) {
        if leaves(&line) {
            break;
        }
        if !run(client, &line, Some(number))? {
            return Ok(false);
        }
    }
    Ok(true)
}
