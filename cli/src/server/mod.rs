//! The CLI's socket: what VPP's own `vppctl`, telnet clients, and Maglane's client speak to.
//!
//! To every client the server greets with telnet negotiation and waits for a terminal type. `vppctl` means a script: each
//! chunk of lines (a write, or up to a NUL) is run in order until one fails, and answered by the output and one NUL.
//! Maglane's own client calls itself `VPPCTL`; it ends each chunk by a NUL, gets, after the answer's NUL, `0` if all went
//! well and `1` if the last command failed, and may ask for completions (a line that begins with 0x05) and help (0x06).
//! Anything else is a person: banner, prompt, echo, line editing, pager.
//!
//! The byte 0x03 ends a long command of any client. Whoever does not fetch its output is not listened to, and its commands
//! wait, until it does.

mod edit;
mod pager;
mod session;
mod telnet;

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mio::net::{UnixListener, UnixStream};
use mio::{Interest, Registry, Token};

use session::Session;
pub(crate) use session::{COMPLETE, HELP, OWN_TERMINAL};

/// A line that is longer is refused and its sender shown the door.
pub const MAX_LINE: usize = 64 * 1024;
/// A client with more output than this to fetch is not listened to until it does.
const MAX_OUT: usize = 1 << 20;
/// Connections at a time.
const MAX_SESSIONS: usize = 64;
/// Tokens that the server uses, from its first on.
const TOKENS: usize = 1024;
/// A connection that has been read so often lets the others go first.
const READS: usize = 16;
/// After a connection could not be accepted, for want of descriptors, it is tried again by then.
const RETRY: Duration = Duration::from_millis(500);

/// A connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId(pub u64);

/// What became of a line at once.
#[derive(Debug)]
pub enum Ran {
    /// Done.
    Done {
        /// What to show.
        text: String,
        /// Whether the command succeeded.
        ok: bool,
    },
    /// Not done yet: ask by [`Shell::poll`].
    Later,
    /// The client wants to leave.
    Quit,
}

/// How far a long command has come.
#[derive(Debug)]
pub enum Polled {
    /// Show this and ask again.
    Print(String),
    /// Ask again at this time.
    Wait(Instant),
    /// Done.
    Done {
        /// What to show.
        text: String,
        /// Whether the command succeeded.
        ok: bool,
    },
}

/// What runs the lines.
pub trait Shell {
    /// Runs a line of a session.
    fn run(&mut self, session: SessionId, line: &str) -> Ran;
    /// Goes on with a session's long command.
    fn poll(&mut self, session: SessionId) -> Polled;
    /// Gives up a session's long command.
    fn cancel(&mut self, session: SessionId);
    /// Words that may complete a line.
    fn complete(&mut self, line: &str) -> Vec<String>;
    /// Explains what may follow a line.
    fn help(&mut self, line: &str) -> String;
    /// What a person is greeted with.
    fn banner(&self) -> String;
}

/// Why the socket cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process serves it.
    #[error("another process (pid {pid}) serves {path} already")]
    InUse {
        /// The socket.
        path: String,
        /// The process.
        pid: i32,
    },
    /// Something else than a socket stands there.
    #[error("{0} exists and is no socket")]
    NoSocket(String),
    /// The kernel refused.
    #[error("cannot listen on {path}: {error}")]
    System {
        /// The socket.
        path: String,
        /// Why.
        error: io::Error,
    },
}

/// The file that a socket is reached by.
#[derive(Clone, Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode: what stands at the path later may be somebody else's.
    id: (u64, u64),
}

impl SocketFile {
    /// Removes the file, unless something else stands there by now.
    pub fn remove(&self) {
        let there = std::fs::symlink_metadata(&self.path).map(|file| (file.dev(), file.ino()));
        if there.is_ok_and(|there| there == self.id) {
            // Somebody else may have removed it meanwhile.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The server.
pub struct Server {
    listener: UnixListener,
    file: SocketFile,
    first: usize,
    connections: HashMap<usize, Connection>,
    next: u64,
    /// When to look for connections again that could not be accepted.
    retry: Option<Instant>,
}

struct Connection {
    stream: UnixStream,
    id: SessionId,
    session: Session,
    /// Input may be waiting in the kernel.
    readable: bool,
    /// The client has sent all it will.
    ended: bool,
    /// The client takes no more output either.
    hung_up: bool,
    gone: bool,
}

/// How long a process may take to end: the kernel gives back the memory and devices of one that was killed before its socket.
const ENDING: Duration = Duration::from_secs(2);

/// Removes a socket that nobody serves any more.
fn make_way(path: &Path) -> Result<(), BindError> {
    let name = || path.display().to_string();
    let system = |error| BindError::System { path: name(), error };
    match std::fs::symlink_metadata(path) {
        Ok(what) if !what.file_type().is_socket() => Err(BindError::NoSocket(name())),
        Ok(_) => match std::os::unix::net::UnixStream::connect(path) {
            Ok(other) => {
                let peer = nix::sys::socket::getsockopt(&other, nix::sys::socket::sockopt::PeerCredentials);
                Err(BindError::InUse { path: name(), pid: peer.map_or(0, |peer| peer.pid()) })
            }
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => std::fs::remove_file(path).map_err(system),
            // It went by itself meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(system(error)),
        },
        Err(_) => Ok(()),
    }
}

impl Server {
    /// Listens on a socket, with mode 0660, making its folder where it is missing. A socket that nobody serves any more is
    /// replaced; for two seconds it waits for whoever does, who may just be ending.
    ///
    /// # Errors
    /// When somebody serves it, naming the process, or the kernel refuses.
    pub fn bind(path: &Path) -> Result<Server, BindError> {
        let name = || path.display().to_string();
        let system = |error| BindError::System { path: name(), error };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(system)?;
        }
        let end = Instant::now() + ENDING;
        while let Err(error) = make_way(path) {
            if !matches!(error, BindError::InUse { .. }) || Instant::now() >= end {
                return Err(error);
            }
            std::thread::sleep(ENDING / 10);
        }
        let listener = UnixListener::bind(path).map_err(system)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(system)?;
        let id = std::fs::symlink_metadata(path).map(|file| (file.dev(), file.ino())).map_err(system)?;
        let file = SocketFile { path: path.into(), id };
        Ok(Server { listener, file, first: 0, connections: HashMap::new(), next: 0, retry: None })
    }

    /// The socket's file, which goes with the server; for whoever ends the process without dropping it.
    pub fn file(&self) -> SocketFile {
        self.file.clone()
    }

    /// Puts the socket into an event loop, which must hand over all events of the 1024 tokens from `first` on.
    ///
    /// # Errors
    /// The kernel's.
    pub fn register(&mut self, registry: &Registry, first: Token) -> io::Result<()> {
        self.first = first.0;
        registry.register(&mut self.listener, first, Interest::READABLE)
    }

    /// Whether an event's token is one of the server's.
    pub fn owns(&self, token: Token) -> bool {
        (self.first..self.first + TOKENS).contains(&token.0)
    }

    /// When [`Server::tick`] must be called at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        self.connections.values().filter_map(Connection::deadline).chain(self.retry).min()
    }

    /// Handles an event.
    pub fn event(&mut self, registry: &Registry, event: &mio::event::Event, shell: &mut dyn Shell) {
        if event.token().0 == self.first {
            return self.accept(registry);
        }
        if let Some(connection) = self.connections.get_mut(&event.token().0) {
            connection.readable |= event.is_readable() || event.is_read_closed();
            connection.hung_up |= event.is_write_closed();
            connection.serve(shell);
        }
        self.bury(registry, shell);
    }

    /// Goes on with long commands and clients that keep silent.
    pub fn tick(&mut self, registry: &Registry, shell: &mut dyn Shell) {
        if self.retry.is_some_and(|retry| Instant::now() >= retry) {
            self.accept(registry);
        }
        for connection in self.connections.values_mut() {
            connection.serve(shell);
        }
        self.bury(registry, shell);
    }

    fn accept(&mut self, registry: &Registry) {
        self.retry = None;
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.retry = Some(Instant::now() + RETRY);
                    return;
                }
            };
            if self.connections.len() >= MAX_SESSIONS {
                let text = format!("too many sessions: there are {MAX_SESSIONS}\r\n");
                // Whoever does not take the reason goes without.
                let _ = stream.write(text.as_bytes());
                continue;
            }
            let token = self.token();
            if registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE).is_err() {
                continue;
            }
            let id = SessionId(self.next);
            let session = Session::new(id);
            let mut connection =
                Connection { stream, id, session, readable: false, ended: false, hung_up: false, gone: false };
            connection.flush();
            self.connections.insert(token.0, connection);
        }
    }

    /// A token that was not used for as long as possible: events of a connection that is gone may still be under way.
    fn token(&mut self) -> Token {
        loop {
            self.next += 1;
            let token = self.first + 1 + (self.next % (TOKENS as u64 - 1)) as usize;
            if !self.connections.contains_key(&token) {
                return Token(token);
            }
        }
    }

    /// Closes what is done or gone.
    fn bury(&mut self, registry: &Registry, shell: &mut dyn Shell) {
        self.connections.retain(|_, connection| {
            let over = connection.is_over();
            if over {
                shell.cancel(connection.id);
                let _ = registry.deregister(&mut connection.stream);
            }
            !over
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.file.remove();
    }
}

impl Connection {
    /// When it needs attention though no event arrives.
    fn deadline(&self) -> Option<Instant> {
        let unfinished = self.readable && !self.ended && self.session.wants_input();
        if unfinished { Some(Instant::now()) } else { self.session.deadline() }
    }

    fn is_over(&self) -> bool {
        let done = self.session.closing || self.ended && self.session.is_idle();
        self.gone || done && self.session.out.is_empty()
    }

    /// Reads and answers as long as the client keeps up with the output, but not for ever.
    fn serve(&mut self, shell: &mut dyn Shell) {
        let mut buffer = [0; 16 * 1024];
        self.flush();
        self.session.work(shell);
        self.flush();
        // Its answer may lie in the kernel though no event has told of it yet.
        self.readable |= self.session.is_unknown();
        for _ in 0..READS {
            if !self.readable || self.ended || self.gone || !self.session.wants_input() {
                break;
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => self.ended = true,
                Ok(count) => {
                    self.session.input(&buffer[..count], shell);
                    self.flush();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.readable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(_) => self.gone = true,
            }
        }
        if !self.readable || self.ended {
            self.session.silence(shell);
            self.flush();
        }
        // Nobody is there any more for whom it would be worth going on.
        self.gone |= self.hung_up && (self.ended || !self.session.wants_input());
    }

    fn flush(&mut self) {
        while !self.session.out.is_empty() {
            match self.stream.write(self.session.out.as_slices().0) {
                Ok(0) => self.gone = true,
                Ok(count) => drop(self.session.out.drain(..count)),
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.gone = true;
                    return;
                }
            }
            if self.gone {
                return;
            }
        }
    }
}
