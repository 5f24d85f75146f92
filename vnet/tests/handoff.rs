//! Packets that go from one worker to another: what arrives, in which order, and what happens when there are too many.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use vnet::{
    Builder, Config, Cx, IfIndex, InputCx, InputNode, NoErrors, NodeId, NodeSpec, Offload, Packet, PacketNode, Poll,
    Router, Scope, SinkCx, SinkNode, Vector, next_nodes,
};

next_nodes! {
    enum FromSource {
        Drop => "null-node",
        Steer => "steer",
    }
}

/// Brings in `left` packets of `size` bytes: flow, worker, and a number that counts up.
struct Source {
    left: u32,
    next: u32,
    size: usize,
    /// Stands still while this is set.
    stuck: Arc<AtomicBool>,
}

impl InputNode for Source {
    type Next = FromSource;
    type Error = NoErrors;
    type Local = ();
    type Trace = ();
    fn poll(&mut self, cx: &mut InputCx<'_, '_, Self>) -> Poll {
        while self.stuck.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let count = (self.left as usize).min(cx.room() / (self.size / 2048 + 1));
        let worker = cx.worker() as u8;
        let mut bytes = vec![0x5a; self.size];
        for _ in 0..count {
            bytes[..2].copy_from_slice(&[(self.next % 7) as u8, worker]);
            bytes[2..6].copy_from_slice(&self.next.to_be_bytes());
            let whole = cx.deliver(IfIndex(3), &bytes, |_| FromSource::Steer, |_| ());
            assert!(whole.is_ok());
            self.next += 1;
            self.left -= 1;
        }
        if count > 0 { Poll::Busy(count) } else { Poll::Idle }
    }
}

next_nodes! {
    enum FromSteer {
        Drop => "null-node",
        Owner => "owner",
        HandOver => "worker-handoff",
    }
}

/// Flow number modulo workers is whose packet it is.
struct Steer {
    workers: usize,
    /// Sends everything there instead.
    all_to: Option<(usize, NodeId)>,
}

impl PacketNode for Steer {
    type Next = FromSteer;
    type Error = NoErrors;
    type Shared = ();
    type Local = ();
    type Staged = ();
    type Trace = ();
    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> FromSteer {
        let owner = usize::from(packet.data()[0]) % self.workers;
        packet.mark_l2();
        packet.pull(2);
        packet.mark_l3();
        packet.set_csum_start(1);
        let meta = packet.meta_mut();
        (meta.tx, meta.forward, meta.dpo, meta.flow_hash) = (IfIndex(9), 10, 11, 12);
        (meta.offload, meta.gso_size, meta.csum_offset, meta.opaque) = (Offload::GSO_TCP4, 1400, 16, [13, 14]);
        if owner == cx.worker() && self.all_to.is_none() {
            return FromSteer::Owner;
        }
        let (owner, node) = self.all_to.unwrap_or((owner, cx.number_of(FromSteer::Owner)));
        packet.hand_over(owner, node);
        FromSteer::HandOver
    }
    fn trace(&self, _: &Scope<'_, (), ()>, _: &Packet<'_>, (): ()) {}
}

/// Remembers flow, sender and number of what arrives, and checks the rest.
#[derive(Default)]
struct Owner(Vec<(u8, u8, u32)>);

impl SinkNode for Owner {
    type Error = NoErrors;
    type Trace = ();
    fn consume(&mut self, _: &mut SinkCx<'_, '_, Self>, vector: &mut Vector<'_>) {
        for packet in vector.packets() {
            let bytes = packet.l2_bytes();
            assert_eq!(packet.data()[0], bytes[2]);
            assert!(packet.segments().flatten().skip(4).all(|byte| *byte == 0x5a));
            let meta = packet.meta();
            assert_eq!((meta.rx, meta.tx, meta.forward, meta.dpo), (IfIndex(3), IfIndex(9), 10, 11));
            assert_eq!((meta.flow_hash, meta.gso_size, meta.csum_offset), (12, 1400, 16));
            assert_eq!((meta.offload, meta.opaque, packet.csum_start()), (Offload::GSO_TCP4, [13, 14], Some(1)));
            assert_eq!(packet.header_offsets(), (-2, 0));
            self.0.push((bytes[0], bytes[1], u32::from_be_bytes(*packet.data().first_chunk().unwrap())));
        }
    }
    fn trace(&self, _: &SinkCx<'_, '_, Self>, _: &Packet<'_>) {}
}

/// A router of so many workers whose sources have `packets` packets each.
fn router(workers: usize, inline: bool, packets: u32, size: usize, stuck: &[Arc<AtomicBool>]) -> Router {
    let config = Config { workers, inline, buffers: 4096, ..Config::default() };
    router_of(config, packets, size, stuck)
}

fn router_of(config: Config, packets: u32, size: usize, stuck: &[Arc<AtomicBool>]) -> Router {
    let workers = config.workers;
    let mut builder = Builder::new();
    let stuck: Vec<_> = (0..workers).map(|worker| stuck.get(worker).cloned().unwrap_or_default()).collect();
    builder
        .node(NodeSpec::input("source", move |worker| Source {
            left: packets,
            next: 0,
            size,
            stuck: stuck[worker].clone(),
        }))
        .node(NodeSpec::packet("steer", move |_| Steer { workers, all_to: None }))
        .node(NodeSpec::sink("owner", |_| Owner::default()))
        .hand_over(vnet::handoff::ROOM);
    builder.build(&config).unwrap()
}

fn seen(router: &mut Router) -> Vec<Vec<(u8, u8, u32)>> {
    let owner = router.node("owner").unwrap();
    router.ask_all(move |worker| worker.node::<Owner>(owner).unwrap().0.clone())
}

fn count(router: &Router, code: usize) -> u64 {
    let info = router.node_info(router.node("worker-handoff").unwrap()).unwrap();
    info.stats.iter().map(|stats| stats.errors[code].get()).sum()
}

/// Waits until all packets have arrived or were counted as lost; then each worker has its flows alone and in order.
fn settle(router: &mut Router, packets: u32) -> (usize, u64) {
    let (workers, all) = (router.workers(), u64::from(packets) * router.workers() as u64);
    assert!(router.wait_until(Duration::from_secs(60), |router| {
        seen(router).iter().map(Vec::len).sum::<usize>() as u64 + count(router, 1) == all
    }));
    let seen = seen(router);
    for (worker, seen) in seen.iter().enumerate() {
        let mut last = [[None; 8]; 7];
        for &(flow, from, number) in seen {
            assert_eq!(usize::from(flow) % workers, worker);
            let last = &mut last[usize::from(flow)][usize::from(from)];
            assert!(*last < Some(number), "in order");
            *last = Some(number);
        }
    }
    assert!(router.ask_all(|worker| worker.buffers_in_use()).iter().all(|&used| used == 0));
    let flows = router.hand_overs();
    assert_eq!(flows.len(), workers * (workers - 1));
    assert_eq!(flows.iter().map(|flow| flow.packets).sum::<u64>(), count(router, 0));
    assert_eq!(flows.iter().map(|flow| flow.congested).sum::<u64>(), count(router, 1));
    assert!(flows.iter().all(|flow| flow.waiting == 0));
    (seen.iter().map(Vec::len).sum(), count(router, 1))
}

#[test]
fn every_packet_arrives_with_all_that_is_known_of_it() {
    for size in [6, 60, 2047, 2300, 9000, 65_549] {
        let mut router = router(3, true, 20, size, &[]);
        router.step();
        assert_eq!(settle(&mut router, 20), (60, 0));
    }
}

#[test]
fn nothing_is_lost_while_the_rings_have_room() {
    for workers in [2, 4] {
        // Fewer bytes than a ring holds, whoever is how slow.
        let packets = 4000;
        let mut router = router(workers, false, packets, 60, &[]);
        assert_eq!(settle(&mut router, packets), (packets as usize * workers, 0));
    }
}

#[test]
fn order_is_kept_where_packets_are_lost() {
    for (workers, size) in [(2, 1500), (4, 9000)] {
        let packets = 30_000;
        let mut router = router(workers, false, packets, size, &[]);
        settle(&mut router, packets);
    }
}

#[test]
fn a_sleeping_worker_is_woken() {
    let mut router = router(2, false, 0, 60, &[]);
    std::thread::sleep(Duration::from_millis(50));
    let (source, owner) = (router.node("source").unwrap(), router.node("owner").unwrap());
    for round in 1..=20 {
        let before = Instant::now();
        // Of seven packets, flow numbers 1, 3 and 5 are the other worker's.
        router.ask(0, move |worker| worker.node::<Source>(source).unwrap().left = 7);
        assert!(router.wait_until(Duration::from_secs(10), |router| {
            router.ask(0, move |worker| worker.node::<Owner>(owner).unwrap().0.len()) == round * 4
        }));
        // Not asked by mail, which would wake it.
        assert!(router.wait_until(Duration::from_secs(10), |router| router.hand_overs()[0].waiting == 0));
        assert!(before.elapsed() < Duration::from_millis(900), "it naps for a second");
    }
    assert_eq!(settle_all(&mut router), 140);
}

fn settle_all(router: &mut Router) -> usize {
    seen(router).iter().map(Vec::len).sum()
}

#[test]
fn full_rings_are_counted_and_do_not_keep_a_router_from_ending() {
    let stuck = [Arc::default(), Arc::new(AtomicBool::new(false))];
    let mut router = router(2, false, 0, 1500, &stuck);
    let source = router.node("source").unwrap();
    // Not before: the router asks its workers while it is built.
    stuck[1].store(true, Ordering::Relaxed);
    router.ask(0, move |worker| worker.node::<Source>(source).unwrap().left = 10_000);
    let congested = |router: &mut Router| router.hand_overs()[0].congested > 0;
    assert!(router.wait_until(Duration::from_secs(20), congested));
    let [there, _] = router.hand_overs()[..] else { panic!("two workers") };
    assert!(there.room - there.waiting < 1600, "full to the last packet: {there:?}");
    assert_eq!(router.ask(0, |worker| worker.buffers_in_use()), 0, "what waits in a ring takes up no buffer");
    let release = stuck[1].clone();
    let later = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        release.store(false, Ordering::Relaxed);
    });
    drop(router);
    later.join().unwrap();
}

#[test]
fn traces_go_on_at_the_other_worker() {
    let mut router = router(2, true, 2, 60, &[]);
    let source = router.node("source").unwrap();
    router.ask(0, move |worker| worker.trace_add(source, 2));
    router.step();
    let texts = router.ask_all(|worker| worker.traces().text("0 vpp_main", 50));
    let lines = |text: &str| -> Vec<String> {
        let line =
            |line: &str| line.split_once(": ").filter(|_| line.starts_with("00:")).map_or(line, |all| all.1).into();
        text.lines().skip(1).filter(|line| !line.is_empty()).map(line).collect()
    };
    let expected = ["Packet 1", "source", "steer", "owner", "Packet 2", "source", "steer", "worker-handoff"];
    assert_eq!(lines(&texts[0])[..8], expected);
    assert_eq!(lines(&texts[0])[8..], ["  handed over to worker 1 at owner"]);
    let expected = ["Packet 1", "handoff-input", "  HANDED-OFF: from thread 0 trace index 1", "owner"];
    assert_eq!(lines(&texts[1]), expected);
    let mut router = self::router(2, true, 2, 60, &[]);
    let arrivals = router.node("handoff-input").unwrap();
    router.ask(0, move |worker| worker.trace_add(arrivals, 5));
    router.step();
    let text = router.ask(0, |worker| worker.traces().text("0 vpp_main", 50));
    assert_eq!(lines(&text), ["Packet 1", "handoff-input", "  HANDED-OFF: from thread 1", "owner"]);
}

#[test]
fn what_is_meant_for_nobody_is_counted() {
    for workers in [1, 2] {
        let mut router = router(workers, true, 10, 60, &[]);
        let (steer, own) = (router.node("steer").unwrap(), router.node("owner").unwrap());
        let handoff = router.node("worker-handoff").unwrap();
        let mut expected = [0; 2];
        for (to, code) in [((9, own), 3), ((0xffff, own), 3), ((0, NodeId(999)), 3), ((0, handoff), 3), ((0, own), 2)] {
            let source = router.node("source").unwrap();
            router.ask(0, move |worker| {
                worker.node::<Source>(source).unwrap().left = 10;
                worker.node::<Steer>(steer).unwrap().all_to = Some(to);
            });
            router.step();
            expected[3 - code] += 10;
            assert_eq!([count(&router, 3), count(&router, 2)], expected);
        }
        assert!(router.ask_all(|worker| worker.buffers_in_use()).iter().all(|&used| used == 0));
        assert_eq!(router.hand_overs().len(), workers * (workers - 1));
        let stats = router.ask(0, move |worker| worker.node::<Owner>(own).unwrap().0.len());
        assert!(stats >= 10, "the same worker goes on with it");
    }
}

#[test]
fn what_finds_no_buffers_is_lost_and_counted() {
    // The largest packets take up 30 buffers: two of them at once are too many.
    let config = Config { workers: 2, inline: true, buffers: 56, ..Config::default() };
    let mut router = router_of(config, 0, 65_549, &[]);
    let source = router.node("source").unwrap();
    router.ask(0, move |worker| worker.node::<Source>(source).unwrap().left = 4);
    for _ in 0..4 {
        router.pass(0);
    }
    router.step();
    assert_eq!(seen(&mut router), [vec![(0, 0, 0), (2, 0, 2)], vec![(1, 0, 1)]]);
    let info = router.node_info(router.node("handoff-input").unwrap()).unwrap();
    assert_eq!(info.stats[1].errors[0].get(), 1);
    assert_eq!(router.ask_all(|worker| worker.buffers_in_use()), [0, 0]);
}

#[test]
fn only_those_who_ask_may() {
    let mut builder = Builder::new();
    builder
        .node(NodeSpec::packet("steer", |_| Steer { workers: 1, all_to: None }))
        .node(NodeSpec::sink("owner", |_| Owner::default()));
    let error = builder.build(&Config { inline: true, ..Config::default() }).err().unwrap().to_string();
    assert_eq!(error, "node `steer` names the next node `worker-handoff`, which does not exist");
}
