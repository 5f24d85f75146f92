//! The packet generator: interfaces `pgN`, streams of made or recorded packets, and captures.

mod data;
pub mod fields;
pub mod parse;
pub mod pcap;
pub mod show;
pub mod stream;
pub mod template;
mod words;
