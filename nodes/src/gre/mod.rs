//! GRE tunnels over IPv4 (RFC 2784): `gre4-input` takes the outer headers off, `greN-tx` puts them on.

mod input;

use vnet::Builder;
use vnet::wire::ip4::protocol;

use crate::tunnel::{self, Kind};

/// GRE without checksum, key and sequence numbers.
pub struct Gre;

impl Kind for Gre {
    const WORD: &'static str = "gre";
    const NAME: &'static str = "GRE";
    const A_NAME: &'static str = "a GRE";
    const PROTOCOL: u8 = protocol::GRE;
    const SHIM: &'static [u8] = &[0, 0, 8, 0];
}

pub(crate) fn register(builder: &mut Builder) {
    tunnel::register::<Gre>(builder, input::node());
}
