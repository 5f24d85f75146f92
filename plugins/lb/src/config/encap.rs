//! How packets travel to the servers.

use serde::Serialize;

use super::LbError;

/// How packets travel to the servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Encap {
    /// In GRE over IPv4 (RFC 2784).
    #[default]
    Gre4,
    /// In IPv4 (RFC 2003).
    Ipip4,
    /// With the server's address instead of the VIP's, and a DSCP by which the server knows the VIP ("layer 3 direct server
    /// return"; Schaumann, "L3DSR: Overcoming Layer 2 Limitations of Direct Server Return Load Balancing", NANOG 51).
    L3dsr {
        /// What the server is told.
        dscp: u8,
    },
}

impl Encap {
    /// The words in commands.
    pub const NAMES: [&str; 3] = ["gre4", "ipip4", "l3dsr"];

    /// From the words of a command.
    ///
    /// # Errors
    /// A word that names none, and a DSCP that is missing, too large (RFC 2474: six bits) or of no use.
    pub fn new(word: &str, dscp: Option<u32>) -> Result<Self, LbError> {
        let dscp = || match dscp {
            Some(dscp @ 0..64) => Ok(dscp as u8),
            other => Err(LbError::Dscp(other)),
        };
        let encap = match word {
            "gre4" => Self::Gre4,
            "ipip4" => Self::Ipip4,
            "l3dsr" => return Ok(Self::L3dsr { dscp: dscp()? }),
            _ => return Err(LbError::Encap(word.into())),
        };
        Ok(encap)
    }

    /// The word in commands.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gre4 => "gre4",
            Self::Ipip4 => "ipip4",
            Self::L3dsr { .. } => "l3dsr",
        }
    }

    /// What servers are told, where they are.
    pub fn dscp(self) -> Option<u8> {
        match self {
            Self::L3dsr { dscp } => Some(dscp),
            Self::Gre4 | Self::Ipip4 => None,
        }
    }

    /// The nodes that send packets this way: those of a VIP of all ports, and those of VIPs of single ports.
    pub fn nodes(self) -> [&'static str; 2] {
        match self {
            Self::Gre4 => ["lb4-gre4", "lb4-gre4-port"],
            Self::Ipip4 => ["lb4-ipip4", "lb4-ipip4-port"],
            Self::L3dsr { .. } => ["lb4-l3dsr", "lb4-l3dsr-port"],
        }
    }

    /// Whether servers have IPv4 addresses (or else IPv6).
    pub fn is_ip4(self) -> bool {
        match self {
            Self::Gre4 | Self::Ipip4 | Self::L3dsr { .. } => true,
        }
    }
}
