//! GUE tunnels (draft-ietf-intarea-gue-09): IP in UDP. `gue4-input` and `gue6-input` take the outer headers off, `gueN-tx` puts
//! them on.

use std::net::{Ipv4Addr, Ipv6Addr};

use vnet::wire::gue::{self, GueError, GueHeader};
use vnet::wire::ip4::protocol;
use vnet::wire::udp::UdpHeader;
use vnet::{Builder, Packet, Router, node_errors};

use crate::ip::Ip;
use crate::tunnel::{self, Fate, Inner, Kind};
use crate::udp;

/// IP in UDP, by default with the header of variant 0 between.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gue {
    /// Variant 1: the inner packet follows the UDP header at once.
    pub direct: bool,
}

node_errors! {
    /// What `gue4-input` and `gue6-input` find.
    pub enum Error {
        /// Packets taken out of a tunnel.
        Decapsulated => info "GUE packets decapsulated",
        /// Cut short.
        Short => error "bad GUE header",
        /// A variant that nobody here knows.
        Variant => error "unknown GUE variant",
        /// A message to the tunnel's end itself.
        Control => error "GUE control message",
        /// Optional fields that nobody here knows.
        Flags => error "unknown GUE flags",
        /// Neither IPv4 nor IPv6 is inside.
        UnknownProtocol => error "GUE payload is not IP",
        /// Between these addresses there is no tunnel.
        NoTunnel => error "no such GUE tunnel",
        /// The tunnel's interface is down.
        Down => error "GUE tunnel is down",
        /// RFC 6040 section 4.2: it met congestion, and its receiver would not understand.
        Congested => error "GUE congested, but not ECN-capable",
    }
}

impl From<GueError> for Error {
    fn from(error: GueError) -> Error {
        match error {
            GueError::Short => Error::Short,
            GueError::Variant => Error::Variant,
            GueError::Control => Error::Control,
            GueError::Flags => Error::Flags,
        }
    }
}

impl Kind for Gue {
    const INDEX: usize = 2;
    const WORD: &'static str = "gue";
    const NAME: &'static str = "GUE";
    const A_NAME: &'static str = "a GUE";
    const BY_FLOW: bool = true;
    const PORT: u16 = gue::PORT;
    type Error = Error;

    #[inline(always)]
    fn error(fate: Fate) -> Error {
        match fate {
            Fate::Decapsulated => Error::Decapsulated,
            Fate::Short => Error::Short,
            Fate::NoTunnel => Error::NoTunnel,
            Fate::Down => Error::Down,
            Fate::Congested => Error::Congested,
        }
    }

    /// `at` is where the UDP header stands, which was checked before.
    #[inline(always)]
    fn read(packet: &Packet<'_>, at: usize, _: u8) -> Result<(usize, Inner), Error> {
        let at = at + UdpHeader::LEN;
        let header = gue::parse(packet.data().get(at..).ok_or(Error::Short)?)?;
        let inner = Inner::of_protocol(header.protocol).ok_or(Error::UnknownProtocol)?;
        Ok((at + header.header_len, inner))
    }

    #[inline(always)]
    fn shim_len(self) -> usize {
        UdpHeader::LEN + if self.direct { 0 } else { GueHeader::LEN }
    }

    #[inline(always)]
    fn protocol(_: Inner) -> u8 {
        protocol::UDP
    }

    /// Without a checksum: the inner packet has its own, and none is needed over IPv6 either (RFC 6935 section 5).
    #[inline]
    fn write(self, place: &mut [u8], inner: Inner, inner_len: usize, flow_hash: u32) {
        let more = self.shim_len() - UdpHeader::LEN;
        let header = UdpHeader::new(gue::source_port(flow_hash), gue::PORT, more + inner_len);
        // There is room: the caller was told how much it takes.
        if let Ok(rest) = header.emit(place)
            && !self.direct
        {
            let _ = GueHeader::new(inner.protocol()).emit(rest);
        }
    }

    fn remark(self) -> &'static str {
        if self.direct { " variant 1" } else { "" }
    }
}

pub(crate) fn register(builder: &mut Builder) {
    tunnel::register_kind::<Gue>(builder);
    builder.on_start(|router| {
        listen::<Ipv4Addr>(router, "gue4-input");
        listen::<Ipv6Addr>(router, "gue6-input");
    });
}

/// Nobody can have the port yet.
fn listen<A: Ip>(router: &mut Router, node: &str) {
    if let Some(node) = router.node(node) {
        let _ = udp::listen::<A>(router, gue::PORT, node);
    }
}
