//! The client: one request on each connection.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::body::Body;
use crate::message::{Head, target};
use crate::options::Options;

/// Makes many requests; whether all answers were right.
pub fn get(url: &str, words: &[&str]) -> Result<bool, String> {
    let options = Options::parse(words)?;
    let (address, path) = target(url)?;
    Ok(tally(&options, || fetch(address, &path, options.timeout)))
}

/// Does something many times, and counts who answered; whether it went well each time.
pub fn tally(options: &Options, ask: impl Fn() -> Result<String, String> + Sync) -> bool {
    let count = options.count;
    let (next, wrong, tally) = (AtomicU32::new(1), AtomicU32::new(0), Mutex::new(BTreeMap::<String, u32>::new()));
    std::thread::scope(|scope| {
        for _ in 0..options.concurrency.min(count) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number > count {
                        return;
                    }
                    match (ask(), tally.lock()) {
                        (Ok(server), Ok(mut tally)) => *tally.entry(server).or_default() += 1,
                        (result, _) => {
                            eprintln!("request {number} of {count}: {}", result.err().unwrap_or_default());
                            wrong.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    for (server, answers) in tally.into_inner().unwrap_or_default() {
        println!("{server} {answers}");
    }
    wrong.into_inner() == 0
}

/// A connection, with patience for each step.
pub fn connect(address: SocketAddr, timeout: Duration) -> io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    stream.set_nodelay(true)?;
    Ok(BufReader::with_capacity(1 << 16, stream))
}

/// Makes one request on a connection of its own; gives the server's name.
fn fetch(address: SocketAddr, path: &str, timeout: Duration) -> Result<String, String> {
    let text = |error: io::Error| error.to_string();
    let mut reader = connect(address, timeout).map_err(text)?;
    write!(reader.get_mut(), "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").map_err(text)?;
    let (server, length) = answer(&mut reader)?;
    let right = match path.strip_prefix("/bytes/") {
        Some(count) => {
            if count.parse() != Ok(length) {
                return Err(format!("the header says {length} bytes instead of {count}"));
            }
            Body::new(length).compare(&mut reader).map_err(text)?
        }
        None => page(&mut reader, length).map_err(text)?.contains(&format!("This is server {server}<")),
    };
    if right { Ok(server) } else { Err("the body is not what the server should send".into()) }
}

/// The server's name and the length of the body, of an answer that is a success.
pub fn answer(reader: &mut BufReader<TcpStream>) -> Result<(String, u64), String> {
    let head =
        Head::read(reader).map_err(|error| error.to_string())?.ok_or("the connection ended without an answer")?;
    match head.length {
        Some(length) if head.first.starts_with("HTTP/1.1 200 ") => Ok((head.server, length)),
        _ => Err(format!("unexpected answer `{}`", head.first)),
    }
}

/// A short body.
pub fn page(reader: &mut BufReader<TcpStream>, length: u64) -> io::Result<String> {
    let mut body = vec![0; length.min(1 << 16) as usize];
    reader.read_exact(&mut body)?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// Sends a long body; whether it arrived as it was.
pub fn put(url: &str, bytes: &str) -> Result<bool, String> {
    let text = |error: io::Error| error.to_string();
    let bytes: u64 = bytes.parse().map_err(|_| format!("expected a number of bytes, got `{bytes}`"))?;
    let (address, path) = target(url)?;
    let began = Instant::now();
    let mut reader = connect(address, Duration::from_secs(10)).map_err(text)?;
    let head = format!("PUT {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {bytes}\r\n\r\n");
    reader.get_mut().write_all(head.as_bytes()).map_err(text)?;
    let sent = Body::new(bytes).send(reader.get_mut()).map_err(text)?;
    let (server, length) = answer(&mut reader)?;
    let arrived = page(&mut reader, length).map_err(text)?;
    let sent = format!("{bytes} {sent:016x}");
    if arrived.trim() != sent {
        return Err(format!("sent: {sent}, arrived at {server}: {}", arrived.trim()));
    }
    println!("{server} {sent} {:.1} s", began.elapsed().as_secs_f64());
    Ok(true)
}
