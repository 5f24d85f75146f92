//! The engine alone, with toy nodes: frames, errors, traces, mail, tables, nodes that come and go.

use std::sync::Arc;
use std::time::Duration;

use trace::{Record, Text};
use vnet::{
    BuildError, Builder, Config, Cx, Held, InputCx, InputNode, NoErrors, NodeSpec, Packet, PacketNode, Poll, Router,
    Scope, SinkCx, SinkNode, Vector, next_nodes, node_errors,
};

next_nodes! {
    enum FromSource {
        Drop => "end",
        Sort => "sort",
    }
}

/// Brings in `left` packets whose first byte counts up.
struct Source {
    left: usize,
    next: u8,
    size: usize,
}

#[derive(serde::Serialize)]
struct Byte(u8);
impl Record for Byte {
    fn text(&self, text: &mut Text) {
        text.line(format_args!("byte {}", self.0));
    }
}

impl InputNode for Source {
    type Next = FromSource;
    type Error = NoErrors;
    type Local = ();
    type Trace = Byte;
    fn poll(&mut self, cx: &mut InputCx<'_, '_, Self>) -> Poll {
        let count = self.left.min(cx.room());
        for _ in 0..count {
            let mut bytes = vec![7; self.size];
            bytes[0] = self.next;
            self.next = self.next.wrapping_add(1);
            let first = bytes[0];
            cx.deliver(vnet::IfIndex(0), &bytes, |_| FromSource::Sort, |_| Byte(first)).unwrap();
        }
        self.left -= count;
        if count > 0 { Poll::Busy(count) } else { Poll::Idle }
    }
}

next_nodes! {
    enum FromSort {
        Drop => "end",
        Odd => "odd",
        ; Hold
    }
}

node_errors! {
    enum SortError {
        Seventh => error "the seventh of eight",
        Seen => info "seen",
    }
}

/// What the toy plugin configures.
struct Bias(u8);
/// What the toy plugin's nodes share in a worker.
#[derive(Default)]
struct Tally {
    staged: usize,
    held: Vec<Held>,
}

/// Odd bytes to `odd`, every seventh of eight dropped with a reason, 0x80 and up held, the rest to the end.
struct Sort;

impl PacketNode for Sort {
    type Next = FromSort;
    type Error = SortError;
    type Shared = Bias;
    type Local = Tally;
    type Staged = u8;
    type Trace = Byte;
    fn stage(&mut self, scope: &Scope<'_, Bias, Tally>, packet: &Packet<'_>) -> u8 {
        assert_eq!(scope.local.staged % 1000, 0, "the first pass is over before the second begins");
        packet.data()[0].wrapping_add(scope.shared.0)
    }
    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, byte: u8) -> FromSort {
        cx.count(SortError::Seen);
        if byte >= 0x80 {
            return FromSort::Hold;
        }
        match byte & 7 {
            6 => cx.drop(packet, SortError::Seventh),
            1 | 3 | 5 | 7 => FromSort::Odd,
            _ => FromSort::Drop,
        }
    }
    fn held(&mut self, cx: &mut Cx<'_, '_, Self>, mut packet: Held) {
        let byte = cx.look_at(&mut packet, |packet| packet.data()[0]);
        assert!(byte.wrapping_add(cx.shared.0) >= 0x80);
        cx.local.held.push(packet);
    }
    fn trace(&self, _: &Scope<'_, Bias, Tally>, _: &Packet<'_>, byte: u8) -> Byte {
        Byte(byte)
    }
}

/// Doubles packets: the copy goes on, the original too.
struct Odd;
next_nodes! {
    enum FromOdd {
        End => "end",
    }
}
impl PacketNode for Odd {
    type Next = FromOdd;
    type Error = NoErrors;
    type Shared = ();
    type Local = ();
    type Staged = ();
    type Trace = ();
    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> FromOdd {
        let byte = packet.data()[0];
        cx.emit_chain(packet, &mut packet.segments(), |copy| {
            copy.data_mut()[0] = byte ^ 0xff;
            Some(FromOdd::End)
        })
        .unwrap();
        FromOdd::End
    }
    fn trace(&self, _: &Scope<'_, (), ()>, _: &Packet<'_>, (): ()) {}
}

/// Remembers what arrives.
#[derive(Default)]
struct End {
    seen: Vec<(u8, usize)>,
}
#[derive(serde::Serialize)]
struct Reason(Arc<str>, &'static str);
impl Record for Reason {
    fn text(&self, text: &mut Text) {
        text.line(format_args!("{}: {}", self.0, self.1));
    }
}
impl SinkNode for End {
    type Error = NoErrors;
    type Trace = Reason;
    fn consume(&mut self, cx: &mut SinkCx<'_, '_, Self>, vector: &mut Vector<'_>) {
        for at in 0..vector.len() {
            let packet = vector.packet(at);
            cx.count_reason(&packet);
            self.seen.push((packet.data()[0], packet.len()));
        }
    }
    fn trace(&self, cx: &SinkCx<'_, '_, Self>, packet: &Packet<'_>) -> Reason {
        let (node, reason) = cx.reason(packet);
        Reason(node, reason)
    }
}

fn builder(packets: usize, size: usize) -> Builder {
    let mut builder = Builder::new();
    builder
        .node(NodeSpec::input("source", move |_| Source { left: packets, next: 0, size }))
        .node(NodeSpec::packet("sort", |_| Sort))
        .node(NodeSpec::packet("odd", |_| Odd))
        .node(NodeSpec::sink("end", |_| End::default()))
        .extension(Bias(0))
        .local(|_| Tally::default());
    builder
}

fn inline() -> Config {
    Config { inline: true, buffers: 2048, ..Config::default() }
}

fn seen(router: &mut Router) -> Vec<(u8, usize)> {
    let end = router.node("end").unwrap();
    router.ask(0, move |worker| std::mem::take(&mut worker.node::<End>(end).unwrap().seen))
}

fn errors(router: &Router, node: &str) -> Vec<u64> {
    let info = router.node_info(router.node(node).unwrap()).unwrap();
    info.stats[0].errors.iter().map(vnet::counters::Counter::get).collect()
}

#[test]
fn packets_go_where_the_nodes_say_and_come_back_to_the_pool() {
    for size in [1, 60, 5000] {
        let mut router = builder(1000, size).build(&inline()).unwrap();
        router.step();
        let seen = seen(&mut router);
        // 1000 packets: bytes 0..=255 three times, then 0..=231. Half of 0..=127 is odd and doubled.
        let low = 3 * 128 + 128;
        assert_eq!(seen.len(), low + low / 2);
        assert!(seen.iter().all(|(_, len)| *len == size));
        assert_eq!(seen.iter().filter(|(byte, _)| *byte >= 0x80).count(), low / 2, "the copies");
        assert_eq!(errors(&router, "sort"), [(low / 8) as u64, 1000]);
        let held = router.ask(0, |worker| worker.local::<Tally>().unwrap().held.len());
        assert_eq!(held, 3 * 128 + 104);
        router.ask(0, |worker| {
            let held = std::mem::take(&mut worker.local::<Tally>().unwrap().held);
            assert!(worker.buffers_in_use() >= held.len());
            let end = vnet::NodeId(4);
            for packet in held {
                worker.release(packet, end, |packet| packet.data_mut()[0] = 1);
            }
        });
        router.step();
        assert_eq!(router.ask(0, |worker| worker.buffers_in_use()), 0);
        assert_eq!(self::seen(&mut router).len(), 3 * 128 + 104);
    }
}

#[test]
fn traces_show_each_node_in_order() {
    let mut router = builder(8, 60).build(&inline()).unwrap();
    let source = router.node("source").unwrap();
    router.ask(0, move |worker| worker.trace_add(source, 2));
    router.step();
    let text = router.ask(0, |worker| worker.traces().text("0 vpp_main", 50));
    let lines: Vec<_> = text
        .lines()
        .map(|line| if line.starts_with("00:") { line.split_once(": ").unwrap().1 } else { line })
        .collect();
    assert_eq!(
        lines,
        [
            "------------------- Start of thread 0 vpp_main -------------------",
            "Packet 1",
            "",
            "source",
            "  byte 0",
            "sort",
            "  byte 0",
            "end",
            "  null-node: blackholed packets",
            "",
            "Packet 2",
            "",
            "source",
            "  byte 1",
            "sort",
            "  byte 1",
            "odd",
            "end",
            "  null-node: blackholed packets",
            "end",
            "  null-node: blackholed packets",
            "",
        ]
    );
}

#[test]
fn a_published_change_is_seen_by_the_next_pass() {
    let mut router = builder(8, 60).build(&inline()).unwrap();
    router.set_extension(Arc::new(Bias(6)));
    router.publish();
    router.step();
    // The byte 0 is now the one that is dropped for a reason.
    assert_eq!(errors(&router, "sort"), [1, 8]);
}

#[test]
fn nodes_come_and_go_while_the_graph_runs() {
    let mut router = builder(0, 60).build(&inline()).unwrap();
    let late = router.add_node(NodeSpec::input("late", |_| Source { left: 300, next: 0, size: 64 })).unwrap();
    router.step();
    // The bytes 0..=127 and 0..=43; half of them are odd and doubled, the rest is held.
    assert_eq!(seen(&mut router).len(), 172 + 86);
    assert!(router.add_node(NodeSpec::input("late", |_| Source { left: 1, next: 0, size: 64 })).is_err());
    router.remove_node(late);
    assert!(router.node("late").is_none());
    assert_eq!(router.add_node(NodeSpec::sink("again", |_| End::default())).unwrap(), late, "the number is used again");
}

#[test]
fn three_threaded_routers_in_one_process_sleep_and_answer() {
    let config = Config { workers: 2, buffers: 1024, ..Config::default() };
    let mut routers: Vec<_> = (0..3).map(|_| builder(500, 60).build(&config).unwrap()).collect();
    for router in &mut routers {
        let end = router.node("end").unwrap();
        assert!(router.wait_until(Duration::from_secs(10), |router| {
            let seen = router.ask_all(move |worker| worker.node::<End>(end).unwrap().seen.len());
            seen.iter().all(|&count| count > 300)
        }));
        std::thread::sleep(Duration::from_millis(20));
        let before = router.loop_stats(0).loops.get();
        std::thread::sleep(Duration::from_millis(100));
        assert!(router.loop_stats(0).loops.get() - before < 100, "an idle worker sleeps");
        router.set_extension(Arc::new(Bias(1)));
        router.publish();
        let version = router.tables().version;
        assert!(router.wait_until(Duration::from_secs(10), move |router| {
            router.ask(1, |worker| worker.tables().version) == version
        }));
    }
}

#[test]
fn build_names_what_is_wrong() {
    let fails = |builder: Builder| match builder.build(&inline()) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("built"),
    };
    let mut twice = builder(0, 1);
    twice.node(NodeSpec::packet("sort", |_| Sort));
    assert_eq!(fails(twice), "a node named `sort` exists already");
    let mut lost = Builder::new();
    lost.node(NodeSpec::packet("odd", |_| Odd));
    assert_eq!(fails(lost), "node `odd` names the next node `end`, which does not exist");
    let mut stateless = Builder::new();
    stateless
        .node(NodeSpec::packet("sort", |_| Sort))
        .node(NodeSpec::packet("odd", |_| Odd))
        .node(NodeSpec::sink("end", |_| End::default()));
    assert!(fails(stateless).starts_with("node `sort` needs state of type `engine::Bias`"));
    let mut circle = builder(0, 1);
    let feature =
        |node: &str, after: &str| vnet::arcs::Feature { node: node.into(), before: vec![], after: vec![after.into()] };
    circle.feature("ip4-unicast", feature("odd", "sort")).feature("ip4-unicast", feature("sort", "odd"));
    assert!(matches!(circle.build(&inline()), Err(BuildError::FeatureCircle { circle, .. }) if circle == "odd, sort"));
}
