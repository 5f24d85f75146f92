//! What the fuzz targets share: a router without devices of the kernel, fed with frames.

use std::any::Any;
use std::cell::RefCell;
use std::net::Ipv6Addr;

use cli::{App, Console};
use trace::{Record, Text};
use vnet::fib::LinkKind;
use vnet::interface::{Caps, Device, Hardware};
use vnet::router::InterfaceSpec;
use vnet::wire::{HeaderBytes, Ip4Header, Ip6Header, Start};
use vnet::{
    Config, IfIndex, InputCx, InputNode, NoErrors, NodeSpec, Offload, Packet, Poll, Router, SinkCx, SinkNode, Vector,
    next_nodes,
};

/// The MAC address of the interface that frames come in by.
pub const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// The MAC address of its neighbour 10.0.1.2.
pub const NEIGHBOUR: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// Set up once: an address, neighbours, a tunnel of each kind, VIPs, routes of each kind.
const CONFIGURATION: &[&str] = &[
    "set interface ip address fuzz0 10.0.1.1/24",
    "set interface state fuzz0 up",
    "set interface promiscuous on fuzz0",
    "set ip neighbor static fuzz0 10.0.1.2 02:00:00:00:00:02",
    "set ip neighbor static fuzz0 10.0.1.3 02:00:00:00:00:03",
    "set interface ip address fuzz0 2001:db8:1::1/64",
    "set ip neighbor static fuzz0 2001:db8:1::2 02:00:00:00:00:02",
    "set ip neighbor static fuzz0 2001:db8:1::3 02:00:00:00:00:03",
    "ip route add 2001:db8:2::/48 via 2001:db8:1::2",
    "ip route add 2001:db8:3::/48 via 2001:db8:1::2 via 2001:db8:1::3",
    "ip route add 2001:db8:4::/48 via drop",
    "ip route add 11.0.0.0/8 via 10.0.1.2",
    "ip route add 12.0.0.0/8 via 10.0.1.2 via 10.0.1.3",
    "ip route add 13.0.0.0/8 via drop",
    "create gre tunnel src 10.0.1.1 dst 10.0.1.2",
    "create gre tunnel src 10.0.1.1 multipoint",
    "set interface state gre0 up",
    "set interface state gre1 up",
    "ip route add 14.0.0.0/8 via gre0",
    "create ipip tunnel src 10.0.1.1 dst 10.0.1.2",
    "create ipip tunnel src 2001:db8:1::1 multipoint",
    "create gue tunnel src 10.0.1.1 multipoint",
    "create gue tunnel src 2001:db8:1::1 dst 2001:db8:1::2 variant 1",
    "set interface state ipip0 up",
    "set interface state ipip1 up",
    "set interface state gue0 up",
    "set interface state gue1 up",
    "ip route add 15.0.0.0/8 via gue1",
    "ip route add 2001:db8:5::/48 via ipip0",
    "lb host vip 91.0.0.0/24 via 10.0.1.3 fuzz0",
    "lb host vip 91.0.1.1/32 via 10.0.1.3 fuzz0 dscp 9",
    "lb host vip 2001:db8:6::/64 via 2001:db8:1::3 fuzz0",
    "lb conf ip4-src-address 10.0.1.1 ip6-src-address 2001:db8:1::1 buckets 32",
    "lb vip 90.0.0.0/24 encap gre4 new_len 64",
    "lb as 90.0.0.0/24 10.0.1.2 10.0.1.3",
    "lb vip 90.0.1.0/24 protocol tcp port 80 encap gre4 new_len 64",
    "lb as 90.0.1.0/24 protocol tcp port 80 10.0.1.2",
    "lb vip 90.0.2.0/24 encap gre4 new_len 64",
    "lb vip 90.0.3.0/24 protocol udp port 443 new_len 64 quic-lb 0 server-id-len 1 nonce-len 4",
    "lb as 90.0.3.0/24 protocol udp port 443 10.0.1.2 server-id 00",
    "lb as 90.0.3.0/24 protocol udp port 443 10.0.1.3 server-id 01",
    "lb vip 2001:db8:9::/64 protocol udp port 443 new_len 64 quic-lb 0 server-id-len 1 nonce-len 4",
    "lb as 2001:db8:9::/64 protocol udp port 443 10.0.1.3 server-id 00",
    "lb vip 90.0.4.0/24 encap gue6 new_len 64",
    "lb as 90.0.4.0/24 2001:db8:1::3",
    "lb vip 2001:db8:a::/64 encap gre6 new_len 64",
    "lb as 2001:db8:a::/64 2001:db8:1::3",
    "lb vip 2001:db8:b::/64 encap ipip6 new_len 64 ping answer",
    "lb as 2001:db8:b::/64 2001:db8:1::3",
];

/// Runs a frame through the graph, traced, and prints the trace.
pub fn run_frame(frame: &[u8]) {
    run(Frame { bytes: frame.to_vec(), gso_size: 0 });
}

/// A frame to us that holds an outer packet around `payload`. Bits of `kind`: over IPv6; from nobody that is known; the two of
/// the congestion notification field.
pub fn outer(kind: u8, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let ecn = kind >> 2 & 3;
    let last = if kind & 2 == 0 { 2 } else { 9 };
    let (ethertype, packet) = if kind & 1 == 0 {
        let mut header = Ip4Header::new([10, 0, 1, last].into(), [10, 0, 1, 1].into(), protocol, payload.len(), 64);
        header.tos = ecn;
        header.set_checksum();
        ([8, 0], header.as_bytes().to_vec())
    } else {
        let address = |last| Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, last);
        let mut header = Ip6Header::new(address(last.into()), address(1), protocol, payload.len(), 64);
        header.version_class_flow.set(6 << 28 | u32::from(ecn) << 20);
        ([0x86, 0xdd], header.as_bytes().to_vec())
    };
    [&MAC[..], &NEIGHBOUR, &ethertype, &packet, payload].concat()
}

/// Runs a frame with IPv4 through the graph as a kernel hands over a large segment: pieces of so many bytes of payload
/// are to be cut, and checksums are unfinished.
pub fn run_large(frame: &[u8], gso_size: u16) {
    run(Frame { bytes: frame.to_vec(), gso_size });
}

fn run(frame: Frame) {
    thread_local!(static CONSOLE: RefCell<Console> = RefCell::new(console()));
    CONSOLE.with_borrow_mut(|console| {
        let router = console.router();
        let input = router.node("fuzz-input").expect("registered below");
        router.ask(0, move |worker| {
            worker.trace_add(input, 1);
            worker.local::<Feed>().expect("registered below").0 = Some(frame);
        });
        router.step();
        let left = router.ask(0, |worker| {
            let _ = worker.traces().text("vpp_main", 10);
            let _ = worker.traces().json(10).to_string();
            worker.trace_clear();
            worker.local::<Feed>().and_then(|feed| feed.0.take())
        });
        assert!(left.is_none(), "no buffer is free: some were lost");
        router.publish();
        router.step();
        let (used, held) = router.ask(0, |worker| {
            let held = worker.local::<lb::local::LbLocal>().map_or(0, |local| local.fragments.held());
            (worker.buffers_in_use() as u64, held as u64)
        });
        assert_eq!(
            used,
            waiting(router) + held,
            "every buffer is free but those of packets that wait for a neighbour, or for the first of their fragments"
        );
    });
}

/// Packets that wait for a neighbour, by the counters of the nodes that keep them and let them go.
fn waiting(router: &Router) -> u64 {
    let count = |node: &str, ended: &[&str]| {
        let info = router.node(node).and_then(|node| router.node_info(node)).expect("a node of every router");
        let stats = &info.stats[0];
        let ends = info.errors.iter().zip(stats.errors.iter()).filter(|(error, _)| ended.contains(&error.text));
        (stats.vectors.get(), ends.map(|(_, count)| count.get()).sum::<u64>())
    };
    let refused =
        ["too many packets wait for the neighbour", "too many unresolved neighbours", "no address to ask for"];
    let resolvers = ["ip4-glean", "ip4-arp", "ip6-glean", "ip6-discover-neighbor"];
    let (came, gone): (Vec<u64>, Vec<u64>) = resolvers.iter().map(|node| count(node, &refused)).unzip();
    let over = ["arp-wait", "nd-wait"].map(|node| count(node, &["packets released", "neighbour did not answer"]).1);
    came.iter().sum::<u64>() - gone.iter().sum::<u64>() - over.iter().sum::<u64>()
}

/// A router with the interface `fuzz0` and nothing that reaches the machine it runs on.
pub fn console() -> Console {
    let mut app = App::new();
    nodes::register(&mut app);
    lb::register(&mut app);
    app.builder.local(|_| Feed::default());
    app.builder.node(NodeSpec::input("fuzz-input", |_| Input));
    let config = Config { inline: true, buffers: 4096, ..Config::default() };
    let mut console = app.build(&config).expect("the graph is whole");
    let made = console.router().add_interface(InterfaceSpec {
        name: "fuzz0".into(),
        mac: MAC,
        mtu: 1500,
        link: LinkKind::Ethernet,
        caps: Caps::empty(),
        link_up: true,
        device: Box::new(Nothing),
        nodes: Box::new(|index| [nodes::output::spec("fuzz0", index), NodeSpec::sink("fuzz0-tx", |_| Transmit)]),
    });
    assert_eq!(made.map_err(|error| error.to_string()), Ok(FUZZ0));
    for line in CONFIGURATION {
        if let Err(error) = console.exec(line) {
            panic!("{line}: {error}");
        }
    }
    console
}

/// The interface's number: the first after `local0`.
const FUZZ0: IfIndex = IfIndex(1);

struct Nothing;

impl Device for Nothing {
    fn hardware(&self) -> Hardware {
        Hardware { name: "nothing".into(), lines: Vec::new() }
    }
    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

/// The frame that comes in next.
#[derive(Default)]
struct Feed(Option<Frame>);

struct Frame {
    bytes: Vec<u8>,
    /// 0: nothing is left to do.
    gso_size: u16,
}

impl Frame {
    /// Notes in the packet what its sender left to do.
    fn leave_work(&self, packet: &mut Packet<'_>) {
        let (Some(first), Some(number4), Some(number6)) = (self.bytes.get(14), self.bytes.get(23), self.bytes.get(20))
        else {
            return;
        };
        let ip6 = first >> 4 == 6;
        let udp = if ip6 { *number6 == 17 } else { *number4 == 17 };
        let (offload, offset) = match (udp, ip6) {
            (true, _) => (Offload::GSO_UDP, 6),
            (false, false) => (Offload::GSO_TCP4, 16),
            (false, true) => (Offload::GSO_TCP6, 16),
        };
        let start = 14 + if ip6 { 40 } else { usize::from(first & 0xf) * 4 };
        // What does not fit is not asked for: the devices see to that.
        if self.gso_size == 0 || start + offset + 2 > packet.data().len() {
            return;
        }
        packet.set_csum_start(start);
        let meta = packet.meta_mut();
        (meta.offload, meta.gso_size, meta.csum_offset) = (offload | Offload::CHECKSUM, self.gso_size, offset as u16);
    }
}

next_nodes! {
    enum Next {
        Drop => "error-drop",
        Ethernet => "ethernet-input",
    }
}

struct Input;

#[derive(serde::Serialize)]
struct Seen(#[serde(skip)] HeaderBytes);

impl Record for Seen {
    fn text(&self, text: &mut Text) {
        self.0.text(text);
    }
}

impl InputNode for Input {
    type Next = Next;
    type Error = NoErrors;
    type Local = Feed;
    type Trace = Seen;

    fn poll(&mut self, cx: &mut InputCx<'_, '_, Self>) -> Poll {
        if cx.room() == 0 {
            return Poll::Idle;
        }
        let Some(frame) = cx.local.0.take() else { return Poll::Idle };
        let trace = |packet: &Packet<'_>| Seen(HeaderBytes::new(Start::Ethernet, packet.data()));
        let finish = |packet: &mut Packet<'_>| {
            frame.leave_work(packet);
            Next::Ethernet
        };
        match cx.deliver(FUZZ0, &frame.bytes, finish, trace) {
            Ok(()) => Poll::Busy(1),
            Err(_) => {
                cx.local.0 = Some(frame);
                Poll::Idle
            }
        }
    }
}

/// Throws away what is sent, after a look at what left the graph.
struct Transmit;

impl SinkNode for Transmit {
    type Error = NoErrors;
    type Trace = ();

    fn consume(&mut self, _: &mut SinkCx<'_, '_, Self>, vector: &mut Vector<'_>) {
        for at in 0..vector.len() {
            let packet = vector.packet(at);
            assert!(packet.len() >= 14, "a frame of {} bytes was sent", packet.len());
            assert!(packet.len() <= 14 + 1500, "a frame of {} bytes was sent", packet.len());
        }
    }

    fn trace(&self, _: &SinkCx<'_, '_, Self>, _: &Packet<'_>) {}
}
