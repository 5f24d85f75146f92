//! `ip4-glean`, `ip4-arp` and `arp-wait`, `ip6-glean`, `ip6-discover-neighbor` and `nd-wait`: packets whose next hop's link address is not known yet.
//!
//! The first packets of a flow are not lost: they wait, a few per neighbour, until the neighbour answers or the time is
//! over. Uses: `meta.forward`, an adjacency. Sets: nothing. Next: `ip4-lookup`, once more, when the neighbour is known.

use std::marker::PhantomData;
use std::net::{Ipv4Addr, Ipv6Addr};

use ahash::AHashMap;
use smallvec::SmallVec;
use trace::Text;
use vnet::fib::{AdjacencyKind, ForwardKind};
use vnet::{
    AdjIndex, Cx, ErrorCodes, ErrorInfo, Held, IfIndex, InputCx, InputNode, NodeSpec, Notice, Packet, PacketNode, Poll,
    Scope, Tables, node_errors,
};

use crate::drop::AdjacencyTrace;
use crate::ip::{Ip, next_nodes_of};

/// Packets that wait for one neighbour.
const PER_NEIGHBOR: usize = 16;
/// Neighbours that are waited for at a time.
const NEIGHBORS: usize = 4096;
/// Packets wait this long: three requests, a second apart, and a little.
const PATIENCE_NANOS: u64 = 3_500_000_000;
/// Between two reminders to the control thread about the same neighbour.
const REMIND_NANOS: u64 = 1_000_000_000;

next_nodes_of! {
    /// Where packets go that do not wait.
    pub enum Next {
        /// The queue is full, or nobody can be asked.
        Drop => DROP,
        /// The neighbour is known by now.
        Lookup => LOOKUP,
        ; /// The packet waits.
        Hold
    }
}

node_errors! {
    /// What happens to packets that wait.
    pub enum Error {
        /// As many as may wait for this neighbour do already.
        QueueFull => error "too many packets wait for the neighbour",
        /// As many neighbours as may be are waited for already.
        TooMany => error "too many unresolved neighbours",
        /// The neighbour did not answer.
        Expired => error "neighbour did not answer",
        /// The adjacency names nobody to ask.
        NoTarget => error "no address to ask for",
        /// Requests that the control thread was asked to send.
        Asked => info "ARP requests asked for",
        /// Packets that went on.
        Released => info "packets released",
    }
}

node_errors! {
    /// The same for IPv6: in other words where they name the protocol.
    pub enum Error6 {
        /// See [`Error`].
        QueueFull => error "too many packets wait for the neighbour",
        /// See [`Error`].
        TooMany => error "too many unresolved neighbours",
        /// See [`Error`].
        Expired => error "neighbour did not answer",
        /// See [`Error`].
        NoTarget => error "no address to ask for",
        /// Solicitations that the control thread was asked to send.
        Asked => info "neighbor solicitations asked for",
        /// See [`Error`].
        Released => info "packets released",
    }
}

/// An [`Error`] in the words of the family.
#[derive(Clone, Copy, Debug)]
pub struct ErrorOf<A>(Error, PhantomData<A>);

impl<A: Ip> ErrorCodes for ErrorOf<A> {
    const LIST: &'static [ErrorInfo] = if A::BITS == 32 { Error::LIST } else { Error6::LIST };

    fn code(self) -> u16 {
        self.0.code()
    }
}

impl<A> From<Error> for ErrorOf<A> {
    fn from(error: Error) -> Self {
        ErrorOf(error, PhantomData)
    }
}

pub(super) fn nodes() -> Vec<NodeSpec> {
    vec![
        NodeSpec::packet("ip4-glean", |_| Resolve::<Ipv4Addr>::default()),
        NodeSpec::packet("ip4-arp", |_| Resolve::<Ipv4Addr>::default()),
        NodeSpec::input("arp-wait", |_| Waiter::<Ipv4Addr>::default()),
        NodeSpec::packet("ip6-glean", |_| Resolve::<Ipv6Addr>::default()),
        NodeSpec::packet("ip6-discover-neighbor", |_| Resolve::<Ipv6Addr>::default()),
        NodeSpec::input("nd-wait", |_| Waiter::<Ipv6Addr>::default()),
    ]
}

/// One neighbour that packets wait for.
struct Queue {
    adjacency: AdjIndex,
    since: u64,
    reminded: u64,
    packets: SmallVec<[Held; PER_NEIGHBOR]>,
}

/// Packets of one worker that wait.
pub struct Waiting<A> {
    queues: AHashMap<(IfIndex, A), Queue>,
}

impl<A> Default for Waiting<A> {
    fn default() -> Self {
        Waiting { queues: AHashMap::new() }
    }
}

/// Queues a packet and asks for the neighbour.
struct Resolve<A> {
    /// Whose queue the packets of this vector belong to, in the order in which they will be handed over.
    chosen: std::collections::VecDeque<(IfIndex, A)>,
}

impl<A> Default for Resolve<A> {
    fn default() -> Self {
        Resolve { chosen: Default::default() }
    }
}

impl<A: Ip> PacketNode for Resolve<A> {
    type Next = Next<A>;
    type Error = ErrorOf<A>;
    type Shared = ();
    type Local = Waiting<A>;
    type Staged = ();
    type Trace = AdjacencyTrace;

    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> Next<A> {
        let index = AdjIndex(packet.meta().forward);
        let adjacency = A::fib(cx.tables).adjacency(index);
        let target = match (adjacency.kind, adjacency.next_hop) {
            (AdjacencyKind::Glean, _) => A::destination(packet.data()),
            (_, next_hop) => A::of_ip(next_hop),
        };
        let Some(target) = target else {
            return cx.drop(packet, Error::NoTarget.into());
        };
        let (key, now) = ((adjacency.interface, target), cx.now().nanos);
        let waited_for = cx.local.queues.len();
        let pending = self.chosen.iter().filter(|other| **other == key).count();
        let (ask, full) = match cx.local.queues.get_mut(&key) {
            Some(queue) => {
                let ask = now - queue.reminded >= REMIND_NANOS;
                queue.reminded = if ask { now } else { queue.reminded };
                (ask, queue.packets.len() + pending >= PER_NEIGHBOR)
            }
            None if waited_for >= NEIGHBORS => return cx.drop(packet, Error::TooMany.into()),
            None => {
                let queue = Queue { adjacency: index, since: now, reminded: now, packets: SmallVec::new() };
                cx.local.queues.insert(key, queue);
                (true, false)
            }
        };
        if ask {
            cx.notify(Notice::Want { interface: key.0, target: target.to_ip() });
            cx.count(Error::Asked.into());
        }
        if full {
            return cx.drop(packet, Error::QueueFull.into());
        }
        self.chosen.push_back(key);
        Next::Hold
    }

    fn held(&mut self, cx: &mut Cx<'_, '_, Self>, packet: Held) {
        match self.chosen.pop_front().and_then(|key| cx.local.queues.get_mut(&key)) {
            Some(queue) => queue.packets.push(packet),
            None => cx.discard(packet),
        }
    }

    fn trace(&self, _: &Scope<'_, (), Waiting<A>>, packet: &Packet<'_>, (): ()) -> AdjacencyTrace {
        AdjacencyTrace::of::<A>(packet)
    }
}

/// Lets packets go on when their neighbour is known, and drops them when it does not answer.
struct Waiter<A> {
    version: u64,
    next_look: u64,
    family: PhantomData<A>,
}

impl<A> Default for Waiter<A> {
    fn default() -> Self {
        Waiter { version: 0, next_look: 0, family: PhantomData }
    }
}

/// The waiting place brings in no packets of its own.
#[derive(serde::Serialize)]
pub struct NoTrace;
impl trace::Record for NoTrace {
    fn text(&self, _: &mut Text) {}
}

impl<A: Ip> InputNode for Waiter<A> {
    type Next = Next<A>;
    type Error = ErrorOf<A>;
    type Local = Waiting<A>;
    type Trace = NoTrace;

    fn poll(&mut self, cx: &mut InputCx<'_, '_, Self>) -> Poll {
        if cx.local.queues.is_empty() {
            return Poll::Idle;
        }
        let now = cx.now().nanos;
        let fresh = cx.tables.version != self.version;
        if !fresh && now < self.next_look {
            return Poll::Until(self.next_look);
        }
        (self.version, self.next_look) = (cx.tables.version, now + REMIND_NANOS);
        let (mut ready, mut late) = (Vec::new(), Vec::new());
        for (key, queue) in &mut cx.local.queues {
            if is_known(cx.tables, *key, queue.adjacency) {
                ready.push(*key);
            } else if now - queue.since > PATIENCE_NANOS {
                late.push(*key);
            }
        }
        let mut packets = 0;
        for key in ready {
            for packet in cx.local.queues.remove(&key).map(|queue| queue.packets).unwrap_or_default() {
                cx.release(packet, |_| Next::Lookup);
                cx.count(Error::Released.into(), 1);
                packets += 1;
            }
        }
        for key in late {
            for packet in cx.local.queues.remove(&key).map(|queue| queue.packets).unwrap_or_default() {
                cx.release_as(packet, Error::Expired.into());
                packets += 1;
            }
        }
        if packets > 0 { Poll::Busy(packets) } else { Poll::Until(self.next_look) }
    }
}

/// Whether a packet for this neighbour can leave now.
fn is_known<A: Ip>(tables: &Tables, (interface, target): (IfIndex, A), adjacency: AdjIndex) -> bool {
    let fib = A::fib(tables);
    let adjacency = fib.adjacency(adjacency);
    let ours = adjacency.next_hop == target.to_ip() && adjacency.interface == interface;
    if adjacency.kind == AdjacencyKind::Complete && ours {
        return true;
    }
    let forward = fib.forward(fib.find(target));
    matches!(forward.kind, ForwardKind::Rewrite | ForwardKind::Local | ForwardKind::Drop)
}
