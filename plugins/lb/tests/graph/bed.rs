//! A router with two interfaces that keep what they are given, and a node that brings in frames.

use std::any::Any;
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cli::Console;
use trace::{Record, Text};
use vnet::interface::{Caps, Device, Hardware};
use vnet::router::InterfaceSpec;
use vnet::{
    Config, IfIndex, InputCx, InputNode, NoErrors, NodeId, NodeSpec, Offload, Packet, Poll, SinkCx, SinkNode, Vector,
    next_nodes,
};

/// The MAC of `toy1` in the transcript of the packet that the traces are compared with.
pub const MAC1: [u8; 6] = [0x02, 0xfe, 0xc7, 0xff, 0xb8, 0xe4];
/// The MAC of every server.
pub const SERVER_MAC: [u8; 6] = [0x2e, 0xf8, 0x32, 0x92, 0xa8, 0x32];
/// The MAC of `toy0`.
pub const MAC0: [u8; 6] = [0x02, 0xfe, 0x24, 0x95, 0x7d, 0x2b];
/// The MAC of clients.
pub const CLIENT_MAC: [u8; 6] = [0x92, 0x02, 0x72, 0xa1, 0xa7, 0xe0];

/// A frame to bring in, with the work that its sender left to do.
#[derive(Clone, Default)]
pub struct Frame {
    pub bytes: Vec<u8>,
    pub offload: Offload,
    pub gso_size: u16,
    /// Where the transport header begins, and its checksum in it.
    pub checksum: (usize, u16),
}

impl From<Vec<u8>> for Frame {
    fn from(bytes: Vec<u8>) -> Frame {
        Frame { bytes, ..Frame::default() }
    }
}

/// What left: the interface and the frame.
type Left = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

next_nodes! {
    enum Next {
        Input => "ethernet-input",
    }
}

#[derive(Default)]
struct Source {
    queue: VecDeque<Frame>,
}

#[derive(serde::Serialize)]
struct FrameLen(usize);

impl Record for FrameLen {
    fn text(&self, text: &mut Text) {
        text.line(format_args!("len {}", self.0));
    }
}

impl InputNode for Source {
    type Next = Next;
    type Error = NoErrors;
    type Local = ();
    type Trace = FrameLen;

    fn poll(&mut self, cx: &mut InputCx<'_, '_, Self>) -> Poll {
        let count = self.queue.len().min(cx.room());
        for frame in self.queue.drain(..count) {
            let finish = |packet: &mut Packet<'_>| {
                let meta = packet.meta_mut();
                (meta.offload, meta.gso_size, meta.csum_offset) = (frame.offload, frame.gso_size, frame.checksum.1);
                if frame.offload.contains(Offload::CHECKSUM) {
                    packet.set_csum_start(frame.checksum.0);
                }
                Next::Input
            };
            // A frame for the MAC of `toy1` comes in there.
            let rx = if frame.bytes.starts_with(&MAC1) { IfIndex(2) } else { IfIndex(1) };
            cx.deliver(rx, &frame.bytes, finish, |packet| FrameLen(packet.len())).unwrap();
        }
        if count == 0 { Poll::Idle } else { Poll::Busy(count) }
    }
}

struct Sink {
    name: String,
    left: Left,
}

impl SinkNode for Sink {
    type Error = NoErrors;
    type Trace = ();

    fn consume(&mut self, _: &mut SinkCx<'_, '_, Self>, vector: &mut Vector<'_>) {
        for at in 0..vector.len() {
            let packet = vector.packet(at);
            let mut bytes = vec![0; packet.len()];
            assert_eq!(packet.copy_out(0, &mut bytes), bytes.len());
            self.left.lock().unwrap().push((self.name.clone(), bytes));
        }
    }

    fn trace(&self, _: &SinkCx<'_, '_, Self>, _: &Packet<'_>) {}
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

/// A router that is run by the test.
pub struct Bed {
    console: Console,
    source: NodeId,
    left: Left,
}

impl Bed {
    /// `toy0` 10.0.1.1/24 towards clients and `toy1` 10.0.2.1/24 towards servers 10.0.2.2 to 10.0.2.5, both up; tunnels
    /// begin at 10.0.2.1.
    pub fn new() -> Bed {
        Bed::of_workers(1)
    }

    /// The same with so many workers; frames come in on the first unless told otherwise.
    pub fn of_workers(workers: usize) -> Bed {
        Bed::with(workers, true)
    }

    /// The same with threads of their own, to be given frames with [`Bed::feed`].
    pub fn of_threads(workers: usize) -> Bed {
        Bed::with(workers, false)
    }

    fn with(workers: usize, inline: bool) -> Bed {
        let mut app = cli::App::new();
        nodes::register(&mut app);
        lb::register(&mut app);
        app.builder.node(NodeSpec::input("source", |_| Source::default()));
        let mut console = app.build(&Config { inline, buffers: 4096, workers, ..Config::default() }).unwrap();
        let left = Left::default();
        for (name, mac, mtu) in [("toy0", MAC0, 9000), ("toy1", MAC1, 9000)] {
            let left = left.clone();
            let spec = InterfaceSpec {
                name: name.into(),
                mac,
                mtu,
                link: vnet::fib::LinkKind::Ethernet,
                caps: Caps::empty(),
                link_up: true,
                device: Box::new(Toy),
                nodes: Box::new(move |index| {
                    let sink = move |_| Sink { name: name.into(), left: left.clone() };
                    [nodes::output::spec(name, index), NodeSpec::sink(format!("{name}-tx"), sink)]
                }),
            };
            let index = console.router().add_interface(spec).unwrap();
            console.router().set_interface_state(index, true).unwrap();
        }
        let source = console.router().node("source").unwrap();
        let mut bed = Bed { console, source, left };
        bed.type_all(&[
            "set interface ip address toy0 10.0.1.1/24",
            "set interface ip address toy1 10.0.2.1/24",
            "set ip neighbor toy0 10.0.1.2 92:02:72:a1:a7:e0",
            "ip route add 10.9.0.0/16 via 10.0.1.2",
            "lb conf ip4-src-address 10.0.2.1",
        ]);
        for host in 2..=5 {
            bed.vppctl(&format!("set ip neighbor toy1 10.0.2.{host} 2e:f8:32:92:a8:32"));
        }
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

    /// Runs a command that must fail.
    #[track_caller]
    pub fn refused(&mut self, line: &str) -> String {
        self.console.exec(line).expect_err(line)
    }

    /// Sends frames to the router; gives what left it, in order, once nothing moves any more.
    pub fn send<F: Into<Frame>>(&mut self, frames: impl IntoIterator<Item = F>) -> Vec<(String, Vec<u8>)> {
        let left = self.send_and_hold(frames);
        assert_eq!(self.console.router().ask(0, |worker| worker.buffers_in_use()), 0, "buffers are still in use");
        left
    }

    /// The same on a worker.
    pub fn send_on<F: Into<Frame>>(
        &mut self,
        worker: usize,
        frames: impl IntoIterator<Item = F>,
    ) -> Vec<(String, Vec<u8>)> {
        let left = self.send_on_and_hold(worker, frames);
        self.nothing_in_use();
        left
    }

    /// The same where packets may wait for something.
    pub fn send_and_hold<F: Into<Frame>>(&mut self, frames: impl IntoIterator<Item = F>) -> Vec<(String, Vec<u8>)> {
        self.send_on_and_hold(0, frames)
    }

    /// The same on a worker.
    pub fn send_on_and_hold<F: Into<Frame>>(
        &mut self,
        worker: usize,
        frames: impl IntoIterator<Item = F>,
    ) -> Vec<(String, Vec<u8>)> {
        let (source, frames): (_, Vec<Frame>) = (self.source, frames.into_iter().map(Into::into).collect());
        self.console.router().ask(worker, move |worker| worker.node::<Source>(source).unwrap().queue.extend(frames));
        self.console.router().step();
        std::mem::take(&mut self.left.lock().unwrap())
    }

    /// Gives frames to a worker's thread.
    pub fn feed(&mut self, worker: usize, frames: Vec<Vec<u8>>) {
        let (source, frames): (_, Vec<Frame>) = (self.source, frames.into_iter().map(Into::into).collect());
        self.console.router().ask(worker, move |worker| worker.node::<Source>(source).unwrap().queue.extend(frames));
    }

    /// Takes what threads have sent, once it is so many frames.
    #[track_caller]
    pub fn fetch(&mut self, count: usize) -> Vec<Vec<u8>> {
        let end = Instant::now() + Duration::from_secs(60);
        while self.left.lock().unwrap().len() < count {
            if Instant::now() > end {
                let errors = self.vppctl("show errors");
                panic!("{} of {count} frames: {errors}", self.left.lock().unwrap().len());
            }
            self.console.router().poll();
            std::thread::sleep(Duration::from_micros(200));
        }
        let left = std::mem::take(&mut *self.left.lock().unwrap());
        left.into_iter().map(|(_, frame)| frame).collect()
    }

    /// No packet is anywhere.
    #[track_caller]
    pub fn nothing_in_use(&mut self) {
        let in_use = self.console.router().ask_all(|worker| worker.buffers_in_use());
        assert!(in_use.iter().all(|count| *count == 0), "buffers are still in use: {in_use:?}");
    }

    /// Sends frames as `send` does; gives the server of each too, in order, and the longest pass of the worker.
    #[track_caller]
    pub fn timed(&mut self, frames: Vec<Vec<u8>>) -> (Vec<Ipv4Addr>, Duration) {
        let (source, frames): (_, Vec<Frame>) = (self.source, frames.into_iter().map(Into::into).collect());
        // Growing would be measured too.
        self.left.lock().unwrap().reserve(frames.len() + 256);
        self.console.router().ask(0, move |worker| worker.node::<Source>(source).unwrap().queue.extend(frames));
        let (mut more, mut longest) = (true, Duration::ZERO);
        while more {
            let start = Instant::now();
            more = self.console.router().pass(0);
            longest = longest.max(start.elapsed());
        }
        let left = std::mem::take(&mut *self.left.lock().unwrap());
        (left.iter().map(|(_, frame)| crate::frames::server(frame)).collect(), longest)
    }

    /// Asks the worker.
    pub fn ask<R: Send + 'static>(&mut self, question: impl FnOnce(&mut vnet::Worker) -> R + Send + 'static) -> R {
        self.console.router().ask(0, question)
    }

    /// Lets the load balancer say in the log what it watches, without waiting for it.
    pub fn watch_sources(&mut self) {
        self.console.router().with_state(lb::control::LbControl::watch_sources);
    }

    /// Lets the load balancer's timer do its work, without waiting for it.
    pub fn collect(&mut self) {
        self.console.router().with_state(lb::control::LbControl::collect);
    }

    /// Lets so many seconds pass for what errors have said about tunnels, without waiting for them.
    pub fn later(&mut self, seconds: u64) {
        self.console.router().forget_path_mtus(Some(Instant::now() + Duration::from_secs(seconds)));
    }

    /// The frames among `send`'s that leave by `toy1`, of which there must not be others.
    #[track_caller]
    pub fn reaching_servers<F: Into<Frame>>(&mut self, frames: impl IntoIterator<Item = F>) -> Vec<Vec<u8>> {
        let left = self.send(frames);
        assert!(left.iter().all(|(name, _)| name == "toy1"), "{left:x?}");
        left.into_iter().map(|(_, frame)| frame).collect()
    }

    /// Sends a frame that must not come out, and gives the trace of its way.
    #[track_caller]
    pub fn swallowed(&mut self, frame: Vec<u8>) -> String {
        self.type_all(&["clear trace", "clear errors", "trace add source 1"]);
        assert_eq!(self.send([frame]), []);
        self.vppctl("show trace")
    }

    /// How often something was counted, by the words of `show errors`.
    pub fn counted(&mut self, node: &str, words: &str) -> u64 {
        let router = self.console.router();
        let (_, info) = router.nodes().find(|(_, info)| &*info.name == node).expect(node);
        let code = info.errors.iter().position(|error| error.text == words).expect(words);
        info.stats.iter().map(|stats| stats.errors[code].get()).sum()
    }

    /// A number that `show lb vip verbose` shows after `words`, the first there is.
    #[track_caller]
    pub fn shown(&mut self, words: &str) -> u64 {
        let text = self.vppctl("show lb vip verbose");
        let rest = text.split_once(words).unwrap_or_else(|| panic!("no {words} in {text}")).1;
        let digits = rest.trim_start_matches([':', ' ']).split(|c: char| !c.is_ascii_digit()).next();
        digits.and_then(|digits| digits.parse().ok()).unwrap_or_else(|| panic!("no number after {words} in {text}"))
    }
}
