//! `pg-input`: sends the packets of enabled streams into the graph.
//!
//! Uses: the worker's streams. Sets: the interface that the packet came in by, the mark of generated packets.
//! Next: `ethernet-input`, or the node that the stream names.

use std::sync::Arc;

use vnet::{IfIndex, InputCx, InputNode, NoErrors, NodeId, NodeSpec, Packet, Poll, VECTOR, next_nodes};

use super::fields::Random;
use super::pcap::Packets;
use super::template::Maker;
use super::trace::{InputTrace, Origin};

next_nodes! {
    /// Where `pg-input` sends packets.
    pub enum Next {
        /// Not used.
        Drop => "error-drop",
        /// Frames.
        Ethernet => "ethernet-input",
        ; To
    }
}

/// How long to wait for buffers, in nanoseconds.
const WAIT_FOR_BUFFERS: u64 = 1_000_000;

pub(super) fn node() -> NodeSpec {
    NodeSpec::input("pg-input", |_| PgInput::default())
}

/// The node: the streams of one worker.
#[derive(Default)]
pub(super) struct PgInput {
    streams: Vec<Running>,
    /// How many of them still send.
    live: usize,
    /// The stream whose turn is first.
    first: usize,
}

/// Nanoseconds from packet to packet at a rate in packets per second; 0: none.
///
/// Kept between 1e-3 and 1e18 (32 years): beyond that, times could not be counted, and a division would give infinity.
pub(super) fn gap(rate: f64) -> f64 {
    if rate > 0.0 { (1e9 / rate).clamp(1e-3, 1e18) } else { 0.0 }
}

/// A stream that was enabled.
pub(super) struct Running {
    /// The stream's number on the control side.
    pub(super) id: u64,
    pub(super) origin: Origin,
    /// `None`: `ethernet-input`.
    pub(super) next: Option<NodeId>,
    pub(super) rx: IfIndex,
    pub(super) tx: Option<IfIndex>,
    pub(super) limit: u64,
    pub(super) sent: u64,
    /// Nanoseconds from packet to packet; 0: none.
    pub(super) gap: f64,
    /// When the next packet is due, in nanoseconds since the router started; `None` before the first.
    pub(super) due: Option<f64>,
    pub(super) max_frame: usize,
    pub(super) feed: Feed,
    pub(super) enabled: bool,
}

/// Where packets come from.
pub(super) enum Feed {
    /// Out of a file, again and again.
    Recorded(Arc<Packets>),
    /// Made one by one.
    Made(Box<Maker>, Random),
}

impl Feed {
    #[inline]
    fn packet(&mut self, number: u64) -> &[u8] {
        match self {
            Feed::Recorded(packets) => packets.get((number % packets.len().max(1) as u64) as usize),
            Feed::Made(maker, random) => maker.make(number, random),
        }
    }
}

impl PgInput {
    /// Takes a stream; it sends from the next pass on.
    pub(super) fn add(&mut self, stream: Running) {
        self.streams.push(stream);
        self.count_live();
    }

    /// Gives a stream back.
    pub(super) fn remove(&mut self, id: u64) -> Option<Running> {
        let at = self.streams.iter().position(|stream| stream.id == id)?;
        let stream = self.streams.remove(at);
        self.count_live();
        Some(stream)
    }

    /// Lets a stream pause for ever; what it has sent is still known.
    pub(super) fn stop(&mut self, id: u64) {
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.id == id) {
            stream.enabled = false;
        }
        self.count_live();
    }

    /// Number, whether it still sends, packets sent, of every stream.
    pub(super) fn progress(&self) -> Vec<(u64, bool, u64)> {
        self.streams.iter().map(|stream| (stream.id, stream.enabled, stream.sent)).collect()
    }

    fn count_live(&mut self) {
        self.live = self.streams.iter().filter(|stream| stream.enabled).count();
        self.first = 0;
    }
}

impl InputNode for PgInput {
    type Next = Next;
    type Error = NoErrors;
    type Local = ();
    type Trace = InputTrace;

    fn poll(&mut self, cx: &mut InputCx<'_, '_, Self>) -> Poll {
        if self.live == 0 {
            return Poll::Idle;
        }
        let now = cx.now().nanos;
        let (mut sent, mut due, mut done) = (0, f64::INFINITY, 0);
        let (mut starved, count) = (false, self.streams.len());
        for turn in 0..count {
            let at = (self.first + turn) % count;
            if !self.streams[at].enabled {
                continue;
            }
            let room = cx.room();
            if room == 0 {
                // A stream without end must not keep the others from sending.
                self.first = at;
                starved = true;
                break;
            }
            let stream = &mut self.streams[at];
            let packets = stream.send(cx, room, now as f64);
            sent += packets;
            match stream.due {
                Some(when) => due = due.min(when),
                None => starved = true,
            }
            done += usize::from(!stream.enabled);
        }
        self.live -= done;
        match sent {
            0 if self.live == 0 => Poll::Idle,
            0 if starved => Poll::Until(now + WAIT_FOR_BUFFERS),
            0 => Poll::Until((due as u64).max(now + 1)),
            _ => Poll::Busy(sent),
        }
    }
}

impl Running {
    /// Sends what is due, at most `room` packets; gives their number.
    #[inline]
    fn send(&mut self, cx: &mut InputCx<'_, '_, PgInput>, room: usize, now: f64) -> usize {
        let left = usize::try_from(self.limit - self.sent).unwrap_or(usize::MAX);
        let count = room.min(self.max_frame).min(left).min(self.packets_due(now));
        let (mut done, mut bytes) = (0, 0);
        // What is the same for all of them is taken out once: the loop calls what might change it.
        let (rx, tx, next, origin) = (self.rx, self.tx, self.next, &self.origin);
        while done < count {
            let packet = self.feed.packet(self.sent + done as u64);
            let finish = |packet: &mut Packet<'_>| mark(packet, tx, next);
            // Without a free buffer it is sent the next time.
            if cx.deliver(rx, packet, finish, |packet| InputTrace::new(origin, packet)).is_err() {
                break;
            }
            bytes += packet.len() as u64;
            done += 1;
        }
        self.sent += done as u64;
        if done > 0 {
            cx.interface(self.rx).rx.add(done as u64, bytes);
        }
        if let Some(due) = &mut self.due {
            *due += self.gap * done as f64;
            // What was missed by more than a vector is not made up for.
            *due = due.max(now - self.gap * VECTOR as f64);
        }
        self.enabled = self.sent < self.limit;
        done
    }

    /// How many packets the rate allows by now.
    fn packets_due(&mut self, now: f64) -> usize {
        if self.gap == 0.0 {
            return usize::MAX;
        }
        let due = *self.due.get_or_insert(now);
        if now < due { 0 } else { (((now - due) / self.gap) as usize).saturating_add(1) }
    }
}

/// Says of a packet what its stream does, and gives its way.
#[inline(always)]
fn mark(packet: &mut Packet<'_>, tx: Option<IfIndex>, next: Option<NodeId>) -> Next {
    if let Some(tx) = tx {
        packet.meta_mut().tx = tx;
    }
    match next {
        None => {
            packet.meta_mut().opaque[0] = crate::GENERATED;
            Next::Ethernet
        }
        Some(node) => {
            packet.mark_l2();
            packet.mark_l3();
            Next::To(node)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::gap;

    /// `rate 1e30` once overflowed, and `rate 1e-300` sent as fast as it could.
    #[test]
    fn gaps_are_finite_at_every_rate() {
        assert_eq!([0.0, -1.0, f64::NAN].map(gap), [0.0; 3]);
        assert_eq!([1.0, 1e6, 1e-3].map(gap), [1e9, 1e3, 1e12]);
        assert_eq!([1e30, f64::MAX, 1e-300, f64::from_bits(1)].map(gap), [1e-3, 1e-3, 1e18, 1e18]);
    }
}
