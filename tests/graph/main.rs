//! Whole graphs of the daemon: packets in by packet-generator interfaces, packets out compared byte for byte, and what
//! the operator sees compared exactly. Every test ends with no buffer in use.

mod arp_icmp;
mod bad_input;
mod commands;
mod forwarding;
mod fragments;
mod golden;
mod ip6;
mod ip6_commands;
mod ip6_fragments;
mod ip6_reassembly;
mod lb_words;
mod load_balancer;
mod path_mtu;
mod pcap_trace;
mod reassembly;
mod support;
mod tunnels;
mod tunnels_bad;
mod tunnels_host;
mod tunnels_matrix;
