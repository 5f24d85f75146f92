//! The client's side of the CLI socket: commands, scripts, and sessions with history and completion.

mod interactive;

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

pub use interactive::interact;

use crate::server::{COMPLETE, HELP, OWN_TERMINAL};

/// A connection to a server.
pub struct Client {
    stream: UnixStream,
    /// Bytes that have arrived and belong to the next answer.
    ahead: Vec<u8>,
    /// The server has shown that it sends a status; VPP's own does not.
    knows_status: Option<bool>,
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
        let mut stream = UnixStream::connect(path)?;
        let mut hello = vec![0xff, 0xfa, 24, 0];
        hello.extend(OWN_TERMINAL.as_bytes());
        hello.extend([0xff, 0xf0]);
        stream.write_all(&hello)?;
        Ok(Client { stream, ahead: Vec::new(), knows_status: None })
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
        self.stream.write_all(format!("{line}\n\0").as_bytes())?;
        self.answer(show)
    }

    /// Words that may complete a line.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn complete(&mut self, line: &str) -> io::Result<Vec<String>> {
        let answer = self.run(&format!("{}{line}", char::from(COMPLETE)))?;
        Ok(answer.text.lines().map(ToString::to_string).collect())
    }

    /// What may follow a line, in words.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn help(&mut self, line: &str) -> io::Result<String> {
        Ok(self.run(&format!("{}{line}", char::from(HELP)))?.text)
    }

    /// Reads up to the NUL that ends an answer, and the status behind it.
    fn answer(&mut self, show: &mut dyn FnMut(&str) -> io::Result<()>) -> io::Result<Answer> {
        let (mut text, mut raw, mut telnet) = (String::new(), Vec::new(), Telnet::default());
        loop {
            let mut end = false;
            let mut used = 0;
            for byte in &self.ahead {
                used += 1;
                match telnet.take(*byte) {
                    Some(0) => {
                        end = true;
                        break;
                    }
                    Some(b'\r') | None => (),
                    Some(byte) => raw.push(byte),
                }
            }
            self.ahead.drain(..used);
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
            self.fill()?;
        }
    }

    /// The byte after the NUL: Maglane's server sends it in the same write.
    fn status(&mut self) -> io::Result<bool> {
        if self.knows_status == Some(false) {
            return Ok(true);
        }
        if self.ahead.is_empty() {
            self.stream.set_read_timeout(Some(std::time::Duration::from_millis(300)))?;
            let filled = self.fill();
            self.stream.set_read_timeout(None)?;
            match filled {
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    self.knows_status = Some(false);
                    return Ok(true);
                }
                other => other?,
            }
        }
        match self.ahead.first() {
            Some(status @ (b'0' | b'1')) => {
                let ok = *status == b'0';
                self.ahead.remove(0);
                self.knows_status = Some(true);
                Ok(ok)
            }
            _ => {
                self.knows_status = Some(false);
                Ok(true)
            }
        }
    }

    fn fill(&mut self) -> io::Result<()> {
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
