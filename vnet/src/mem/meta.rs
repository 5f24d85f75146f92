//! What the engine and the nodes know about one packet besides its bytes.

use crate::ids::IfIndex;

bitflags::bitflags! {
    /// Work that a device left to others, and facts about the packet.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct Offload: u16 {
        /// The transport checksum is not yet computed: it covers the bytes from [`Meta::csum_start`] on and belongs at
        /// [`Meta::csum_offset`] after that; the field holds the sum of the pseudo-header.
        const CHECKSUM = 1 << 0;
        /// A large segment: cut into pieces of [`Meta::gso_size`] bytes of payload (TCP over IPv4).
        const GSO_TCP4 = 1 << 1;
        /// The same for TCP over IPv6.
        const GSO_TCP6 = 1 << 2;
        /// The same for UDP (every piece a datagram of its own).
        const GSO_UDP = 1 << 3;
        /// The GSO segment has ECN's CWR flag set, to be kept on the first piece only.
        const GSO_ECN = 1 << 4;
        /// This router made the packet itself.
        const LOCAL = 1 << 5;
        /// The device vouches for the transport checksum.
        const CHECKSUM_GOOD = 1 << 6;
        /// Of an IPv6 packet: this router is where it begins, and so may cut it on the way out (RFC 8200 section 4.5).
        const MAY_CUT = 1 << 7;
        /// Any of the kinds of large segment.
        const GSO = Self::GSO_TCP4.bits() | Self::GSO_TCP6.bits() | Self::GSO_UDP.bits();
        /// Anything that must be finished before the packet may be put into a tunnel.
        const UNFINISHED = Self::CHECKSUM.bits() | Self::GSO.bits();
    }
}

/// The metadata of a packet: one cache line.
///
/// Fields without `pub` belong to the engine. [`Meta::opaque`] is for the node that has the packet and the nodes it
/// agrees with; every node may overwrite it. Not to be copied: the chain behind a packet belongs to one metadata.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Meta {
    /// Where the packet's bytes stand in this buffer, and how many stand in others.
    pub(super) span: Span,
    /// Work left to do and facts from devices.
    pub offload: Offload,
    /// Payload bytes per piece of a large segment.
    pub gso_size: u16,
    /// Where the unfinished checksum's range begins, in bytes from the buffer's start; see [`Packet::csum_start`](super::Packet::csum_start).
    pub(super) csum_start: u16,
    /// Where the unfinished checksum belongs, in bytes after the start of its range.
    pub csum_offset: u16,
    /// Where the Ethernet header stood, in bytes from the start of the buffer's room.
    pub(super) l2: u16,
    /// Where the network header stood, in bytes from the start of the buffer's room.
    pub(super) l3: u16,
    /// The next buffer of the chain, plus one; 0: none.
    pub(super) next: u32,
    /// The interface the packet came in by.
    pub rx: IfIndex,
    /// The interface the packet goes out by.
    pub tx: IfIndex,
    /// What the last look-up found: an adjacency, a load-balance object, a plugin's number.
    pub forward: u32,
    /// The forwarding entry itself (VPP's `dpo-idx`), for traces.
    pub dpo: u32,
    /// The flow hash, where a node computed one; 0 otherwise.
    pub flow_hash: u32,
    /// Why the packet is dropped: the node and its error.
    pub(crate) error: u32,
    /// The packet's trace; 0: not traced.
    pub(crate) trace: u32,
    /// Position in a feature arc.
    pub(crate) feature: u16,
    spare: u16,
    /// For nodes to talk to the nodes they know.
    pub opaque: [u32; 2],
}

/// Where the packet's bytes stand in a buffer, and how many more stand in the buffers after this one. The first two are one
/// word, since nodes mostly move the start and change the length together; all are another, since nodes want to know with
/// one comparison that a packet is in one buffer and short enough.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(super) struct Span {
    /// The first byte, from the start of the buffer's room (16 bits), and how many there are (16 bits).
    here: u32,
    /// Bytes in the buffers after this one.
    rest: u32,
}

impl Span {
    #[inline(always)]
    pub(super) const fn new(start: u16, len: u16) -> Span {
        Span { here: start as u32 | (len as u32) << 16, rest: 0 }
    }

    #[inline(always)]
    pub(super) const fn start(self) -> u16 {
        self.here as u16
    }

    #[inline(always)]
    pub(super) const fn len(self) -> u16 {
        (self.here >> 16) as u16
    }

    /// Bytes in the buffers after this one.
    #[inline(always)]
    pub(super) const fn rest(self) -> u32 {
        self.rest
    }

    /// [`len`](Span::len) if there is nothing in other buffers, or else 65536 or more.
    #[inline(always)]
    pub(super) const fn plain_len(self) -> usize {
        ((self.here as u64 | (self.rest as u64) << 32) >> 16) as usize
    }

    /// With `n` bytes more in front; `n` must be at most [`start`](Span::start).
    #[inline(always)]
    pub(super) fn pushed(self, n: u16) -> Span {
        debug_assert!(n <= self.start());
        Span { here: self.here.wrapping_add((u32::from(n) << 16).wrapping_sub(u32::from(n))), ..self }
    }

    /// With `n` bytes less in front; `n` must be at most [`len`](Span::len).
    #[inline(always)]
    pub(super) fn pulled(self, n: u16) -> Span {
        debug_assert!(n <= self.len());
        Span { here: self.here.wrapping_sub((u32::from(n) << 16).wrapping_sub(u32::from(n))), ..self }
    }

    #[inline(always)]
    pub(super) fn with_len(self, len: u16) -> Span {
        Span { rest: self.rest, ..Span::new(self.start(), len) }
    }

    pub(super) fn with_rest(self, rest: u32) -> Span {
        Span { rest, ..self }
    }
}

impl std::fmt::Debug for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}+{}+{}", self.start(), self.len(), self.rest())
    }
}

const _: () = assert!(size_of::<Meta>() == 64, "the metadata of a packet is one cache line");

impl Meta {
    pub(super) const fn fresh(start: u16) -> Meta {
        Meta {
            span: Span::new(start, 0),
            offload: Offload::empty(),
            gso_size: 0,
            csum_start: 0,
            csum_offset: 0,
            l2: start,
            l3: start,
            next: 0,
            rx: IfIndex(0),
            tx: IfIndex(0),
            forward: 0,
            dpo: 0,
            flow_hash: 0,
            error: 0,
            trace: 0,
            feature: 0,
            spare: 0,
            opaque: [0; 2],
        }
    }
}
