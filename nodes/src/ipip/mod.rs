//! IP-in-IP tunnels (RFC 2003): `ipip4-input` takes the outer header off, `ipipN-tx` puts it on.

mod input;

use vnet::Builder;
use vnet::wire::ip4::protocol;

use crate::tunnel::{self, Kind};

/// IPv4 in IPv4.
pub struct Ipip;

impl Kind for Ipip {
    const WORD: &'static str = "ipip";
    const NAME: &'static str = "IPIP";
    const A_NAME: &'static str = "an IPIP";
    const PROTOCOL: u8 = protocol::IP_IN_IP;
    const SHIM: &'static [u8] = &[];
}

pub(crate) fn register(builder: &mut Builder) {
    tunnel::register::<Ipip>(builder, input::node());
}
