//! HTTP over kernel sockets: servers that say who they are, and connections that make one request or many.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::Duration;

use nix::sys::socket::{Shutdown, shutdown};
use nodes::sys::in_namespace;

/// What a request may take at most. More than the kernel's first three retransmissions of a SYN.
const PATIENCE: Duration = Duration::from_secs(15);

/// A server; stops listening when dropped.
pub struct Server {
    listener: TcpListener,
}

impl Server {
    /// Listens in a namespace. `GET` is answered with the server's name, `/bytes/N` with N bytes, `/slow/N` with N pieces
    /// of 1000 bytes, 10 ms apart; a body that is sent comes back as its length and a sum.
    pub fn start(namespace: &str, address: SocketAddr, name: &str) -> Server {
        let listener = in_namespace(Some(namespace), || TcpListener::bind(address)).unwrap().unwrap();
        let (accepting, name) = (listener.try_clone().unwrap(), name.to_string());
        thread::spawn(move || {
            while let Ok((stream, _)) = accepting.accept() {
                let name = name.clone();
                // A client that breaks off has its own reasons.
                thread::spawn(move || drop(serve(&stream, &name)));
            }
        });
        Server { listener }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Wakes the thread that accepts.
        let _ = shutdown(self.listener.as_raw_fd(), Shutdown::Both);
    }
}

fn serve(stream: &TcpStream, name: &str) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let (mut reader, mut stream) = (BufReader::new(stream), stream);
    loop {
        let Some((request, body)) = read_message(&mut reader)? else { return Ok(()) };
        let path = request.split(' ').nth(1).unwrap_or_default();
        let count = |kind: &str| path.strip_prefix(kind).and_then(|count| count.parse::<usize>().ok());
        let answer = match count("/bytes/").or(count("/slow/").map(|pieces| pieces * 1000)) {
            Some(bytes) => pattern(bytes),
            None => format!("{} {}", body.len(), sum(&body)).into_bytes(),
        };
        write!(stream, "HTTP/1.1 200 OK\r\nServer: {name}\r\nContent-Length: {}\r\n\r\n", answer.len())?;
        if count("/slow/").is_none() {
            stream.write_all(&answer)?;
            continue;
        }
        for piece in answer.chunks(1000) {
            stream.write_all(piece)?;
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Who answered, and what.
pub struct Answer {
    pub server: String,
    pub body: Vec<u8>,
}

/// A client's connection, for any number of requests.
pub struct Connection {
    stream: BufReader<TcpStream>,
    pub local: SocketAddr,
    pub peer: SocketAddr,
}

impl Connection {
    /// Connects from a namespace.
    pub fn open(namespace: &str, address: SocketAddr) -> io::Result<Connection> {
        let connect = || TcpStream::connect_timeout(&address, PATIENCE);
        let stream = in_namespace(Some(namespace), connect).map_err(io::Error::other)??;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let (local, peer) = (stream.local_addr()?, stream.peer_addr()?);
        Ok(Connection { stream: BufReader::new(stream), local, peer })
    }

    /// Fetches a page and checks its contents.
    pub fn get(&mut self, path: &str) -> io::Result<Answer> {
        let answer = self.send("GET", path, &[])?;
        let right = match path.strip_prefix("/bytes/") {
            Some(count) => count.parse() == Ok(answer.body.len()) && answer.body == pattern(answer.body.len()),
            None if path.starts_with("/slow/") => answer.body == pattern(answer.body.len()),
            None => answer.body == b"0 0",
        };
        if right { Ok(answer) } else { Err(io::Error::other(format!("{path}: the body is wrong"))) }
    }

    /// Sends `bytes` bytes, and checks that they arrived as they were.
    pub fn upload(&mut self, bytes: usize) -> io::Result<Answer> {
        let body = pattern(bytes);
        let answer = self.send("POST", "/", &body)?;
        let wanted = format!("{bytes} {}", sum(&body));
        if answer.body == wanted.as_bytes() {
            return Ok(answer);
        }
        Err(io::Error::other(format!("arrived: {}, sent: {wanted}", String::from_utf8_lossy(&answer.body))))
    }

    fn send(&mut self, method: &str, path: &str, body: &[u8]) -> io::Result<Answer> {
        let mut request = format!("{method} {path} HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
        request.extend(body);
        self.stream.get_mut().write_all(&request)?;
        let Some((head, body)) = read_message(&mut self.stream)? else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let server = head.lines().find_map(|line| line.strip_prefix("Server: ")).unwrap_or_default().to_string();
        if head.starts_with("HTTP/1.1 200 ") { Ok(Answer { server, body }) } else { Err(io::Error::other(head)) }
    }
}

/// A head, and the body it announces; nothing at the end of the connection.
fn read_message(reader: &mut impl BufRead) -> io::Result<Option<(String, Vec<u8>)>> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let before = head.len();
        if reader.read_line(&mut head)? == 0 {
            return if head.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
        match head[before..].trim() {
            "" => break,
            line => length = line.strip_prefix("Content-Length: ").and_then(|n| n.parse().ok()).unwrap_or(length),
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some((head, body)))
}

/// Bytes that differ wherever they stand.
fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at ^ (at >> 9) ^ (at >> 17)) as u8).collect()
}

/// Depends on every byte and its place.
fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum: u64, &byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)))
}
