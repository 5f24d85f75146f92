//! Why a change was refused.

use std::net::IpAddr;

use super::encap::Encap;
use super::family::Family;
use super::prefix::IpPrefix;
use super::vip::{ServerSpec, VipKey};
use crate::flow_table::FlowTableError;
use crate::maglev::MAX_LEN;
use crate::quic_lb::{QuicLbError, ServerId};

/// A change that was refused; nothing was changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LbError {
    /// The flow table's parameters.
    #[error(transparent)]
    FlowTable(#[from] FlowTableError),
    /// A source of tunnels that is nobody's address.
    #[error("source {0}: not the address of one host")]
    Source(IpAddr),
    /// An encapsulation that is not there.
    #[error("unknown encap `{0}' (there are: {names})", names = Encap::names())]
    Encap(String),
    /// A variant of an encapsulation that has none, or not this one.
    #[error("encap {0} has no variant {1} (only gue4 and gue6 have variants, 0 and 1)")]
    Variant(String, u8),
    /// An encapsulation that VIPs of the family cannot have.
    #[error("VIP {vip}: encap {encap} is for {needs} VIPs")]
    VipFamily {
        /// The VIP.
        vip: VipKey,
        /// The encapsulation.
        encap: &'static str,
        /// The family it is for.
        needs: Family,
    },
    /// NAT for a VIP of all ports.
    #[error("VIP {vip}: encap {encap} needs a protocol and a port")]
    NatNeedsPort {
        /// The VIP.
        vip: VipKey,
        /// The encapsulation.
        encap: &'static str,
    },
    /// NAT without a port to translate to.
    #[error("VIP {vip}: encap {encap} needs a target_port, the VIP's or each server's own")]
    NatNeedsTarget {
        /// The VIP.
        vip: VipKey,
        /// The encapsulation.
        encap: &'static str,
    },
    /// Echo requests have no port to translate.
    #[error("VIP {vip}: ping balance is not for encap {encap}, which answers by itself")]
    PingNat {
        /// The VIP.
        vip: VipKey,
        /// The encapsulation.
        encap: &'static str,
    },
    /// Full NAT without an address of ours.
    #[error("VIP {vip}: encap {encap} needs addresses to send from: lb conf snat{digit} or ip{digit}-src-address")]
    NoSources {
        /// The VIP.
        vip: VipKey,
        /// The encapsulation.
        encap: &'static str,
        /// The family's digit.
        digit: char,
    },
    /// A source of full NAT that a VIP has.
    #[error("source {address} lies within VIP {vip}: answers to it would not come back to it")]
    PoolInVip {
        /// The source.
        address: IpAddr,
        /// The VIP.
        vip: IpPrefix,
    },
    /// A server that has the address of our tunnels.
    #[error("server {0} is one of our own addresses: its packets would come back here")]
    OwnServer(IpAddr),
    /// A source that is a server's address.
    #[error("source {address} is a server of VIP {vip}: it would get packets from itself")]
    SourceServer {
        /// The source.
        address: IpAddr,
        /// The VIP.
        vip: IpPrefix,
    },
    /// A pool of sources that cannot be.
    #[error("pool {first}-{last}: expected the first address before the last, and {most} addresses at most")]
    Pool {
        /// The first.
        first: IpAddr,
        /// The last.
        last: IpAddr,
        /// How many there may be.
        most: u32,
    },
    /// What only NAT knows.
    #[error("{what} is for encap nat4, nat6, fullnat4 and fullnat6 only, not {encap}")]
    NatOnly {
        /// The word.
        what: &'static str,
        /// The encapsulation.
        encap: &'static str,
    },
    /// What only L2DSR knows.
    #[error("mac is for encap l2dsr only, not {0}")]
    L2dsrOnly(&'static str),
    /// NAT between the families.
    #[error("nat{from}{to} is not supported: VIP {vip} is {vip_family}, server {server} is {server_family}")]
    NatFamily {
        /// Digits of the families.
        from: char,
        /// Of the server's.
        to: char,
        /// The VIP.
        vip: IpPrefix,
        /// Its family.
        vip_family: Family,
        /// The server.
        server: IpAddr,
        /// Its family.
        server_family: Family,
    },
    /// The DSCP of an encapsulation that needs one.
    #[error("encap l3dsr needs a dscp from 0 to 63{}", .0.map(|dscp| format!(", got {dscp}")).unwrap_or_default())]
    Dscp(Option<u32>),
    /// A DSCP for another encapsulation.
    #[error("dscp is for encap l3dsr only, not {0}")]
    DscpUnused(&'static str),
    /// A scheduler that is not there.
    #[error("unknown scheduler `{0}' (there are: maglev, rr, wrr, lc, wlc, sh, hash)")]
    Scheduler(String),
    /// What cannot change while a VIP is there.
    #[error("VIP {vip} already exists, with {has}: {what} cannot be changed")]
    Fixed {
        /// The VIP.
        vip: VipKey,
        /// What was asked for.
        what: &'static str,
        /// What there is instead.
        has: String,
    },
    /// A VIP that no host can have.
    #[error("VIP {0}: not the address of one host")]
    VipNotUnicast(IpPrefix),
    /// The number of slots.
    #[error("new_len must be a power of two or a prime, at most {MAX_LEN}, not {0}")]
    NewLen(u32),
    /// A second VIP of the same key.
    #[error("VIP {0} already exists")]
    VipExists(VipKey),
    /// A VIP of one port beside one of all.
    #[error("VIP {0}: there is a VIP for all ports of this prefix")]
    AllPorts(VipKey),
    /// A VIP of all ports beside one of a single port.
    #[error("VIP {0}: there is a VIP for a single port of this prefix")]
    SinglePort(VipKey),
    /// VIPs of one prefix that differ in encapsulation: a route leads to one node.
    #[error("VIP {vip}: the other VIPs of this prefix have another encap, {has}")]
    OtherEncap {
        /// The VIP.
        vip: VipKey,
        /// What the others have.
        has: &'static str,
    },
    /// The VIP that was named is not there.
    #[error("no VIP {0}")]
    NoVip(VipKey),
    /// The VIP that was named is not there, and others of its prefix are.
    #[error("no VIP {vip} (there is {})", listed(others))]
    OtherVips {
        /// The VIP.
        vip: VipKey,
        /// Those there are; at least one.
        others: Vec<VipKey>,
    },
    /// A VIP that is to go is another than was described.
    #[error("VIP {vip} has {has}, not {wanted}")]
    Differs {
        /// The VIP.
        vip: VipKey,
        /// What it has.
        has: String,
        /// What was said.
        wanted: String,
    },
    /// Nothing was named.
    #[error("No AS address provided")]
    NoAddress,
    /// A server of the wrong family.
    #[error("server {server}: encap {encap} needs an {family} address")]
    Family {
        /// The server.
        server: IpAddr,
        /// The VIP's encapsulation.
        encap: &'static str,
        /// The family it needs.
        family: Family,
    },
    /// An address that no packet can be sent to as one server's.
    #[error("server {0}: not the address of one host")]
    NotUnicast(IpAddr),
    /// A server that is there.
    #[error("server {server} is already there for VIP {vip}")]
    ServerExists {
        /// The server.
        server: ServerSpec,
        /// Its VIP.
        vip: VipKey,
    },
    /// A server that is not there.
    #[error("no server {server} for VIP {vip}")]
    NoServer {
        /// The server.
        server: ServerSpec,
        /// The VIP.
        vip: VipKey,
    },
    /// A server inside a VIP's prefix.
    #[error("server {server} lies within VIP {vip}: its packets would come back here")]
    Loop {
        /// The server.
        server: IpAddr,
        /// The VIP, perhaps not its own.
        vip: IpPrefix,
    },
    /// A configuration of QUIC-LB that cannot be.
    #[error("quic-lb: {0}")]
    QuicLb(#[from] QuicLbError),
    /// QUIC-LB for a VIP of another protocol, or of all.
    #[error("VIP {0}: quic-lb is for VIPs of a UDP port")]
    QuicLbUdp(VipKey),
    /// A configuration that is to go and is not there.
    #[error("VIP {0} has no quic-lb {1}")]
    NoQuicLb(VipKey, u8),
    /// A server ID for a VIP that has no use for it.
    #[error("server-id {id}: VIP {vip} has no quic-lb")]
    ServerIdUnused {
        /// The server ID.
        id: ServerId,
        /// The VIP.
        vip: VipKey,
    },
    /// A server ID of another length.
    #[error("server-id {id} of server {server} has {} bytes, and quic-lb of VIP {vip} says {lengths}", .id.as_slice().len())]
    ServerIdLength {
        /// The server ID.
        id: ServerId,
        /// Whose it is.
        server: ServerSpec,
        /// The VIP.
        vip: VipKey,
        /// The lengths that the VIP's configurations have.
        lengths: String,
    },
    /// Two servers of the same server ID.
    #[error("server-id {id} is that of server {other} already, for VIP {vip}")]
    ServerIdTaken {
        /// The server ID.
        id: ServerId,
        /// Who has it.
        other: ServerSpec,
        /// The VIP.
        vip: VipKey,
    },
    /// A weight over 100.
    #[error("weight must be between 0 and 100")]
    Weight,
    /// A server would be left without a slot.
    #[error("VIP {vip}: new_len {new_len} has no slot for every server, new_len {needed} would do")]
    NoRoom {
        /// The VIP.
        vip: VipKey,
        /// Its slots.
        new_len: u32,
        /// A number of slots that suffices.
        needed: u32,
    },
    /// All numbers are taken.
    #[error("no more than {most} {what}")]
    TooMany {
        /// What there are too many of.
        what: &'static str,
        /// How many there may be.
        most: u32,
    },
}

/// Some of them, as they are typed.
fn listed(vips: &[VipKey]) -> String {
    let mut text = vips.iter().take(LISTED).map(VipKey::to_string).collect::<Vec<_>>().join(", ");
    if let Some(more) = vips.len().checked_sub(LISTED).filter(|&more| more > 0) {
        text += &format!(" and {more} more");
    }
    text
}

/// So many VIPs fit a line that somebody reads.
const LISTED: usize = 3;
