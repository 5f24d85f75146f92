//! Connections that last: what becomes of them when something between client and server changes.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::get::{answer, connect, page};
use crate::message::target;
use crate::options::Options;

/// Between two requests of a connection.
const PAUSE: Duration = Duration::from_millis(50);

/// What became of a connection.
struct Kept {
    /// Who answered first; nobody, where it could not be opened.
    server: String,
    requests: u32,
    /// The longest that an answer took.
    slowest: Duration,
    broken: Option<String>,
}

/// Keeps connections; whether none broke.
pub fn keep(url: &str, words: &[&str]) -> Result<bool, String> {
    let options = Options::parse(words)?;
    let (address, path) = target(url)?;
    let end = Instant::now() + options.keep;
    let kept: Vec<Kept> = std::thread::scope(|scope| {
        let one = || scope.spawn(|| connection(address, &path, end, options.timeout));
        let all: Vec<_> = (0..options.count).map(|_| one()).collect();
        all.into_iter().filter_map(|one| one.join().ok()).collect()
    });
    let (mut tally, mut broken) = (BTreeMap::<&str, u32>::new(), 0);
    for (number, kept) in kept.iter().enumerate() {
        if let Some(error) = &kept.broken {
            eprintln!("connection {number} to {}: after {} requests: {error}", kept.server, kept.requests);
            broken += 1;
        }
        *tally.entry(&kept.server).or_default() += 1;
    }
    for (server, connections) in tally {
        println!("{server} {connections}");
    }
    let requests: u32 = kept.iter().map(|kept| kept.requests).sum();
    let slowest = kept.iter().map(|kept| kept.slowest).max().unwrap_or_default();
    let all = options.count;
    println!("connections {all} requests {requests} slowest {} ms broken {broken}", slowest.as_millis());
    Ok(broken == 0 && kept.len() == all as usize)
}

fn connection(address: SocketAddr, path: &str, end: Instant, timeout: Duration) -> Kept {
    let mut kept = Kept { server: "nobody".into(), requests: 0, slowest: Duration::ZERO, broken: None };
    kept.broken = ask(address, path, end, timeout, &mut kept).err();
    kept
}

fn ask(address: SocketAddr, path: &str, end: Instant, timeout: Duration, kept: &mut Kept) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    let mut reader = connect(address, timeout).map_err(text)?;
    loop {
        let asked = Instant::now();
        let last = asked + PAUSE >= end;
        let close = if last { "Connection: close\r\n" } else { "" };
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{close}\r\n");
        reader.get_mut().write_all(request.as_bytes()).map_err(text)?;
        let (server, length) = answer(&mut reader)?;
        page(&mut reader, length).map_err(text)?;
        if kept.requests == 0 {
            kept.server.clone_from(&server);
        }
        if server != kept.server {
            return Err(format!("{server} answered"));
        }
        kept.requests += 1;
        kept.slowest = kept.slowest.max(asked.elapsed());
        if last {
            return Ok(());
        }
        std::thread::sleep(PAUSE);
    }
}
