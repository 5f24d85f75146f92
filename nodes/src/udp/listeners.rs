//! Who takes packets to our own addresses that `ip4-receive` and `ip6-receive` do not know themselves.

use std::sync::Arc;

use vnet::{NodeId, Router};

use crate::ip::Ip;

/// The nodes that take UDP ports, or IPv4 packets with a DSCP; the same value is state of the control thread and, published,
/// what workers read.
#[derive(Clone, Debug, Default)]
pub struct Listeners {
    /// Few, so that looking through all is quickest.
    ports4: Vec<(u16, NodeId)>,
    ports6: Vec<(u16, NodeId)>,
    /// Empty, or one for each of the 64.
    dscp: Vec<Option<NodeId>>,
}

/// Somebody else has it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is taken by {by}")]
pub struct Taken {
    /// The port or the DSCP.
    pub what: String,
    /// The node that has it.
    pub by: String,
}

impl Listeners {
    /// The node that takes a UDP port over IP of the family.
    #[inline]
    pub fn port<A: Ip>(&self, port: u16) -> Option<NodeId> {
        let ports = if A::BITS == 32 { &self.ports4 } else { &self.ports6 };
        ports.iter().find(|(own, _)| *own == port).map(|(_, node)| *node)
    }

    /// The node that takes IPv4 packets with this DSCP, whatever is in them.
    #[inline]
    pub fn dscp(&self, dscp: u8) -> Option<NodeId> {
        self.dscp.get(usize::from(dscp)).copied().flatten()
    }

    fn ports_mut<A: Ip>(&mut self) -> &mut Vec<(u16, NodeId)> {
        if A::BITS == 32 { &mut self.ports4 } else { &mut self.ports6 }
    }
}

/// Gives datagrams for a port, to any address of ours, to `node`: they come whole, checked, and begin with their IP header.
///
/// # Errors
/// When another node has the port.
pub fn listen<A: Ip>(router: &mut Router, port: u16, node: NodeId) -> Result<(), Taken> {
    change(router, |listeners| match listeners.port::<A>(port) {
        Some(other) if other != node => Err(other),
        Some(_) => Ok(()),
        None => {
            listeners.ports_mut::<A>().push((port, node));
            Ok(())
        }
    })
    .map_err(|by| Taken { what: format!("UDP port {port}"), by: name(router, by) })
}

/// Ends [`listen`].
pub fn ignore<A: Ip>(router: &mut Router, port: u16) {
    let _ = change(router, |listeners| {
        listeners.ports_mut::<A>().retain(|(own, _)| *own != port);
        Ok(())
    });
}

/// Gives IPv4 packets with a DSCP, to any address of ours, to `node`: pieces, too, as they come.
///
/// # Errors
/// When another node has the DSCP. DSCPs beyond 63, of which there are none, are nobody's.
pub fn listen_dscp(router: &mut Router, dscp: u8, node: NodeId) -> Result<(), Taken> {
    change(router, |listeners| {
        listeners.dscp.resize(64, None);
        match listeners.dscp.get_mut(usize::from(dscp)) {
            Some(Some(other)) if *other != node => return Err(*other),
            Some(place) => *place = Some(node),
            None => (),
        }
        Ok(())
    })
    .map_err(|by| Taken { what: format!("dscp {dscp}"), by: name(router, by) })
}

/// Ends [`listen_dscp`].
pub fn ignore_dscp(router: &mut Router, dscp: u8) {
    let _ = change(router, |listeners| {
        if let Some(place) = listeners.dscp.get_mut(usize::from(dscp)) {
            *place = None;
        }
        Ok(())
    });
}

fn name(router: &Router, node: NodeId) -> String {
    router.node_info(node).map_or_else(|| "a node that is gone".into(), |info| info.name.to_string())
}

fn change(router: &mut Router, change: impl FnOnce(&mut Listeners) -> Result<(), NodeId>) -> Result<(), NodeId> {
    let Some(listeners) = router.state::<Listeners>() else { return Ok(()) };
    change(listeners)?;
    let published = Arc::new(listeners.clone());
    router.set_extension(published);
    router.publish();
    Ok(())
}
