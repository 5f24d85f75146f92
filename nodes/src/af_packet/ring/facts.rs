//! The headers that the kernel puts before frames, and how a trace shows them.

use serde::Serialize;
use trace::Text;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The format of a ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Version {
    /// `TPACKET_V2`: frames of one size, handed over one by one. Least delay.
    V2,
    /// `TPACKET_V3`: on receipt, blocks of frames of any size, handed over when full or after a while.
    #[default]
    V3,
}

impl Version {
    /// The value of `PACKET_VERSION` (`enum tpacket_versions`).
    pub(crate) fn code(self) -> i32 {
        match self {
            Self::V2 => 1,
            Self::V3 => 2,
        }
    }

    /// Bytes of the header before a frame.
    pub(super) fn header_len(self) -> usize {
        match self {
            Self::V2 => size_of::<Header2>(),
            Self::V3 => size_of::<Header3>(),
        }
    }
}

/// `struct tpacket2_hdr`. Its first word is the status, which is only ever read and written atomically.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(super) struct Header2 {
    pub(super) status: u32,
    pub(super) len: u32,
    pub(super) snaplen: u32,
    pub(super) mac: u16,
    pub(super) net: u16,
    pub(super) sec: u32,
    pub(super) nsec: u32,
    pub(super) vlan_tci: u16,
    pub(super) vlan_tpid: u16,
    pub(super) padding: [u8; 4],
}

/// `struct tpacket3_hdr`.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(super) struct Header3 {
    pub(super) next_offset: u32,
    pub(super) sec: u32,
    pub(super) nsec: u32,
    pub(super) snaplen: u32,
    pub(super) len: u32,
    pub(super) status: u32,
    pub(super) mac: u16,
    pub(super) net: u16,
    pub(super) rxhash: u32,
    pub(super) vlan_tci: u32,
    pub(super) vlan_tpid: u16,
    pub(super) padding: [u8; 10],
}

/// `struct tpacket_block_desc` with `tpacket_hdr_v1`, without the times at its end.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(super) struct BlockHeader {
    pub(super) version: u32,
    pub(super) offset_to_priv: u32,
    pub(super) status: u32,
    pub(super) num_pkts: u32,
    pub(super) offset_to_first_pkt: u32,
    pub(super) blk_len: u32,
    pub(super) seq_num: u64,
}

const _: () = assert!(size_of::<Header2>() == size_of::<libc::tpacket2_hdr>());
const _: () = assert!(size_of::<Header3>() == size_of::<libc::tpacket3_hdr>());
const _: () = assert!(size_of::<BlockHeader>() == 32);

/// What a ring's header said about one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct HeaderFacts {
    /// The format of the ring.
    pub version: Version,
    /// `TP_STATUS_…`.
    pub status: u32,
    /// Bytes of the frame (of frame and virtio-net header, on transmission).
    pub len: u32,
    /// Bytes of it that are in the ring.
    pub snaplen: u32,
    /// Where the frame starts, from the start of the header.
    pub mac: u16,
    /// Where layer 3 starts.
    pub net: u16,
    /// When it came: seconds.
    pub sec: u32,
    /// When it came: nanoseconds.
    pub nsec: u32,
    /// The VLAN tag that the kernel took out of the frame; valid if the status says so.
    pub vlan_tci: u32,
    /// The EtherType of that tag.
    pub vlan_tpid: u16,
    /// The block that the frame came in (version 3, on receipt).
    pub block: Option<BlockFacts>,
}

/// The block around a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BlockFacts {
    /// Which one of the ring's blocks.
    pub number: u32,
    /// Where it is mapped.
    pub address: u64,
    /// The kernel's version of its layout.
    pub version: u32,
    /// How many blocks the kernel had filled.
    pub seq_num: u64,
    /// Which frame of the block, from 0.
    pub pkt_num: u32,
}

impl HeaderFacts {
    /// Writes the lines of a trace.
    pub fn text(&self, text: &mut Text) {
        if let Some(block) = &self.block {
            text.line(format_args!("block {}:", block.number));
            text.nest(2, |text| {
                text.line(format_args!(
                    "address 0x{:x} version {} seq_num {} pkt_num {}",
                    block.address, block.version, block.seq_num, block.pkt_num
                ));
            });
        }
        text.line(match self.version {
            Version::V2 => "tpacket2_hdr:",
            Version::V3 => "tpacket3_hdr:",
        });
        text.nest(2, |text| {
            text.line(format_args!(
                "status 0x{:x} len {} snaplen {} mac {} net {}",
                self.status, self.len, self.snaplen, self.mac, self.net
            ));
            text.line(format_args!(
                "sec 0x{:x} nsec 0x{:x} vlan {} vlan_tpid {}",
                self.sec, self.nsec, self.vlan_tci, self.vlan_tpid
            ));
        });
    }
}

impl From<&Header2> for HeaderFacts {
    fn from(header: &Header2) -> Self {
        Self {
            version: Version::V2,
            status: header.status,
            len: header.len,
            snaplen: header.snaplen,
            mac: header.mac,
            net: header.net,
            sec: header.sec,
            nsec: header.nsec,
            vlan_tci: header.vlan_tci.into(),
            vlan_tpid: header.vlan_tpid,
            block: None,
        }
    }
}

impl HeaderFacts {
    /// The header of a frame of which only the length is known.
    pub(super) fn of_length(version: Version, len: u32) -> Self {
        let (status, mac, net, sec, nsec, vlan_tci, vlan_tpid) = (0, 0, 0, 0, 0, 0, 0);
        Self { version, status, len, snaplen: len, mac, net, sec, nsec, vlan_tci, vlan_tpid, block: None }
    }

    pub(super) fn version3(header: &Header3, block: Option<BlockFacts>) -> Self {
        Self {
            version: Version::V3,
            status: header.status,
            len: header.len,
            snaplen: header.snaplen,
            mac: header.mac,
            net: header.net,
            sec: header.sec,
            nsec: header.nsec,
            vlan_tci: header.vlan_tci,
            vlan_tpid: header.vlan_tpid,
            block,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_like_the_transcripts() {
        let block = BlockFacts { number: 2, address: 0x7f8a_82af_0000, version: 2, seq_num: 3, pkt_num: 0 };
        let facts = HeaderFacts {
            version: Version::V3,
            status: 9,
            len: 74,
            snaplen: 74,
            mac: 92,
            net: 106,
            sec: 0x6b01_00e5,
            nsec: 0x1046_5564,
            vlan_tci: 0,
            vlan_tpid: 0,
            block: Some(block),
        };
        let mut text = Text::new();
        facts.text(&mut text);
        let wanted = "block 2:\n  address 0x7f8a82af0000 version 2 seq_num 3 pkt_num 0\ntpacket3_hdr:\n  \
                      status 0x9 len 74 snaplen 74 mac 92 net 106\n  sec 0x6b0100e5 nsec 0x10465564 vlan 0 vlan_tpid 0\n";
        assert_eq!(text.as_str(), wanted);
    }
}
