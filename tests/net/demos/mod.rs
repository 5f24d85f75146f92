//! What `./build_lb_config NAME` shows, as tests: each way to send to servers on the traffic of real kernels.

mod bulk;
mod direct;
mod ecn;
mod fat_tree;
mod fragments;
mod full_nat;
mod gue_direct;
mod ipip;
mod l2dsr;
mod l3dsr;
pub mod lab;
mod mss;
mod mtu;
mod nat;
mod nat_errors;
mod node_ports;
