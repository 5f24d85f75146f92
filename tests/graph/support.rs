//! A router with two packet-generator interfaces, and ways to send frames through it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use maglane::{Config, Console};
use nodes::pg::pcap::{Packets, Writer};

/// The MAC of `pg0`.
pub const MAC0: &str = "02:fe:97:76:93:49";
/// The MAC of `pg1`.
pub const MAC1: &str = "02:fe:a5:6d:4c:b3";

/// A router of the whole daemon, run on the test's thread, with a folder of its own for captures.
pub struct Bed {
    console: Console,
    folder: PathBuf,
    sent: u32,
}

impl Bed {
    /// `pg0` with 10.0.1.1/24 and `pg1` with 10.0.2.1/24, both up.
    pub fn new() -> Bed {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("maglane-graph-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let config = Config { inline: true, buffers: 4096, ..Config::default() };
        let console = maglane::app().build(&config).map_err(|error| error.to_string()).unwrap();
        let mut bed = Bed { console, folder, sent: 0 };
        bed.type_all(&format!(
            "create packet-generator interface pg0 hw-addr {MAC0}
             create packet-generator interface pg1 hw-addr {MAC1}
             set interface state pg0 up
             set interface state pg1 up
             set interface ip address pg0 10.0.1.1/24
             set interface ip address pg1 10.0.2.1/24
             set ip neighbor pg0 10.0.1.2 02:00:00:00:01:02
             set ip neighbor pg1 10.0.2.2 02:00:00:00:00:02
             set ip neighbor pg1 10.0.2.3 02:00:00:00:00:03
             ip route add 11.0.0.0/8 via 10.0.1.2"
        ));
        bed
    }

    /// How often tables were published.
    pub fn publications(&mut self) -> u64 {
        self.console.router().tables().version
    }

    /// Types a command that must succeed; gives what it shows.
    pub fn vppctl(&mut self, line: &str) -> String {
        self.console.exec(line).unwrap_or_else(|error| panic!("`{line}` failed: {error}"))
    }

    /// Types commands, one a line, that must succeed and show whatever they like.
    pub fn type_all(&mut self, lines: &str) {
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            self.vppctl(line);
        }
    }

    /// Types a command that must fail; gives the reason.
    pub fn refused(&mut self, line: &str) -> String {
        match self.console.exec(line) {
            Err(error) => error,
            Ok(text) => panic!("`{line}` succeeded: {text}"),
        }
    }

    /// Sends frames into an interface; gives what came out of `pg0` and `pg1` meanwhile.
    pub fn send(&mut self, interface: &str, frames: &[Vec<u8>]) -> [Vec<Vec<u8>>; 2] {
        self.sent += 1;
        let file = |name: &str| self.folder.join(format!("{name}-{}.pcap", self.sent));
        let (input, out0, out1) = (file("in"), file("out0"), file("out1"));
        let mut writer = Writer::create(&input).unwrap();
        for frame in frames {
            writer.write(Duration::ZERO, frame).unwrap();
        }
        writer.flush().unwrap();
        self.vppctl(&format!("packet-generator new pcap {} source {interface} name s{}", input.display(), self.sent));
        self.vppctl(&format!("packet-generator capture pg0 pcap {}", out0.display()));
        self.vppctl(&format!("packet-generator capture pg1 pcap {}", out1.display()));
        self.vppctl(&format!("packet-generator enable-stream s{}", self.sent));
        let done = |console: &mut Console| !console.exec("show packet-generator").unwrap().contains(" Yes ");
        for _ in 0..1000 {
            self.console.router().step();
            if done(&mut self.console) {
                break;
            }
        }
        self.console.router().step();
        self.vppctl("packet-generator capture pg0 disable");
        self.vppctl("packet-generator capture pg1 disable");
        self.vppctl(&format!("packet-generator delete s{}", self.sent));
        [read(&out0), read(&out1)]
    }

    /// Lets so many seconds pass for what errors have said about tunnels, without waiting for them.
    pub fn later(&mut self, seconds: u64) {
        self.console.router().forget_path_mtus(Some(std::time::Instant::now() + Duration::from_secs(seconds)));
    }

    /// Buffers that are not back in the pool.
    pub fn in_use(&mut self) -> usize {
        self.console.router().ask(0, |worker| worker.buffers_in_use())
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        // A test that fails leaves nothing behind either.
        let _ = std::fs::remove_dir_all(&self.folder);
        if !std::thread::panicking() {
            assert_eq!(self.in_use(), 0, "a buffer was lost");
        }
    }
}

/// The frames of a capture; none where it was never made.
fn read(file: &std::path::Path) -> Vec<Vec<u8>> {
    if !file.exists() {
        return Vec::new();
    }
    let packets = Packets::read(file).unwrap();
    (0..packets.len()).map(|at| packets.get(at).to_vec()).collect()
}

/// Bytes from hexadecimal digits, spaces ignored.
pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// A trace without its times, block addresses and buffer numbers, which differ from run to run.
pub fn timeless(trace: &str) -> String {
    let mut out = String::new();
    for line in trace.lines() {
        let line = match line.split_once(": ") {
            Some((time, node)) if time.len() == 15 && time.starts_with("00:") => node,
            _ => line,
        };
        match line.split_once("buffer 0x") {
            Some((before, after)) => {
                out += before;
                out += "buffer";
                out += after.trim_start_matches(|c: char| c.is_ascii_hexdigit());
            }
            None => out += line,
        }
        out.push('\n');
    }
    out
}
