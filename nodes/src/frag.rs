//! `ip4-frag` and `ip6-frag`: cut packets that are too long for the way out (RFC 791 section 3.2; RFC 8200 section 4.5, which
//! lets a packet's source alone do so: of packets over IPv6 only our own come here).
//!
//! Uses: the length that [`request`] or [`request_back`] noted, `meta.forward`. Sets: the fragments' headers. Next: `ip4-rewrite` or
//! `ip6-rewrite` for the fragments, or the way that the packet's question came; the packet itself is spent.

use std::hash::{BuildHasher, Hasher};
use std::marker::PhantomData;
use std::net::{Ipv4Addr, Ipv6Addr};

use trace::{Record, Text};
use vnet::wire::Ip4Header;
use vnet::wire::checksum::update16;
use vnet::wire::frag::{FragError, Plan};
use vnet::{Cx, Held, NodeSpec, Offload, Packet, PacketNode, Scope, node_errors};

use crate::ip::{Ip, next_nodes_of};
use crate::ip4::HeaderTrace;
use crate::link_back::LinkBack;

next_nodes_of! {
    /// Where `ip4-frag` and `ip6-frag` send packets.
    pub enum Next {
        /// Broken.
        Drop => DROP,
        /// A fragment.
        Rewrite => REWRITE,
        ; To(vnet::NodeId), Hold
    }
}

node_errors! {
    /// What `ip4-frag` and `ip6-frag` find.
    pub enum Error {
        /// Packets that were cut.
        Cut => info "packets fragmented",
        /// Fragments made.
        Made => info "fragments made",
        /// The way out does not even take eight bytes of payload.
        TinyMtu => error "MTU leaves no room for a fragment",
        /// The headers are not what the node before let pass.
        Broken => error "packet too short",
        /// A fragment that reaches beyond what a datagram may have.
        TooFar => error "fragment reaches beyond 65535 bytes",
        /// The sender forbids it, and `ip4-rewrite` should have said so; of IPv6, it is a fragment.
        Forbidden => error "fragmentation forbidden",
        /// More extension headers than fragments get.
        LongHeaders => error "headers too long for fragments",
        /// No buffer for a fragment: the datagram cannot arrive whole.
        NoBuffer => error "no free buffer for a fragment",
        /// There is no link to answer on.
        NoLink => error "no link for a fragment",
    }
}

/// In the second word of `opaque`: fragments leave by the link that the packet's question came from.
const BACK: u32 = 0x6261_636b;

/// Notes in a packet that its fragments are to have `mtu` bytes at most; then send it to the family's node, its hop taken
/// already.
pub(crate) fn request(packet: &mut Packet<'_>, mtu: u32) {
    packet.meta_mut().opaque = [mtu, 0];
}

/// The same of an answer that goes back to the station that the packet came from.
pub(crate) fn request_back(packet: &mut Packet<'_>, mtu: u32) {
    packet.meta_mut().opaque = [mtu, BACK];
}

/// A family's packets as they are cut.
trait Cut: Ip {
    /// The node.
    const NODE: &'static str;
    /// The family's number.
    const NUMBER: u8;

    /// How a packet is cut; `id` is the identification that the next datagram gets that has none, and moves on.
    ///
    /// # Errors
    /// It cannot be cut.
    fn plan(packet: &mut Packet<'_>, mtu: usize, id: &mut u32) -> Result<Plan, FragError>;
}

impl Cut for Ipv4Addr {
    const NODE: &'static str = "ip4-frag";
    const NUMBER: u8 = 4;

    /// RFC 6864 section 4.1: a packet that was put into a tunnel has the identification 0, as if it were never cut.
    fn plan(packet: &mut Packet<'_>, mtu: usize, id: &mut u32) -> Result<Plan, FragError> {
        if let Ok((header, _)) = Ip4Header::mut_from_prefix(packet.data_mut())
            && header.id.get() == 0
            && !header.is_fragment()
        {
            let new = (*id as u16).max(1);
            *id = id.wrapping_add(1);
            header.id.set(new);
            header.checksum.set(update16(header.checksum.get(), 0, new));
        }
        Plan::new(packet.data(), packet.len(), mtu)
    }
}

impl Cut for Ipv6Addr {
    const NODE: &'static str = "ip6-frag";
    const NUMBER: u8 = 6;

    fn plan(packet: &mut Packet<'_>, mtu: usize, id: &mut u32) -> Result<Plan, FragError> {
        *id = id.wrapping_add(1);
        Plan::of_ip6(packet.data(), packet.len(), mtu, *id)
    }
}

pub(crate) fn nodes() -> [NodeSpec; 2] {
    [spec::<Ipv4Addr>(), spec::<Ipv6Addr>()]
}

fn spec<A: Cut>() -> NodeSpec {
    NodeSpec::packet(A::NODE, |_| Fragment::<A>::new())
}

struct Fragment<A> {
    /// The identification of the next datagram that has none.
    next: u32,
    /// Of the last packet, for its trace.
    mtu: usize,
    fragments: usize,
    _family: PhantomData<A>,
}

/// `IPvN mtu: N fragments: N`, and the headers of the packet that was cut.
#[derive(serde::Serialize)]
pub struct FragmentTrace {
    family: u8,
    mtu: usize,
    fragments: usize,
    packet: HeaderTrace,
}

impl Record for FragmentTrace {
    fn text(&self, text: &mut Text) {
        text.line(format_args!("IPv{} mtu: {} fragments: {}", self.family, self.mtu, self.fragments));
        self.packet.text(text);
    }
}

impl<A: Cut> Fragment<A> {
    fn new() -> Self {
        // Two workers, or two runs, hardly ever use the same ones at the same time, and nobody knows where they begin (RFC 7739).
        let next = std::hash::RandomState::new().build_hasher().finish() as u32;
        Fragment { next, mtu: 0, fragments: 0, _family: PhantomData }
    }

    fn cut(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>) -> Result<(), Error> {
        let [mtu, back] = packet.meta().opaque;
        self.mtu = mtu as usize;
        let back = match back {
            BACK => Some(LinkBack::new::<A>(cx.tables, packet).ok_or(Error::NoLink)?),
            _ => None,
        };
        let plan = A::plan(packet, self.mtu, &mut self.next)?;
        let (forward, dpo) = (packet.meta().forward, packet.meta().dpo);
        for piece in plan.fragments() {
            let at = plan.payload_at() + piece.at;
            let made = cx.emit_chain(packet, &mut range(packet, at, piece.len), |fragment| {
                plan.write_header(piece, fragment.push(plan.header_len(piece))?).ok()?;
                fragment.mark_l3();
                let meta = fragment.meta_mut();
                // The packet's hop was taken before it came here.
                (meta.forward, meta.dpo, meta.offload) = (forward, dpo, Offload::LOCAL);
                match back {
                    Some(back) => back.put(fragment).map(Next::To),
                    None => Some(Next::Rewrite),
                }
            });
            made.map_err(|_| Error::NoBuffer)?;
            self.fragments += 1;
            cx.count(Error::Made);
        }
        Ok(())
    }
}

impl From<FragError> for Error {
    fn from(error: FragError) -> Error {
        match error {
            FragError::Short => Error::Broken,
            FragError::TooLong => Error::TooFar,
            FragError::TinyMtu => Error::TinyMtu,
            FragError::Forbidden => Error::Forbidden,
            FragError::LongHeaders => Error::LongHeaders,
        }
    }
}

impl<A: Cut> PacketNode for Fragment<A> {
    type Next = Next<A>;
    type Error = Error;
    type Shared = ();
    type Local = ();
    type Staged = ();
    type Trace = FragmentTrace;

    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> Next<A> {
        crate::checksum::complete(packet);
        self.fragments = 0;
        match self.cut(cx, packet) {
            Ok(()) => {
                cx.count(Error::Cut);
                Next::Hold
            }
            Err(error) => cx.drop(packet, error),
        }
    }

    fn held(&mut self, cx: &mut Cx<'_, '_, Self>, packet: Held) {
        cx.discard(packet);
    }

    fn trace(&self, _: &Scope<'_, (), ()>, packet: &Packet<'_>, (): ()) -> FragmentTrace {
        let (mtu, fragments, packet) = (self.mtu, self.fragments, HeaderTrace::of::<A>(packet));
        FragmentTrace { family: A::NUMBER, mtu, fragments, packet }
    }
}

/// The pieces that bytes `from..from + len` of a packet stand in.
pub(crate) fn range<'p>(packet: &'p Packet<'_>, mut from: usize, mut len: usize) -> impl Iterator<Item = &'p [u8]> {
    packet.segments().filter_map(move |segment| {
        let skip = from.min(segment.len());
        from -= skip;
        let piece = &segment[skip..];
        let piece = &piece[..piece.len().min(len)];
        len -= piece.len();
        (!piece.is_empty()).then_some(piece)
    })
}
