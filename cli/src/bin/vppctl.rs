//! `vppctl`: types commands at a running `maglane` (or at the real VPP).
#![forbid(unsafe_code)]

use std::io::{self, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use cli::client::{Client, default_socket, interact};

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
            eprintln!("vppctl: cannot connect to {}: {error}; is maglane running?", socket.display());
            return ExitCode::from(2);
        }
    };
    let result = if !arguments.command.is_empty() {
        run(&mut client, &arguments.command.join(" "), None)
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

/// Runs one command; output goes to standard output, an error to standard error, with the line of a script.
fn run(client: &mut Client, command: &str, line: Option<usize>) -> Result<bool, String> {
    let answer = client.run(command).map_err(|error| error.to_string())?;
    if answer.ok {
        let mut out = io::stdout();
        // Whoever reads may have seen enough.
        let _ = out.write_all(answer.text.as_bytes()).and_then(|()| out.flush());
    } else {
        let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
        eprint!("{place}{}", answer.text);
    }
    Ok(answer.ok)
}

fn script(client: &mut Client) -> Result<bool, String> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).map_err(|error| format!("cannot read the script: {error}"))?;
    for (number, line) in cli::script_lines(&text) {
        if ["quit", "q", "exit"].contains(&line.as_str()) {
            break;
        }
        if !run(client, &line, Some(number))? {
            return Ok(false);
        }
    }
    Ok(true)
}
