//! The server.

use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use crate::body::{Body, hash_of};
use crate::message::Head;

/// Bodies are at most so long: 1 GiB.
const MAX_BODY: u64 = 1 << 30;

/// Answers requests until the process ends.
pub fn serve(address: &str, name: &str) -> Result<(), String> {
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

/// Answers the requests of a connection, until the client says that the last has come, or ends it.
fn answer(stream: &TcpStream, name: &str) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.set_nodelay(true)?;
    let (mut reader, mut writer) = (BufReader::with_capacity(1 << 16, stream), stream);
    while let Some(request) = Head::read(&mut reader)? {
        let path = request.first.split_whitespace().nth(1).unwrap_or("/");
        let close = if request.close { "Connection: close\r\n" } else { "" };
        let mut head = |length: u64| {
            write!(writer, "HTTP/1.1 200 OK\r\nServer: {name}\r\nContent-Length: {length}\r\n{close}\r\n")
        };
        if let Some(length) = request.length {
            let hash = hash_of(&mut reader, length)?;
            let text = format!("{length} {hash:016x}\n");
            head(text.len() as u64)?;
            writer.write_all(text.as_bytes())?;
        } else if let Some(count) = path.strip_prefix("/bytes/").and_then(|count| count.parse::<u64>().ok()) {
            let count = count.min(MAX_BODY);
            head(count)?;
            Body::new(count).send(&mut writer)?;
        } else {
            let page = format!("<html><body><h1>This is server {name}</h1></body></html>\n");
            head(page.len() as u64)?;
            writer.write_all(page.as_bytes())?;
        }
        if request.close {
            break;
        }
    }
    writer.shutdown(std::net::Shutdown::Write)
}
