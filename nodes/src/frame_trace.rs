//! Copies of headers that several nodes' traces show.

use trace::{Record, Text};
use vnet::Packet;
use vnet::wire::{HeaderBytes, Start};

/// A frame, from its Ethernet header on, with what is inside.
#[derive(serde::Serialize)]
#[serde(transparent)]
pub struct FrameTrace(HeaderBytes);

impl FrameTrace {
    /// The packet begins with its Ethernet header.
    pub fn new(packet: &Packet<'_>) -> FrameTrace {
        FrameTrace(HeaderBytes::new(Start::Ethernet, packet.data()))
    }
}

impl Record for FrameTrace {
    fn text(&self, text: &mut Text) {
        self.0.text(text);
    }
}

/// The line of an Ethernet header alone.
#[derive(serde::Serialize)]
#[serde(transparent)]
pub struct HeaderOnly(HeaderBytes);

impl HeaderOnly {
    /// The Ethernet header is where the packet's mark says.
    pub fn new(packet: &Packet<'_>) -> HeaderOnly {
        HeaderOnly(HeaderBytes::new(Start::Ethernet, packet.l2_bytes()))
    }
}

impl Record for HeaderOnly {
    fn text(&self, text: &mut Text) {
        vnet::wire::print::ethernet_header(text, self.0.as_bytes());
    }
}
