//! The nodes that the main path does not have: forwarding, both ends of tunnels, NAT's way back, fragments, echoes, packets
//! that change hands between workers.
//!
//! `cargo bench --bench nodes [-- [--json] [--packets N]] [NAME …]` prints cycles of the time-stamp counter for each node,
//! by packets that came in (a node that sees three fragments of each counts for all three), and for the path; the
//! generator is not in it. With names, only the cases that begin with one of them. Packets come out of a recording of
//! 1,000 of as many senders.

mod cases;
#[path = "../common/mod.rs"]
mod common;
mod frames;

use std::path::PathBuf;
use std::time::Duration;

use cases::Case;
use frames::Frames;
use maglane::Console;
use nodes::pg::pcap::Writer;

fn main() {
    let (mut json, mut packets, mut names) = (false, 1_000_000u64, Vec::new());
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--json" => json = true,
            // Cargo adds this.
            "--bench" => (),
            "--packets" => match words.next().and_then(|word| word.parse().ok()) {
                Some(count @ 1..=1_000_000_000) => packets = count,
                _ => fail("expected a number from 1 to 1000000000 after --packets"),
            },
            name if !name.starts_with('-') => names.push(word),
            _ => fail(&format!("expected --json, --packets N or the beginning of a case's name, got `{word}'")),
        }
    }
    // Whole recordings, so that every sender and every datagram's last piece had its turn.
    let packets = packets.next_multiple_of(frames::SENDERS as u64 * 2);
    let mut recordings = Recordings::new();
    for case in cases::all() {
        if names.is_empty() || names.iter().any(|name| case.name.starts_with(name.as_str())) {
            measure(&case, packets, &mut recordings, json);
        }
    }
}

fn measure(case: &Case, packets: u64, recordings: &mut Recordings, json: bool) {
    let mut console = common::console(case.workers, &cases::ports());
    for line in &case.lines {
        common::exec(&mut console, line);
    }
    if let Some((port, frames)) = &case.before {
        recordings.play(&mut console, (port, frames), frames.len() as u64, 0.0);
        common::round(&mut console);
        common::exec(&mut console, "packet-generator delete stream");
    }
    let (port, frames) = &case.stream;
    recordings.play(&mut console, (port, frames), packets, case.rate);
    common::round(&mut console);
    settle(case);
    console.router().clear_runtime();
    console.router().clear_interfaces();
    let lost_before = lost_between_workers(&mut console);
    common::round(&mut console);
    settle(case);

    let sent = common::sent(&mut console, case.out);
    let lost = lost_between_workers(&mut console) - lost_before;
    let (out_of, pieces) = case.makes;
    assert_eq!(sent + lost, packets / out_of * pieces, "{}: packets were lost", case.name);
    let nodes = common::cycles(&mut console, packets);
    for name in case.nodes {
        assert!(nodes.contains_key(*name), "{}: {name} had nothing to do: {nodes:?}", case.name);
    }
    let path: f64 = nodes.values().sum();
    if json {
        let line = serde_json::json!({
            "bench": "nodes", "case": case.name, "nodes": nodes, "path": path, "workers": case.workers, "lost": lost,
        });
        println!("{line}");
    } else {
        let each: Vec<_> = nodes.iter().map(|(name, cycles)| format!("{name} {cycles:.1}")).collect();
        println!("{:<22} {}  path {path:.1} cycles/packet", case.name, each.join("  "));
        if lost > 0 {
            println!("{:<22} {lost} found no room between workers", "");
        }
    }
}

/// The last packets may be on their way from one worker to the other.
fn settle(case: &Case) {
    if case.workers > 1 {
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Packets for which there was no room on their way from one worker to another, since the beginning.
fn lost_between_workers(console: &mut Console) -> u64 {
    console.router().hand_overs().iter().map(|way| way.congested).sum()
}

/// A folder of recordings, which goes when this does.
struct Recordings {
    folder: PathBuf,
    made: usize,
}

impl Recordings {
    fn new() -> Recordings {
        let folder = std::env::temp_dir().join(format!("maglane-nodes-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        Recordings { folder, made: 0 }
    }

    /// Makes a stream of a recording of these frames.
    fn play(&mut self, console: &mut Console, (port, frames): (&str, &Frames), packets: u64, rate: f64) {
        self.made += 1;
        let file = self.folder.join(format!("{}.pcap", self.made));
        let written = Writer::create(&file).and_then(|mut writer| {
            frames.iter().try_for_each(|frame| writer.write(Duration::ZERO, frame))?;
            writer.flush()
        });
        written.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let file = file.display();
        let line =
            format!("packet-generator new {{ pcap {file} source {port} name stream limit {packets} rate {rate} }}");
        common::exec(console, &line);
    }
}

impl Drop for Recordings {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            eprintln!("{}: {error}", self.folder.display());
        }
    }
}

fn fail(words: &str) -> ! {
    eprintln!("{words}");
    std::process::exit(2);
}
