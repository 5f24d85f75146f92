//! The lines that configure a router for a measurement.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::options::Options;

/// Everything up to the streams.
pub fn configuration(options: &Options, encap: &str, flows: u32) -> Vec<String> {
    let outer6 = encap.ends_with('6') || (options.ip6 && encap == "l2dsr");
    let mut lines = Vec::new();
    // Packets leave by pg1, and come in by one interface for each worker: pg0, pg2, pg3…
    for port in 0..=options.workers {
        lines.push(format!("create packet-generator interface pg{port} hw-addr 02:fe:00:00:00:{:02x}", port + 1));
        lines.push(format!("set interface ip address pg{port} 10.{port}.0.1/16"));
        lines.push(format!("set interface ip address pg{port} 2001:db8:{port}::1/64"));
        lines.push(format!("set interface state pg{port} up"));
    }
    // As many buckets as the yardstick has: one per flow.
    let buckets = flows.next_power_of_two().max(1024);
    lines
        .push(format!("lb conf ip4-src-address 10.1.0.1 ip6-src-address 2001:db8:1::1 timeout 3600 buckets {buckets}"));
    if options.routes > 0 {
        lines.push(format!("ip route add count {} 32.0.0.0/28 via 10.1.0.2 pg1", options.routes));
    }
    for server in 0..options.servers {
        lines.push(format!("set ip neighbor pg1 {} 02:00:00:00:00:{:02x}", address(server, outer6), server + 2));
    }
    let port = encap.contains("nat");
    for vip in 0..options.vips {
        let prefix = prefix(options, vip);
        let named = if port { format!("{prefix} protocol udp port 80") } else { prefix };
        let more = match encap {
            "l3dsr" => "encap l3dsr dscp 7".to_string(),
            name if port => format!("encap {name} type clusterip target_port 8080"),
            name => format!("encap {name}"),
        };
        lines.push(format!("lb vip {named} {more}"));
        let servers: Vec<String> = (0..options.servers).map(|server| address(server, outer6)).collect();
        lines.push(format!("lb as {named} {}", servers.join(" ")));
    }
    lines
}

/// The stream of a worker. Its packets come in by an interface of its own.
pub fn stream(options: &Options, flows: u32, worker: u32) -> String {
    let Options { packets, vips, vector, .. } = options;
    let (size, clients, from, to) = if options.ip6 {
        let base = Ipv6Addr::new(0x2001, 0xdb8, 0xc, worker as u16, 0, 0, 0, 0).to_bits();
        let last = Ipv6Addr::from_bits(base + u128::from(flows - 1));
        let vip = Ipv6Addr::from_bits(vip6(0).to_bits() + u128::from(vips - 1));
        (78, format!("{} - {last}", Ipv6Addr::from_bits(base)), vip6(0).to_string(), vip.to_string())
    } else {
        let base = u32::from(Ipv4Addr::new(20 + worker as u8 * 2, 0, 0, 0));
        let last = Ipv4Addr::from(base + flows - 1);
        (64, format!("{} - {last}", Ipv4Addr::from(base)), vip4(0).to_string(), vip4(vips - 1).to_string())
    };
    let (name, bytes) = if options.ip6 { ("IP6", 24) } else { ("IP4", 30) };
    let to = if *vips == 1 { from } else { format!("{from} - {to}") };
    let port = if worker == 0 { 0 } else { worker + 1 };
    format!(
        "packet-generator new {{ name s{worker} limit {packets} size {size}-{size} maxframe {vector} worker {worker} \
         interface pg{port} node ethernet-input \
         data {{ {name}: 02:00:00:00:01:02 -> 02:fe:00:00:00:{:02x} UDP: {clients} -> {to} UDP: 1000 -> 80 \
         length {bytes} incrementing 22 }} }}",
        port + 1
    )
}

fn address(server: u32, ip6: bool) -> String {
    if ip6 { format!("2001:db8:1::{:x}", server + 2) } else { format!("10.1.0.{}", server + 2) }
}

fn prefix(options: &Options, vip: u32) -> String {
    if options.ip6 { format!("{}/128", vip6(vip)) } else { format!("{}/32", vip4(vip)) }
}

fn vip4(vip: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(90, 0, 0, 1)) + vip)
}

fn vip6(vip: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits(Ipv6Addr::new(0x2001, 0xdb8, 0x9000, 0, 0, 0, 0, 1).to_bits() + u128::from(vip))
}
