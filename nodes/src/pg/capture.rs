//! Captures of what is sent on `pgN`, on the control side: from the workers' memory into files.

use std::path::{Path, PathBuf};

use vnet::router::Level;
use vnet::{IfIndex, NodeId, Router};

use super::interface::{Captured, PgTx};
use super::pcap::{PcapError, Writer};

/// A capture that was asked for.
pub(super) struct Capture {
    pub(super) interface: IfIndex,
    node: NodeId,
    path: PathBuf,
    /// `None` until the first packet.
    writer: Option<Writer>,
    /// Packets that may still be written.
    left: u64,
}

impl Capture {
    /// Begins to capture in all workers. The file is made with the first packet; it must not exist now.
    pub(super) fn begin(
        router: &mut Router,
        interface: IfIndex,
        node: NodeId,
        path: &Path,
        count: u64,
    ) -> Result<Capture, PcapError> {
        if std::fs::symlink_metadata(path).is_ok() {
            return Err(PcapError::Exists(path.display().to_string()));
        }
        // What an earlier capture left was written by its end.
        let _ = set(router, node, true);
        Ok(Capture { interface, node, path: path.into(), writer: None, left: count })
    }

    /// Writes what the workers have captured; `false` where the capture is over.
    pub(super) fn collect(&mut self, router: &mut Router) -> bool {
        let node = self.node;
        let kept = router.ask_all(move |worker| worker.node::<PgTx>(node).and_then(PgTx::fetch));
        match self.write(&kept) {
            Ok(()) if self.left > 0 => true,
            Ok(()) => {
                set(router, node, false);
                false
            }
            Err(error) => {
                set(router, node, false);
                router.log().add(Level::Error, "packet-generator", format_args!("capture ended: {error}"));
                false
            }
        }
    }

    /// Ends the capture and writes the rest.
    pub(super) fn end(mut self, router: &mut Router) -> Result<(), PcapError> {
        let kept = set(router, self.node, false);
        self.write(&kept)
    }

    fn write(&mut self, kept: &[Option<Captured>]) -> Result<(), PcapError> {
        let mut packets: Vec<_> = kept.iter().flatten().flat_map(Captured::packets).collect();
        // Each worker's are in order already, and stay so.
        packets.sort_by_key(|(stamp, _)| *stamp);
        packets.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        if packets.is_empty() {
            return Ok(());
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => self.writer.insert(Writer::create(&self.path)?),
        };
        for (stamp, packet) in &packets {
            writer.write(*stamp, packet)?;
        }
        self.left -= packets.len() as u64;
        writer.flush()
    }
}

/// Begins or ends capturing in all workers; gives what they had.
fn set(router: &mut Router, node: NodeId, on: bool) -> Vec<Option<Captured>> {
    router.ask_all(move |worker| worker.node::<PgTx>(node).and_then(|tx| tx.set_capture(on)))
}
