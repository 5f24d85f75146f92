//! The servers of a VIP, by what connection IDs call them.

use std::collections::HashMap;

use super::{Configs, QuicLb, ServerId};

/// The servers of a VIP, by what connection IDs call them.
#[derive(Debug)]
pub struct Names {
    decoder: QuicLb,
    slots: HashMap<ServerId, u32, ahash::RandomState>,
}

impl Names {
    /// Those of these servers, each with its slot; of two of the same name the last has it.
    pub fn new(configs: &Configs, servers: impl IntoIterator<Item = (ServerId, u32)>) -> Names {
        Names { decoder: QuicLb::of(configs), slots: servers.into_iter().collect() }
    }

    /// The slot of the server that the packet at the head of a UDP payload names, if it names one that there is.
    pub fn slot(&self, udp_payload: &[u8]) -> Option<u32> {
        self.slots.get(&self.decoder.server_id(udp_payload)?).copied()
    }
}
