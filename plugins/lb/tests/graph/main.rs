//! Whole graphs with the load balancer in them: frames in, frames out, compared byte for byte.

mod bed;
mod frames;

mod balancing;
mod clamping;
mod connections;
mod describing;
mod drops;
mod encaps;
mod families;
mod flood;
mod former_sources;
mod fragments;
mod fragments6;
mod importing;
mod leaving;
mod lengths;
mod listing;
mod moving;
mod nat;
mod nat_sessions;
mod path_mtu;
mod quic;
mod quotes;
mod rates;
mod resizing;
mod scheduling;
mod segments;
mod through;
