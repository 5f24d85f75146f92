//! ICMP errors about translated packets: they quote what their receiver never sent, and must quote what it did.

use vnet::wire::icmp_inner::{Ends, Inner, Inner4, Inner6, Rewrite};
use vnet::wire::{FlowKey4, FlowKey6};

use super::{FlowKey, Session, Translated};

/// A family whose ICMP errors can be translated.
pub trait Quoted: Translated {
    /// Reads the error; `None`: it is none, or quotes too little to say which flow's packet it is about.
    fn read_quote(packet: &[u8]) -> Option<Inner<Self>>;
    /// Writes other addresses and, as of the quoted packet, another key; `false`, and nothing changes: it is not this error.
    fn write_quote(packet: &mut [u8], quote: &Inner<Self>, ends: Outer<Self::Address>, key: Self) -> bool;
}

/// The addresses of the error itself; `None`: as they are.
#[derive(Clone, Copy)]
pub struct Outer<A> {
    /// Who says it.
    pub source: Option<A>,
    /// Whom.
    pub destination: Option<A>,
}

macro_rules! quoted {
    ($key:ty, $inner:ty, $bytes:expr) => {
        impl Quoted for $key {
            fn read_quote(packet: &[u8]) -> Option<Inner<Self>> {
                <$inner>::read(packet).ok().filter(|quote| quote.ports)
            }

            fn write_quote(
                packet: &mut [u8],
                quote: &Inner<Self>,
                ends: Outer<<Self as FlowKey>::Address>,
                key: Self,
            ) -> bool {
                let bytes = $bytes;
                let rewrite = Rewrite {
                    outer: Ends { source: ends.source.map(bytes), destination: ends.destination.map(bytes) },
                    inner: Ends { source: Some(bytes(key.src)), destination: Some(bytes(key.dst)) },
                    sport: Some(key.sport),
                    dport: Some(key.dport),
                };
                rewrite.apply(packet, quote).is_ok()
            }
        }
    };
}

quoted!(FlowKey4, Inner4, u32::to_be_bytes);
quoted!(FlowKey6, Inner6, |address: [u8; 16]| address);

/// Translates an error that came for a VIP, about an answer of a server: it is for the server, and quotes what that sent. With full
/// NAT (`hide`) the server hears it from the address that it knows.
pub fn to_server<K: Quoted>(packet: &mut [u8], quote: &Inner<K>, session: &Session<K>, hide: bool) -> bool {
    let (source, destination) = (session.server().source().0, session.server().destination().0);
    let ends = Outer { source: hide.then_some(source), destination: Some(destination) };
    K::write_quote(packet, quote, ends, session.server().reversed())
}

/// Translates an error about a packet that went to a server: it is for the client, and quotes what that sent. What the server
/// itself says comes from the VIP.
pub fn to_client<K: Quoted>(packet: &mut [u8], sender: K::Address, quote: &Inner<K>, session: &Session<K>) -> bool {
    let by_server = sender == session.server().destination().0;
    let source = by_server.then_some(session.client().destination().0);
    let ends = Outer { source, destination: Some(session.client().source().0) };
    K::write_quote(packet, quote, ends, session.client())
}
