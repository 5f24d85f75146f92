//! The built daemon while it starts.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A folder that is gone after the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("maglane-startup-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Waits for what must come soon.
fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < end, "{what} did not come");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn start(words: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maglane"));
    command.args(words.split_whitespace()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Sends SIGTERM; the process must end well within a second (two, for the sake of busy machines).
fn end(child: &mut Child) {
    let sent = Instant::now();
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
    let mut status = None;
    eventually("the end", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    assert!(status.unwrap().success(), "{status:?}");
    assert!(sent.elapsed() < Duration::from_secs(2), "it took {:?}", sent.elapsed());
}

/// Making the buffers of many packet threads took seconds, in which signals waited.
#[test]
fn a_signal_ends_a_daemon_that_has_just_begun_to_start() {
    let folder = Folder::new("early");
    let socket = folder.0.join("cli.sock");
    let mut child = start(&format!("unix {{ cli-listen {} }} cpu {{ workers 48 }}", socket.display()));
    eventually("the socket", || socket.exists());
    end(&mut child);
    assert!(!socket.exists(), "the socket was left behind");
}

/// Starts a daemon with a start-up script that takes long, and ends it once the script has begun.
fn end_in_script(name: &str, lines: &str) {
    let folder = Folder::new(name);
    let (script, log) = (folder.0.join("start.cli"), folder.0.join("log"));
    std::fs::write(&script, format!("show version\n{lines}")).unwrap();
    let mut child = start(&format!(
        "unix {{ cli-listen {} exec {} log {} }}",
        folder.0.join("cli.sock").display(),
        script.display(),
        log.display()
    ));
    eventually("the script's first line", || std::fs::read_to_string(&log).is_ok_and(|log| log.contains("maglane v")));
    end(&mut child);
    assert!(std::fs::read_to_string(&log).unwrap().contains("ended by signal 15"));
}

/// The start-up script ran to its end before anything else was looked at.
#[test]
fn a_signal_ends_a_daemon_that_runs_a_long_startup_script() {
    let lines = "ip route add count 900 16.0.0.0/32 via drop\nip route del count 900 16.0.0.0/32 via drop\n";
    end_in_script("script", &lines.repeat(9000));
}

/// One command for many routes kept everything else waiting for minutes.
#[test]
fn a_signal_ends_a_daemon_that_adds_millions_of_routes() {
    end_in_script("routes", "ip route add count 16777216 16.0.0.0/32 via drop\n");
}
