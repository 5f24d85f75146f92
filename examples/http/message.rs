//! What requests and answers begin with.

use std::io::{self, BufRead, Read};
use std::net::SocketAddr;

/// The first line of a message, and what its header says that matters here.
pub struct Head {
    /// `GET / HTTP/1.1` or `HTTP/1.1 200 OK`.
    pub first: String,
    /// Bytes of the body.
    pub length: Option<u64>,
    /// Who answered.
    pub server: String,
    /// Whether the connection ends after this message.
    pub close: bool,
}

impl Head {
    /// Reads it, up to the empty line; nothing at the end of the connection.
    ///
    /// # Errors
    /// Those of the stream, also when it ends early.
    pub fn read(reader: &mut impl BufRead) -> io::Result<Option<Head>> {
        let mut line = |line: &mut String| {
            line.clear();
            reader.by_ref().take(8192).read_line(line)
        };
        let mut text = String::new();
        if line(&mut text)? == 0 {
            return Ok(None);
        }
        let mut head = Head { first: text.trim().into(), length: None, server: String::new(), close: false };
        loop {
            if line(&mut text)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let Some((name, value)) = text.trim().split_once(": ") else { return Ok(Some(head)) };
            match name {
                "Server" => head.server = value.into(),
                "Content-Length" => head.length = value.parse().ok(),
                "Connection" => head.close = value.eq_ignore_ascii_case("close"),
                _ => (),
            }
        }
    }
}

/// The address and the path of `http://ADDR[:PORT]/PATH`; an IPv6 address stands in brackets.
///
/// # Errors
/// Whatever is not of that form, in words.
pub fn target(url: &str) -> Result<(SocketAddr, String), String> {
    let rest = url.strip_prefix("http://").ok_or_else(|| format!("expected http://…, got `{url}`"))?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let whole = if host.ends_with(']') || !host.contains(':') { format!("{host}:80") } else { host.to_string() };
    let address = whole.parse().map_err(|_| format!("expected ADDR:PORT, got `{host}`"))?;
    Ok((address, format!("/{path}")))
}
