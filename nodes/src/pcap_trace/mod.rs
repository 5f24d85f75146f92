//! `pcap trace`: packets as they come in, go out, or are dropped, into a capture file.
//!
//! While nothing is captured nothing is asked per packet: a capture puts an observer in front of the nodes concerned
//! ([`Worker::look_at`](vnet::Worker::look_at)) and takes it away at its end.

mod caught;
mod commands;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use caught::Caught;
use vnet::{IfIndex, Look, NodeId, Router};

use crate::pg::pcap::{PcapError, Writer};

pub(crate) use commands::register;

/// Where packets are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Frames that come in, at `ethernet-input`.
    pub rx: bool,
    /// Frames that go out, at `NAME-tx`.
    pub tx: bool,
    /// Packets that are dropped, at `drop`: with the link header they came with where it still stands.
    pub drop: bool,
}

impl Places {
    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self == Places::default()
    }

    fn names(self) -> Vec<&'static str> {
        let all = [(self.rx, "rx"), (self.tx, "tx"), (self.drop, "drop")];
        all.into_iter().filter_map(|(wanted, name)| wanted.then_some(name)).collect()
    }
}

/// What to capture.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where.
    pub places: Places,
    /// How many packets at most, over all places and threads.
    pub max: usize,
    /// Of which interface; `None`: any.
    pub interface: Option<IfIndex>,
    /// The file as the operator wrote it; `None`: named after the places.
    pub file: Option<String>,
}

/// Why a capture was not begun or ended.
#[derive(Debug, thiserror::Error)]
pub enum PcapTraceError {
    /// One at a time.
    #[error("dispatch trace already enabled...")]
    Enabled,
    /// There is nothing to end.
    #[error("dispatch trace already disabled...")]
    Disabled,
    /// A relative name is a file in `/tmp`, and no way elsewhere.
    #[error("expected the name of a file in /tmp or a path from the root, got `{0}'")]
    Name(String),
    /// There is no such folder, or something that is no file has the name.
    #[error("`{0}': {1}")]
    Place(String, &'static str),
    /// The file cannot be written.
    #[error("{0}")]
    Write(#[from] PcapError),
}

/// The capture, if there is one.
#[derive(Default)]
pub struct PcapTrace(Option<Running>);

struct Running {
    options: Options,
    file: String,
    path: PathBuf,
    caught: Arc<Caught>,
    /// The interfaces whose `NAME-tx` is looked at.
    sending: Vec<(IfIndex, NodeId)>,
}

/// How a capture stands.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Status {
    /// `rx`, `tx`, `drop`.
    pub places: Vec<&'static str>,
    /// Packets captured so far.
    pub packets: usize,
    /// Packets to capture at most.
    pub max: usize,
    /// The file, as the operator wrote it.
    pub file: String,
}

impl PcapTrace {
    /// Begins to capture.
    ///
    /// # Errors
    /// [`PcapTraceError`]; nothing has changed then.
    pub fn begin(&mut self, router: &mut Router, options: Options) -> Result<(), PcapTraceError> {
        if self.0.is_some() {
            return Err(PcapTraceError::Enabled);
        }
        let file = options.file.clone().unwrap_or_else(|| format!("{}.pcap", options.places.names().concat()));
        let path = place_of(&file)?;
        let caught = Arc::new(Caught::new(options.max));
        if options.places.rx {
            look_at(router, "ethernet-input", || caught.on_rx(options.interface));
        }
        if options.places.drop {
            look_at(router, "drop", || caught.on_drop(options.interface));
        }
        self.0 = Some(Running { options, file, path, caught, sending: Vec::new() });
        self.follow(router);
        Ok(())
    }

    /// Ends the capture and writes the file; gives how many packets it has, and its name. Without a packet there is no
    /// file.
    ///
    /// # Errors
    /// [`PcapTraceError`]; where the file cannot be written, the capture goes on.
    pub fn end(&mut self, router: &mut Router) -> Result<(usize, String), PcapTraceError> {
        let running = self.0.as_ref().ok_or(PcapTraceError::Disabled)?;
        let packets = running.write()?;
        let file = running.file.clone();
        let fixed = ["ethernet-input", "drop"].map(|name| router.node(name));
        let sending = running.sending.iter().map(|&(_, node)| node);
        let looked_at: Vec<_> = fixed.into_iter().flatten().chain(sending).collect();
        router.ask_all(move |worker| looked_at.iter().for_each(|&node| worker.look_at(node, None)));
        self.0 = None;
        Ok((packets, file))
    }

    /// How the capture stands; `None`: there is none.
    pub fn status(&self) -> Option<Status> {
        let Running { options, file, caught, .. } = self.0.as_ref()?;
        Some(Status { places: options.places.names(), packets: caught.len(), max: options.max, file: file.clone() })
    }

    /// Interfaces come and go: looks at those that are there now.
    pub(crate) fn follow(&mut self, router: &mut Router) {
        let Some(running) = self.0.as_mut().filter(|running| running.options.places.tx) else { return };
        let wanted = |index: &IfIndex| running.options.interface.is_none_or(|only| only == *index);
        let indices = router.records().map(vnet::router::InterfaceRecord::index).filter(wanted);
        let now: Vec<_> = indices.map(|index| (index, router.tables().interface(index).tx)).collect();
        for &(_, node) in now.iter().filter(|pair| !running.sending.contains(pair)) {
            let caught = running.caught.clone();
            router.ask_all(move |worker| worker.look_at(node, Some(caught.clone().on_tx())));
        }
        running.sending = now;
    }
}

impl Running {
    fn write(&self) -> Result<usize, PcapTraceError> {
        let packets = self.caught.packets();
        if packets.is_empty() {
            return Ok(0);
        }
        place_of(&self.file)?;
        // The file of an earlier capture goes; what is no file was refused above.
        let _ = fs::remove_file(&self.path);
        let mut writer = Writer::create(&self.path)?;
        for (stamp, bytes) in &packets {
            writer.write(*stamp, bytes)?;
        }
        writer.flush()?;
        Ok(packets.len())
    }
}

/// Puts an observer in front of a node of every worker.
fn look_at(router: &mut Router, name: &str, make: impl Fn() -> Look) {
    let Some(node) = router.node(name) else { return };
    for worker in 0..router.workers() {
        let look = make();
        router.ask(worker, move |worker| worker.look_at(node, Some(look)));
    }
}

/// The path of a file: a relative one is in `/tmp`, as in VPP.
fn place_of(file: &str) -> Result<PathBuf, PcapTraceError> {
    let path = Path::new("/tmp").join(file);
    let relative = !file.starts_with('/');
    if file.is_empty() || file.ends_with('/') || relative && file.contains('/') || path.file_name().is_none() {
        return Err(PcapTraceError::Name(file.into()));
    }
    if !path.parent().is_some_and(Path::is_dir) {
        return Err(PcapTraceError::Place(file.into(), "there is no such folder"));
    }
    // Not followed: anybody may put a link into /tmp.
    if fs::symlink_metadata(&path).is_ok_and(|meta| !meta.is_file()) {
        return Err(PcapTraceError::Place(file.into(), "it is there and no regular file"));
    }
    if holds_something_else(&path) {
        return Err(PcapTraceError::Place(file.into(), "it is there and no capture, so it is not overwritten"));
    }
    Ok(path)
}

/// Whether there is a file that is neither a capture nor empty: the daemon may write anywhere, and names are mistyped.
fn holds_something_else(path: &Path) -> bool {
    // The magic numbers of pcap with stamps in micro- and nanoseconds (draft-ietf-opsawg-pcap section 4).
    const MAGIC: [u32; 2] = [0xa1b2_c3d4, 0xa1b2_3c4d];
    let mut first = [0; 4];
    match fs::File::open(path).and_then(|mut file| file.read(&mut first)) {
        Ok(0) => false,
        Ok(_) => !MAGIC.contains(&u32::from_le_bytes(first)) && !MAGIC.contains(&u32::from_be_bytes(first)),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}
