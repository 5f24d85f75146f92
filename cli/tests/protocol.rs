//! The CLI's socket, byte for byte, as scripts see it.

mod support;

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use cli::client::Client;
use cli::server::{BindError, Server};
use support::{Served, is_closed, until};

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
    // Nothing to say is said by a NUL, too.
    stream.write_all(b"\n\0").unwrap();
    assert_eq!(until(&mut stream, b"\0"), b"\0");
    stream.write_all(b"slow\nd\n").unwrap();
    assert_eq!(until(&mut stream, b"\0"), b"at last\r\nyou said d\r\n\0");
    stream.write_all(b"quit\nquit\n").unwrap();
    assert!(is_closed(&mut stream));
}

#[test]
fn bytes_that_arrive_one_by_one_mean_the_same() {
    let served = Served::new();
    let mut stream = served.connect();
    for byte in b"\xff\xfa\x18\x00vppctl\xff\xf0show it\n\0" {
        stream.write_all(&[*byte]).unwrap();
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(until(&mut stream, b"\0"), b"you said show it\r\n\0");
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert!(stream.read(&mut [0]).is_err(), "one NUL is enough");
}

#[test]
fn half_a_connection_gets_its_answer() {
    let served = Served::new();
    let mut stream = served.connect();
    stream.write_all(b"slow\nlast\nno line").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"at last\r\nyou said last\r\n\0");
}

#[test]
fn a_long_command_ends_with_an_interrupt_or_its_client() {
    let served = Served::new();
    let mut stream = served.terminal("vppctl");
    stream.write_all(b"endless\nnever\n").unwrap();
    std::thread::sleep(Duration::from_millis(20));
    stream.write_all(&[3]).unwrap();
    assert_eq!(until(&mut stream, b"\0"), b"interrupted\r\n\0");
    assert_eq!(served.cancelled(), 1);
    stream.write_all(b"endless\n\0").unwrap();
    drop(stream);
    let patience = Instant::now() + Duration::from_secs(5);
    while served.cancelled() < 2 {
        assert!(Instant::now() < patience);
        std::thread::sleep(Duration::from_millis(2));
    }
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
    let mut stream = served.terminal("vppctl");
    stream.write_all(b"still there\n\0").unwrap();
    assert_eq!(until(&mut stream, b"\0"), b"you said still there\r\n\0");
}

#[test]
fn a_crowd_is_told_that_there_is_no_room() {
    let served = Served::new();
    let crowd: Vec<_> = (0..64).map(|_| served.connect()).collect();
    let mut late = UnixStream::connect(&served.path).unwrap();
    let mut told = String::new();
    late.read_to_string(&mut told).unwrap();
    assert_eq!(told, "too many sessions: there are 64\r\n");
    let mut client = None;
    let error = loop {
        // The connection may be refused by the time the client says who it is, or when it asks.
        match client.take().map_or_else(|| Client::connect(&served.path), Ok) {
            Err(error) => break error,
            Ok(mut connected) => match connected.run("hello") {
                Err(error) => break error,
                Ok(_) => client = Some(connected),
            },
        }
    };
    assert!(error.to_string().contains("too many sessions: there are 64"), "{error}");
    drop(crowd);
    // The server needs a moment to see that the crowd has gone; until then it may say that there are too many.
    let end = Instant::now() + Duration::from_secs(10);
    while Client::connect(&served.path).and_then(|mut client| client.run("hello")).is_err() {
        assert!(Instant::now() < end, "the server does not serve any more");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn who_does_not_fetch_its_output_waits_alone_and_costs_no_turns() {
    let mut served = Served::new();
    let mut deaf = served.terminal("vppctl");
    deaf.write_all(&b"much\n".repeat(100)).unwrap();
    std::thread::sleep(Duration::from_millis(600));
    let mut stream = served.terminal("vppctl");
    stream.write_all(b"there\n\0").unwrap();
    assert_eq!(until(&mut stream, b"\0"), b"you said there\r\n\0");
    assert!(served.stop() < 100);
    // What was ready is still there to read; it is far less than was asked for.
    let mut fetched = Vec::new();
    let _ = deaf.read_to_end(&mut fetched);
    assert!(fetched.len() < 12 * 200_000, "{}", fetched.len());
}

#[test]
fn an_idle_connection_costs_no_turns() {
    let mut served = Served::new();
    let _idle = served.terminal("vppctl");
    std::thread::sleep(Duration::from_millis(600));
    let turns = served.stop();
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

#[test]
fn a_group_in_braces_may_span_lines() {
    let served = Served::new();
    let mut stream = served.terminal("vppctl");
    stream.write_all(b"new {\n name x\n data { y }\n}\nnext\n").unwrap();
    assert_eq!(until(&mut stream, b"\0"), b"you said new {  name x  data { y } }\r\nyou said next\r\n\0");
    // In two reads, and the NUL of a command ends what is open.
    stream.write_all(b"new {\n").unwrap();
    std::thread::sleep(Duration::from_millis(20));
    stream.write_all(b"}\n").unwrap();
    assert_eq!(until(&mut stream, b"\0"), b"you said new { }\r\n\0");
    stream.write_all(b"new {\n\0").unwrap();
    assert_eq!(until(&mut stream, b"\0"), b"you said new { \r\n\0");
    stream.write_all(b"new {\nquit\n").unwrap();
    assert_eq!(until(&mut stream, b"closed\r\n"), b"`{' is never closed\r\n");
    assert!(is_closed(&mut stream));
}

#[test]
fn nothing_that_a_terminal_obeys_is_repeated() {
    let served = Served::new();
    let mut stream = served.terminal("vppctl");
    stream.write_all(b"a\x1b[31mb\x01\xff\xffc\n\0").unwrap();
    assert_eq!(until(&mut stream, b"\0"), "you said a?[31mb?\u{fffd}c\r\n\0".as_bytes());
}

#[test]
fn a_client_that_answered_while_the_server_was_busy_is_no_person() {
    let served = Served::new();
    let mut other = served.terminal("vppctl");
    let mut client = served.connect();
    other.write_all(b"busy\n").unwrap();
    std::thread::sleep(Duration::from_millis(100));
    // The second in which a terminal's type must come passes while nobody listens.
    client.write_all(b"\xff\xfa\x18\0vppctl\xff\xf0hello\n").unwrap();
    assert_eq!(until(&mut client, b"\0"), b"you said hello\r\n\0");
    assert_eq!(until(&mut other, b"\0"), b"done\r\n\0");
}

#[test]
fn who_keeps_silent_is_a_person_also_behind_a_busy_server() {
    let served = Served::new();
    let begun = Instant::now();
    let mut silent = served.connect();
    assert_eq!(until(&mut silent, b"vpp# "), b"\rwelcome\r\nvpp# ");
    assert!(begun.elapsed() >= Duration::from_secs(1));
    let mut other = served.terminal("vppctl");
    let mut silent = served.connect();
    other.write_all(b"busy\n").unwrap();
    assert_eq!(until(&mut silent, b"vpp# "), b"\rwelcome\r\nvpp# ");
}
