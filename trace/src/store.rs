//! Where the records of traced packets are kept until somebody asks for them.

use std::sync::Arc;

use crate::text::{Record, Text};

/// Microseconds since the router started; one stamp serves a whole frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, serde::Serialize)]
pub struct Stamp(pub u64);

impl std::fmt::Display for Stamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (seconds, micros) = (self.0 / 1_000_000, self.0 % 1_000_000);
        write!(f, "{:02}:{:02}:{:02}:{micros:06}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }
}

/// A record whose type has been forgotten; blanket-implemented.
trait Erased: Send + Sync {
    fn text(&self, text: &mut Text);
    fn json(&self) -> serde_json::Value;
}

impl<R: Record> Erased for R {
    fn text(&self, text: &mut Text) {
        Record::text(self, text);
    }
    fn json(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// One node's record about one packet.
#[derive(Clone)]
pub struct Entry {
    /// When the frame was dispatched.
    pub stamp: Stamp,
    /// The node's name.
    pub node: Arc<str>,
    /// Shared with those who print it, on another thread.
    record: Arc<dyn Erased>,
}

impl Entry {
    /// Writes the line with the time and the node, then the record's lines two columns further in.
    pub fn text(&self, text: &mut Text) {
        text.line(format_args!("{}: {}", self.stamp, self.node));
        text.nest(2, |text| self.record.text(text));
    }

    /// The entry as JSON: `time_us`, `node`, `data`.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({"time_us": self.stamp.0, "node": &*self.node, "data": self.record.json()})
    }
}

/// Everything recorded about one packet, in the order in which the nodes ran.
#[derive(Clone, Default)]
pub struct PacketTrace {
    /// The records.
    pub entries: Vec<Entry>,
    /// The input node that began the trace, so that a discarded trace gives its place back.
    origin: u16,
}

impl PacketTrace {
    fn visited(&self, node: &str) -> bool {
        self.entries.iter().any(|entry| &*entry.node == node)
    }
}

/// Which finished traces are kept: VPP's `trace filter`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Filter {
    /// All.
    #[default]
    None,
    /// Those that passed the node, at most so many.
    Include(Arc<str>, usize),
    /// Those that did not pass the node, at most so many.
    Exclude(Arc<str>, usize),
}

/// The traces of one packet thread: bounded, oldest first.
#[derive(Default)]
pub struct Store {
    packets: Vec<PacketTrace>,
    /// Packets up to here have left the graph and passed the filter.
    settled: usize,
    filter: Filter,
    generation: u8,
}

impl Store {
    /// No more packets than this are kept, whatever was asked for.
    pub const LIMIT: usize = 50_000;

    /// Begins the trace of a packet that entered at input node number `origin`; the handle is never 0.
    /// `None` when the store is full.
    pub fn begin(&mut self, origin: u16) -> Option<u32> {
        let limit = match self.filter {
            Filter::Include(_, count) | Filter::Exclude(_, count) if self.settled >= count => 0,
            _ => Self::LIMIT,
        };
        if self.packets.len() >= limit {
            return None;
        }
        self.packets.push(PacketTrace { entries: Vec::new(), origin });
        Some(u32::from(self.generation) << 24 | self.packets.len() as u32)
    }

    /// Adds a record to the packet of this handle; a handle from before [`Store::clear`] is ignored.
    pub fn add<R: Record>(&mut self, handle: u32, stamp: Stamp, node: &Arc<str>, record: R) {
        if let Some(packet) = self.packet_mut(handle) {
            packet.entries.push(Entry { stamp, node: node.clone(), record: Arc::new(record) });
        }
    }

    fn packet_mut(&mut self, handle: u32) -> Option<&mut PacketTrace> {
        if (handle >> 24) as u8 != self.generation {
            return None;
        }
        self.packets.get_mut((handle as usize & 0x00ff_ffff).wrapping_sub(1))
    }

    /// Applies the filter to packets that have left the graph. Calls `refund` with the origin of each discarded one.
    pub fn settle(&mut self, mut refund: impl FnMut(u16)) {
        if self.filter == Filter::None || self.settled == self.packets.len() {
            self.settled = self.packets.len();
            return;
        }
        let (fresh, filter) = (self.packets.split_off(self.settled), self.filter.clone());
        for packet in fresh {
            let (keep, count) = match &filter {
                Filter::None => (true, usize::MAX),
                Filter::Include(node, count) => (packet.visited(node), *count),
                Filter::Exclude(node, count) => (!packet.visited(node), *count),
            };
            if keep && self.packets.len() < count {
                self.packets.push(packet);
            } else {
                refund(packet.origin);
            }
        }
        self.settled = self.packets.len();
        // Handles of packets that still wait somewhere now point elsewhere.
        self.generation = self.generation.wrapping_add(1);
    }

    /// Sets the filter for packets traced from now on.
    pub fn set_filter(&mut self, filter: Filter) {
        self.filter = filter;
    }

    /// The filter in force.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Forgets every trace; records of packets still in the graph go nowhere.
    pub fn clear(&mut self) {
        self.packets.clear();
        self.settled = 0;
        self.generation = self.generation.wrapping_add(1);
    }

    /// The packets traced so far.
    pub fn packets(&self) -> &[PacketTrace] {
        &self.packets
    }

    /// The first `max` packets in a store of their own, for another thread to print: records are shared and not copied, so
    /// that the packet thread is back at its packets at once.
    pub fn first(&self, max: usize) -> Store {
        let packets: Vec<_> = self.packets.iter().take(max).cloned().collect();
        let settled = packets.len();
        Store { packets, settled, filter: self.filter.clone(), generation: self.generation }
    }

    /// The first `max` packets as `show trace` prints them for one thread, with VPP's notes about the limit.
    pub fn text(&self, thread: &str, max: usize) -> String {
        let mut text = Text::new();
        text.line(format_args!("------------------- Start of thread {thread} -------------------"));
        if self.packets.is_empty() {
            text.line("No packets in trace buffer");
        }
        for (number, packet) in self.packets.iter().take(max).enumerate() {
            text.line(format_args!("Packet {}", number + 1));
            text.blank();
            for entry in &packet.entries {
                entry.text(&mut text);
            }
            text.blank();
        }
        text.into_string()
    }

    /// The first `max` packets as JSON.
    pub fn json(&self, max: usize) -> serde_json::Value {
        self.packets
            .iter()
            .take(max)
            .map(|p| p.entries.iter().map(Entry::json).collect::<serde_json::Value>())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Serialize)]
    struct Seen(u8);
    impl Record for Seen {
        fn text(&self, text: &mut Text) {
            text.line(format_args!("seen {}", self.0));
            text.nest(2, |text| text.line("more"));
            text.flush_left("edge");
        }
    }

    fn store_with(nodes: &[&str]) -> Store {
        let mut store = Store::default();
        for (number, node) in nodes.iter().enumerate() {
            let handle = store.begin(3).unwrap();
            store.add(handle, Stamp(5_024_056 + number as u64), &Arc::from("in"), ());
            store.add(handle, Stamp(5_024_056), &Arc::from(*node), Seen(number as u8));
        }
        store
    }

    #[test]
    fn the_first_packets_print_the_same_elsewhere_whatever_becomes_of_the_store() {
        let mut store = store_with(&["a-input", "b-input", "c-input"]);
        let (text, json) = (store.text("0 vpp_main", 2), store.json(2));
        let first = store.first(2);
        store.clear();
        let printed = std::thread::spawn(move || (first.packets().len(), first.text("0 vpp_main", 2), first.json(2)));
        assert_eq!(printed.join().unwrap(), (2, text, json));
        assert!(store.first(2).text("0 vpp_main", 2).contains("No packets in trace buffer"));
    }

    #[test]
    fn prints_as_vpp_does() {
        let text = store_with(&["drop"]).text("0 vpp_main", 50);
        assert_eq!(
            text,
            "------------------- Start of thread 0 vpp_main -------------------\nPacket 1\n\n00:00:05:024056: in\n\
             00:00:05:024056: drop\n  seen 0\n    more\nedge\n\n"
        );
        assert_eq!(
            Store::default().text("0 vpp_main", 50),
            "------------------- Start of thread 0 vpp_main -------------------\nNo packets in trace buffer\n"
        );
    }

    #[test]
    fn filter_keeps_what_it_should_and_refunds_the_rest() {
        let mut store = store_with(&["a", "b", "a", "a"]);
        store.set_filter(Filter::Include("a".into(), 2));
        let mut refunds = 0;
        store.settle(|origin| refunds += usize::from(origin == 3));
        assert_eq!((store.packets().len(), refunds), (2, 2));
        assert!(store.begin(3).is_none(), "the filter's count is reached");
        let mut store = store_with(&["a", "b"]);
        store.set_filter(Filter::Exclude("a".into(), 9));
        store.settle(|_| ());
        assert_eq!(store.json(9)[0][1]["data"], 1);
    }

    #[test]
    fn a_handle_from_before_clear_is_ignored() {
        let mut store = Store::default();
        let old = store.begin(0).unwrap();
        store.clear();
        let new = store.begin(0).unwrap();
        store.add(old, Stamp(0), &Arc::from("x"), ());
        assert_ne!(old, new);
        assert!(store.packets()[0].entries.is_empty());
    }
}
