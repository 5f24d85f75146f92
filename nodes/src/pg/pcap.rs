//! Capture files: pcap as `tcpdump` writes it (draft-ietf-opsawg-pcap), link type Ethernet.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;
use std::time::Duration;

use pcap_file::pcap::{PcapHeader, PcapParser};
use pcap_file::{DataLink, Endianness, PcapError as Format, TsResolution};

/// The longest packet that is read or written, in bytes.
pub const MAX_PACKET: usize = 65_535;
/// The largest file that is read, in bytes: it is kept in memory.
pub const MAX_FILE: u64 = 1 << 30;

/// Why a capture file was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum PcapError {
    /// The kernel refused.
    #[error("{doing} `{path}': {reason}")]
    System {
        /// `open`, `read`, `create` or `write`.
        doing: &'static str,
        /// The file.
        path: String,
        /// The kernel's words.
        reason: String,
    },
    /// A directory, a pipe, a device.
    #[error("`{0}' is no regular file")]
    NotAFile(String),
    /// A file to be written is there already.
    #[error("file `{0}' exists already")]
    Exists(String),
    /// Above [`MAX_FILE`].
    #[error("`{0}' is larger than 1 GiB")]
    TooLarge(String),
    /// Not a pcap file.
    #[error("`{path}': {reason}")]
    NotPcap {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The packets do not begin with Ethernet headers.
    #[error("`{path}': link type {found}, expected Ethernet (1)")]
    LinkType {
        /// The file.
        path: String,
        /// The number of its link type.
        found: u32,
    },
    /// The file ends within its header or within a packet.
    #[error("`{path}' is truncated in packet {packet}")]
    Truncated {
        /// The file.
        path: String,
        /// The packet, from 1; 0 is the file's header.
        packet: usize,
    },
    /// A packet above [`MAX_PACKET`].
    #[error("`{path}': packet {packet} has {bytes} bytes, expected at most 65535")]
    TooLong {
        /// The file.
        path: String,
        /// The packet, from 1.
        packet: usize,
        /// What its header says.
        bytes: u32,
    },
}

/// The kernel's words for an error, without the number that Rust adds.
fn words(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), |code| nix::errno::Errno::from_raw(code).desc().into())
}

fn system(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> PcapError {
    move |error| PcapError::System { doing, path: path.display().to_string(), reason: words(&error) }
}

/// The packets of a file, in memory.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Packets {
    bytes: Vec<u8>,
    index: Vec<Place>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    start: usize,
    len: usize,
    stamp: Duration,
}

/// Not the bytes: there may be a gigabyte of them.
impl std::fmt::Debug for Packets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Packets({})", self.len())
    }
}

impl Packets {
    /// Reads a file: either byte order, stamps in microseconds or nanoseconds.
    ///
    /// # Errors
    /// [`PcapError`].
    pub fn read(path: &Path) -> Result<Packets, PcapError> {
        let name = || path.display().to_string();
        // Asked before it is opened: opening a pipe waits for somebody to write.
        if !fs::metadata(path).map_err(system("open", path))?.is_file() {
            return Err(PcapError::NotAFile(name()));
        }
        let file = File::open(path).map_err(system("open", path))?;
        let mut bytes = Vec::new();
        file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(system("read", path))?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(PcapError::TooLarge(name()));
        }
        Self::parse(bytes, &name())
    }

    /// Takes the bytes of a file; `path` is for the errors.
    ///
    /// # Errors
    /// [`PcapError`].
    pub fn parse(bytes: Vec<u8>, path: &str) -> Result<Packets, PcapError> {
        let path = || path.to_string();
        let refuse = |packet| {
            move |error| match error {
                Format::IncompleteBuffer => PcapError::Truncated { path: path(), packet },
                _ => PcapError::NotPcap { path: path(), reason: "not a pcap file" },
            }
        };
        if bytes.starts_with(&PCAPNG) {
            return Err(PcapError::NotPcap { path: path(), reason: "pcapng is not supported, expected pcap" });
        }
        let (mut rest, parser) = PcapParser::new(&bytes).map_err(refuse(0))?;
        let header = parser.header();
        if header.datalink != DataLink::ETHERNET {
            return Err(PcapError::LinkType { path: path(), found: header.datalink.into() });
        }
        let unit = if header.ts_resolution == TsResolution::NanoSecond { 1 } else { 1000 };
        let mut index = Vec::new();
        while !rest.is_empty() {
            let number = index.len() + 1;
            let before = rest.len();
            let announced = |at: &[u8]| -> Option<u32> {
                let field = at.get(8..12)?.try_into().ok()?;
                Some(match header.endianness {
                    Endianness::Big => u32::from_be_bytes(field),
                    Endianness::Little => u32::from_le_bytes(field),
                })
            };
            // Before the length is used: a wrong one looks like a truncated file.
            if let Some(bytes) = announced(rest).filter(|&bytes| bytes as usize > MAX_PACKET) {
                return Err(PcapError::TooLong { path: path(), packet: number, bytes });
            }
            let (after, packet) = parser.next_raw_packet(rest).map_err(refuse(number))?;
            let len = packet.data.len();
            let nanos = u64::from(packet.ts_frac) * unit;
            let stamp = Duration::from_secs(packet.ts_sec.into()) + Duration::from_nanos(nanos);
            index.push(Place { start: bytes.len() - before + 16, len, stamp });
            rest = after;
        }
        Ok(Packets { bytes, index })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether the file held none.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The bytes of a packet; empty where there is no such packet.
    #[inline]
    pub fn get(&self, at: usize) -> &[u8] {
        self.index.get(at).map_or(&[], |place| &self.bytes[place.start..place.start + place.len])
    }

    /// When it was captured, since 1970.
    pub fn stamp(&self, at: usize) -> Duration {
        self.index.get(at).map_or(Duration::ZERO, |place| place.stamp)
    }

    /// The shortest and the longest packet, in bytes.
    pub fn sizes(&self) -> (usize, usize) {
        let lengths = || self.index.iter().map(|place| place.len);
        (lengths().min().unwrap_or(0), lengths().max().unwrap_or(0))
    }
}

/// The first block of a pcapng file (draft-ietf-opsawg-pcapng section 4.1).
const PCAPNG: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// A capture file that is written: stamps in microseconds, link type Ethernet.
pub struct Writer<W: Write = BufWriter<File>> {
    to: W,
    path: String,
}

impl Writer {
    /// Makes the file, which must not exist.
    ///
    /// # Errors
    /// [`PcapError`].
    pub fn create(path: &Path) -> Result<Writer, PcapError> {
        let name = path.display().to_string();
        let file = OpenOptions::new().write(true).create_new(true).open(path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => PcapError::Exists(name.clone()),
            _ => system("create", path)(error),
        })?;
        Writer::new(BufWriter::new(file), &name)
    }
}

impl<W: Write> Writer<W> {
    /// Writes the file's header; `path` is for the errors.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn new(mut to: W, path: &str) -> Result<Writer<W>, PcapError> {
        let header = PcapHeader { endianness: Endianness::Little, ..PcapHeader::default() };
        header.write_to(&mut to).map_err(|error| match error {
            Format::IoError(error) => system("write", Path::new(path))(error),
            _ => PcapError::NotPcap { path: path.into(), reason: "a field has an impossible value" },
        })?;
        Ok(Writer { to, path: path.into() })
    }

    /// Adds a packet, captured `stamp` after 1970; what is beyond [`MAX_PACKET`] is left out.
    ///
    /// # Errors
    /// Those of the file.
    pub fn write(&mut self, stamp: Duration, packet: &[u8]) -> Result<(), PcapError> {
        let kept = &packet[..packet.len().min(MAX_PACKET)];
        // The format's field for seconds ends in 2106. The library's writer would keep the file to itself, so that
        // it could not be flushed; hence the four words here.
        let words = [stamp.as_secs() as u32, stamp.subsec_micros(), kept.len() as u32, packet.len() as u32];
        let words = words.map(u32::to_le_bytes);
        let written = self.to.write_all(words.as_flattened()).and_then(|()| self.to.write_all(kept));
        written.map_err(system("write", Path::new(&self.path)))
    }

    /// Gives everything written so far to the kernel.
    ///
    /// # Errors
    /// Those of the file.
    pub fn flush(&mut self) -> Result<(), PcapError> {
        self.to.flush().map_err(system("write", Path::new(&self.path)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(packets: &[(Duration, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes, "out").unwrap();
        for (stamp, packet) in packets {
            writer.write(*stamp, packet).unwrap();
        }
        bytes
    }

    /// A file of one packet of four bytes, in every byte order and resolution.
    fn file(big: bool, nanos: bool, link: u32) -> Vec<u8> {
        let magic: u32 = if nanos { 0xa1b2_3c4d } else { 0xa1b2_c3d4 };
        let words = [magic, 0, 0, 0, 65535, link, 7, 5000, 4, 60];
        let mut bytes: Vec<u8> =
            words.iter().flat_map(|word| if big { word.to_be_bytes() } else { word.to_le_bytes() }).collect();
        let version: [u8; 4] = if big { [0, 2, 0, 4] } else { [2, 0, 4, 0] };
        bytes[4..8].copy_from_slice(&version);
        bytes.extend([1, 2, 3, 4]);
        bytes
    }

    #[test]
    fn reads_both_byte_orders_and_resolutions() {
        for (big, nanos) in [(false, false), (false, true), (true, false), (true, true)] {
            let packets = Packets::parse(file(big, nanos, 1), "f").unwrap();
            assert_eq!((packets.len(), packets.get(0), packets.get(1)), (1, &[1, 2, 3, 4][..], &[][..]));
            assert_eq!(packets.stamp(0), Duration::new(7, if nanos { 5000 } else { 5_000_000 }));
        }
    }

    #[test]
    fn says_what_is_wrong_with_a_file() {
        let refused = |bytes: Vec<u8>| Packets::parse(bytes, "f.pcap").unwrap_err().to_string();
        assert_eq!(refused(file(true, false, 113)), "`f.pcap': link type 113, expected Ethernet (1)");
        let whole = file(false, false, 1);
        assert_eq!(refused(whole[..10].to_vec()), "`f.pcap' is truncated in packet 0");
        assert_eq!(refused(whole[..30].to_vec()), "`f.pcap' is truncated in packet 1");
        assert_eq!(refused(whole[..whole.len() - 1].to_vec()), "`f.pcap' is truncated in packet 1");
        assert_eq!(refused(vec![b'x'; 100]), "`f.pcap': not a pcap file");
        let mut long = whole;
        long[32..36].copy_from_slice(&70_000u32.to_le_bytes());
        assert_eq!(refused(long), "`f.pcap': packet 1 has 70000 bytes, expected at most 65535");
        assert_eq!(refused(PCAPNG.to_vec()), "`f.pcap': pcapng is not supported, expected pcap");
    }

    #[test]
    fn names_the_file_that_cannot_be_opened() {
        let error = Packets::read(Path::new("/nosuch.pcap")).unwrap_err().to_string();
        assert_eq!(error, "open `/nosuch.pcap': No such file or directory");
        assert_eq!(Packets::read(Path::new("/dev/zero")).unwrap_err().to_string(), "`/dev/zero' is no regular file");
        let error = Writer::create(Path::new("/dev/zero")).err().unwrap().to_string();
        assert_eq!(error, "file `/dev/zero' exists already");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            packets in prop::collection::vec((0u64..1 << 32, 0u32..1_000_000, prop::collection::vec(any::<u8>(), 0..90)), 0..8),
        ) {
            let packets: Vec<_> =
                packets.into_iter().map(|(s, micros, bytes)| (Duration::new(s, micros * 1000), bytes)).collect();
            let read = Packets::parse(written(&packets), "f").unwrap();
            let back: Vec<_> = (0..read.len()).map(|at| (read.stamp(at), read.get(at).to_vec())).collect();
            prop_assert_eq!(back, packets);
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), real: bool, at in 0usize..44) {
            let bytes = if real {
                let mut file = file(false, false, 1);
                for (place, byte) in file[at..].iter_mut().zip(&bytes) {
                    *place = *byte;
                }
                file
            } else {
                bytes
            };
            if let Ok(packets) = Packets::parse(bytes, "f") {
                let _ = packets.sizes();
            }
        }
    }
}
