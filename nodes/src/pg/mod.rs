//! The packet generator: interfaces `pgN`, streams of made or recorded packets, and captures.

pub mod fields;
pub mod pcap;
