//! The CLI's socket, byte for byte, as real clients see it.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cli::client::Client;
use cli::server::{BindError, Polled, Ran, Server, SessionId, Shell};
use mio::{Events, Poll, Token};

const GREETING: &[u8] = &[
    0xff, 0xfc, 0x22, 0xff, 0xfe, 0x22, 0xff, 0xfb, 0x03, 0xff, 0xfd, 0x03, 0xff, 0xfb, 0x01, 0xff, 0xfe, 0x01, 0xff,
    0xfd, 0x18, 0xff, 0xfa, 0x18, 0x01, 0xff, 0xf0, 0xff, 0xfd, 0x1f, 0xff, 0xfa, 0x1f, 0x01, 0xff, 0xf0,
];

/// Knows a few words.
struct Toy {
    slow: Option<Instant>,
}

impl Shell for Toy {
    fn run(&mut self, _: SessionId, line: &str) -> Ran {
        let done = |text: &str, ok| Ran::Done { text: text.into(), ok };
        match line {
            "quit" => Ran::Quit,
            "bad" => done("bad: no good\n", false),
            "slow" => {
                self.slow = Some(Instant::now() + Duration::from_millis(30));
                Ran::Later
            }
            "much" => done(&"0123456789\n".repeat(200_000), true),
            "" => done("", true),
            line => done(&format!("you said {line}\n"), true),
        }
    }
    fn poll(&mut self, _: SessionId) -> Polled {
        match self.slow {
            Some(when) if Instant::now() < when => Polled::Wait(when),
            _ => Polled::Done { text: "at last\n".into(), ok: true },
        }
    }
    fn cancel(&mut self, _: SessionId) {}
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
struct Served {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<u32>>,
}

impl Served {
    fn new() -> Served {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("maglane-cli-{}-{number}", std::process::id()));
        let path = folder.join("cli.sock");
        let mut server = Server::bind(&path).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut poll = Poll::new().unwrap();
            server.register(poll.registry(), Token(100)).unwrap();
            let (mut events, mut toy, mut turns) = (Events::with_capacity(16), Toy { slow: None }, 0);
            while !stopped.load(Ordering::Relaxed) {
                let patience = Duration::from_millis(50);
                let wait = server.deadline().map(|when| when.saturating_duration_since(Instant::now()).min(patience));
                poll.poll(&mut events, Some(wait.unwrap_or(patience))).unwrap();
                for event in &events {
                    server.event(poll.registry(), event, &mut toy);
                }
                server.tick(poll.registry(), &mut toy);
                turns += 1;
            }
            turns
        });
        Served { path, stop, thread: Some(thread) }
    }

    /// A connection that has read the greeting.
    fn connect(&self) -> UnixStream {
        let mut stream = UnixStream::connect(&self.path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut greeting = vec![0; GREETING.len()];
        stream.read_exact(&mut greeting).unwrap();
        assert_eq!(greeting, GREETING);
        stream
    }

    /// A connection of a terminal of this type.
    fn terminal(&self, name: &str) -> UnixStream {
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
fn until(stream: &mut UnixStream, end: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end) {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "closed after {:?}", String::from_utf8_lossy(&bytes));
        bytes.push(byte[0]);
    }
    bytes
}

fn is_closed(stream: &mut UnixStream) -> bool {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => true,
        Err(error) => matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
    }
}

#[test]
fn one_command_is_answered_by_its_output_and_one_nul() {
    let served = Served::new();
    let mut stream = served.terminal("vppctl");
    stream.write_all(b"show this\n\0").unwrap();
    assert_eq!(until(&mut stream, b"\0"), b"you said show this\r\n\0");
    stream.write_all(b"quit\n").unwrap();
    assert!(is_closed(&mut stream));
    // In one segment with the terminal's type.
    let mut stream = served.connect();
    stream.write_all(b"\xff\xfa\x18\x00vppctl\xff\xf0slow\n\0").unwrap();
    assert_eq!(until(&mut stream, b"\0"), b"at last\r\n\0");
}

#[test]
fn a_chunk_runs_in_order_and_stops_at_its_first_error() {
    let served = Served::new();
    let mut stream = served.terminal("vppctl");
    stream.write_all(b"a\nbad\nb\n").unwrap();
    assert_eq!(until(&mut stream, b"\0"), b"you said a\r\nbad: no good\r\n\0");
    stream.write_all(b"c\n").unwrap();
    assert_eq!(until(&mut stream, b"\0"), b"you said c\r\n\0");
}

#[test]
fn a_person_gets_banner_prompt_echo_and_editing() {
    let served = Served::new();
    let mut stream = served.terminal("xterm");
    assert_eq!(until(&mut stream, b"vpp# "), b"\r\nwelcome\r\nvpp# ");
    stream.write_all(b"hix\x7f\n").unwrap();
    assert_eq!(until(&mut stream, b"vpp# "), b"hix\x08 \x08\r\nyou said hi\r\nvpp# ");
    stream.write_all(b"sh\t").unwrap();
    assert_eq!(until(&mut stream, b"sho"), b"sho");
    stream.write_all(b"\x15quit\n").unwrap();
    assert!(is_closed(&mut stream));
    // Who keeps silent about its terminal gets a prompt, too.
    let mut silent = served.connect();
    assert_eq!(until(&mut silent, b"vpp# "), b"\r\nwelcome\r\nvpp# ");
}

#[test]
fn our_own_client_learns_whether_a_command_failed() {
    let served = Served::new();
    let mut client = Client::connect(&served.path).unwrap();
    let answer = client.run("hello").unwrap();
    assert_eq!((answer.text.as_str(), answer.ok), ("you said hello\n", true));
    let answer = client.run("bad").unwrap();
    assert_eq!((answer.text.as_str(), answer.ok), ("bad: no good\n", false));
    assert!(client.run("slow").unwrap().ok);
    assert_eq!(client.complete("sho").unwrap(), ["show", "shout"]);
    assert_eq!(client.help("lb ").unwrap(), "help for `lb '\n");
    assert_eq!(client.run("much").unwrap().text.len(), 11 * 200_000);
}

#[test]
fn bad_clients_harm_nobody() {
    let served = Served::new();
    let mut flood = served.terminal("vppctl");
    let megabytes = vec![b'x'; 4 << 20];
    // The server closes long before all of it is written.
    let _ = flood.write_all(&megabytes);
    assert!(is_closed(&mut flood));
    let mut garbage = served.connect();
    let noise: Vec<u8> = (0..10_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let _ = garbage.write_all(&noise);
    // A client that asks for much and reads nothing.
    let mut deaf = served.terminal("vppctl");
    for _ in 0..20 {
        if deaf.write_all(b"much\n\0").is_err() {
            break;
        }
    }
    let crowd: Vec<_> = (0..70).map(|_| UnixStream::connect(&served.path)).collect();
    drop(crowd);
    // The server needs a moment to see that the crowd has gone; until then it may say that there are too many.
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let mut stream = UnixStream::connect(&served.path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut start = [0];
        if stream.read(&mut start).is_ok_and(|count| count == 1) && start[0] == GREETING[0] {
            stream.write_all(b"\xff\xfa\x18\x00vppctl\xff\xf0still there\n\0").unwrap();
            assert!(until(&mut stream, b"\0").ends_with(b"you said still there\r\n\0"));
            break;
        }
        assert!(Instant::now() < end, "the server does not serve any more");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_idle_connection_costs_no_turns() {
    let mut served = Served::new();
    let _idle = served.terminal("vppctl");
    std::thread::sleep(Duration::from_millis(600));
    served.stop.store(true, Ordering::Relaxed);
    let turns = served.thread.take().unwrap().join().unwrap();
    assert!(turns < 60, "{turns} turns of the loop in 0.6 s");
}

#[test]
fn a_second_server_is_refused_and_a_dead_ones_socket_replaced() {
    let served = Served::new();
    assert_eq!(std::fs::metadata(&served.path).unwrap().permissions().mode() & 0o777, 0o660);
    match Server::bind(&served.path) {
        Err(BindError::InUse { pid, .. }) => assert_eq!(pid, std::process::id() as i32),
        other => panic!("{:?}", other.err()),
    }
    let stale = served.path.with_file_name("stale.sock");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    assert!(stale.exists());
    drop(Server::bind(&stale).unwrap());
    assert!(!stale.exists(), "the socket goes with its server");
    let file = served.path.with_file_name("file");
    std::fs::write(&file, "precious").unwrap();
    assert!(matches!(Server::bind(&file), Err(BindError::NoSocket(_))));
}
