//! A server with a toy shell, and how to talk to it.
#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of it")]

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cli::server::{Polled, Ran, Server, SessionId, Shell};
use mio::{Events, Poll, Token};

const GREETING: &[u8] = &[
    0xff, 0xfc, 0x22, 0xff, 0xfe, 0x22, 0xff, 0xfb, 0x03, 0xff, 0xfd, 0x03, 0xff, 0xfb, 0x01, 0xff, 0xfe, 0x01, 0xff,
    0xfd, 0x18, 0xff, 0xfa, 0x18, 0x01, 0xff, 0xf0, 0xff, 0xfd, 0x1f, 0xff, 0xfa, 0x1f, 0x01, 0xff, 0xf0,
];

/// Knows a few words: `bad` and `bad top` fail, `slow` takes 30 ms, `endless` never ends, `much` prints 2 MB, `lines` nine lines,
/// `parts` prints nine lines one by one, `busy` keeps the server from everything else for 1.5 s.
struct Toy {
    slow: HashMap<SessionId, Option<Instant>>,
    parts: HashMap<SessionId, u32>,
    cancelled: Arc<AtomicU32>,
}

impl Shell for Toy {
    fn run(&mut self, session: SessionId, line: &str) -> Ran {
        let done = |text: &str, ok| Ran::Done { text: text.into(), ok };
        match line {
            "quit" => Ran::Quit,
            "bad" | "bad top" => done("bad: no good\n", false),
            "slow" => {
                self.slow.insert(session, Some(Instant::now() + Duration::from_millis(30)));
                Ran::Later
            }
            "endless" => {
                self.slow.insert(session, None);
                Ran::Later
            }
            "parts" => {
                self.parts.insert(session, 0);
                Ran::Later
            }
            "busy" => {
                std::thread::sleep(Duration::from_millis(1500));
                done("done\n", true)
            }
            "lines" => done("1\n2\n3\n4\n5\n6\n7\n8\n9\n", true),
            "much" => done(&"0123456789\n".repeat(200_000), true),
            "" => done("", true),
            line => done(&format!("you said {line}\n"), true),
        }
    }
    fn poll(&mut self, session: SessionId) -> Polled {
        if let Some(part) = self.parts.get_mut(&session).filter(|part| **part < 9) {
            *part += 1;
            return Polled::Print(format!("{part}\n"));
        }
        if self.parts.remove(&session).is_some() {
            return Polled::Done { text: String::new(), ok: true };
        }
        let when =
            self.slow.get(&session).copied().flatten().unwrap_or_else(|| Instant::now() + Duration::from_secs(60));
        if Instant::now() < when {
            return Polled::Wait(when);
        }
        self.slow.remove(&session);
        Polled::Done { text: "at last\n".into(), ok: true }
    }
    fn cancel(&mut self, session: SessionId) {
        if self.slow.remove(&session).is_some() {
            self.cancelled.fetch_add(1, Ordering::Relaxed);
        }
    }
    fn complete(&mut self, line: &str) -> Vec<String> {
        ["show", "shout"].into_iter().filter(|word| word.starts_with(line)).map(Into::into).collect()
    }
    fn help(&mut self, line: &str) -> String {
        format!("help for `{line}'\n")
    }
    fn banner(&self) -> String {
        "welcome\n".into()
    }
}

/// A server on a thread of its own.
pub struct Served {
    /// The socket.
    pub path: PathBuf,
    cancelled: Arc<AtomicU32>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<u32>>,
}

impl Served {
    /// A server in a folder of its own.
    pub fn new() -> Served {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("maglane-cli-{}-{number}", std::process::id()));
        let path = folder.join("cli.sock");
        let mut server = Server::bind(&path).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let cancelled = Arc::new(AtomicU32::new(0));
        let mut toy = Toy { slow: HashMap::new(), parts: HashMap::new(), cancelled: cancelled.clone() };
        let thread = std::thread::spawn(move || {
            let mut poll = Poll::new().unwrap();
            server.register(poll.registry(), Token(100)).unwrap();
            let (mut events, mut turns) = (Events::with_capacity(16), 0);
            while !stopped.load(Ordering::Relaxed) {
                let patience = Duration::from_millis(50);
                let wait = server.deadline().map(|when| when.saturating_duration_since(Instant::now()).min(patience));
                poll.poll(&mut events, Some(wait.unwrap_or(patience))).unwrap();
                for event in &events {
                    assert!(server.owns(event.token()));
                    server.event(poll.registry(), event, &mut toy);
                }
                server.tick(poll.registry(), &mut toy);
                turns += 1;
            }
            turns
        });
        Served { path, cancelled, stop, thread: Some(thread) }
    }

    /// Commands that were given up.
    pub fn cancelled(&self) -> u32 {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Ends the server; gives the turns of its loop.
    pub fn stop(&mut self) -> u32 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }

    /// A connection that has read the greeting.
    pub fn connect(&self) -> UnixStream {
        let mut stream = UnixStream::connect(&self.path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut greeting = vec![0; GREETING.len()];
        stream.read_exact(&mut greeting).unwrap();
        assert_eq!(greeting, GREETING);
        stream
    }

    /// A connection of a terminal of this type.
    pub fn terminal(&self, name: &str) -> UnixStream {
        let mut stream = self.connect();
        stream.write_all(&[&[0xff, 0xfa, 0x18, 0][..], name.as_bytes(), &[0xff, 0xf0]].concat()).unwrap();
        stream
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let joined = thread.join();
            assert!(std::thread::panicking() || joined.is_ok());
        }
        let _ = std::fs::remove_dir_all(self.path.parent().unwrap());
    }
}

/// Reads until these bytes have come.
pub fn until(stream: &mut UnixStream, end: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end) {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "closed after {:?}", String::from_utf8_lossy(&bytes));
        bytes.push(byte[0]);
    }
    bytes
}

/// Whether the server closes the connection.
pub fn is_closed(stream: &mut UnixStream) -> bool {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => true,
        Err(error) => matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
    }
}
