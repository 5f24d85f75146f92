//! Questions and answers in UDP.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::get::tally;
use crate::options::Options;

/// Answers every datagram with a name and what it said, from the address that it came to.
pub fn echo(address: &str, name: &str) -> Result<(), String> {
    let socket = UdpSocket::bind(address).map_err(|error| format!("cannot listen on {address}: {error}"))?;
    let mut datagram = [0; 1 << 16];
    loop {
        let Ok((len, from)) = socket.recv_from(&mut datagram) else { continue };
        let answer = [name.as_bytes(), b": ", &datagram[..len]].concat();
        // A client that is gone has its own reasons.
        let _ = socket.send_to(&answer, from);
    }
}

/// Asks many times, each time from another port; whether all answers were right.
pub fn ask(address: &str, words: &[&str]) -> Result<bool, String> {
    let options = Options::parse(words)?;
    let address: SocketAddr = address.parse().map_err(|_| format!("expected ADDR:PORT, got `{address}`"))?;
    let number = AtomicU32::new(0);
    Ok(tally(&options, || {
        let text = |error: std::io::Error| error.to_string();
        let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).map_err(text)?;
        // From now on the kernel takes answers from there only.
        socket.connect(address).map_err(text)?;
        socket.set_read_timeout(Some(options.timeout)).map_err(text)?;
        let question = format!("question {}", number.fetch_add(1, Ordering::Relaxed));
        socket.send(question.as_bytes()).map_err(text)?;
        let mut answer = [0; 2048];
        let len = socket.recv(&mut answer).map_err(text)?;
        let answer = String::from_utf8_lossy(&answer[..len]).into_owned();
        match answer.split_once(": ") {
            Some((server, said)) if said == question => Ok(server.to_string()),
            _ => Err(format!("asked `{question}`, got `{answer}`")),
        }
    }))
}
