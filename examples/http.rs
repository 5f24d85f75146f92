//! A small HTTP/1.1 server and client for the demo and the tests: real requests over real TCP, with nothing to install.
//!
//! `http serve ADDR:PORT NAME` answers every GET with a page that names the server; `/bytes/N` gives N pseudo-random bytes.
//! `http get http://ADDR[:PORT]/PATH [-n COUNT] [--concurrency C] [--timeout SECONDS]` makes COUNT connections, C at a time
//! (one unless told), checks every answer, and prints how many each server gave. It exits with 1 when an answer was wrong
//! or missing.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["serve", address, name] => serve(address, name).map(|()| true),
        ["get", url, options @ ..] => get(url, options),
        _ => {
            Err("usage: http serve ADDR:PORT NAME | http get URL [-n COUNT] [--concurrency C] [--timeout SECONDS]"
                .into())
        }
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("http: {error}");
            ExitCode::from(2)
        }
    }
}

fn serve(address: &str, name: &str) -> Result<(), String> {
    let listener = TcpListener::bind(address).map_err(|error| format!("cannot listen on {address}: {error}"))?;
    for stream in listener.incoming() {
        let (Ok(stream), name) = (stream, name.to_string()) else { continue };
        std::thread::spawn(move || {
            // A client that breaks off has its own reasons.
            let _ = answer(&stream, &name);
        });
    }
    Ok(())
}

fn answer(stream: &TcpStream, name: &str) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    reader.by_ref().take(8192).read_line(&mut request)?;
    loop {
        let mut line = String::new();
        if reader.by_ref().take(8192).read_line(&mut line)? <= 2 {
            break;
        }
    }
    let path = request.split_whitespace().nth(1).unwrap_or("/");
    let body = match path.strip_prefix("/bytes/").and_then(|count| count.parse::<usize>().ok()) {
        Some(count) => pseudo_random(count.min(1 << 30)),
        None => format!("<html><body><h1>This is server {name}</h1></body></html>\n").into_bytes(),
    };
    let mut stream = stream;
    let head = format!(
        "HTTP/1.1 200 OK\r\nServer: {name}\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body)?;
    stream.shutdown(std::net::Shutdown::Write)
}

/// The same bytes on both sides (xorshift64).
fn pseudo_random(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut bytes = Vec::with_capacity(count + 8);
    while bytes.len() < count {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(count);
    bytes
}

/// What `http get` was asked for.
struct Options {
    count: u32,
    concurrency: u32,
    timeout: Duration,
}

impl Options {
    fn parse(words: &[&str]) -> Result<Options, String> {
        let mut options = Options { count: 1, concurrency: 1, timeout: Duration::from_secs(5) };
        for pair in words.chunks(2) {
            let &[name, value] = pair else { return Err(format!("`{}`: a value is missing", pair.join(" "))) };
            let number = || value.parse::<u32>().map_err(|_| format!("{name}: expected a number, got `{value}`"));
            match name {
                "-n" => options.count = number()?,
                "--concurrency" => options.concurrency = number()?.clamp(1, 1000),
                "-t" | "--timeout" => {
                    let seconds = value.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                    options.timeout = seconds.ok_or_else(|| format!("{name}: expected seconds, got `{value}`"))?;
                }
                _ => return Err(format!("unknown option `{name}`")),
            }
        }
        Ok(options)
    }
}

fn get(url: &str, words: &[&str]) -> Result<bool, String> {
    let Options { count, concurrency, timeout } = Options::parse(words)?;
    let rest = url.strip_prefix("http://").ok_or_else(|| format!("expected http://…, got `{url}`"))?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let with_port = if host.contains(':') { host.to_string() } else { format!("{host}:80") };
    let address: SocketAddr = with_port.parse().map_err(|_| format!("expected ADDR:PORT, got `{host}`"))?;
    let path = format!("/{path}");
    let (next, wrong, tally) = (AtomicU32::new(1), AtomicU32::new(0), Mutex::new(BTreeMap::<String, u32>::new()));
    std::thread::scope(|scope| {
        for _ in 0..concurrency.min(count) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number > count {
                        return;
                    }
                    match (fetch(address, &path, timeout), tally.lock()) {
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
    Ok(wrong.into_inner() == 0)
}

/// Makes one request on a connection of its own; gives the server's name.
fn fetch(address: SocketAddr, path: &str, timeout: Duration) -> Result<String, String> {
    let text = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect_timeout(&address, timeout).map_err(text)?;
    stream.set_read_timeout(Some(timeout)).map_err(text)?;
    stream.set_write_timeout(Some(timeout)).map_err(text)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").map_err(text)?;
    let mut reader = BufReader::new(stream);
    let mut status = String::new();
    reader.read_line(&mut status).map_err(text)?;
    if !status.starts_with("HTTP/1.1 200 ") {
        return Err(format!("unexpected status `{}`", status.trim()));
    }
    let (mut server, mut length) = (String::new(), None);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).map_err(text)?;
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        match name {
            "Server" => server = value.to_string(),
            "Content-Length" => length = value.parse::<usize>().ok(),
            _ => (),
        }
    }
    let mut body = Vec::new();
    reader.read_to_end(&mut body).map_err(text)?;
    if Some(body.len()) != length {
        return Err(format!("the body has {} bytes, the header says {length:?}", body.len()));
    }
    let right = match path.strip_prefix("/bytes/") {
        Some(count) => count.parse() == Ok(body.len()) && body == pseudo_random(body.len()),
        None => String::from_utf8_lossy(&body).contains(&format!("This is server {server}<")),
    };
    if right { Ok(server) } else { Err("the body is not what the server should send".into()) }
}
