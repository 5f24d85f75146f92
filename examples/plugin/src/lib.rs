//! Counts TCP SYNs per interface: a node in the `ip4-unicast` arc, and two commands.
#![forbid(unsafe_code)]

use cli::{App, Args, CliError, Reply};
use trace::{Record, Text};
use vnet::arcs::{Feature, IP4_UNICAST};
use vnet::wire::ip4::protocol;
use vnet::wire::{Ip4Header, TcpHeader, tcp::TcpFlags};
use vnet::{Cx, NodeSpec, Packet, PacketNode, Router, Scope, next_nodes, node_errors};

next_nodes! {
    /// Where `syn-count` sends packets.
    pub enum Next {
        /// Never used: nothing is dropped here.
        Drop => "error-drop",
        /// The end of the arc.
        Lookup => "ip4-lookup",
        ; To
    }
}

node_errors! {
    /// What `syn-count` counts.
    pub enum Error {
        /// TCP packets with SYN and without ACK.
        Syn => info "TCP connection attempts",
    }
}

/// The node. Uses: the IPv4 and TCP headers. Sets: nothing. Next: the next feature, or `ip4-lookup`.
struct SynCount;

#[derive(serde::Serialize)]
struct Seen {
    syn: bool,
}

impl Record for Seen {
    fn text(&self, text: &mut Text) {
        text.line(format_args!("syn-count: {}", if self.syn { "a connection attempt" } else { "something else" }));
    }
}

impl PacketNode for SynCount {
    type Next = Next;
    type Error = Error;
    type Shared = ();
    type Local = ();
    type Staged = ();
    type Trace = Seen;

    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> Next {
        if is_syn(packet.data()) {
            cx.count(Error::Syn);
        }
        cx.next_feature(packet).map_or(Next::Lookup, Next::To)
    }

    fn trace(&self, _: &Scope<'_, (), ()>, packet: &Packet<'_>, (): ()) -> Seen {
        Seen { syn: is_syn(packet.data()) }
    }
}

fn is_syn(bytes: &[u8]) -> bool {
    let Ok((ip, _)) = Ip4Header::ref_from_prefix(bytes) else { return false };
    let tcp = bytes.get(ip.header_len()..).map(TcpHeader::ref_from_prefix);
    let Some(Ok((tcp, _))) = tcp.filter(|_| ip.protocol == protocol::TCP) else { return false };
    tcp.flags().contains(TcpFlags::SYN) && !tcp.flags().contains(TcpFlags::ACK)
}

/// Registers the plugin; call this in your composition root.
pub fn register(app: &mut App) {
    app.builder.node(NodeSpec::packet("syn-count", |_| SynCount));
    app.builder.feature("ip4-unicast", Feature { node: "syn-count".into(), before: vec![], after: vec![] });
    app.command("set syn-count", "set syn-count <interface> [del]", set);
}

fn set(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let interface = args.interface(router)?;
    let on = !args.keyword("del");
    args.end()?;
    router.set_feature(IP4_UNICAST, "syn-count", interface, on).map_err(CliError::at)?;
    Ok(Reply::none())
}
