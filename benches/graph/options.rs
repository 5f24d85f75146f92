//! What is measured: the words behind `--`.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// The encapsulations there are figures for, and whether VIPs of IPv4 and IPv6 have them.
pub const ENCAPS: [(&str, bool, bool); 12] = [
    ("gre4", true, true),
    ("gre6", true, true),
    ("ipip4", true, true),
    ("ipip6", true, true),
    ("gue4", true, true),
    ("gue6", true, true),
    ("l3dsr", true, false),
    ("l2dsr", true, true),
    ("nat4", true, false),
    ("fullnat4", true, false),
    ("nat6", false, true),
    ("fullnat6", false, true),
];

/// One configuration to measure, and how to print it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Lines of JSON instead of text.
    pub json: bool,
    /// Packets per round; the first round fills the flow table and is not counted.
    pub packets: u64,
    /// How packets travel to servers: a name of [`ENCAPS`].
    pub encaps: Vec<String>,
    /// VIPs of IPv6 instead of IPv4.
    pub ip6: bool,
    /// VIPs, of which each flow has one.
    pub vips: u32,
    /// Servers of each VIP.
    pub servers: u32,
    /// Routes beside those that the path needs.
    pub routes: u32,
    /// Packets in a vector.
    pub vector: u32,
    /// Packet threads, each with a stream of its own.
    pub workers: u32,
    /// Flows, one measurement each.
    pub flows: Vec<u32>,
}

/// One sentence for whoever typed something else.
pub const USAGE: &str = "expected [--json] [--packets N] [--encap NAME|all] [--ip6] [--vips N] [--servers N] [--routes N] \
                         [--vector N] [--workers N] [FLOWS ...]";

impl Options {
    /// Understands the words.
    ///
    /// # Errors
    /// A sentence that names the word at fault.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Options {
            json: false,
            packets: 10_000_000,
            encaps: Vec::new(),
            ip6: false,
            vips: 1,
            servers: 7,
            routes: 0,
            vector: 256,
            workers: 1,
            flows: Vec::new(),
        };
        let mut encap = "gre4".to_string();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("expected a value after `{word}'"));
            match word.as_str() {
                // Cargo adds this.
                "--bench" => (),
                "--json" => options.json = true,
                "--ip6" => options.ip6 = true,
                "--encap" => encap = value()?,
                "--packets" => options.packets = number(&value()?, &word, 1..=1_000_000_000)?,
                "--vips" => options.vips = number(&value()?, &word, 1..=65_536)?,
                "--servers" => options.servers = number(&value()?, &word, 1..=200)?,
                "--routes" => options.routes = number(&value()?, &word, 0..=4_000_000)?,
                "--vector" => options.vector = number(&value()?, &word, 1..=256)?,
                "--workers" => options.workers = number(&value()?, &word, 1..=64)?,
                flows if !flows.starts_with('-') => options.flows.push(number(flows, "FLOWS", 1..=16_000_000)?),
                _ => return Err(format!("unknown word `{word}': {USAGE}")),
            }
        }
        options.encaps = encaps(&encap, options.ip6)?;
        if options.flows.is_empty() {
            options.flows = vec![1_000, 100_000, 1_000_000, 4_000_000];
        }
        Ok(options)
    }
}

/// The encapsulations that a word stands for.
fn encaps(word: &str, ip6: bool) -> Result<Vec<String>, String> {
    let has = |(_, four, six): &(&str, bool, bool)| if ip6 { *six } else { *four };
    let names: Vec<&str> = ENCAPS.iter().filter(|encap| has(encap)).map(|(name, ..)| *name).collect();
    match word {
        "all" => Ok(names.into_iter().map(String::from).collect()),
        _ if names.contains(&word) => Ok(vec![word.to_string()]),
        _ => Err(format!("unknown encap `{word}': expected all or one of {}", names.join(", "))),
    }
}

fn number<T: FromStr + PartialOrd + Display>(word: &str, what: &str, range: RangeInclusive<T>) -> Result<T, String> {
    let parsed = word.parse().ok().filter(|number| range.contains(number));
    parsed
        .ok_or_else(|| format!("expected for {what} a number from {} to {}, got `{word}'", range.start(), range.end()))
}
