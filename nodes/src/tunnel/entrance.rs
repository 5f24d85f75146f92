//! Interfaces by which packets only come in: those of open prefixes, which come from everybody.

use std::any::Any;

use vnet::fib::LinkKind;
use vnet::interface::{Caps, Device, Hardware};
use vnet::router::{InterfaceError, InterfaceSpec};
use vnet::{Cx, IfIndex, NodeSpec, Packet, PacketNode, Router, Scope, next_nodes, node_errors};

next_nodes! {
    /// Where the transmitting end sends packets.
    pub enum Next {
        /// Nowhere.
        Drop => "error-drop",
    }
}

node_errors! {
    /// Why it drops.
    pub enum Error {
        /// There is nobody at the other end.
        NoWayOut => error "no packet goes out by this interface",
    }
}

struct NoWayOut;

impl PacketNode for NoWayOut {
    type Next = Next;
    type Error = Error;
    type Shared = ();
    type Local = ();
    type Staged = ();
    type Trace = ();

    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> Next {
        cx.drop(packet, Error::NoWayOut)
    }

    fn trace(&self, _: &Scope<'_, (), ()>, _: &Packet<'_>, (): ()) {}
}

struct Entrance;

impl Device for Entrance {
    fn hardware(&self) -> Hardware {
        Hardware { name: "entrance".into(), lines: vec!["packets from tunnels that anybody may send into".into()] }
    }
    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

/// Makes an interface by which packets come in that [`Tunnels::open`](super::Tunnels::open) takes: it is up and takes IPv4 and
/// IPv6 without an address.
///
/// # Errors
/// When the name is taken.
pub fn add_entrance(router: &mut Router, name: &str) -> Result<IfIndex, InterfaceError> {
    let own = name.to_string();
    let interface = router.add_interface(InterfaceSpec {
        name: name.into(),
        mac: [0; 6],
        mtu: u16::MAX,
        link: LinkKind::PointToPoint,
        caps: Caps::empty(),
        link_up: true,
        device: Box::new(Entrance),
        nodes: Box::new(move |index| {
            [crate::output::spec(&own, index), NodeSpec::packet(format!("{own}-tx"), |_| NoWayOut)]
        }),
    })?;
    router.set_unnumbered(interface, true);
    router.set_ip6_enabled(interface, true);
    router.set_interface_state(interface, true)?;
    Ok(interface)
}
