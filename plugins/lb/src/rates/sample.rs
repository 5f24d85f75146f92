//! What was counted at one time.

use std::net::IpAddr;
use std::time::Instant;

use vnet::Router;

use crate::config::State;
use crate::control::LbControl;
use crate::local::LbLocal;

/// Servers that a worker is asked about at once: packets wait for the answer for some microseconds at most.
const AT_ONCE: usize = 1024;

/// What all workers together had counted at one time.
#[derive(Clone, Debug)]
pub struct Sample {
    /// When.
    pub at: Instant,
    /// Every server, removed ones too, in the order of their slots.
    pub servers: Vec<Counted>,
}

/// What had gone to one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Its slot,
    pub slot: u32,
    /// the index of its VIP,
    pub vip: u32,
    /// its address,
    pub address: IpAddr,
    /// and its own port, where it has one: in another sample, the server of which all these are the same is the same.
    pub port: Option<u16>,
    /// Whether it is still configured.
    pub state: State,
    /// Packets.
    pub packets: u64,
    /// Bytes of those packets, as they came.
    pub bytes: u64,
}

impl Counted {
    /// Packets and bytes since `before`. Counts that are lower than before have begun anew in between, and then what they
    /// show has come since.
    pub fn since(&self, before: Option<&Counted>) -> (u64, u64) {
        let same = before.filter(|before| self.is(before));
        let grown = same.filter(|before| before.packets <= self.packets && before.bytes <= self.bytes);
        grown.map_or((self.packets, self.bytes), |before| (self.packets - before.packets, self.bytes - before.bytes))
    }

    fn is(&self, other: &Counted) -> bool {
        let whose = |counted: &Counted| (counted.slot, counted.vip, counted.address, counted.port);
        whose(self) == whose(other)
    }
}

impl Sample {
    /// The server of a slot, if there was one.
    pub fn server(&self, slot: u32) -> Option<&Counted> {
        let at = self.servers.binary_search_by_key(&slot, |server| server.slot).ok()?;
        self.servers.get(at)
    }
}

/// Asks the workers.
pub(super) fn take(lb: &LbControl, router: &mut Router) -> Sample {
    let counted = |(slot, server): (u32, &crate::config::Server)| {
        let crate::config::Server { vip, address, port, state, .. } = *server;
        Counted { slot, vip, address, port, state, packets: 0, bytes: 0 }
    };
    let mut servers: Vec<Counted> = lb.config().servers().map(counted).collect();
    for part in servers.chunks_mut(AT_ONCE) {
        let (Some(first), Some(last)) = (part.first(), part.last()) else { continue };
        let (first, last) = (first.slot as usize, last.slot as usize);
        let workers = router.ask_all(move |worker| {
            let servers = &worker.local::<LbLocal>()?.servers;
            let counts = servers.get(first..servers.len().min(last + 1))?;
            Some(counts.iter().map(|server| (server.packets, server.bytes)).collect::<Vec<_>>())
        });
        for server in part {
            for counts in workers.iter().flatten() {
                let (packets, bytes) = counts.get(server.slot as usize - first).copied().unwrap_or_default();
                server.packets += packets;
                server.bytes += bytes;
            }
        }
    }
    Sample { at: Instant::now(), servers }
}
