//! The client as a program: what it prints where, and how it exits.

mod support;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use support::Served;

fn vppctl(socket: &Path, words: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vppctl"));
    command.arg("-s").arg(socket).args(words);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A client that was given its command does not read.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn a_command_is_run_and_its_failure_shows_in_the_exit_status() {
    let served = Served::new();
    let done = |text: &str| (Some(0), text.to_string(), String::new());
    assert_eq!(vppctl(&served.path, &["show", "this"], ""), done("you said show this\n"));
    assert_eq!(vppctl(&served.path, &["slow"], ""), done("at last\n"));
    assert_eq!(vppctl(&served.path, &["quit"], ""), done(""));
    assert_eq!(vppctl(&served.path, &["bad"], ""), (Some(1), String::new(), "bad: no good\n".into()));
    let (status, text, _) = vppctl(&served.path, &["much"], "");
    assert_eq!((status, text.len()), (Some(0), 11 * 200_000));
}

#[test]
fn a_script_stops_at_its_first_error_and_names_the_line() {
    let served = Served::new();
    let script = "# a comment\none\n\ntwo # too\nbad\nthree\n";
    let (status, out, error) = vppctl(&served.path, &[], script);
    assert_eq!(
        (status, out.as_str(), error.as_str()),
        (Some(1), "you said one\nyou said two\n", "line 5: bad: no good\n")
    );
    let (status, out, error) = vppctl(&served.path, &[], "one\nquit\nbad\n");
    assert_eq!((status, out.as_str(), error.as_str()), (Some(0), "you said one\n", ""));
}

#[test]
fn nobody_to_talk_to_is_said_plainly() {
    let (status, out, error) = vppctl(Path::new("/nonexistent/cli.sock"), &["show"], "");
    assert_eq!((status, out.as_str()), (Some(2), ""));
    assert!(error.starts_with("vppctl: cannot connect to /nonexistent/cli.sock: No such file or directory"), "{error}");
}
