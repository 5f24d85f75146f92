//! `lb-nat4-in2out`, `lb-nat6-in2out` (features of interfaces towards servers) and `lb4-snat-in2out`, `lb6-snat-in2out` (where routes to our
//! own addresses lead that servers see instead of clients'): what servers answer gets the VIP's address and port back.
//!
//! Uses: the worker's sessions; its flows, about once a second for each. Sets: addresses and ports, with all checksums. Next: `ip4-lookup` and `ip6-lookup`; for what no
//! session is there the next feature, the VIP of a "nodeport" (its own node), or `ip4-receive` and `ip6-receive`.

use std::marker::PhantomData;

use trace::{Record, Text};
use vnet::{Cx, Held, NodeId, NodeSpec, Offload, Packet, PacketNode, Scope, Vector, next_nodes, node_errors};

use super::clamp;
use super::family::{V4, V6};
use super::fragments::{self, Follow, Mark};
use super::nat::{NatInner, Parts, has_ports};
use super::{LbTrace, ServerEntry};
use crate::config::Family;
use crate::flow_table::FlowTable;
use crate::fragments::Later;
use crate::handle::Live;
use crate::local::LbLocal;
use crate::nat::{
    Chain, Direction, FlowKey, Quoted, Session, Translated, Usual, owner, to_client, translate, translate_ends,
};
use crate::tables::LbTables;

next_nodes! {
    /// Where packets of servers go.
    pub enum Next {
        /// Broken.
        Drop => "error-drop",
        /// On their way.
        Lookup4 => "ip4-lookup",
        /// The same of IPv6.
        Lookup6 => "ip6-lookup",
        /// For us after all.
        Receive4 => "ip4-receive",
        /// The same of IPv6.
        Receive6 => "ip6-receive",
        /// Another worker has the session.
        HandOver => "worker-handoff",
        ; To,
        Hold
    }
}

node_errors! {
    /// What is done with packets of servers.
    pub enum Error {
        /// Translated back.
        Translated => info "packets translated back",
        /// Too many fragments wait for the first of their datagrams.
        FragmentsFull => error "no room to hold a fragment until the first comes",
        /// The same of ICMP errors.
        Quotes => info "ICMP errors translated back",
        /// Shorter than its ports and checksum.
        Short => error "transport header cut short",
    }
}

/// The names of the features, by family.
pub(crate) const FEATURES: [&str; 2] = ["lb-nat4-in2out", "lb-nat6-in2out"];
/// The names of the nodes that routes lead to.
pub(crate) const OWN: [&str; 2] = ["lb4-snat-in2out", "lb6-snat-in2out"];

pub(super) fn nodes() -> [NodeSpec; 4] {
    [
        NodeSpec::packet(FEATURES[0], |_| InToOut::<V4, true>(PhantomData)),
        NodeSpec::packet(FEATURES[1], |_| InToOut::<V6, true>(PhantomData)),
        NodeSpec::packet(OWN[0], |_| InToOut::<V4, false>(PhantomData)),
        NodeSpec::packet(OWN[1], |_| InToOut::<V6, false>(PhantomData)),
    ]
}

/// `FEATURE`: packets pass by on their way; otherwise they are for an address of ours.
struct InToOut<I, const FEATURE: bool>(PhantomData<I>);

impl<I: NatInner, const FEATURE: bool> InToOut<I, FEATURE> {
    /// The session of a packet.
    fn session<'l>(
        tables: &LbTables,
        local: &'l LbLocal,
        packet: &Packet<'_>,
    ) -> Option<(I::Key, &'l Session<I::Key>)> {
        let key = I::Key::read(packet.data()).filter(|key| has_ports(key.protocol()))?;
        let session = I::sessions_of(local).of_server(&key)?;
        tables.live().holds(session.handle).then_some((key, session))
    }

    const LOOKUP: Next = if matches!(I::FAMILY, Family::Ip4) { Next::Lookup4 } else { Next::Lookup6 };

    /// Translates a packet of a session that says nothing of its connection's begin or end, if it is one. Its headers stand as usual,
    /// or else it has no chain.
    #[inline(always)]
    fn usual(
        Parts { sessions, flows, .. }: &mut Parts<'_, I::Key>,
        packet: &mut Packet<'_>,
        chain: Chain,
        (now, live): (u32, Live<'_>),
    ) -> bool {
        let unfinished = packet.meta().offload.contains(Offload::CHECKSUM);
        let session = sessions.present_mut().answered(chain, packet.data());
        let Some(session) = session.filter(|session| live.holds(session.handle)) else { return false };
        if session.seen != now {
            session.seen = now;
            keep(flows, session, now, live);
        }
        session.answer(packet.data_mut(), unfinished)
    }

    /// Translates a packet of a session.
    fn back(cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, key: &I::Key, session: &Session<I::Key>) -> Next {
        let (now, live) = (cx.now().seconds, cx.shared.live());
        keep(&mut cx.local.flows, session, now, live);
        if !translate(packet, key, &session.client().reversed()) {
            return cx.drop(packet, Error::Short);
        }
        if clamp::is_syn::<I>(packet, key) {
            let client = I::ip(session.client().source().0);
            clamp::answer::<I>(cx.tables, cx.shared, packet, session.handle, client);
        }
        cx.count(Error::Translated);
        Self::LOOKUP
    }

    /// What becomes of a fragment of a server's answer: all of a datagram follow its first.
    fn fragment(cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>) -> Option<Next> {
        let piece = I::piece(packet.data())?;
        let (now, this, workers) = (cx.now().nanos, cx.this_node(), cx.shared.workers as usize);
        let home = if workers > 1 { piece.datagram.home(workers) } else { cx.worker() };
        if Mark::take(packet) == Mark::None && home != cx.worker() && Self::is_by_server(cx, packet) {
            Mark::None.hand_over(packet, home, this);
            return Some(Next::HandOver);
        }
        let Some(key) = piece.flow else {
            return match cx.local.fragments.later(piece.datagram, now) {
                Later::Known(Follow::Addresses { ends, .. }) => {
                    cx.count(Error::Translated);
                    Some(if translate_ends::<I::Key>(packet, ends) {
                        Self::LOOKUP
                    } else {
                        cx.drop(packet, Error::Short)
                    })
                }
                Later::Known(Follow::Worker(worker)) => {
                    Mark::Sent.hand_over(packet, worker as usize, this);
                    Some(Next::HandOver)
                }
                Later::Known(_) => None,
                // Others' fragments pass by.
                _ if !Self::is_by_server(cx, packet) => None,
                Later::Hold => Some(Next::Hold),
                Later::Full => Some(cx.drop(packet, Error::FragmentsFull)),
            };
        };
        let session = I::sessions_of(cx.local).of_server(&key).copied();
        let session = session.filter(|session| cx.shared.live().holds(session.handle));
        let owner = if session.is_some() { None } else { Self::owner(cx, &key) };
        let follow = match (session, owner) {
            (Some(session), _) => {
                Follow::Addresses { server: session.handle, ends: session.client().reversed().ends() }
            }
            (None, Some(owner)) => Follow::Worker(owner as u32),
            (None, None) => Follow::NoVip,
        };
        fragments::first(cx, piece.datagram, follow);
        if let Some(owner) = owner {
            Mark::Sent.hand_over(packet, owner, this);
            return Some(Next::HandOver);
        }
        session.map(|session| Self::back(cx, packet, &key, &session))
    }

    /// Whether a server behind NAT sent a packet.
    fn is_by_server(cx: &Cx<'_, '_, Self>, packet: &Packet<'_>) -> bool {
        I::sender(packet.data()).is_some_and(|sender| cx.shared.is_nat_server(I::ip(sender), 0))
    }

    /// What becomes of an ICMP error about a packet that went to a server.
    fn quote(cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>) -> Option<Next> {
        let quote = I::Key::read_quote(packet.data())?;
        let session = *I::sessions_of(cx.local).of_server(&quote.key.reversed())?;
        if !cx.shared.live().holds(session.handle) {
            return None;
        }
        let sender = I::sender(packet.data())?;
        if !to_client(packet.data_mut(), sender, &quote, &session) {
            return Some(cx.drop(packet, Error::Short));
        }
        cx.count(Error::Quotes);
        Some(Self::LOOKUP)
    }

    /// The other worker that has the session of a server's answer, or of what an error is about.
    fn elsewhere(cx: &Cx<'_, '_, Self>, packet: &Packet<'_>) -> Option<usize> {
        if cx.shared.workers < 2 {
            return None;
        }
        // An error is about a packet that went to a server.
        let quoted = || Some(I::Key::read_quote(packet.data())?.key.reversed());
        let key = I::Key::read(packet.data()).filter(|key| has_ports(key.protocol())).or_else(quoted)?;
        Self::owner(cx, &key)
    }

    /// The other worker that has the session of an answer with this key, if there is one.
    fn owner(cx: &Cx<'_, '_, Self>, key: &I::Key) -> Option<usize> {
        let (address, port) = key.source();
        let owner = owner(*key, key.destination(), cx.shared.workers) as usize;
        let ours = has_ports(key.protocol()) && cx.shared.is_nat_server(I::ip(address), port);
        (ours && owner != cx.worker()).then_some(owner)
    }

    /// Where packets go that are no server's answers.
    fn other(cx: &Cx<'_, '_, Self>, packet: &mut Packet<'_>) -> Next {
        if FEATURE {
            return cx.next_feature(packet).map_or(Self::LOOKUP, Next::To);
        }
        let key = I::Key::read(packet.data());
        let node_port = key.and_then(|key| cx.shared.node_port(I::FAMILY, key.protocol(), key.destination().1));
        match node_port {
            Some((node, group)) => {
                packet.meta_mut().forward = group;
                Next::To(node)
            }
            None if I::FAMILY == Family::Ip4 => Next::Receive4,
            None => Next::Receive6,
        }
    }
}

/// Notes an answer in the flow table, at the flow's entry, or at its server's part of that.
#[cold]
#[inline(never)]
fn keep<K: Usual>(flows: &mut FlowTable, session: &Session<K>, now: u32, live: Live<'_>) {
    let own = flows.peek(session.flow, now, live) == Some(session.handle);
    flows.touch(if own { session.flow } else { session.flow.with(session.handle) }, now);
}

impl<I: NatInner, const FEATURE: bool> fragments::Holding for InToOut<I, FEATURE> {
    type Packets = I;
    const FULL: Error = Error::FragmentsFull;

    fn to(node: NodeId) -> Next {
        Next::To(node)
    }
}

/// As of the nodes that balance, and that it was the way back.
#[derive(serde::Serialize)]
pub struct InToOutTrace {
    known: Option<LbTrace>,
    rx_sw_if_index: u32,
}

impl Record for InToOutTrace {
    fn text(&self, text: &mut Text) {
        match &self.known {
            Some(known) => known.text(text),
            None => text.line("lb nat: no session"),
        }
        text.flush_left(format_args!("lb nat: rx_sw_if_index = {}", self.rx_sw_if_index));
    }
}

impl<I: NatInner, const FEATURE: bool> PacketNode for InToOut<I, FEATURE> {
    type Next = Next;
    type Error = Error;
    type Shared = LbTables;
    type Local = LbLocal;
    type Staged = Chain;
    type Trace = InToOutTrace;
    const TRACE_ON_ENTRY: bool = true;

    #[inline(always)]
    fn stage(&mut self, scope: &Scope<'_, LbTables, LbLocal>, packet: &Packet<'_>) -> Chain {
        let sessions = I::sessions_of(scope.local).present();
        I::usual(packet.data()).map_or(Chain::NONE, |words| sessions.chain(Direction::Return, words))
    }

    /// Finds where the sessions begin.
    #[inline(always)]
    fn begin(&mut self, cx: &mut Cx<'_, '_, Self>, staged: &mut [Chain]) {
        let sessions = I::sessions_of(cx.local).present();
        staged.iter_mut().for_each(|chain| *chain = sessions.first(Direction::Return, *chain));
    }

    #[inline(always)]
    fn at_once(&mut self, cx: &mut Cx<'_, '_, Self>, vector: &mut Vector<'_>, staged: &[Chain]) -> (usize, Next) {
        let now = (cx.now().seconds, cx.shared.live());
        let mut parts = I::parts(cx.local);
        let done = vector.head_with(staged, |packet, chain| Self::usual(&mut parts, packet, chain, now));
        cx.count_times(Error::Translated, done as u64);
        (done, Self::LOOKUP)
    }

    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, chain: Chain) -> Next {
        let now = (cx.now().seconds, cx.shared.live());
        if Self::usual(&mut I::parts(cx.local), packet, chain, now) {
            cx.count(Error::Translated);
            return Self::LOOKUP;
        }
        let Some((key, session)) = Self::session(cx.shared, cx.local, packet) else {
            if let Some(next) = Self::fragment(cx, packet) {
                return next;
            }
            if let Some(next) = Self::quote(cx, packet) {
                return next;
            }
            if let Some(owner) = Self::elsewhere(cx, packet) {
                packet.hand_over(owner, cx.this_node());
                return Next::HandOver;
            }
            return Self::other(cx, packet);
        };
        let session = *session;
        Self::back(cx, packet, &key, &session)
    }

    fn held(&mut self, cx: &mut Cx<'_, '_, Self>, packet: Held) {
        fragments::hold(cx, packet);
    }

    fn trace(&self, scope: &Scope<'_, LbTables, LbLocal>, packet: &Packet<'_>, _: Chain) -> InToOutTrace {
        let session = Self::session(scope.shared, scope.local, packet);
        let known = session.and_then(|(_, session)| {
            let server = scope.shared.server(session.handle)?;
            let vip = scope.shared.vip(server.vip_index).map(|entry| entry.line.clone());
            let (index, slot) = (server.vip_index, session.handle.slot());
            Some(LbTrace { index, vip, slot, server: Some(ServerEntry::line(server)) })
        });
        InToOutTrace { known, rx_sw_if_index: packet.meta().rx.0 }
    }
}
