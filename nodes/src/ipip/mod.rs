//! IP-in-IP tunnels (RFC 2003, RFC 2473, RFC 4213): `ipip4-input` and `ipip6-input` take the outer header off, `ipipN-tx` puts
//! it on.

use vnet::{Builder, Packet, node_errors};

use crate::tunnel::{self, Fate, Inner, Kind};

/// A packet of either family right behind the outer header.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ipip;

node_errors! {
    /// What `ipip4-input` and `ipip6-input` find.
    pub enum Error {
        /// Packets taken out of a tunnel.
        Decapsulated => info "IPIP packets decapsulated",
        /// Cut short.
        Short => error "IPIP packet too short",
        /// Neither IPv4 nor IPv6 is inside; only a broken node sends such a packet here.
        UnknownProtocol => error "IPIP payload is not IP",
        /// Between these addresses there is no tunnel.
        NoTunnel => error "no such IPIP tunnel",
        /// The tunnel's interface is down.
        Down => error "IPIP tunnel is down",
        /// RFC 6040 section 4.2: it met congestion, and its receiver would not understand.
        Congested => error "IPIP congested, but not ECN-capable",
    }
}

impl Kind for Ipip {
    const INDEX: usize = 1;
    const WORD: &'static str = "ipip";
    const NAME: &'static str = "IPIP";
    const A_NAME: &'static str = "an IPIP";
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

    #[inline(always)]
    fn read(_: &Packet<'_>, at: usize, protocol: u8) -> Result<(usize, Inner), Error> {
        Ok((at, Inner::of_protocol(protocol).ok_or(Error::UnknownProtocol)?))
    }

    #[inline(always)]
    fn shim_len(self) -> usize {
        0
    }

    #[inline(always)]
    fn protocol(inner: Inner) -> u8 {
        inner.protocol()
    }

    #[inline(always)]
    fn write(self, _: &mut [u8], _: Inner, _: usize, _: u32) {}
}

pub(crate) fn register(builder: &mut Builder) {
    tunnel::register_kind::<Ipip>(builder);
}
