//! Frames through a router between two veths, in namespaces: what arrives in the far namespace, by a minimal loop and by
//! Maglane, over AF_PACKET and over AF_XDP.
//!
//! `cargo bench --bench devices [-- [--json] [--rounds N] [--millis N]]`. In every round each of the five has its turn on
//! fresh devices, in the other order every other round; figures are medians of the rounds, and only ratios say something:
//! of what was delivered in the same round, and of what a unit of the router's processor time delivered, with the least
//! and the greatest of them. The sender has one processor, the router and what the far end does the other. Takes root and
//! `ip`.

mod bed;
mod loops;
mod xdp;

use std::process::exit;
use std::time::Duration;

use bed::Bed;
use nodes::sys::VnetHdr;

/// Who carries the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Router {
    /// A loop over the rings of AF_PACKET that copies and does nothing else.
    PacketLoop,
    /// The same loop, which has the kernel copy what it sends instead of hanging the ring's pages on its buffers.
    CopiedLoop,
    /// Maglane's host-interfaces.
    Packet,
    /// A loop over AF_XDP with one memory for both devices, that copies nothing.
    XdpLoop,
    /// Maglane's af_xdp interfaces.
    Xdp,
}

const ALL: [(Router, &str); 5] = [
    (Router::PacketLoop, "af_packet minimal loop"),
    (Router::CopiedLoop, "af_packet loop, copied"),
    (Router::Packet, "af_packet maglane"),
    (Router::XdpLoop, "af_xdp minimal loop"),
    (Router::Xdp, "af_xdp maglane"),
];

fn main() {
    let (mut json, mut rounds, mut millis) = (false, 5, 1500);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = |most| match words.next().and_then(|word| word.parse().ok()) {
            Some(number @ 1..) if number <= most => number,
            _ => fail(&format!("expected a number from 1 to {most} after {word}")),
        };
        match word.as_str() {
            "--json" => json = true,
            // Cargo adds this.
            "--bench" => (),
            "--rounds" => rounds = number(1000),
            "--millis" => millis = number(60_000),
            // What this program starts of itself, in a namespace.
            "offer" => return loops::offer(),
            "packet-loop" => return loops::packet(|vnet, _| vnet),
            "copied-loop" => return loops::packet(VnetHdr::in_one_piece),
            "xdp-loop" => return xdp::run(),
            _ => fail("expected --json, --rounds N or --millis N"),
        }
    }
    let Some(bed) = Bed::new() else { fail("needs root (CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN) and `ip'") };
    let mut rates = [const { Vec::new() }; ALL.len()];
    let mut costs = [const { Vec::new() }; ALL.len()];
    let mut offered = [const { Vec::new() }; ALL.len()];
    for round in 0..rounds {
        for place in 0..ALL.len() {
            let at = if round % 2 == 0 { place } else { ALL.len() - 1 - place };
            let (router, name) = ALL[at];
            let turn = bed.turn(router, Duration::from_millis(millis));
            if turn.delivered == 0 {
                eprintln!("{name}: nothing arrived");
            }
            costs[at].push(turn.busy.as_nanos() as f64 / turn.delivered.max(1) as f64);
            rates[at].push(turn.delivered as f64 / turn.seconds);
            offered[at].push(turn.offered as f64 / turn.seconds);
        }
    }
    let medians = rates.clone().map(median);
    let offered = offered.map(median);
    let each = costs.clone().map(median);
    for (at, (_, name)) in ALL.into_iter().enumerate() {
        if json {
            let (mpps, offered, ns) = (medians[at] / 1e6, offered[at] / 1e6, each[at]);
            println!(
                "{}",
                serde_json::json!({"bench": "devices", "router": name, "mpps": mpps, "offered_mpps": offered, "ns": ns})
            );
        } else {
            let (mpps, offered, ns) = (medians[at] / 1e6, offered[at] / 1e6, each[at]);
            println!("{name:<24} {mpps:.3} Mpps delivered of {offered:.3} offered, {ns:.0} ns of the processor each");
        }
    }
    let pairs = [
        ("af_packet maglane / minimal loop", 2, 0),
        ("af_packet maglane / loop, copied", 2, 1),
        ("af_xdp maglane / minimal loop", 4, 3),
        ("af_xdp maglane / af_packet maglane", 4, 2),
        ("af_xdp maglane / af_packet minimal loop", 4, 0),
    ];
    for (what, one, other) in pairs {
        // The rate, and what one unit of the processor's time carries: others that use the machine disturb that less.
        let (rate, work) = (Ratio::of(&rates[one], &rates[other]), Ratio::of(&costs[other], &costs[one]));
        if json {
            let (rates, works) = ([rate.least, rate.most], [work.least, work.most]);
            let (rate, work) = (rate.median, work.median);
            println!(
                "{}",
                serde_json::json!({
                    "bench": "devices", "ratio": what, "rate": rate, "per_processor_time": work,
                    "rate_spread": rates, "per_processor_time_spread": works,
                })
            );
        } else {
            println!("{what:<40} {rate}, per processor time {work}");
        }
    }
}

/// Of two figures of each round.
struct Ratio {
    median: f64,
    least: f64,
    most: f64,
}

impl Ratio {
    fn of(one: &[f64], other: &[f64]) -> Ratio {
        let all: Vec<f64> = one.iter().zip(other).map(|(one, other)| one / other).collect();
        let (least, most) = all.iter().fold((f64::MAX, 0.0_f64), |(least, most), &at| (least.min(at), most.max(at)));
        Ratio { median: median(all), least, most }
    }
}

impl std::fmt::Display for Ratio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} ({:.2} to {:.2})", self.median, self.least, self.most)
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn fail(words: &str) -> ! {
    eprintln!("devices: {words}");
    exit(2)
}
