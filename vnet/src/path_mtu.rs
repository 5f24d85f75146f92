//! What the ways to the other ends of tunnels take, as ICMP errors about our own tunnel packets say (RFC 1191, RFC 8201).
//!
//! An error may quote eight bytes behind the IP header only: enough to see which tunnel it is about, too few to see whose
//! packet was inside. So it is not passed on; the tunnel takes shorter packets for a while, and the next one that is too
//! long is reported to its sender by the tunnel itself.
//!
//! Anybody can forge such an error. One is believed if it quotes a packet that one of our tunnels sends and says a length
//! that is possible; the least that can be reached so is [`MIN4`] or [`MIN6`] bytes, and it passes after ten minutes.

use std::net::IpAddr;
use std::sync::Arc;

use ahash::{AHashMap, AHashSet};

/// IPv4 tunnels are not made narrower: every host takes 576 bytes (RFC 791), outer headers have DF clear, so that a narrower
/// link cuts them, and what is less serves forgers alone.
pub const MIN4: u16 = 576;
/// IPv6 tunnels are not made narrower: every link takes 1280 bytes (RFC 8200 section 5).
pub const MIN6: u16 = 1280;

/// What routers older than RFC 1191 may have on the way: they say 0 (its section 7.1, down to [`MIN4`]).
const PLATEAUS: [u16; 8] = [32000, 17914, 8166, 4352, 2002, 1492, 1006, MIN4];

/// What packets of a tunnel of ours look like from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TunnelEnd {
    /// Our address.
    pub source: IpAddr,
    /// The other end.
    pub destination: IpAddr,
    /// What the outer IP header says is next.
    pub protocol: u8,
    /// The UDP port that they go to; 0 where there is no UDP.
    pub port: u16,
}

/// What an error is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// No tunnel of ours sends such packets.
    NotOurs,
    /// The length that it says cannot be, or says nothing new.
    Nothing,
    /// The way takes so many bytes, fewer than was known.
    Lower(u16),
}

/// The tunnels, and which of them have a narrower way than our own interface says; as workers know them.
#[derive(Clone, Debug, Default)]
pub struct PathMtus {
    pub(crate) ends: Arc<AHashSet<TunnelEnd>>,
    pub(crate) known: Arc<AHashMap<IpAddr, u16>>,
}

impl PathMtus {
    /// The longest IP packet, in bytes, that gets to the other end of a tunnel, if errors have told of one.
    pub fn get(&self, destination: IpAddr) -> Option<u16> {
        // Mostly there is none.
        if self.known.is_empty() { None } else { self.known.get(&destination).copied() }
    }

    /// Judges an error: the packet that it quotes, how long that says it was, and what would fit by the error.
    pub fn judge(&self, end: &TunnelEnd, len: usize, said: u32) -> Judged {
        if !self.ends.contains(end) {
            return Judged::NotOurs;
        }
        let said = said as usize;
        let mtu = match end.destination {
            IpAddr::V4(_) if said == 0 => PLATEAUS.into_iter().find(|mtu| usize::from(*mtu) < len),
            // What fits was not too long; and RFC 8201 section 4: below 1280 it means nothing.
            _ if said >= len => None,
            IpAddr::V4(_) => Some(u16::try_from(said).unwrap_or(u16::MAX).max(MIN4)),
            IpAddr::V6(_) => u16::try_from(said).ok().filter(|mtu| *mtu >= MIN6),
        };
        match mtu {
            Some(mtu) if self.get(end.destination).is_none_or(|known| mtu < known) => Judged::Lower(mtu),
            _ => Judged::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(source: &str, destination: &str) -> TunnelEnd {
        let [source, destination] = [source, destination].map(|address| address.parse().unwrap());
        TunnelEnd { source, destination, protocol: 47, port: 0 }
    }

    #[test]
    fn only_what_can_be_is_believed() {
        let (four, six) = (end("10.0.2.1", "10.0.2.2"), end("2002::1", "2002::2"));
        let known = AHashMap::from_iter([(end("10.0.2.1", "10.0.2.3").destination, 1400)]);
        let paths =
            PathMtus { ends: Arc::new([four, six, end("10.0.2.1", "10.0.2.3")].into()), known: Arc::new(known) };
        for (said, len, judged) in [
            (1300, 1500, Judged::Lower(1300)),
            (1499, 1500, Judged::Lower(1499)),
            (1500, 1500, Judged::Nothing),
            (u32::MAX, 1500, Judged::Nothing),
            (100, 1500, Judged::Lower(576)),
            (1, 1500, Judged::Lower(576)),
            (0, 1500, Judged::Lower(1492)),
            (0, 1492, Judged::Lower(1006)),
            (0, 577, Judged::Lower(576)),
            (0, 576, Judged::Nothing),
            (0, 65535, Judged::Lower(32000)),
        ] {
            assert_eq!(paths.judge(&four, len, said), judged, "{said} of {len}");
        }
        for (said, len, judged) in [
            (1400, 1500, Judged::Lower(1400)),
            (1280, 1500, Judged::Lower(1280)),
            (1279, 1500, Judged::Nothing),
            (0, 1500, Judged::Nothing),
            (1500, 1500, Judged::Nothing),
            (70_000, 65575, Judged::Nothing),
            (65_540, 65575, Judged::Nothing),
        ] {
            assert_eq!(paths.judge(&six, len, said), judged, "{said} of {len}");
        }
        // Never raised, and news are needed.
        let narrow = end("10.0.2.1", "10.0.2.3");
        assert_eq!(paths.judge(&narrow, 1500, 1400), Judged::Nothing);
        assert_eq!(paths.judge(&narrow, 1500, 1450), Judged::Nothing);
        assert_eq!(paths.judge(&narrow, 1500, 1399), Judged::Lower(1399));
        for other in [
            end("10.0.2.1", "10.0.2.4"),
            end("10.0.2.9", "10.0.2.2"),
            TunnelEnd { protocol: 6, ..four },
            TunnelEnd { port: 53, ..four },
        ] {
            assert_eq!(paths.judge(&other, 1500, 1300), Judged::NotOurs);
        }
    }
}
