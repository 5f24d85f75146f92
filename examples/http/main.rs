//! A small HTTP/1.1 server and client for the demos: real requests over real TCP, with nothing to install.
//!
//! `http serve ADDR:PORT NAME` answers every GET with a page that names the server; `/bytes/N` gives N pseudo-random
//! bytes; a body that is PUT is answered with its length and hash.
//!
//! `http get http://ADDR[:PORT]/PATH [-n COUNT] [--concurrency C] [--timeout SECONDS]` makes COUNT connections, C at a
//! time (one unless told), checks every answer, and prints how many each server gave. It exits with 1 when an answer was
//! wrong or missing.
//!
//! `http put http://ADDR[:PORT]/ BYTES` sends that many pseudo-random bytes, and compares the hash of what arrived.
//!
//! `http keep URL [-n COUNT] [--seconds S] [--timeout SECONDS]` opens COUNT connections, makes request after request on
//! each for that long, and says how many of them broke or came to another server.
//!
//! `http echo ADDR:PORT NAME` answers UDP datagrams with its name and what they said; `http ask ADDR:PORT [-n COUNT]`
//! sends COUNT of them, each from a port of its own, and checks and counts the answers as `get` does.

mod body;
mod get;
mod keep;
mod message;
mod options;
mod serve;
mod udp;

use std::process::ExitCode;

const USAGE: &str = "usage: http serve ADDR:PORT NAME | http get URL [-n COUNT] [--concurrency C] [--timeout SECONDS]
     | http put URL BYTES | http keep URL [-n COUNT] [--seconds S] [--timeout SECONDS]
     | http echo ADDR:PORT NAME | http ask ADDR:PORT [-n COUNT] [--timeout SECONDS]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["serve", address, name] => serve::serve(address, name).map(|()| true),
        ["get", url, options @ ..] => get::get(url, options),
        ["put", url, bytes] => get::put(url, bytes),
        ["keep", url, options @ ..] => keep::keep(url, options),
        ["echo", address, name] => udp::echo(address, name).map(|()| true),
        ["ask", address, options @ ..] => udp::ask(address, options),
        _ => Err(USAGE.into()),
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
