//! The client's side of the CLI socket: commands, scripts, and sessions with history and completion.

mod interactive;
mod view;

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::SignalFd;

pub use interactive::interact;
pub use view::{Watched, watch};

use crate::server::{COMPLETE, HELP, OWN_TERMINAL};

/// How long a server that has never sent a status may take for its first.
const PATIENCE: Duration = Duration::from_millis(300);
/// What an interrupt key sends.
const INTERRUPT: u8 = 0x03;

/// A connection to a server: Maglane's, or VPP's own, which does not say whether a command succeeded.
pub struct Client {
    stream: UnixStream,
    /// Bytes that have arrived and belong to the next answer.
    ahead: Vec<u8>,
    telnet: Telnet,
    /// The server has shown that it sends a status; VPP's own does not.
    knows_status: Option<bool>,
    /// Interrupts by the operator, which end a long command instead of the client.
    interrupts: Option<SignalFd>,
}

/// The answer to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What the command printed.
    pub text: String,
    /// Whether it succeeded; `true` where the server does not say.
    pub ok: bool,
}

/// Where the server listens unless told otherwise: `/run/vpp/cli.sock` as root, else under `$XDG_RUNTIME_DIR`.
pub fn default_socket() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(dir) if !nix::unistd::geteuid().is_root() => Path::new(&dir).join("vpp/cli.sock"),
        _ => PathBuf::from("/run/vpp/cli.sock"),
    }
}

impl Client {
    /// Connects and says who is there.
    ///
    /// # Errors
    /// The kernel's.
    pub fn connect(path: &Path) -> io::Result<Client> {
        let stream = UnixStream::connect(path)?;
        let mut client =
            Client { stream, ahead: Vec::new(), telnet: Telnet::default(), knows_status: None, interrupts: None };
        let mut hello = vec![0xff, 0xfa, 24, 0];
        hello.extend(OWN_TERMINAL.as_bytes());
        hello.extend([0xff, 0xf0]);
        client.send(&hello)?;
        Ok(client)
    }

    /// Takes interrupts from here while a command runs, and hands them to the server.
    fn set_interrupts(&mut self, interrupts: SignalFd) {
        self.interrupts = Some(interrupts);
    }

    /// Runs one command.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn run(&mut self, line: &str) -> io::Result<Answer> {
        self.run_printing(line, &mut |_| Ok(()))
    }

    /// Runs one command and hands its output over as it comes.
    ///
    /// # Errors
    /// When the connection breaks, or the output cannot be written.
    pub fn run_printing(&mut self, line: &str, show: &mut dyn FnMut(&str) -> io::Result<()>) -> io::Result<Answer> {
        let line = line.replace(['\n', '\0'], " ");
        if let Some(interrupts) = &self.interrupts {
            // Those of earlier commands.
            while let Ok(Some(_)) = interrupts.read_signal() {}
        }
        self.send(format!("{line}\n\0").as_bytes())?;
        self.answer(show)
    }

    /// Words that may complete a line; none from a server that is not known to be Maglane's.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn complete(&mut self, line: &str) -> io::Result<Vec<String>> {
        if !self.is_maglane()? {
            return Ok(Vec::new());
        }
        let answer = self.run(&format!("{}{line}", char::from(COMPLETE)))?;
        Ok(answer.text.lines().map(ToString::to_string).collect())
    }

    /// What may follow a line, in words.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn help(&mut self, line: &str) -> io::Result<String> {
        if !self.is_maglane()? {
            return Ok(self.run(&format!("{line} ?"))?.text);
        }
        Ok(self.run(&format!("{}{line}", char::from(HELP)))?.text)
    }

    /// Finds out who answers, by a command without effect if nothing was run yet.
    fn is_maglane(&mut self) -> io::Result<bool> {
        if self.knows_status.is_none() {
            self.run("comment")?;
        }
        Ok(self.knows_status == Some(true))
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Err(error) = self.stream.write_all(bytes) else { return Ok(()) };
        // A server that has closed may have said why.
        while self.fill().is_ok() {}
        let (mut raw, _) = self.take_text();
        raw.retain(|byte| *byte != b'\r');
        match String::from_utf8_lossy(&raw).trim() {
            "" => Err(error),
            text => Err(io::Error::new(error.kind(), text.to_string())),
        }
    }

    /// Reads up to the NUL that ends an answer, and the status behind it.
    fn answer(&mut self, show: &mut dyn FnMut(&str) -> io::Result<()>) -> io::Result<Answer> {
        let (mut text, mut raw) = (String::new(), Vec::new());
        loop {
            let (more, end) = self.take_text();
            raw.extend(more);
            // A character that has come by halves waits for its other half.
            let whole = match std::str::from_utf8(&raw) {
                Err(error) if error.error_len().is_none() && !end => error.valid_up_to(),
                _ => raw.len(),
            };
            let fresh = String::from_utf8_lossy(&raw[..whole]).into_owned();
            raw.drain(..whole);
            show(&fresh)?;
            text += &fresh;
            if end {
                let ok = self.status()?;
                return Ok(Answer { text, ok });
            }
            // One line may be the server's reason for closing; more are what was asked for, and have been shown.
            self.fill().map_err(|error| match text.trim() {
                line if line.is_empty() || line.contains('\n') => error,
                line => io::Error::new(error.kind(), format!("{error}: {line}")),
            })?;
        }
    }

    /// What has arrived, without telnet commands and CRs, up to a NUL; and whether there was one.
    fn take_text(&mut self) -> (Vec<u8>, bool) {
        let mut raw = Vec::new();
        for (at, byte) in self.ahead.iter().enumerate() {
            match self.telnet.take(*byte) {
                Some(0) => {
                    self.ahead.drain(..=at);
                    return (raw, true);
                }
                Some(b'\r') | None => (),
                Some(byte) => raw.push(byte),
            }
        }
        self.ahead.clear();
        (raw, false)
    }

    /// The byte after the NUL.
    fn status(&mut self) -> io::Result<bool> {
        match self.knows_status {
            Some(true) if self.ahead.is_empty() => self.fill()?,
            None if self.ahead.is_empty() => {
                self.stream.set_read_timeout(Some(PATIENCE))?;
                let filled = self.read();
                self.stream.set_read_timeout(None)?;
                match filled {
                    Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => (),
                    other => other?,
                }
            }
            Some(false) => return Ok(true),
            _ => (),
        }
        let status = self.ahead.first().copied().filter(|status| matches!(status, b'0' | b'1'));
        self.knows_status = Some(status.is_some());
        if status.is_some() {
            self.ahead.remove(0);
        }
        Ok(status != Some(b'1'))
    }

    /// Waits for more, and hands on interrupts meanwhile.
    fn fill(&mut self) -> io::Result<()> {
        while let Some(interrupts) = &self.interrupts {
            let mut waited = [
                PollFd::new(self.stream.as_fd(), PollFlags::POLLIN),
                PollFd::new(interrupts.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut waited, PollTimeout::NONE) {
                Err(nix::errno::Errno::EINTR) => continue,
                other => other?,
            };
            let [arrived, interrupted] = waited.map(|fd| fd.any().unwrap_or(true));
            if interrupted && let Ok(Some(_)) = interrupts.read_signal() {
                self.stream.write_all(&[INTERRUPT])?;
            }
            if arrived {
                break;
            }
        }
        self.read()
    }

    fn read(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection")),
                Ok(count) => {
                    self.ahead.extend(&buffer[..count]);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Takes telnet commands out of what the server sends.
#[derive(Default)]
struct Telnet {
    state: u8,
}

impl Telnet {
    fn take(&mut self, byte: u8) -> Option<u8> {
        let (state, data) = match (self.state, byte) {
            (0, 0xff) => (1, None),
            (0, byte) => (0, Some(byte)),
            (1, 0xfa) => (3, None),
            (1, 0xfb..=0xfe) => (2, None),
            (3, 0xff) => (4, None),
            (4, 0xf0) | (1 | 2, _) => (0, None),
            (3 | 4, _) => (3, None),
            _ => (0, None),
        };
        self.state = state;
        data
    }
}
