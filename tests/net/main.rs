//! The built daemon between real kernels: a client, a balancer and its servers, each in a network namespace of its own.
//!
//! Takes root (or CAP_NET_ADMIN, CAP_NET_RAW and CAP_SYS_ADMIN) and `ip`; without them each test says so loudly.

mod af_xdp;
mod bed;
#[path = "../../examples/http/body.rs"]
mod body;
mod capture;
mod churn;
mod daemon;
mod demo;
mod demos;
mod flood;
mod host;
mod http;
mod idle;
mod ip6;
mod ip6_fragments;
mod packet;
mod restart;
mod routes;
mod server_removed;
mod stream;
#[allow(dead_code)]
#[path = "../../nodes/src/sys/testing.rs"]
mod testing;
mod tracing;
mod unmarked;
mod workers;
