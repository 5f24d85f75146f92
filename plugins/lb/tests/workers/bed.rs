//! A router with threads of its own: streams come in by `pg0` on every one of them, and leave by `toy1`, which looks at
//! each packet.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use cli::Console;
use lb::control::LbControl;
use lb::format::VipReport;
use lb::local::LbLocal;
use vnet::interface::{Caps, Device, Hardware};
use vnet::router::InterfaceSpec;
use vnet::{Config, NoErrors, NodeSpec, Packet, Router, SinkCx, SinkNode, Vector};

/// Flows of each stream: so few that no bucket of [`BUCKETS`] is ever full.
pub const FLOWS: u64 = 300;
/// Buckets of each worker.
pub const BUCKETS: u32 = 1 << 16;
/// What anything may take before it has failed. A machine with other work to do is slow.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What was seen to leave.
#[derive(Default)]
pub struct Seen {
    /// Packets by the last octet of their server.
    pub reached: [AtomicU64; 16],
    /// Packets whose flow went to another server before.
    pub moved: AtomicU64,
    /// Workers that ended in good order.
    pub ended: AtomicUsize,
}

impl Seen {
    pub fn reached(&self, server: usize) -> u64 {
        self.reached[server].load(Ordering::SeqCst)
    }

    pub fn all(&self) -> u64 {
        (0..self.reached.len()).map(|server| self.reached(server)).sum()
    }

    pub fn moved(&self) -> u64 {
        self.moved.load(Ordering::SeqCst)
    }
}

struct Sink {
    seen: Arc<Seen>,
    /// The server of each flow, by source address and port.
    flows: HashMap<[u8; 6], u8>,
}

impl SinkNode for Sink {
    type Error = NoErrors;
    type Trace = ();

    fn consume(&mut self, _: &mut SinkCx<'_, '_, Self>, vector: &mut Vector<'_>) {
        for at in 0..vector.len() {
            let mut head = [0; 60];
            // What is shorter is no packet for a server: ARP.
            if vector.packet(at).copy_out(0, &mut head) < head.len() || head[12..14] != [8, 0] {
                continue;
            }
            let (server, inner) = (head[33], &head[38..]);
            self.seen.reached[usize::from(server) % 16].fetch_add(1, Ordering::SeqCst);
            let flow = [inner[12], inner[13], inner[14], inner[15], inner[20], inner[21]];
            if self.flows.insert(flow, server).is_some_and(|before| before != server) {
                self.seen.moved.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    fn trace(&self, _: &SinkCx<'_, '_, Self>, _: &Packet<'_>) {}
}

impl Drop for Sink {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.seen.ended.fetch_add(1, Ordering::SeqCst);
        }
    }
}

struct Toy;

impl Device for Toy {
    fn hardware(&self) -> Hardware {
        Hardware::default()
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

pub struct Bed {
    pub console: Console,
    pub seen: Arc<Seen>,
}

impl Bed {
    /// 90.0.0.1/32 with the servers 10.0.2.2 to 10.0.2.4.
    fn new(workers: usize) -> Bed {
        let mut app = cli::App::new();
        nodes::register(&mut app);
        lb::register(&mut app);
        let config = Config { workers, inline: false, buffers: 4096, ..Config::default() };
        let mut console = app.build(&config).unwrap();
        let seen = Arc::new(Seen::default());
        let kept = seen.clone();
        let spec = InterfaceSpec {
            name: "toy1".into(),
            mac: [2, 0, 0, 0, 0, 1],
            mtu: 9000,
            link: vnet::fib::LinkKind::Ethernet,
            caps: Caps::empty(),
            link_up: true,
            device: Box::new(Toy),
            nodes: Box::new(move |index| {
                let sink = move |_| Sink { seen: kept.clone(), flows: HashMap::new() };
                [nodes::output::spec("toy1", index), NodeSpec::sink("toy1-tx", sink)]
            }),
        };
        let index = console.router().add_interface(spec).unwrap();
        console.router().set_interface_state(index, true).unwrap();
        let mut bed = Bed { console, seen };
        bed.type_all(&[
            "create packet-generator interface pg0 hw-addr 02:00:00:00:00:00",
            "set interface state pg0 up",
            "set interface ip address pg0 10.0.1.1/24",
            "set interface ip address toy1 10.0.2.1/24",
            "lb conf ip4-src-address 10.0.2.1 timeout 1000",
            &format!("lb conf buckets {BUCKETS}"),
            "lb vip 90.0.0.1/32 encap gre4",
        ]);
        for host in 2..=6 {
            bed.vppctl(&format!("set ip neighbor toy1 10.0.2.{host} 02:00:00:00:02:0{host}"));
        }
        bed.vppctl("lb as 90.0.0.1/32 10.0.2.2 10.0.2.3 10.0.2.4");
        bed
    }

    /// Runs a command that must succeed.
    #[track_caller]
    pub fn vppctl(&mut self, line: &str) -> String {
        self.console.exec(line).unwrap_or_else(|error| panic!("`{line}': {error}"))
    }

    /// Runs commands that must succeed.
    #[track_caller]
    pub fn type_all(&mut self, lines: &[&str]) {
        for line in lines {
            self.vppctl(line);
        }
    }

    pub fn router(&mut self) -> &mut Router {
        self.console.router()
    }

    /// A stream of [`FLOWS`] flows on every worker, with sources of its own; `limit -1`: for ever.
    pub fn streams(&mut self, limit: i64) {
        self.streams_from(9, limit);
    }

    /// The same, of flows of their own.
    pub fn other_streams(&mut self, limit: i64) {
        self.streams_from(10, limit);
    }

    fn streams_from(&mut self, net: u8, limit: i64) {
        for worker in 0..self.router().workers() {
            let last = FLOWS / 100;
            self.vppctl(&format!(
                "packet-generator new {{ name s{worker} limit {limit} size 64-64 interface pg0 worker {worker} \
                 node ethernet-input data {{ IP4: 00:00:00:00:01:02 -> 02:00:00:00:00:00 \
                 UDP: 10.{net}.{worker}.1 - 10.{net}.{worker}.{last} -> 90.0.0.1 UDP: 1000 - 1099 -> 80 incrementing 22 }} }}"
            ));
        }
        self.vppctl("packet-generator enable");
    }

    /// Ends all streams, and sees to it that nothing is left of their packets.
    pub fn stop(&mut self) {
        self.vppctl("packet-generator disable");
        self.no_buffer_in_use();
    }

    /// Between two passes no packet is anywhere in the graph, however busy a worker is.
    #[track_caller]
    pub fn no_buffer_in_use(&mut self) {
        let in_use = self.router().ask_all(|worker| worker.buffers_in_use());
        assert!(in_use.iter().all(|count| *count == 0), "{in_use:?}");
    }

    /// Waits until something is so.
    #[track_caller]
    pub fn until(&mut self, what: &str, mut done: impl FnMut(&mut Bed) -> bool) {
        let end = std::time::Instant::now() + PATIENCE;
        while !done(self) {
            assert!(std::time::Instant::now() < end, "{what}: never");
            self.router().poll();
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Waits until every worker has sent this many packets more, or some at least.
    pub fn more_packets(&mut self, count: u64) {
        let before = self.packets();
        self.until("packets on all workers", |bed| {
            bed.packets().iter().zip(&before).all(|(now, before)| *now >= before + count)
        });
    }

    /// Packets that were given to servers, by worker.
    pub fn packets(&mut self) -> Vec<u64> {
        self.locals(|local| local.servers.iter().map(|server| server.packets).sum())
    }

    /// Something of every worker.
    pub fn locals<R: Send + 'static>(
        &mut self,
        what: impl Fn(&mut LbLocal) -> R + Clone + Send + Sync + 'static,
    ) -> Vec<R> {
        self.router().ask_all(move |worker| what(worker.local::<LbLocal>().unwrap()))
    }

    /// `show lb vips verbose`, as values.
    pub fn reports(&mut self) -> Vec<VipReport> {
        self.router().with_state(|lb: &mut LbControl, router| lb.vips(router)).unwrap()
    }
}

/// Runs a test with so many workers, on a thread of its own; it fails if it does not end in good time.
pub fn with_workers(workers: usize, test: impl FnOnce(&mut Bed) + Send + 'static) {
    let (done, wait) = channel();
    let thread = std::thread::spawn(move || {
        let mut bed = Bed::new(workers);
        test(&mut bed);
        let seen = bed.seen.clone();
        drop(bed);
        assert_eq!(seen.ended.load(Ordering::SeqCst), workers, "a packet thread did not end in good order");
        let _ = done.send(());
    });
    match wait.recv_timeout(PATIENCE * 2) {
        Err(RecvTimeoutError::Timeout) => panic!("hangs"),
        Ok(()) | Err(RecvTimeoutError::Disconnected) => {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    }
}
