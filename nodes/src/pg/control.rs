//! The packet generator's control side: streams, captures, interfaces.

use std::path::Path;
use std::sync::Arc;

use vnet::router::InterfaceError;
use vnet::wire::{Mac, Start};
use vnet::{IfIndex, NodeId, NodeKind, Router};

use super::capture::Capture;
use super::fields::Random;
use super::input::{Feed, PgInput, Running, gap};
use super::pcap::{Packets, PcapError};
use super::show::{StreamRow, StreamTable};
use super::stream::{ENDLESS, Source, StreamSpec};
use super::template::{Maker, Template};
use super::trace::Origin;
use super::words::SyntaxError;
use super::{interface, parse};

/// Why the packet generator refused.
#[derive(Debug, thiserror::Error)]
pub enum PgError {
    /// The text is no description of a stream.
    #[error("{0}")]
    Syntax(#[from] SyntaxError),
    /// A capture file.
    #[error("{0}")]
    Pcap(#[from] PcapError),
    /// There is nothing to send in the capture file.
    #[error("no packets in `{0}'")]
    Empty(String),
    /// No stream has this name.
    #[error("expected stream name `{0}'")]
    NoStream(String),
    /// No interface has this name, and it is not one of the generator's, which are made when they are needed.
    #[error("unknown interface `{0}'")]
    NoInterface(String),
    /// The interface is not one of the generator's.
    #[error("`{0}' is not a packet-generator interface")]
    NotOurs(String),
    /// No node has this name, or packets cannot be sent to it.
    #[error("no node `{0}' that takes packets")]
    NoNode(String),
    /// There are fewer packet threads.
    #[error("no worker {0}, there are {1}")]
    NoWorker(usize, usize),
    /// The interface is captured already.
    #[error("`{0}' is being captured already")]
    Capturing(String),
    /// The router refused the interface.
    #[error("{0}")]
    Interface(#[from] InterfaceError),
}

/// The number in the name of a generator's interface: 3 for `pg3`.
pub fn interface_number(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("pg")?;
    let number: u32 = digits.parse().ok()?;
    // One name per number: neither `pg+3` nor `pg03`.
    (number.to_string() == digits).then_some(number)
}

/// A stream.
struct Stream {
    /// Never used again.
    id: u64,
    name: Arc<str>,
    limit: u64,
    rate: f64,
    rx: IfIndex,
    tx: Option<IfIndex>,
    /// `None`: `ethernet-input`.
    next: Option<NodeId>,
    next_node: Arc<str>,
    worker: usize,
    max_frame: usize,
    packets: Contents,
}

enum Contents {
    Recorded(Arc<Packets>),
    Made(Template),
}

/// The packet generator's state; see the module.
#[derive(Default)]
pub struct Pg {
    streams: Vec<Stream>,
    captures: Vec<Capture>,
    last_id: u64,
}

impl Pg {
    /// Makes the interface `pgN`, with a link that is up and a MAC at random unless one is given.
    ///
    /// # Errors
    /// When it exists.
    pub fn create_interface(&mut self, router: &mut Router, number: u32, mac: Option<Mac>) -> Result<IfIndex, PgError> {
        let mac = mac.unwrap_or_else(|| Mac(crate::mac::random()));
        Ok(router.add_interface(interface::spec(format!("pg{number}"), mac))?)
    }

    /// Removes an interface `pgN`, with its streams; a capture of it ends.
    ///
    /// # Errors
    /// When it is not one of the generator's, or the capture cannot be written; the interface is gone then.
    pub fn remove_interface(&mut self, router: &mut Router, index: IfIndex) -> Result<(), PgError> {
        ours(router, index)?;
        while let Some(at) = self.streams.iter().position(|stream| stream.rx == index || stream.tx == Some(index)) {
            self.remove(router, at);
        }
        let captured = self.capture_off(router, index);
        router.remove_interface(index)?;
        captured
    }

    /// Makes a stream of the text after `packet-generator new`: `{ … }`, or `pcap FILE source pgN name S …`. Files are
    /// read at once. A stream of the same name is replaced.
    ///
    /// # Errors
    /// [`PgError`]; nothing has changed then.
    pub fn new_stream(&mut self, router: &mut Router, text: &str) -> Result<(), PgError> {
        self.add_stream(router, parse::stream(text)?)
    }

    /// Makes a stream, not enabled yet.
    ///
    /// # Errors
    /// As [`Pg::new_stream`].
    pub fn add_stream(&mut self, router: &mut Router, spec: StreamSpec) -> Result<(), PgError> {
        let packets = match spec.packets {
            Source::Template(template) => Contents::Made(template),
            Source::Pcap(path) => match Packets::read(&path)? {
                packets if packets.is_empty() => return Err(PgError::Empty(path.display().to_string())),
                packets => Contents::Recorded(Arc::new(packets)),
            },
        };
        if spec.worker >= router.workers() {
            return Err(PgError::NoWorker(spec.worker, router.workers()));
        }
        let node = router.node(&spec.node).filter(|&node| takes_packets(router, node));
        let node = node.ok_or_else(|| PgError::NoNode(spec.node.clone()))?;
        let named = |name: &String| router.interface_by_name(name).ok_or_else(|| PgError::NoInterface(name.clone()));
        let tx = spec.tx.as_ref().map(named).transpose()?;
        let rx = self.source(router, spec.source.as_deref().unwrap_or("pg0"))?;
        self.last_id += 1;
        let name = spec.name.unwrap_or_else(|| format!("stream{}", self.streams.len()));
        let limit = match &packets {
            Contents::Recorded(packets) if spec.limit == 0 => packets.len() as u64,
            _ => spec.limit,
        };
        let stream = Stream {
            id: self.last_id,
            name: name.into(),
            limit,
            rate: spec.rate,
            rx,
            tx,
            next: (spec.node != "ethernet-input").then_some(node),
            next_node: spec.node.into(),
            worker: spec.worker,
            max_frame: spec.max_frame.max(1),
            packets,
        };
        match self.streams.iter().position(|other| other.name == stream.name) {
            Some(at) => {
                self.withdraw(router, at);
                self.streams[at] = stream;
            }
            None => self.streams.push(stream),
        }
        Ok(())
    }

    /// The interface of this name; the generator's own are made when they are needed, as in VPP.
    fn source(&mut self, router: &mut Router, name: &str) -> Result<IfIndex, PgError> {
        match (router.interface_by_name(name), interface_number(name)) {
            (Some(index), _) => Ok(index),
            (None, Some(number)) => self.create_interface(router, number, None),
            (None, None) => Err(PgError::NoInterface(name.into())),
        }
    }

    /// Lets a stream send, or all; those that are done begin anew, those that send go on.
    ///
    /// # Errors
    /// When there is no stream of this name.
    pub fn enable(&mut self, router: &mut Router, name: Option<&str>) -> Result<(), PgError> {
        for at in self.named(name)? {
            let stream = &self.streams[at];
            let (id, worker, running) = (stream.id, stream.worker, stream.start());
            let before = ask(router, worker, move |input| {
                if input.progress().iter().any(|&(other, enabled, _)| other == id && enabled) {
                    return Some(running);
                }
                let before = input.remove(id);
                input.add(running);
                before
            });
            // Freed here, not on the packet thread.
            drop(before);
        }
        Ok(())
    }

    /// Lets a stream, or all, stop sending.
    ///
    /// # Errors
    /// When there is no stream of this name.
    pub fn disable(&mut self, router: &mut Router, name: Option<&str>) -> Result<(), PgError> {
        for at in self.named(name)? {
            let (id, worker) = (self.streams[at].id, self.streams[at].worker);
            ask(router, worker, move |input| input.stop(id));
        }
        Ok(())
    }

    /// Forgets a stream.
    ///
    /// # Errors
    /// When there is no stream of this name.
    pub fn delete(&mut self, router: &mut Router, name: &str) -> Result<(), PgError> {
        for at in self.named(Some(name))? {
            self.remove(router, at);
        }
        Ok(())
    }

    /// Captures what is sent on `pgN` from now on into a file, which is made with the first packet; at most `count`
    /// packets.
    ///
    /// # Errors
    /// When the file exists, the interface is not one of the generator's, or is being captured.
    pub fn capture(
        &mut self,
        router: &mut Router,
        index: IfIndex,
        path: &Path,
        count: Option<u64>,
    ) -> Result<(), PgError> {
        let node = ours(router, index)?;
        self.collect(router);
        if self.captures.iter().any(|capture| capture.interface == index) {
            return Err(PgError::Capturing(name_of(router, index)));
        }
        let count = count.unwrap_or(u64::MAX);
        self.captures.push(Capture::begin(router, index, node, path, count)?);
        Ok(())
    }

    /// Ends the capture of an interface, if there is one, and writes the rest.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn capture_off(&mut self, router: &mut Router, index: IfIndex) -> Result<(), PgError> {
        match self.captures.iter().position(|capture| capture.interface == index) {
            Some(at) => Ok(self.captures.remove(at).end(router)?),
            None => Ok(()),
        }
    }

    /// Writes what was captured up to now. Workers ask for it; a capture that fails ends, with a line in the log.
    pub fn collect(&mut self, router: &mut Router) {
        self.captures.retain_mut(|capture| capture.collect(router));
    }

    /// All streams. What those that are done have sent is in the capture files.
    pub fn show(&mut self, router: &mut Router) -> StreamTable {
        let answers = (0..router.workers()).filter_map(|worker| ask(router, worker, |input| input.progress()));
        let progress: Vec<_> = answers.flatten().collect();
        // After the question: what was sent by then has been captured.
        self.collect(router);
        let row = |stream: &Stream| {
            let (_, enabled, count) =
                progress.iter().copied().find(|(id, ..)| *id == stream.id).unwrap_or((stream.id, false, 0));
            let (min_size, max_size, random_size) = stream.packets.sizes();
            StreamRow {
                name: stream.name.to_string(),
                enabled,
                count,
                limit: stream.limit,
                rate: stream.rate,
                min_size,
                max_size,
                random_size,
                worker: stream.worker,
            }
        };
        StreamTable(self.streams.iter().map(row).collect())
    }

    /// The names of the streams, for completion.
    pub fn names(&self) -> Vec<String> {
        self.streams.iter().map(|stream| stream.name.to_string()).collect()
    }

    /// Where the stream of this name stands, or all.
    fn named(&self, name: Option<&str>) -> Result<Vec<usize>, PgError> {
        let Some(name) = name else { return Ok((0..self.streams.len()).collect()) };
        let at = self.streams.iter().position(|stream| &*stream.name == name);
        Ok(vec![at.ok_or_else(|| PgError::NoStream(name.into()))?])
    }

    fn remove(&mut self, router: &mut Router, at: usize) {
        self.withdraw(router, at);
        self.streams.remove(at);
    }

    /// Takes a stream away from its worker.
    fn withdraw(&self, router: &mut Router, at: usize) {
        let (id, worker) = (self.streams[at].id, self.streams[at].worker);
        drop(ask(router, worker, move |input| input.remove(id)));
    }
}

impl Stream {
    /// What the worker needs to send it from the beginning.
    fn start(&self) -> Running {
        let feed = match &self.packets {
            Contents::Recorded(packets) => Feed::Recorded(packets.clone()),
            Contents::Made(template) => Feed::Made(Box::new(Maker::new(template)), Random::new(self.id)),
        };
        Running {
            id: self.id,
            origin: Origin {
                stream: self.name.clone(),
                next_node: self.next_node.clone(),
                start: if self.next_node.starts_with("ip4-") { Start::Ip4 } else { Start::Ethernet },
            },
            next: self.next,
            rx: self.rx,
            tx: self.tx,
            limit: if self.limit == 0 { ENDLESS } else { self.limit },
            sent: 0,
            gap: gap(self.rate),
            due: None,
            max_frame: self.max_frame,
            feed,
            enabled: true,
        }
    }
}

impl Contents {
    /// Bytes of the shortest and the longest packet, and whether sizes are drawn at random.
    fn sizes(&self) -> (u64, u64, bool) {
        match self {
            Contents::Recorded(packets) => {
                let (min, max) = packets.sizes();
                (min as u64, max as u64, false)
            }
            Contents::Made(template) => {
                let size = template.size;
                (size.low, size.high, size.course == super::fields::Course::Random)
            }
        }
    }
}

/// Runs `work` with a worker's `pg-input`, which is there as long as the router.
fn ask<R: Send + 'static>(
    router: &mut Router,
    worker: usize,
    work: impl FnOnce(&mut PgInput) -> R + Send + 'static,
) -> Option<R> {
    let node = router.node("pg-input")?;
    router.ask(worker, move |worker| worker.node(node).map(work))
}

fn takes_packets(router: &Router, node: NodeId) -> bool {
    router.node_info(node).is_some_and(|info| info.kind != NodeKind::Input)
}

fn name_of(router: &Router, index: IfIndex) -> String {
    router.interface(index).map_or_else(|| index.to_string(), |interface| interface.name.to_string())
}

/// The transmitting node of an interface that must be one of the generator's.
fn ours(router: &mut Router, index: IfIndex) -> Result<NodeId, PgError> {
    if router.device::<interface::PgDevice>(index).is_none() {
        return Err(PgError::NotOurs(name_of(router, index)));
    }
    router.interface(index).map(|interface| interface.tx).ok_or(PgError::NotOurs(index.to_string()))
}
