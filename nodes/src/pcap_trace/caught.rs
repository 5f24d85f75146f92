//! The packets of a capture, until they are written.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use vnet::wire::ethernet::{self, EthernetHeader};
use vnet::{IfIndex, Look, Packet};

/// What a capture keeps in memory at most, in bytes.
const MAX_BYTES: usize = 256 << 20;
/// Bytes of an Ethernet header.
const LINK: usize = size_of::<EthernetHeader>();

/// Packets with their stamps (since 1970). All packet threads put theirs here while a capture runs.
pub(super) struct Caught {
    max: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    packets: Vec<(Duration, Vec<u8>)>,
    bytes: usize,
}

impl Caught {
    pub(super) fn new(max: usize) -> Caught {
        Caught { max, kept: Mutex::default() }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.kept().packets.len()
    }

    /// All of them, in the order of their stamps.
    pub(super) fn packets(&self) -> Vec<(Duration, Vec<u8>)> {
        let mut packets = self.kept().packets.clone();
        packets.sort_by_key(|(stamp, _)| *stamp);
        packets
    }

    /// Keeps what comes in.
    pub(super) fn on_rx(self: &Arc<Self>, interface: Option<IfIndex>) -> Look {
        let caught = self.clone();
        Box::new(move |packet| {
            if interface.is_none_or(|only| only == packet.meta().rx) {
                caught.keep(&[], packet);
            }
        })
    }

    /// Keeps what goes out.
    pub(super) fn on_tx(self: Arc<Self>) -> Look {
        Box::new(move |packet| self.keep(&[], packet))
    }

    /// Keeps what is dropped, of packets that came in by `interface`.
    pub(super) fn on_drop(self: &Arc<Self>, interface: Option<IfIndex>) -> Look {
        let caught = self.clone();
        Box::new(move |packet| {
            if interface.is_none_or(|only| only == packet.meta().rx) {
                caught.keep_dropped(packet);
            }
        })
    }

    /// A packet is dropped wherever its start happens to stand: at the link header or behind it, or at a header that
    /// was put in front. Where no link header is left one is made up, since the file is of Ethernet frames.
    fn keep_dropped(&self, packet: &mut Packet<'_>) {
        let (link, network) = packet.header_offsets();
        let behind = usize::try_from(-link).ok().filter(|_| (network - link) as usize >= LINK);
        if let Some(behind) = behind.filter(|behind| packet.push(*behind).is_some()) {
            self.keep(&[], packet);
            packet.pull(behind);
        } else if is_ip4(packet) {
            let mut made_up = [0; LINK];
            made_up[LINK - 2..].copy_from_slice(&ethernet::IP4.to_be_bytes());
            self.keep(&made_up, packet);
        } else {
            self.keep(&[], packet);
        }
    }

    fn keep(&self, link: &[u8], packet: &Packet<'_>) {
        let mut kept = self.kept();
        let len = link.len() + packet.len();
        if kept.packets.len() >= self.max || kept.bytes + len > MAX_BYTES {
            return;
        }
        let mut bytes = Vec::with_capacity(len);
        bytes.extend_from_slice(link);
        packet.segments().for_each(|segment| bytes.extend_from_slice(segment));
        // A clock before 1970 is as good as none.
        let stamp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        kept.packets.push((stamp, bytes));
        kept.bytes += len;
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the packet begins with an IPv4 header that says how long the packet is: a MAC hardly does.
fn is_ip4(packet: &Packet<'_>) -> bool {
    let data = packet.data();
    data.first().is_some_and(|first| (0x45..=0x4f).contains(first))
        && data.get(2..4).is_some_and(|len| usize::from(u16::from_be_bytes([len[0], len[1]])) == packet.len())
}
