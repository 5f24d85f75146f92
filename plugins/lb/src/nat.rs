//! Network address translation: what a worker remembers of flows whose packets it changes, and how it changes them.
//!
//! A client sees a VIP and a port, a server sees its own address and another port ([`Session`]). With full NAT the server sees
//! one of our addresses instead of the client's, too, so that it needs no route back. What comes back is looked up by what
//! the server sees, exactly: two VIPs that share a server and a port do not mix up their replies. Where a server would see two flows
//! as one, because a client uses one port for both, the second gets another source port.

mod pool;
mod quote;
mod sessions;
mod table;
mod translate;
mod usual;

use vnet::wire::{FlowKey4, FlowKey6};

pub use pool::{FEW, Pick, PoolRange, Shortage, TRIES, pick};
pub use quote::{Quoted, to_client, to_server};
pub use sessions::{AT_ONCE, Followed, Sessions};
pub use table::{Chain, Direction, Full, Session, Table};
pub use translate::{Ends, SessionChange, Translated, change_of_receiver, translate, translate_ends};
pub use usual::{Standing, Usual};

use crate::slot_hash::FlowWords;

/// Addresses, ports and protocol of a packet, of either family.
pub trait FlowKey: Copy + PartialEq + Send + Sync + 'static {
    /// An address.
    type Address: Copy + Ord + Send + Sync + 'static;
    /// What it is hashed by.
    type Words: FlowWords;

    /// The words for hashing.
    fn words(&self) -> Self::Words;
    /// That of packets the other way.
    fn reversed(self) -> Self;
    /// Sender and its port.
    fn source(&self) -> (Self::Address, u16);
    /// Receiver and its port.
    fn destination(&self) -> (Self::Address, u16);
    /// With another sender.
    fn with_source(self, source: (Self::Address, u16)) -> Self;
    /// With another receiver.
    fn with_destination(self, destination: (Self::Address, u16)) -> Self;
    /// See [`vnet::wire::ip4::protocol`].
    fn protocol(&self) -> u8;
    /// No packet's.
    fn none() -> Self;
}

macro_rules! flow_key {
    ($key:ty, $address:ty, $words:ty) => {
        impl FlowKey for $key {
            type Address = $address;
            type Words = $words;

            #[inline(always)]
            fn words(&self) -> $words {
                <$key>::words(self)
            }
            #[inline(always)]
            fn reversed(self) -> Self {
                self.reverse()
            }
            #[inline(always)]
            fn source(&self) -> ($address, u16) {
                (self.src, self.sport)
            }
            #[inline(always)]
            fn destination(&self) -> ($address, u16) {
                (self.dst, self.dport)
            }
            #[inline(always)]
            fn with_source(self, (src, sport): ($address, u16)) -> Self {
                Self { src, sport, ..self }
            }
            #[inline(always)]
            fn with_destination(self, (dst, dport): ($address, u16)) -> Self {
                Self { dst, dport, ..self }
            }
            #[inline(always)]
            fn protocol(&self) -> u8 {
                self.proto
            }
            fn none() -> Self {
                Self::default()
            }
        }
    };
}

flow_key!(FlowKey4, u32, [u64; 2]);
flow_key!(FlowKey6, [u8; 16], [u64; 5]);

/// Which worker the packets from or to one end of flows belong to, where there are so many: both ways of a flow have one
/// end in common, which we may choose.
#[inline]
pub fn owner<K: FlowKey>(key: K, end: (K::Address, u16), workers: u32) -> u32 {
    owner_of_source(key.with_source(end).words(), workers)
}

/// The same for the source of a packet with these words.
#[inline]
pub fn owner_of_source(words: impl FlowWords, workers: u32) -> u32 {
    let hash = words.of_source().slot_hash();
    (((hash >> 32) * u64::from(workers.max(1))) >> 32) as u32
}
