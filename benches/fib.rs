//! Routing alone: looking up random addresses among many routes, adding routes, changing one, memory.
//!
//! `cargo bench --bench fib [-- [--json] [--most N]]`: for 1,000 routes, 100,000, and 1,000,000 of each family. Look-ups
//! are cycles of the time-stamp counter per address, 256 addresses at a time that each fall into a route picked at
//! random: those of a vector together, as the nodes do it, and one by one. Most routes of IPv4 are /24s, of IPv6 /48s,
//! as in the Internet; many lie inside of others. `ip6` has routes anywhere, `ip6-public` such as they are given out:
//! networks side by side, each with routes of its own inside. Memory is what the process has more than before, all that
//! the control side keeps included. Each measurement is a process of its own, so that none gets the memory of another
//! one.

#[path = "common/memory.rs"]
mod memory;
#[path = "common/words.rs"]
mod words;

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::Command;
use std::time::Instant;

use vnet::fib::{Address, FibNodes, Forward, InterfaceFacts, LinkKind, Path, Prefix, Rib, Snapshot, Source};
use vnet::{ForwardIndex, IfIndex, NodeId};

const NEXT_HOPS: u32 = 16;
const LINK: IfIndex = IfIndex(1);
const LOOKUPS: usize = 1 << 22;
const CHANGES: u32 = 1000;
/// IPv6 as in the Internet.
const PUBLIC: &str = "ip6-public";

fn main() {
    let own: Vec<String> = std::env::args().skip(1).collect();
    let own: Vec<&str> = own.iter().map(String::as_str).collect();
    // What this program starts of itself.
    if let ["measure", family, routes, json] = own[..] {
        let routes = routes.parse().unwrap_or(0);
        return if family == "ip4" {
            measure::<Ipv4Addr>(family, routes, json == "true")
        } else {
            measure::<Ipv6Addr>(family, routes, json == "true")
        };
    }
    let (json, [most]) = words::read([("most", 1_000_000)]);
    let program = std::env::current_exe().unwrap_or_else(|error| words::fail(&error.to_string()));
    for family in ["ip4", "ip6", PUBLIC] {
        for routes in [1_000, 100_000, 1_000_000].into_iter().filter(|routes| *routes <= most) {
            let status =
                Command::new(&program).args(["measure", family, &routes.to_string(), &json.to_string()]).status();
            if !status.is_ok_and(|status| status.success()) {
                words::fail(&format!("{family}, {routes} routes: failed"));
            }
        }
    }
}

/// What differs between the families.
trait Family: Address {
    /// Prefix `n` of a table of about `count`; some come twice.
    fn prefix(family: &str, n: u64, count: u32) -> Option<Prefix<Self>>;
    /// Our own address, and next hop `n`, on the same link.
    fn on_link(n: u32) -> Self;
}

impl Family for Ipv4Addr {
    /// Where nothing is reserved.
    fn prefix(_: &str, n: u64, _: u32) -> Option<Prefix<Self>> {
        let len = match random((n, 3)) % 100 {
            0..60 => 24,
            60..72 => 22,
            72..80 => 23,
            80..88 => 20,
            88..94 => 21,
            94..98 => 19,
            98 => 16,
            _ => 28,
        };
        let random = random((n, 1));
        let first = 11 + (random >> 32) % 100;
        Prefix::new(Ipv4Addr::from_bits((first as u32) << 24 | random as u32 & 0x00ff_ffff), len)
    }

    fn on_link(n: u32) -> Self {
        Ipv4Addr::new(10, 0, 0, 1 + n as u8)
    }
}

impl Family for Ipv6Addr {
    fn prefix(family: &str, n: u64, count: u32) -> Option<Prefix<Self>> {
        if family == PUBLIC {
            return public(n, count.into());
        }
        let len = match random((n, 3)) % 100 {
            0..50 => 48,
            50..65 => 44,
            65..75 => 40,
            75..85 => 32,
            85..90 => 36,
            90..95 => 56,
            _ => 64,
        };
        // In 2400::/8 to 2bff::/8.
        let (high, low) = (random((n, 1)), random((n, 2)));
        let first = 0x24 + (high >> 56) % 8;
        let bits = u128::from(high & 0x00ff_ffff_ffff_ffff | first << 56) << 64 | u128::from(low);
        Prefix::new(Ipv6Addr::from_bits(bits), len)
    }

    fn on_link(n: u32) -> Self {
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1 + n as u16)
    }
}

/// A prefix such as the registries give out, or of a part of one. A fourth as many networks as prefixes stand close to
/// each other in the space of their registry; some announce many parts of theirs, most of them few, and half of those
/// parts are the first ones.
fn public(n: u64, count: u64) -> Option<Prefix<Ipv6Addr>> {
    const REGISTRIES: [u64; 6] = [0x2001, 0x2400, 0x2600, 0x2800, 0x2a00, 0x2c00];
    let networks = (count / 4).max(1);
    let network = random((n, 1)) % networks * (random((n, 2)) % 1000) / 1000;
    let registry = REGISTRIES[random((network, 3)) as usize % REGISTRIES.len()] << 16;
    let place = (random((network, 4)) % networks.max(8)) & 0xf_ffff;
    let part = random((n, 5)) as u32;
    let part = if random((n, 6)).is_multiple_of(2) { part << 28 } else { part };
    let len = match random((n, 7)) % 100 {
        0..47 => 48,
        47..58 => 32,
        58..68 => 44,
        68..76 => 40,
        76..83 => 36,
        83..87 => 29,
        87..90 => 46,
        90..92 => 47,
        92..94 => 45,
        94..96 => 42,
        96..98 => 38,
        98 => 33,
        _ => 34,
    };
    Prefix::new(Ipv6Addr::from_bits(u128::from((registry + place) << 32 | u64::from(part)) << 64), len)
}

/// Bits that look random, the same in every run.
fn random(of: impl Hash) -> u64 {
    // With keys of zeros.
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

fn measure<A: Family>(family: &str, count: u32, json: bool) {
    let routes = routes::<A>(family, count);
    let before = memory::in_use();
    let mut rib = rib::<A>();
    let begun = Instant::now();
    for (n, prefix) in (0..).zip(&routes) {
        add(&mut rib, *prefix, n % NEXT_HOPS);
    }
    let snapshot = rib.publish();
    let added = begun.elapsed().as_secs_f64();
    let bytes = (memory::in_use() - before) as f64 / f64::from(count);

    let begun = Instant::now();
    let mut kept = snapshot.clone();
    for n in 0..CHANGES {
        // Another next hop by a source that comes first, and back.
        let (prefix, path) = (routes[(n / 2) as usize % routes.len()], Path::via(A::on_link(1), Some(LINK)));
        let done = if n % 2 == 0 {
            rib.add_route(Source::Api, prefix, path)
        } else {
            rib.del_route(Source::Api, prefix, path)
        };
        done.unwrap_or_else(|error| panic!("{prefix}: {error}"));
        kept = rib.publish();
    }
    let change = begun.elapsed().as_secs_f64() / f64::from(CHANGES);

    judge(&routes, &snapshot);
    judge(&routes, &kept);
    let (lookup, alone) = look_up(&routes, &snapshot);
    let bits = A::BITS;
    if json {
        let line = serde_json::json!({
            "bench": "fib", "family": family, "routes": count, "lookup": lookup, "lookup_alone": alone,
            "add_us": added * 1e6 / f64::from(count), "change_us": change * 1e6, "bytes_per_route": bytes, "bits": bits,
        });
        println!("{line}");
    } else {
        println!(
            "{family:10} {count:>8} routes  look-up {lookup:.1} cycles, alone {alone:.1}  added and published in {:.1} ms ({:.2} us each)  \
             one change published {:.1} us  {bytes:.0} bytes each",
            added * 1e3,
            added * 1e6 / f64::from(count),
            change * 1e6
        );
    }
}

/// Prefixes, none twice.
fn routes<A: Family>(family: &str, count: u32) -> Vec<Prefix<A>> {
    let mut seen = HashSet::new();
    let made = (0u64..).filter_map(|n| A::prefix(family, n, count));
    made.filter(|prefix| seen.insert(*prefix)).take(count as usize).collect()
}

/// No routes yet; next hops whose link addresses are known.
fn rib<A: Family>() -> Rib<A> {
    let [drop, receive, glean, arp, rewrite, load_balance] = [1, 2, 3, 4, 5, 6].map(NodeId);
    let mut rib = Rib::new(FibNodes { drop, receive, glean, arp, rewrite, load_balance });
    rib.interface_changed(InterfaceFacts {
        index: LINK,
        name: "pg1".into(),
        output_node: NodeId(10),
        mtu: 1500,
        mac: [2, 0xfe, 0, 0, 0, 1],
        link: LinkKind::Ethernet,
        up: true,
    });
    rib.add_interface_address(LINK, A::on_link(0), A::BITS - 8).unwrap_or_else(|error| panic!("{error}"));
    for n in 0..NEXT_HOPS {
        rib.set_neighbour(LINK, A::on_link(1 + n), [2, 0, 0, 0, 0, n as u8], true);
    }
    rib
}

fn add<A: Family>(rib: &mut Rib<A>, prefix: Prefix<A>, next_hop: u32) {
    let path = Path::via(A::on_link(1 + next_hop), Some(LINK));
    rib.add_route(Source::Cli, prefix, path).unwrap_or_else(|error| panic!("{prefix}: {error}"));
}

/// An address in a route.
fn inside<A: Family>(routes: &[Prefix<A>], n: usize) -> A {
    let prefix = routes[(random((n, 4)) % routes.len() as u64) as usize];
    // The first or the last one, which may be in a longer prefix.
    if n.is_multiple_of(2) { prefix.address() } else { prefix.last() }
}

/// Whether addresses go where the longest of the prefixes that have them leads.
fn judge<A: Family>(routes: &[Prefix<A>], snapshot: &Snapshot<A>) {
    let next_hops: HashMap<Prefix<A>, u32> = (0..).zip(routes).map(|(n, prefix)| (*prefix, n % NEXT_HOPS)).collect();
    let forward = |address| snapshot.forward(snapshot.find(address));
    let leads: Vec<Forward> = (0..NEXT_HOPS).map(|n| forward(A::on_link(1 + n))).collect();
    for n in 0..20_000 {
        let address = inside(routes, n);
        let longest = (0..=A::BITS).rev().find_map(|len| next_hops.get(&Prefix::new(address.masked(len), len)?));
        let expected = longest.map(|next_hop| leads[*next_hop as usize]);
        assert_eq!(Some(forward(address)), expected, "{address}");
    }
}

/// Cycles per look-up: of a vector together, and one by one.
fn look_up<A: Family>(routes: &[Prefix<A>], snapshot: &Snapshot<A>) -> (f64, f64) {
    let addresses: Vec<A> = (0..LOOKUPS).map(|n| inside(routes, n)).collect();
    let clock = quanta::Clock::new();
    let cycles = |each: &dyn Fn(&[A]) -> u32| {
        let begun = clock.raw();
        for addresses in addresses.chunks(vnet::VECTOR) {
            assert_ne!(std::hint::black_box(each(addresses)), 0, "no route");
        }
        (clock.raw() - begun) as f64 / LOOKUPS as f64
    };
    let together = cycles(&|addresses| {
        let mut entries = [ForwardIndex(0); vnet::VECTOR];
        snapshot.find_many(addresses, &mut entries);
        entries.iter().fold(0, |all, entry| all | entry.0)
    });
    let alone = cycles(&|addresses| addresses.iter().fold(0, |all, address| all | snapshot.find(*address).0));
    (together, alone)
}
