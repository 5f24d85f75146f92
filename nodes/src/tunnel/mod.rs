//! Tunnels over IPv4 and IPv6, of any [`Kind`], with packets of either family inside: interfaces that put headers in front of
//! packets, and the nodes that take them off again and know by which interface a packet thus came in.
//!
//! Whoever wants packets from everybody, by what is inside rather than by the tunnel's ends, opens the router for them with
//! [`Tunnels::open`].

mod control;
mod ecn;
mod encapsulate;
mod ends;
mod entrance;
mod input;
mod outer;
mod trace;

use std::net::{Ipv4Addr, Ipv6Addr};

use vnet::wire::ip4::protocol;
use vnet::{Builder, ErrorCodes, NodeSpec, Packet};

pub use self::trace::TunnelTrace;
pub use control::{Tunnel, TunnelError, Tunnels};
pub use ends::Ends;
pub use entrance::add_entrance;
pub use outer::{Facts, Outer};

/// What a packet in a tunnel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inner {
    /// IPv4.
    Ip4,
    /// IPv6.
    Ip6,
}

impl Inner {
    /// By the protocol number that stands for it in IP.
    #[inline(always)]
    pub fn of_protocol(number: u8) -> Option<Inner> {
        match number {
            protocol::IP_IN_IP => Some(Inner::Ip4),
            protocol::IPV6 => Some(Inner::Ip6),
            _ => None,
        }
    }

    /// The protocol number that stands for it in IP.
    #[inline(always)]
    pub fn protocol(self) -> u8 {
        match self {
            Inner::Ip4 => protocol::IP_IN_IP,
            Inner::Ip6 => protocol::IPV6,
        }
    }
}

/// What can become of a packet in a tunnel of any kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was taken out.
    Decapsulated,
    /// It is cut short.
    Short,
    /// Between these addresses there is no tunnel.
    NoTunnel,
    /// The tunnel's interface is down.
    Down,
    /// It met congestion that it cannot tell of (RFC 6040 section 4.2).
    Congested,
}

/// What tells a kind of tunnel from others. The value is what one tunnel of the kind was told beyond its ends.
pub trait Kind: Copy + Default + Send + Sync + 'static {
    /// Its number among the kinds, below [`KINDS`].
    const INDEX: usize;
    /// In commands and names of interfaces and nodes.
    const WORD: &'static str;
    /// In texts.
    const NAME: &'static str;
    /// The same with its article.
    const A_NAME: &'static str;
    /// Whether its headers depend on the flow inside.
    const BY_FLOW: bool = false;
    /// The UDP port that its packets go to; 0: they are no UDP.
    const PORT: u16 = 0;
    /// What its nodes count.
    type Error: ErrorCodes + Send;

    /// What every kind counts.
    fn error(fate: Fate) -> Self::Error;
    /// Where the inner packet begins and what it is. `at` is where the outer IP header ends, `protocol` what that says is
    /// next.
    ///
    /// # Errors
    /// What is wrong with the headers between.
    fn read(packet: &Packet<'_>, at: usize, protocol: u8) -> Result<(usize, Inner), Self::Error>;
    /// Bytes between the outer IP header and the inner packet.
    fn shim_len(self) -> usize;
    /// The outer header's protocol.
    fn protocol(inner: Inner) -> u8;
    /// Writes [`shim_len`](Kind::shim_len) bytes in front of an inner packet of `inner_len` bytes.
    fn write(self, place: &mut [u8], inner: Inner, inner_len: usize, flow_hash: u32);
    /// What `show` says of the tunnel beyond its ends; empty, or with a space in front.
    fn remark(self) -> &'static str {
        ""
    }
}

/// How many kinds there are.
pub const KINDS: usize = 3;

/// Registers what all kinds share.
pub(crate) fn register(builder: &mut Builder) {
    builder.extension(Ends::default());
    builder.state(Tunnels::default());
    builder.on_start(|router| {
        router.observe(|router| {
            router.with_state(|tunnels: &mut Tunnels, router| tunnels.follow_ways(router));
        });
    });
}

/// Registers the nodes that take a kind's headers off.
pub(crate) fn register_kind<K: Kind>(builder: &mut Builder) {
    builder.node(input_node::<K, Ipv4Addr>());
    builder.node(input_node::<K, Ipv6Addr>());
}

fn input_node<K: Kind, A: Outer>() -> NodeSpec {
    NodeSpec::packet(format!("{}{}-input", K::WORD, A::DIGIT), |_| input::Decapsulate::<K, A>::new())
}
