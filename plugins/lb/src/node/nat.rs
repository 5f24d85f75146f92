//! `lb4-nat4`, `lb6-nat6`, `lb4-fullnat4`, `lb6-fullnat6` (with `-port`): packets of a VIP's port get their flow's server's
//! address and port; with full NAT another source, too.
//!
//! Uses and Sets: as the other nodes that balance; the worker's sessions. Next: likewise, but never to be cut.

mod inner;

use std::marker::PhantomData;

use vnet::wire::ip4::protocol;
use vnet::{Cx, Held, NodeSpec, Offload, Packet, PacketNode, Scope, Vector};

use super::family::BytesOf;
use super::find::{self, Seeking};
use super::flow::NoFlow;
use super::fragments::{self, Follow};
use super::rare::{self, Balancing, Fragment};
use super::run::{Flow, Run};
use super::segments::More;
use super::{Error, LbTrace, Next, Staged, longest, own};
use crate::config::Encap;
use crate::flow_table::Known;
use crate::format::VipCounters;
use crate::handle::ServerHandle;
use crate::local::{Epoch, LbLocal, ServerLocal, Way, stays};
use crate::nat::{
    Chain, Direction, FEW, FlowKey, Pick, Quoted, Session, Sessions, Table, Translated, Usual, owner, owner_of_source,
    pick, to_server, translate, translate_ends,
};
use crate::slot_hash::{FlowWords, KeyMask};
use crate::tables::{LbTables, ServerEntry};
pub(super) use inner::{NatInner, Parts};

/// The nodes of a family.
pub(super) fn nodes<I: NatInner>() -> Vec<NodeSpec> {
    let name = |encap: Encap| encap.nodes(I::FAMILY).map(|[_, port]| port).expect("its own family");
    let [plain, full] = I::ENCAPS.map(name);
    vec![
        NodeSpec::packet(plain, |_| Translate::<I, false>::new()),
        NodeSpec::packet(full, |_| Translate::<I, true>::new()),
    ]
}

/// The balancing node of NAT; `FULL`: the source is replaced, too.
struct Translate<I: NatInner, const FULL: bool> {
    /// The VIPs of this vector.
    run: Run<BytesOf<I>>,
    /// Whether a packet of this vector is to be looked for by its session.
    sought: bool,
    /// The server of the last packet, for its trace.
    server: ServerHandle,
    _family: PhantomData<I>,
}

impl<I: NatInner, const FULL: bool> Translate<I, FULL> {
    fn new() -> Self {
        Translate { run: Run::NONE, sought: FULL, server: ServerHandle::NONE, _family: PhantomData }
    }
}

impl<I: NatInner, const FULL: bool> Translate<I, FULL> {
    /// What is staged of a packet with a flow, where its VIP asks for no more than that; and whether each flow has a session of
    /// its own, and may go without.
    #[inline(always)]
    fn known(
        &mut self,
        scope: &Scope<'_, LbTables, LbLocal>,
        number: u32,
        bytes: BytesOf<I>,
    ) -> Option<(Staged, bool)> {
        let Flow { vip, hash, whole } = self.run.flow::<true>((scope.shared, scope.local), number, bytes)?;
        vnet::mem::prefetch(scope.local.flows.place(hash));
        Some((Staged::new(hash.identity, vip, hash.bucket), whole))
    }

    /// What is staged of packets whose headers stand as usual.
    #[inline(always)]
    fn usual(&mut self, scope: &Scope<'_, LbTables, LbLocal>, packet: &Packet<'_>) -> Option<NatStaged> {
        let (staged, single) = self.known(scope, packet.meta().forward, I::usual_bytes(packet.data())?)?;
        let chain = match (FULL, single) {
            (true, _) => {
                let words = I::usual(packet.data())?;
                I::sessions_of(scope.local).present().chain(Direction::Forward, words)
            }
            (false, true) => Chain::PERHAPS,
            (false, false) => {
                self.sought = true;
                chain_of::<I>(scope, packet.data())
            }
        };
        Some(NatStaged { staged, chain })
    }

    /// What is staged of packets whose headers do not stand as usual. Two numbers, because a structure would have to lie in memory for
    /// each packet.
    #[cold]
    #[inline(never)]
    fn unusual(&mut self, scope: &Scope<'_, LbTables, LbLocal>, number: u32, packet: &[u8]) -> (u64, u64) {
        let words = match I::words(packet) {
            Ok(words) => words,
            Err(why) => return rare::staged::<I, true>(scope.shared, (number, packet), why).parts(),
        };
        let known = self.known(scope, number, words.bytes()).map(|(staged, _)| staged);
        known.unwrap_or_else(|| rare::unfinished::<true>(scope.shared, number, words.ports())).parts()
    }
}

impl<I: NatInner, const FULL: bool> Balancing for Translate<I, FULL> {
    type Family = I;
    const ENCAP: Encap = I::ENCAPS[FULL as usize];
    const WHOLE: bool = true;

    /// The one to which the server's answers come. With full NAT these come to whoever has the session, because the port is
    /// picked so.
    fn owner(shared: &LbTables, key: &I::Key) -> Option<usize> {
        let asked = !FULL && has_ports(key.protocol());
        asked.then(|| owner(*key, key.source(), shared.workers) as usize)
    }
}

/// As [`Staged`], with the chain of sessions in which the packet's is: from `begin` on from its first session on, or that none is
/// needed.
#[derive(Clone, Copy, Default)]
pub struct NatStaged {
    staged: Staged,
    chain: Chain,
}

impl<I: NatInner, const FULL: bool> PacketNode for Translate<I, FULL> {
    type Next = Next;
    type Error = Error;
    type Shared = LbTables;
    type Local = LbLocal;
    type Staged = NatStaged;
    type Trace = LbTrace;

    #[inline(always)]
    fn stage(&mut self, scope: &Scope<'_, LbTables, LbLocal>, packet: &Packet<'_>) -> NatStaged {
        if let Some(usual) = self.usual(scope, packet) {
            return usual;
        }
        let unusual = self.unusual(scope, packet.meta().forward, packet.data());
        NatStaged { staged: Staged::of(unusual), chain: Chain::NONE }
    }

    /// Finds the flows, and where their sessions begin.
    #[inline(always)]
    fn begin(&mut self, cx: &mut Cx<'_, '_, Self>, staged: &mut [NatStaged]) {
        let (now, local) = (cx.now().seconds, &mut *cx.local);
        find::all(local, staged, (self.run.only(), now));
        if self.sought {
            let sessions = I::sessions_of(local).present();
            let sought = staged.iter_mut().filter(|staged| staged.chain != Chain::STRAIGHT);
            sought.for_each(|staged| staged.chain = sessions.first(Direction::Forward, staged.chain));
        }
        // The next vector may find other tables.
        (self.run, self.sought) = (Run::NONE, FULL);
    }

    /// A function of its own, so that its loop has the registers to itself.
    #[inline(never)]
    fn at_once(&mut self, cx: &mut Cx<'_, '_, Self>, vector: &mut Vector<'_>, staged: &[NatStaged]) -> (usize, Next) {
        let epoch = Epoch::of(cx.tables, cx.shared);
        let Parts { sessions, mut servers, .. } = I::parts(cx.local);
        let sessions = sessions.present();
        let first = staged.first().map_or(ServerHandle::NONE, |first| ServerHandle::from_bits(first.staged.found));
        let to = servers.wrapped_mut(first.place()).way.node;
        let done = vector.head_with(staged, |packet, NatStaged { staged, chain }| {
            let server = ServerHandle::from_bits(staged.found);
            own(&mut servers, server, epoch, packet)
                .is_some_and(|own| own.way.node == to && usual::<I, FULL>(own, sessions, packet, (server, chain)))
        });
        (done, Next::To(to))
    }

    #[inline(always)]
    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, staged: NatStaged) -> Next {
        let NatStaged { staged, chain } = staged;
        let (identity, vip, found) = (staged.identity, staged.vip(), staged.found);
        let (epoch, server) = (Epoch::of(cx.tables, cx.shared), ServerHandle::from_bits(found));
        let Parts { sessions, mut servers, .. } = I::parts(cx.local);
        if let Some(own) = own(&mut servers, server, epoch, packet)
            && usual::<I, FULL>(own, sessions.present(), packet, (server, chain))
        {
            self.server = server;
            return Next::To(own.way.node);
        }
        self.uncommon(cx, &mut packet.again(), identity, vip, found)
    }

    fn held(&mut self, cx: &mut Cx<'_, '_, Self>, packet: Held) {
        fragments::hold(cx, packet);
    }

    fn trace(&self, scope: &Scope<'_, LbTables, LbLocal>, _: &Packet<'_>, staged: NatStaged) -> LbTrace {
        let vip = staged.staged.vip();
        let line = scope.shared.vip(vip).map(|entry| entry.line.clone());
        let server = scope.shared.server(self.server).map(ServerEntry::line);
        LbTrace { index: vip, vip: line, slot: self.server.slot(), server }
    }
}

impl<I: NatInner, const FULL: bool> Translate<I, FULL> {
    /// What becomes of a packet that is none of the usual ones, or whose flow or session was not known. The last three are what was
    /// staged: one by one, because a structure would have to lie in memory for each packet.
    #[cold]
    #[inline(never)]
    fn uncommon(
        &mut self,
        cx: &mut Cx<'_, '_, Self>,
        packet: &mut Packet<'_>,
        identity: u64,
        vip: u32,
        found: u32,
    ) -> Next {
        let staged = Staged::new(identity, vip, found);
        // Of a packet that goes to another worker, or nowhere, no server is known here.
        self.server = ServerHandle::NONE;
        if let Some(owner) = elsewhere::<I, FULL>(cx, packet, staged) {
            if staged.identity != 0 {
                uncount(cx.local, staged.vip());
            }
            packet.hand_over(owner, cx.this_node());
            return Next::HandOver;
        }
        let epoch = Epoch::of(cx.tables, cx.shared);
        let mut before = *rare::counters(cx.local, staged.vip());
        before.known = before.known.saturating_sub((staged.identity != 0).into());
        let mut fragment = None;
        // Of a packet without a flow this is none.
        let mut found = ServerHandle::from_bits(staged.found);
        if !cx.local.servers.get(found.slot()).is_some_and(|own| own.knows(found, epoch)) {
            found = match rare::find(cx, packet, staged) {
                Ok(found) => {
                    fragment = found.fragment;
                    found.server
                }
                Err(next) => return next,
            };
        }
        self.server = found;
        let Some(own) = cx.local.servers.get(found.slot()) else { return cx.drop(packet, Error::NoServer) };
        let (way, length) = (own.way, packet.len());
        if I::expires(packet) {
            cx.blame(packet, Error::Expired);
            return I::ICMP_ERROR;
        }
        if longest(packet) > usize::from(way.room)
            && let Some(next) = rare::too_long(cx, packet, way.room)
        {
            return next;
        }
        if staged.identity == 0 && NoFlow::of(staged) == NoFlow::Quote {
            let quote = I::Key::read_quote(packet.data());
            let sessions = I::sessions_of(cx.local);
            let session = quote.and_then(|quote| Some((quote, *sessions.about(&quote.key.reversed(), found)?)));
            let to = session.and_then(|(_, session)| cx.shared.server(session.handle));
            let done = session.is_some_and(|(quote, session)| to_server(packet.data_mut(), &quote, &session, FULL));
            let Some(to) = to.filter(|_| done) else { return cx.drop(packet, Error::Quote) };
            // Several connections of one client may have different servers.
            let way = if to.handle == found { way } else { Way::new(cx.tables, cx.shared, to) };
            let meta = packet.meta_mut();
            (meta.forward, meta.dpo) = (way.index, way.track);
            return Next::To(way.node);
        }
        let client = match fragment {
            Some(Fragment::First(_, flow)) if has_ports(flow.protocol()) => Some(flow),
            Some(Fragment::First(..)) => None,
            Some(Fragment::Later(Follow::Addresses { ends, .. })) => {
                if !translate_ends::<I::Key>(packet, ends) {
                    return cx.drop(packet, Error::Short);
                }
                return sent(cx, packet, found, &way, length);
            }
            Some(Fragment::Later(_)) => None,
            None => <I::Key as Translated>::read(packet.data()),
        };
        let Some(client) = client else { return cx.drop(packet, Error::Short) };
        let session = match I::sessions_of(cx.local).of_client(&client, found).copied() {
            Some(session) => session,
            None => match begin::<I, FULL>(cx, client, staged.vip(), found, &way) {
                Ok(session) => session,
                Err(error) => {
                    recount(cx.local, staged.vip(), before, found);
                    return cx.drop(packet, error);
                }
            },
        };
        if fragment.is_none() {
            self.straighten(cx, client, staged.vip(), &session);
        }
        let server = session.server();
        if !translate(packet, &client, &server) {
            return cx.drop(packet, Error::Short);
        }
        if let Some(Fragment::First(datagram, _)) = fragment {
            fragments::first(cx, datagram, Follow::Addresses { server: found, ends: server.ends() });
        }
        sent(cx, packet, found, &way, length)
    }

    /// Lets packets of a flow go without their session, where all it says is said by their server and they come to this worker: it
    /// is there for the answers. It is there for as long as the flow is this server's.
    fn straighten(&self, cx: &mut Cx<'_, '_, Self>, client: I::Key, vip: u32, session: &Session<I::Key>) {
        let single = cx.shared.vip(vip).is_some_and(|entry| entry.mask == KeyMask::Flow);
        let ours = cx.shared.workers < 2 || Self::owner(cx.shared, &client) == Some(cx.worker());
        if !FULL && single && ours && session.is_straight() {
            cx.local.flows.set_straight(session.flow, session.handle, true);
        }
    }
}

/// The chain of sessions of a packet whose source alone counts, so that many connections are one flow; that of another worker is not
/// looked for here.
#[cold]
#[inline(never)]
fn chain_of<I: NatInner>(scope: &Scope<'_, LbTables, LbLocal>, packet: &[u8]) -> Chain {
    let (Some(words), workers) = (I::usual(packet), scope.shared.workers) else { return Chain::NONE };
    if workers > 1 && owner_of_source(words, workers) as usize != scope.worker {
        return Chain::NONE;
    }
    I::sessions_of(scope.local).present().chain(Direction::Forward, words)
}

impl Seeking for NatStaged {
    #[inline(always)]
    fn flow(&mut self) -> &mut Staged {
        &mut self.staged
    }

    #[inline(always)]
    fn found(&mut self, known: Option<Known>) {
        self.staged.found(known);
        self.chain = self.chain.of_flow(known.is_some_and(|known| known.straight));
    }
}

/// Counts a packet of so many bytes for its server, and sends it there.
fn sent<I: NatInner, const FULL: bool>(
    cx: &mut Cx<'_, '_, Translate<I, FULL>>,
    packet: &mut Packet<'_>,
    server: ServerHandle,
    way: &Way,
    length: usize,
) -> Next {
    let Some(own) = cx.local.servers.get_mut(server.slot()) else { return cx.drop(packet, Error::NoServer) };
    own.packets += 1;
    own.bytes += length as u64;
    More::of(packet).count(own);
    let meta = packet.meta_mut();
    (meta.forward, meta.dpo) = (way.index, way.track);
    Next::To(way.node)
}

/// The other worker that a packet belongs to, if it does. Fragments have their own way of finding it.
fn elsewhere<I: NatInner, const FULL: bool>(
    cx: &Cx<'_, '_, Translate<I, FULL>>,
    packet: &Packet<'_>,
    staged: Staged,
) -> Option<usize> {
    let fragment = staged.identity == 0 && NoFlow::of(staged) == NoFlow::Fragment;
    if FULL || fragment || cx.shared.workers < 2 {
        return None;
    }
    let quoted = || Some(I::Key::read_quote(packet.data())?.key.reversed());
    let key = <I::Key as Translated>::read(packet.data()).filter(|key| has_ports(key.protocol()));
    let key = key.or_else(quoted)?;
    Translate::<I, FULL>::owner(cx.shared, &key).filter(|&owner| owner != cx.worker())
}

/// Begins a session for a flow that was given a server; says what the server gets.
#[cold]
#[inline(never)]
fn begin<I: NatInner, const FULL: bool>(
    cx: &mut Cx<'_, '_, Translate<I, FULL>>,
    client: I::Key,
    vip: u32,
    handle: ServerHandle,
    way: &Way,
) -> Result<Session<I::Key>, Error> {
    let (worker, shared, now) = (cx.worker() as u32, cx.shared, cx.now().seconds);
    let mask = shared.vip(vip).ok_or(Error::NoVip)?.mask;
    let flow = cx.local.flows.hash(client.words().masked(mask), vip);
    let target = client.with_destination((I::address(way), way.outer.port()));
    let own = [client.source().0];
    let addresses = if FULL { I::pool(shared) } else { &own[..] };
    let Parts { sessions, flows, shortage, .. } = I::parts(cx.local);
    let tries = shortage.limit(handle, now);
    let from = Pick { addresses, worker, workers: shared.workers, seed: flow.identity as u32, tries };
    let choose = |sessions: &Sessions<I::Key>| {
        // A client keeps its port as long as the server can tell its flows apart.
        let kept = Some(target).filter(|target| !FULL && !sessions.is_taken(target));
        kept.or_else(|| pick(target, from, |server| sessions.is_taken(server)))
    };
    let mut chosen = choose(sessions);
    if chosen.is_none() || sessions.used() == sessions.capacity() {
        // In a flood of flows that nobody remembers any more their sessions are not left to be found by and by.
        let gone = sessions.sweep(tries as usize / 2, |session| stays(session, flows, now, shared.live()));
        if gone > 0 && chosen.is_none() {
            chosen = choose(sessions);
        }
        if gone < FEW as usize {
            shortage.note(handle, now);
        }
    }
    let Some(server) = chosen else {
        cx.local.no_source += 1;
        return Err(Error::NoSource);
    };
    let session = Session::new((client, server), handle, flow, now);
    sessions.insert(session).map_err(|_| Error::NoSession)?;
    Ok(session)
}

/// Makes a packet of a known flow one for its server, where it needs no session or its session is there. The packet's headers stand as
/// usual, or else it has no chain.
#[inline(always)]
fn usual<I: NatInner, const FULL: bool>(
    own: &mut ServerLocal,
    sessions: &Table<I::Key>,
    packet: &mut Packet<'_>,
    (server, chain): (ServerHandle, Chain),
) -> bool {
    let (length, offload) = (packet.plain_len(), packet.meta().offload);
    if offload.intersects(Offload::GSO) {
        return false;
    }
    let unfinished = offload.contains(Offload::CHECKSUM);
    let done = if FULL {
        by_session(sessions, packet, (server, chain), unfinished)
    } else if chain == Chain::STRAIGHT {
        I::Key::lead_to(&own.way.outer, packet.data_mut(), unfinished)
    } else {
        aside(sessions, &mut packet.again(), (server, chain), unfinished)
    };
    if !done {
        return false;
    }
    own.packets += 1;
    own.bytes += length as u64;
    let meta = packet.meta_mut();
    (meta.forward, meta.dpo) = (own.way.index, own.way.track);
    true
}

/// What a session says of a packet to a server, in its chain.
#[inline(always)]
fn by_session<K: Translated>(
    sessions: &Table<K>,
    packet: &mut Packet<'_>,
    (server, chain): (ServerHandle, Chain),
    unfinished: bool,
) -> bool {
    let Some((to, change)) = sessions.along(chain, packet.data(), server) else { return false };
    K::write_in(to, packet.data_mut(), change, unfinished)
}

/// The same where packets mostly need no session: out of the way.
#[cold]
#[inline(never)]
fn aside<K: Translated>(
    sessions: &Table<K>,
    packet: &mut Packet<'_>,
    (server, chain): (ServerHandle, Chain),
    unfinished: bool,
) -> bool {
    by_session(sessions, packet, (server, chain), unfinished)
}

/// Takes back that a packet was counted as one of a known flow.
fn uncount(local: &mut LbLocal, vip: u32) {
    let counters = rare::counters(local, vip);
    counters.known = counters.known.saturating_sub(1);
}

/// Takes back how a packet was counted that gets no further than its server: it is counted under its own reason.
#[cold]
fn recount(local: &mut LbLocal, vip: u32, before: VipCounters, server: ServerHandle) {
    let counters = rare::counters(local, vip);
    let was_new = counters.new > before.new;
    *counters = before;
    if let Some(begun) = local.begun.get_mut(server.slot()).filter(|_| was_new) {
        *begun -= 1;
    }
}

/// Whether a protocol's packets are translated.
pub(super) fn has_ports(number: u8) -> bool {
    number == protocol::TCP || number == protocol::UDP
}
