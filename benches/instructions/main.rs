//! Instructions per packet, compared with `baseline.json` beside this file: a regression fails without a stopwatch.
//!
//! `cargo run --example instructions [-- --write | --json | --tracing]`. Needs valgrind, whose tool callgrind counts what the daemon, as it
//! is shipped, executes in the nodes that some configurations of the graph bench lead through: of 1,000 flows a hundred
//! packets each, the first of them included, which are new to the flow table. The generator and the loop around the nodes
//! are not counted. Counts do not hang on what else the machine does, but on the compiler, and on the vector
//! instructions that there are: where these are others than the baseline's, nothing is compared. `--write` makes a new baseline.
//! `--tracing` compares with a daemon that is built without tracing instead, the generator counted, too: what is off costs nothing.

mod baseline;
mod daemon;
#[path = "../graph/options.rs"]
mod options;
#[path = "../graph/setup.rs"]
mod setup;

use std::process::exit;

use baseline::{Baseline, Verdict};
use daemon::Build;
use options::Options;

const PACKETS: u64 = 102_400;
const FLOWS: u32 = 1000;
/// The flow table has a bucket for each of so many. With few more buckets than flows there would be full ones, by chance
/// and so in no two runs as many.
const ROOM: u32 = 16_384;

/// What is counted: its name, and the words for the graph bench.
const CONFIGURATIONS: [(&str, &str); 10] = [
    ("gre4", ""),
    ("gre4, vectors of 16", "--vector 16"),
    ("gre4, IPv6 VIP", "--ip6"),
    ("gre4, 16 VIPs", "--vips 16"),
    ("gre6", "--encap gre6"),
    ("ipip4", "--encap ipip4"),
    ("l3dsr", "--encap l3dsr"),
    ("l2dsr", "--encap l2dsr"),
    ("nat4", "--encap nat4"),
    ("nat6", "--encap nat6 --ip6"),
];

/// Those of them that are counted with tracing and without: whole vectors, and small ones, which have more of what is done once
/// for each.
const TRACED: usize = 2;
/// Percent more that tracing may take while it is off.
const NOTHING: f64 = 1.0;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => compare(),
        ["--write"] => count().write().unwrap_or_else(|error| fail(&error)),
        ["--json"] => count().print_json(),
        ["--tracing"] => compare_tracing(),
        _ => fail("expected --write, --json or --tracing, or nothing"),
    }
}

/// Counts all configurations.
fn count() -> Baseline {
    need_valgrind();
    let build = daemon::build().unwrap_or_else(|error| fail(&error));
    let mut counted = Baseline::new().unwrap_or_else(|error| fail(&error));
    for (number, (name, words)) in CONFIGURATIONS.into_iter().enumerate() {
        counted.put(name, per_packet(&build, &[daemon::NODES], number, (name, words)));
    }
    counted
}

fn need_valgrind() {
    if !daemon::valgrind_is_there() {
        println!("\n*** INSTRUCTIONS WERE NOT COUNTED: valgrind is missing (apt-get install valgrind) ***\n");
        exit(0);
    }
}

fn per_packet(build: &Build, what: &[&str], number: usize, (name, words): (&str, &str)) -> f64 {
    let total = daemon::count(build, what, number, &script(words), PACKETS);
    total.unwrap_or_else(|error| fail(&format!("{name}: {error}"))) as f64 / PACKETS as f64
}

/// Counts with tracing and without, the generator, too: what brings packets in asks whether they are traced.
fn compare_tracing() {
    need_valgrind();
    let builds = [daemon::build_without_tracing(), daemon::build()];
    let [without, with] = builds.map(|build| build.unwrap_or_else(|error| fail(&error)));
    if with.is_that_of(&without) {
        fail("the daemon without tracing is the one with it");
    }
    println!("{:<26} {:>8} {:>8} {:>8}", "instructions per packet", "no trace", "trace", "change");
    let mut most = f64::MIN;
    for (number, configuration) in CONFIGURATIONS.into_iter().enumerate().take(TRACED) {
        let what = [daemon::NODES, daemon::GENERATOR];
        let [without, with] = [&without, &with].map(|build| per_packet(build, &what, number, configuration));
        let change = (with / without - 1.0) * 100.0;
        println!("{:<26} {without:>8.1} {with:>8.1} {change:>+7.2} %", configuration.0);
        most = most.max(change);
    }
    if most > NOTHING {
        fail(&format!("tracing takes more than {NOTHING} % while it is off"));
    }
}

/// The lines for a configuration, up to the packets.
fn script(words: &str) -> Vec<String> {
    let words = words.split_whitespace().map(String::from).chain(["--packets".into(), PACKETS.to_string()]);
    let options = Options::parse(words).unwrap_or_else(|error| fail(&error));
    let mut lines = setup::configuration(&options, &options.encaps[0], ROOM);
    lines.push(setup::stream(&options, FLOWS, 0));
    lines.push("packet-generator enable".into());
    lines
}

fn compare() {
    let before = Baseline::read().unwrap_or_else(|error| fail(&error));
    let now = count();
    if before.ground() != now.ground() {
        println!(
            "\n*** INSTRUCTIONS WERE NOT COMPARED: the baseline is of {}, this is {} ***\n",
            before.ground(),
            now.ground()
        );
        return now.print();
    }
    match before.compare(&now) {
        Verdict::Same => println!("none is more than {} % off the baseline", baseline::TOLERANCE),
        Verdict::Less => println!(
            "\n*** FEWER INSTRUCTIONS THAN THE BASELINE HAS: make these the new one, so that they stay few, by\n\
             *** cargo run --example instructions -- --write\n"
        ),
        Verdict::More => fail(
            "more than the baseline has. `callgrind_annotate FILE' tells where, with the files in instructions/ of the\n\
             target folder. If there is a good reason, renew the baseline with --write and say why",
        ),
    }
}

fn fail(why: &str) -> ! {
    eprintln!("instructions: {why}");
    exit(1)
}
