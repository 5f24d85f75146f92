//! What a stream is, as the operator described it.

use std::path::PathBuf;

use super::template::Template;

/// [`StreamSpec::limit`] of `limit -1`: as many packets as it takes.
pub const ENDLESS: u64 = u64::MAX;

/// A stream of packets.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamSpec {
    /// Its name; the generator gives one where there is none.
    pub name: Option<String>,
    /// Packets to send; 0 and [`ENDLESS`]: until it is disabled. 0 with a capture file: each of its packets once.
    pub limit: u64,
    /// Packets per second; 0: as many as the graph takes.
    pub rate: f64,
    /// The interface that packets seem to come in by; `pg0` where it is not given.
    pub source: Option<String>,
    /// The interface that they are to leave by, for nodes behind routing.
    pub tx: Option<String>,
    /// The node that gets them.
    pub node: String,
    /// The packet thread that sends them.
    pub worker: usize,
    /// Packets to send at once, at most.
    pub max_frame: usize,
    /// Where the packets come from.
    pub packets: Source,
}

/// Where the packets of a stream come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A capture file.
    Pcap(PathBuf),
    /// A description.
    Template(Template),
}
