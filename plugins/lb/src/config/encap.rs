//! How packets travel to the servers.

use serde::Serialize;
use vnet::wire::gue;
use vnet::wire::ip4::protocol;

use super::LbError;
use super::family::Family;

/// How packets travel to the servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Encap {
    /// In GRE over IPv4 (RFC 2784).
    #[default]
    Gre4,
    /// In GRE over IPv6 (RFC 7676).
    Gre6,
    /// In IPv4 (RFC 2003, RFC 4213).
    Ipip4,
    /// In IPv6 (RFC 2473).
    Ipip6,
    /// In GUE over IPv4 (draft-ietf-intarea-gue-09).
    Gue4 {
        /// Whether the packet follows UDP at once, without GUE's own header ("variant 1").
        direct: bool,
    },
    /// In GUE over IPv6.
    Gue6 {
        /// As of GUE over IPv4.
        direct: bool,
    },
    /// With the server's address instead of the VIP's, and a DSCP by which the server knows the VIP ("layer 3 direct server
    /// return"; Schaumann, "L3DSR: Overcoming Layer 2 Limitations of Direct Server Return Load Balancing", NANOG 51).
    L3dsr {
        /// What the server is told.
        dscp: u8,
    },
    /// With the server's MAC instead of ours, and nothing else changed: for servers on a connected network that have the VIP
    /// themselves.
    L2dsr,
    /// With the server's IPv4 address and port instead of the VIP's; answers come back this way.
    Nat4,
    /// The same for IPv6.
    Nat6,
    /// With the server's IPv4 address and port, and an address and port of ours instead of the client's: servers need no
    /// route back.
    Fullnat4,
    /// The same for IPv6.
    Fullnat6,
}

/// What commands say of an encapsulation besides its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words of `lb vip`")]
pub struct EncapWords {
    pub dscp: Option<u32>,
    pub variant: Option<u8>,
}

impl Encap {
    /// All there are, as far as they differ in how packets look.
    pub const ALL: [Encap; 12] = [
        Encap::Gre4,
        Encap::Gre6,
        Encap::Ipip4,
        Encap::Ipip6,
        Encap::Gue4 { direct: false },
        Encap::Gue6 { direct: false },
        Encap::L3dsr { dscp: 0 },
        Encap::L2dsr,
        Encap::Nat4,
        Encap::Nat6,
        Encap::Fullnat4,
        Encap::Fullnat6,
    ];

    /// From the words of a command.
    ///
    /// # Errors
    /// A word that names none; a DSCP that is missing, too large (RFC 2474: six bits) or of no use; a variant of something
    /// that has none.
    pub fn new(word: &str, words: EncapWords) -> Result<Self, LbError> {
        let named = Self::ALL.into_iter().find(|encap| encap.name() == word);
        let encap = match (named.ok_or_else(|| LbError::Encap(word.into()))?, words.variant.unwrap_or(0)) {
            (Encap::Gue4 { .. }, variant @ 0..=1) => Encap::Gue4 { direct: variant == 1 },
            (Encap::Gue6 { .. }, variant @ 0..=1) => Encap::Gue6 { direct: variant == 1 },
            (_, variant) if words.variant.is_some() => return Err(LbError::Variant(word.into(), variant)),
            (encap, _) => encap,
        };
        match (encap, words.dscp) {
            (Encap::L3dsr { .. }, Some(dscp @ 0..64)) => Ok(Encap::L3dsr { dscp: dscp as u8 }),
            (Encap::L3dsr { .. }, other) => Err(LbError::Dscp(other)),
            (_, Some(_)) => Err(LbError::DscpUnused(encap.name())),
            (_, None) => Ok(encap),
        }
    }

    /// The word in commands.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gre4 => "gre4",
            Self::Gre6 => "gre6",
            Self::Ipip4 => "ipip4",
            Self::Ipip6 => "ipip6",
            Self::Gue4 { .. } => "gue4",
            Self::Gue6 { .. } => "gue6",
            Self::L3dsr { .. } => "l3dsr",
            Self::L2dsr => "l2dsr",
            Self::Nat4 => "nat4",
            Self::Nat6 => "nat6",
            Self::Fullnat4 => "fullnat4",
            Self::Fullnat6 => "fullnat6",
        }
    }

    /// The words, as texts name them.
    pub fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// What servers are told, where they are.
    pub fn dscp(self) -> Option<u8> {
        match self {
            Self::L3dsr { dscp } => Some(dscp),
            _ => None,
        }
    }

    /// The nodes that send packets of VIPs of a family this way: those of a VIP of all ports, and those of VIPs of single
    /// ports (NAT is for these only). `None`: VIPs of the family cannot have it.
    pub fn nodes(self, vip: Family) -> Option<[&'static str; 2]> {
        Some(match (self, vip) {
            (Self::Gre4, Family::Ip4) => ["lb4-gre4", "lb4-gre4-port"],
            (Self::Gre6, Family::Ip4) => ["lb4-gre6", "lb4-gre6-port"],
            (Self::Ipip4, Family::Ip4) => ["lb4-ipip4", "lb4-ipip4-port"],
            (Self::Ipip6, Family::Ip4) => ["lb4-ipip6", "lb4-ipip6-port"],
            (Self::Gue4 { .. }, Family::Ip4) => ["lb4-gue4", "lb4-gue4-port"],
            (Self::Gue6 { .. }, Family::Ip4) => ["lb4-gue6", "lb4-gue6-port"],
            (Self::L3dsr { .. }, Family::Ip4) => ["lb4-l3dsr", "lb4-l3dsr-port"],
            (Self::L2dsr, Family::Ip4) => ["lb4-l2dsr", "lb4-l2dsr-port"],
            (Self::Nat4, Family::Ip4) => ["lb4-nat4-port"; 2],
            (Self::Fullnat4, Family::Ip4) => ["lb4-fullnat4-port"; 2],
            (Self::Gre4, Family::Ip6) => ["lb6-gre4", "lb6-gre4-port"],
            (Self::Gre6, Family::Ip6) => ["lb6-gre6", "lb6-gre6-port"],
            (Self::Ipip4, Family::Ip6) => ["lb6-ipip4", "lb6-ipip4-port"],
            (Self::Ipip6, Family::Ip6) => ["lb6-ipip6", "lb6-ipip6-port"],
            (Self::Gue4 { .. }, Family::Ip6) => ["lb6-gue4", "lb6-gue4-port"],
            (Self::Gue6 { .. }, Family::Ip6) => ["lb6-gue6", "lb6-gue6-port"],
            (Self::L2dsr, Family::Ip6) => ["lb6-l2dsr", "lb6-l2dsr-port"],
            (Self::Nat6, Family::Ip6) => ["lb6-nat6-port"; 2],
            (Self::Fullnat6, Family::Ip6) => ["lb6-fullnat6-port"; 2],
            (Self::L3dsr { .. } | Self::Nat4 | Self::Fullnat4, Family::Ip6)
            | (Self::Nat6 | Self::Fullnat6, Family::Ip4) => return None,
        })
    }

    /// The family of servers' addresses behind a VIP.
    pub fn server(self, vip: Family) -> Family {
        match self {
            Self::Gre4 | Self::Ipip4 | Self::Gue4 { .. } | Self::L3dsr { .. } | Self::Nat4 | Self::Fullnat4 => {
                Family::Ip4
            }
            Self::Gre6 | Self::Ipip6 | Self::Gue6 { .. } | Self::Nat6 | Self::Fullnat6 => Family::Ip6,
            Self::L2dsr => vip,
        }
    }

    /// Whether ports and addresses are translated both ways.
    pub fn is_nat(self) -> bool {
        matches!(self, Self::Nat4 | Self::Nat6) || self.is_full_nat()
    }

    /// Whether the client's address is translated, too.
    pub fn is_full_nat(self) -> bool {
        matches!(self, Self::Fullnat4 | Self::Fullnat6)
    }

    /// What tunnel packets look like from outside, with packets of VIPs of a family inside: the protocol that the outer header names
    /// and the UDP port, or 0. `None`: it is no tunnel.
    pub fn outside(self, vip: Family) -> Option<(u8, u16)> {
        match self {
            Self::Gre4 | Self::Gre6 => Some((protocol::GRE, 0)),
            Self::Ipip4 | Self::Ipip6 if vip == Family::Ip4 => Some((protocol::IP_IN_IP, 0)),
            Self::Ipip4 | Self::Ipip6 => Some((protocol::IPV6, 0)),
            Self::Gue4 { .. } | Self::Gue6 { .. } => Some((protocol::UDP, gue::PORT)),
            Self::L3dsr { .. } | Self::L2dsr | Self::Nat4 | Self::Nat6 | Self::Fullnat4 | Self::Fullnat6 => None,
        }
    }

    /// Bytes that a packet is longer by on its way to the server.
    pub fn overhead(self) -> u16 {
        match self {
            Self::Gre4 => 20 + 4,
            Self::Gre6 => 40 + 4,
            Self::Ipip4 => 20,
            Self::Ipip6 => 40,
            Self::Gue4 { direct } => 20 + 8 + if direct { 0 } else { 4 },
            Self::Gue6 { direct } => 40 + 8 + if direct { 0 } else { 4 },
            Self::L3dsr { .. } | Self::L2dsr | Self::Nat4 | Self::Nat6 | Self::Fullnat4 | Self::Fullnat6 => 0,
        }
    }
}
