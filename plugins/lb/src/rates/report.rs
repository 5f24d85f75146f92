//! Rates, and the table of them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::Serialize;

use super::sample::Sample;
use crate::config::State;

/// Rates over a shorter time than this would say nothing: such a time counts as this long.
const SHORTEST: Duration = Duration::from_millis(100);
/// The narrowest column of addresses.
const NARROWEST: usize = 15;

/// How much goes somewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rate {
    /// Packets per second.
    pub packets_per_second: u64,
    /// Bits per second of IP packets on their way to the server: as they came, and the headers in front of them.
    pub bits_per_second: u64,
}

/// How much goes to one destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Destination {
    /// Its number in the table, from 1.
    pub number: usize,
    /// Its address.
    pub address: IpAddr,
    /// Its own port, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// How much, from all VIPs together.
    #[serde(flatten)]
    pub rate: Rate,
    /// Whether it is still configured, for any VIP.
    pub state: State,
}

impl Destination {
    /// The address, and behind it the port where several ports of one address may be servers.
    fn place(&self) -> String {
        self.port.map_or(self.address.to_string(), |port| SocketAddr::new(self.address, port).to_string())
    }
}

/// `show lb rates`.
#[derive(Clone, Debug, Serialize)]
pub struct RateReport {
    /// The time over which packets were counted.
    pub seconds: f64,
    /// By address and port.
    pub destinations: Vec<Destination>,
    /// All together.
    pub totals: Rate,
}

impl RateReport {
    /// What went to servers between two samples, those of one VIP if its index is given. `overhead` is how many bytes the
    /// VIP of an index adds to each packet.
    pub fn new(before: &Sample, now: &Sample, vip: Option<u32>, overhead: impl Fn(u32) -> u64) -> Self {
        let seconds = now.at.saturating_duration_since(before.at).max(SHORTEST).as_secs_f64();
        let mut sums: BTreeMap<(IpAddr, Option<u16>), (u64, u64, State)> = BTreeMap::new();
        for server in now.servers.iter().filter(|server| vip.is_none_or(|vip| vip == server.vip)) {
            let (packets, bytes) = server.since(before.server(server.slot));
            let sum = sums.entry((server.address, server.port)).or_insert((0, 0, State::Removed));
            sum.0 += packets;
            sum.1 += bytes + packets * overhead(server.vip);
            if server.state == State::Used {
                sum.2 = State::Used;
            }
        }
        let mut totals = Rate::default();
        let destination = |(number, ((address, port), (packets, bytes, state)))| {
            let rate = Rate {
                packets_per_second: (packets as f64 / seconds).round() as u64,
                bits_per_second: (bytes as f64 * 8.0 / seconds).round() as u64,
            };
            // Of what is shown, so that the column adds up.
            totals.packets_per_second += rate.packets_per_second;
            totals.bits_per_second += rate.bits_per_second;
            Destination { number, address, port, rate, state }
        };
        let destinations = (1..).zip(sums).map(destination).collect();
        Self { seconds, destinations, totals }
    }
}

impl fmt::Display for RateReport {
    /// In the form of Netronome's `l4lb_stats.py`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "== Load balancer outbound statistics [last {:.1} s] ==\n", self.seconds)?;
        let addresses = self.destinations.iter().map(|destination| destination.place().len());
        // Up to the next stop of tabs.
        let width = addresses.fold(NARROWEST, usize::max) | 7;
        for destination in &self.destinations {
            let Destination { number, rate, state, .. } = destination;
            let address = destination.place();
            let removed = if *state == State::Removed { "\tremoved" } else { "" };
            writeln!(f, "{number:6}\t{address:width$}\t{rate}{removed}")?;
        }
        let blank = if self.destinations.is_empty() { "" } else { "\n" };
        writeln!(f, "{blank}  [Totals]{:\t<1$}{2}", "", width / 8 + 1, self.totals)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (packets, bits) = (thousands(self.packets_per_second), thousands(self.bits_per_second));
        write!(f, "{packets:>12} pkts/s\t{bits:>15} bits/s")
    }
}

/// A number in groups of three digits.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_in_groups() {
        let texts = [0, 7, 999, 1000, 12_345, 999_999, 1_000_000, u64::MAX].map(thousands);
        let expected = ["0", "7", "999", "1,000", "12,345", "999,999", "1,000,000", "18,446,744,073,709,551,615"];
        assert_eq!(texts, expected);
    }

    #[test]
    fn the_table_has_the_form_of_the_original() {
        let destination = |number, address: &str, packets_per_second, bits_per_second| Destination {
            number,
            address: address.parse().unwrap(),
            port: None,
            rate: Rate { packets_per_second, bits_per_second },
            state: State::Used,
        };
        let mut report = RateReport {
            seconds: 1.0,
            destinations: vec![
                destination(1, "10.0.0.57", 1_029_744, 1_186_266_224),
                destination(32, "10.0.159.176", 1_031_466, 1_188_249_616),
            ],
            totals: Rate { packets_per_second: 33_026_761, bits_per_second: 38_046_848_592 },
        };
        let expected = "== Load balancer outbound statistics [last 1.0 s] ==\n\n     \
            1\t10.0.0.57      \t   1,029,744 pkts/s\t  1,186,266,224 bits/s\n    \
            32\t10.0.159.176   \t   1,031,466 pkts/s\t  1,188,249,616 bits/s\n\n  \
            [Totals]\t\t  33,026,761 pkts/s\t 38,046,848,592 bits/s\n";
        assert_eq!(report.to_string(), expected);
        // Where an address is longer, all lines keep their columns: those of a terminal with a tab stop every 8.
        report.destinations.push(destination(33, "2001:db8:1234:5678::abcd", 5, 6));
        report.destinations[0].state = State::Removed;
        let text = report.to_string();
        let column = |line: &str| {
            let before = &line[..line.find(" pkts/s").unwrap()];
            before.chars().fold(0, |column, c| if c == '\t' { column / 8 * 8 + 8 } else { column + 1 })
        };
        let columns: Vec<usize> = text.lines().filter(|line| line.contains("pkts/s")).map(column).collect();
        assert_eq!(columns, [8 + 31 + 1 + 12; 4], "{text}");
        assert!(text.contains("bits/s\tremoved\n"), "{text}");
    }
}
