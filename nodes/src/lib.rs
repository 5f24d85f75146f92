//! The nodes that every router needs: Ethernet, ARP, IPv4, IPv6, UDP ports, tunnels, and the devices.
//!
//! One file or folder per node, node family or device; each node's documentation tells what it Uses, Sets and where
//! packets go Next.
#![deny(unsafe_code)]

pub mod af_packet;
pub mod af_xdp;
pub mod arp;
pub mod buffer_trace;
pub mod checksum;
mod commands;
pub mod drop;
mod error_source;
mod ethernet;
mod frag;
pub mod frame_trace;
pub mod gre;
pub mod gue;
mod host;
pub mod ip;
pub mod ip4;
pub mod ip6;
pub mod ipip;
mod link_back;
pub mod links;
mod mac;
pub mod offload;
pub mod output;
mod path_mtu;
pub mod pcap_trace;
pub mod pg;
pub mod ping;
mod reassembly;
pub mod sys;
pub mod tap;
pub mod tunnel;
pub mod udp;
mod unfinished;

use vnet::Builder;

/// In [`Meta::opaque`](vnet::Meta::opaque): a packet generator made the packet.
pub const GENERATED: u32 = 0x7067;

/// Registers everything: nodes, devices, and their commands.
pub fn register(app: &mut cli::App) {
    register_nodes(&mut app.builder);
    links::register(&mut app.builder);
    app.builder.state(host::HostLinks::default());
    af_packet::register(&mut app.builder);
    af_xdp::register(&mut app.builder);
    tap::register(&mut app.builder);
    af_packet::register_commands(app);
    af_xdp::register_commands(app);
    tap::register_commands(app);
    pg::register_commands(app);
    pcap_trace::register(app);
    commands::register(app);
}

/// Registers the nodes without a device.
pub fn register_nodes(builder: &mut Builder) {
    for node in drop::nodes() {
        builder.node(node);
    }
    builder.node(ethernet::node());
    builder.state(ping::Pings::default());
    arp::register(builder);
    ip4::register(builder);
    ip6::register(builder);
    reassembly::register(builder);
    for node in frag::nodes() {
        builder.node(node);
    }
    udp::register(builder);
    tunnel::register(builder);
    gre::register(builder);
    ipip::register(builder);
    gue::register(builder);
    pg::register(builder);
}
