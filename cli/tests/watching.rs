//! `vppctl SOMETHING top` at a terminal.

mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, poll};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{Termios, tcgetattr};
use nix::unistd::Pid;
use support::Served;

/// A client at a terminal of 5 rows.
struct Terminal {
    child: Child,
    master: File,
    slave: OwnedFd,
    before: Termios,
    seen: String,
}

impl Terminal {
    fn new(served: &Served, words: &[&str]) -> Terminal {
        let size = Winsize { ws_row: 5, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).unwrap();
        let end = || Stdio::from(pty.slave.try_clone().unwrap());
        let before = tcgetattr(&pty.slave).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_vppctl"));
        command.arg("-s").arg(&served.path).args(words).env("TERM", "xterm");
        // No history of somebody's.
        command.env("XDG_STATE_HOME", served.path.parent().unwrap());
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        Terminal { child, master: pty.master.into(), slave: pty.slave, before, seen: String::new() }
    }

    /// Waits until this has been shown so often since the last call.
    #[track_caller]
    fn shows(&mut self, words: &str, times: usize) {
        let begun = Instant::now();
        while self.seen.matches(words).count() < times {
            assert!(begun.elapsed() < Duration::from_secs(10), "{words:?} is not in {:?}", self.seen);
            let mut waited = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
            if poll(&mut waited, 100u16).unwrap() > 0 {
                let mut bytes = [0; 4096];
                let count = self.master.read(&mut bytes).unwrap();
                self.seen += &String::from_utf8_lossy(&bytes[..count]);
            }
        }
    }

    fn press(&mut self, keys: &str) {
        self.seen.clear();
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// The client has ended, and the terminal is as it was.
    #[track_caller]
    fn ended(mut self) -> ExitStatus {
        let status = self.child.wait().unwrap();
        let after = tcgetattr(&self.slave).unwrap();
        assert_eq!(after.local_flags, self.before.local_flags);
        assert_eq!(after.control_chars, self.before.control_chars);
        status
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const LEFT: &str = "\x1b[?25h\x1b[?7h\x1b[?1049l";

#[test]
fn a_view_is_refreshed_until_a_key_ends_it() {
    let served = Served::new();
    for key in ["q", "\x03"] {
        let mut terminal = Terminal::new(&served, &["toy", "top"]);
        terminal.shows("\x1b[Hyou said toy top\x1b[K\r\n", 3);
        terminal.press(key);
        // The last table stays.
        terminal.shows(&format!("{LEFT}you said toy top\r\n"), 1);
        assert!(terminal.ended().success());
    }
}

#[test]
fn in_a_session_too() {
    let served = Served::new();
    let mut terminal = Terminal::new(&served, &[]);
    terminal.shows("vpp# ", 1);
    terminal.press("toy top\r");
    terminal.shows("\x1b[Hyou said toy top\x1b[K\r\n", 2);
    terminal.press("q");
    terminal.shows("vpp# ", 1);
    terminal.press("hello\r");
    terminal.shows("you said hello\r\n", 1);
    terminal.shows("vpp# ", 1);
    terminal.press("bad top\r");
    terminal.shows("bad: no good\r\n", 1);
    terminal.shows("vpp# ", 1);
    terminal.press("quit\r");
    assert!(terminal.child.wait().unwrap().success());
}

#[test]
fn a_command_that_fails_is_no_view() {
    let served = Served::new();
    let mut terminal = Terminal::new(&served, &["bad", "top"]);
    terminal.shows("bad: no good\r\n", 1);
    assert!(!terminal.seen.contains('\x1b'));
    assert_eq!(terminal.ended().code(), Some(1));
}

#[test]
fn whoever_ends_the_client_gets_the_terminal_back() {
    let served = Served::new();
    let mut terminal = Terminal::new(&served, &["toy", "top"]);
    terminal.shows("toy top", 1);
    kill(Pid::from_raw(terminal.child.id() as i32), Signal::SIGTERM).unwrap();
    terminal.shows(LEFT, 1);
    assert_eq!(terminal.ended().code(), Some(2));
}

#[test]
fn elsewhere_it_is_a_table_as_any_other() {
    let served = Served::new();
    let output = Command::new(env!("CARGO_BIN_EXE_vppctl")).arg("-s").arg(&served.path).args(["toy", "top"]).output();
    let output = output.unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"you said toy top\n"[..]));
}
