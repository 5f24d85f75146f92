//! GRE tunnels (RFC 2784; over IPv6, RFC 7676): `gre4-input` and `gre6-input` take the outer headers off, `greN-tx` puts them
//! on.

use vnet::wire::ip4::protocol;
use vnet::wire::{checksum, ethernet, gre};
use vnet::{Builder, Packet, node_errors};

use crate::tunnel::{self, Fate, Inner, Kind};

/// GRE without checksum, key and sequence numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gre;

node_errors! {
    /// What `gre4-input` and `gre6-input` find.
    pub enum Error {
        /// Packets taken out of a tunnel.
        Decapsulated => info "GRE packets decapsulated",
        /// Cut short, of another version, or with routing.
        BadHeader => error "bad GRE header",
        /// The optional checksum is wrong.
        BadChecksum => error "bad GRE checksum",
        /// A key, which no tunnel here has.
        Key => error "GRE key does not match a tunnel",
        /// Neither IPv4 nor IPv6 is inside.
        UnknownProtocol => error "GRE payload is not IP",
        /// Between these addresses there is no tunnel.
        NoTunnel => error "no such GRE tunnel",
        /// The tunnel's interface is down.
        Down => error "GRE tunnel is down",
        /// RFC 6040 section 4.2: it met congestion, and its receiver would not understand.
        Congested => error "GRE congested, but not ECN-capable",
    }
}

impl Kind for Gre {
    const INDEX: usize = 0;
    const WORD: &'static str = "gre";
    const NAME: &'static str = "GRE";
    const A_NAME: &'static str = "a GRE";
    type Error = Error;

    #[inline(always)]
    fn error(fate: Fate) -> Error {
        match fate {
            Fate::Decapsulated => Error::Decapsulated,
            Fate::Short => Error::BadHeader,
            Fate::NoTunnel => Error::NoTunnel,
            Fate::Down => Error::Down,
            Fate::Congested => Error::Congested,
        }
    }

    #[inline(always)]
    fn read(packet: &Packet<'_>, at: usize, _: u8) -> Result<(usize, Inner), Error> {
        let header = packet.data().get(at..).ok_or(Error::BadHeader)?;
        let header = gre::parse(header).map_err(|_| Error::BadHeader)?;
        if header.checksum.is_some() && checksum::finish(checksum::sum_segments(packet.segments(), at, 0)) != 0 {
            return Err(Error::BadChecksum);
        }
        if header.key.is_some() {
            return Err(Error::Key);
        }
        let inner = match header.protocol {
            ethernet::IP4 => Inner::Ip4,
            ethernet::IP6 => Inner::Ip6,
            _ => return Err(Error::UnknownProtocol),
        };
        Ok((at + header.header_len, inner))
    }

    #[inline(always)]
    fn shim_len(self) -> usize {
        gre::GreHeader::LEN
    }

    #[inline(always)]
    fn protocol(_: Inner) -> u8 {
        protocol::GRE
    }

    #[inline]
    fn write(self, place: &mut [u8], inner: Inner, _: usize, _: u32) {
        let inside = match inner {
            Inner::Ip4 => ethernet::IP4,
            Inner::Ip6 => ethernet::IP6,
        };
        // There is room: the caller was told how much it takes.
        let _ = gre::GreHeader::new(inside).emit(place);
    }
}

pub(crate) fn register(builder: &mut Builder) {
    tunnel::register_kind::<Gre>(builder);
}
