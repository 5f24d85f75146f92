//! What VPP calls the values of header fields.

use std::borrow::Cow;

use super::super::ethernet::{ARP, IP4, IP6, TRANSPARENT_BRIDGING, VLAN, VLAN_AD};
use super::super::ip4::protocol;

/// An Ethertype: a name, or `0x1234`.
pub fn ethertype(kind: u16) -> Cow<'static, str> {
    let name = match kind {
        IP4 => "IP4",
        IP6 => "IP6",
        ARP => "ARP",
        VLAN => "VLAN",
        VLAN_AD => "DOT1AD",
        TRANSPARENT_BRIDGING => "BRIDGE",
        0x8847 => "MPLS",
        0x8863 => "PPPOE_DISCOVERY",
        0x8864 => "PPPOE_SESSION",
        0x88cc => "802_1_LLDP",
        _ => return format!("0x{kind:04x}").into(),
    };
    name.into()
}

/// The number of an IP protocol or IPv6 extension header: a name, or `unknown 123`.
pub fn protocol_name(number: u8) -> Cow<'static, str> {
    let name = match number {
        0 => "IP6_HOP_BY_HOP_OPTIONS",
        protocol::ICMP => "ICMP",
        2 => "IGMP",
        protocol::IP_IN_IP => "IP_IN_IP",
        protocol::TCP => "TCP",
        protocol::UDP => "UDP",
        protocol::IPV6 => "IPV6",
        43 => "IPV6_ROUTE",
        44 => "IPV6_FRAGMENTATION",
        46 => "RSVP",
        protocol::GRE => "GRE",
        50 => "IPSEC_ESP",
        51 => "IPSEC_AH",
        protocol::ICMP6 => "ICMP6",
        59 => "IP6_NONXT",
        60 => "IP6_DESTINATION_OPTIONS",
        88 => "EIGRP",
        89 => "OSPF",
        94 => "IPIP",
        97 => "ETHERIP",
        103 => "PIM",
        108 => "IPCOMP",
        112 => "VRRP",
        115 => "L2TP",
        132 => "SCTP",
        136 => "UDP_LITE",
        137 => "MPLS_IN_IP",
        _ => return format!("unknown {number}").into(),
    };
    name.into()
}

/// A differentiated services code point (RFC 2474 section 4.2.2, RFC 2597 section 6, RFC 3246).
pub fn dscp(code: u8) -> Cow<'static, str> {
    match (code >> 3, code & 7) {
        (class @ 0..=7, 0) => format!("CS{class}").into(),
        (class @ 1..=4, drop @ (2 | 4 | 6)) => format!("AF{class}{}", drop / 2).into(),
        (5, 6) => "EF".into(),
        _ => "unknown".into(),
    }
}

/// A congestion notification field (RFC 3168 section 5).
pub fn ecn(field: u8) -> &'static str {
    ["NON_ECN", "ECT_1", "ECT_0", "CE"][usize::from(field & 3)]
}

pub(super) fn arp_operation(operation: u16) -> Cow<'static, str> {
    let name = match operation {
        1 => "request",
        2 => "reply",
        3 => "reverse_request",
        4 => "reverse_reply",
        _ => return format!("unknown 0x{operation:x}").into(),
    };
    name.into()
}

pub(super) fn arp_hardware(hardware: u16) -> Cow<'static, str> {
    match hardware {
        1 => "ethernet".into(),
        _ => format!("unknown 0x{hardware:x}").into(),
    }
}

/// A type of ICMP message.
pub fn icmp4_type(kind: u8) -> Option<&'static str> {
    Some(match kind {
        0 => "echo_reply",
        3 => "destination_unreachable",
        4 => "source_quench",
        5 => "redirect",
        6 => "alternate_host_address",
        8 => "echo_request",
        9 => "router_advertisement",
        10 => "router_solicitation",
        11 => "time_exceeded",
        12 => "parameter_problem",
        13 => "timestamp_request",
        14 => "timestamp_reply",
        15 => "information_request",
        16 => "information_reply",
        17 => "address_mask_request",
        18 => "address_mask_reply",
        30 => "traceroute",
        _ => return None,
    })
}

/// A code within a type of ICMP message.
pub fn icmp4_code(kind: u8, code: u8) -> Option<&'static str> {
    Some(match (kind, code) {
        (3, 0) => "destination_unreachable_net",
        (3, 1) => "destination_unreachable_host",
        (3, 2) => "protocol_unreachable",
        (3, 3) => "port_unreachable",
        (3, 4) => "fragmentation_needed_and_dont_fragment_set",
        (3, 5) => "source_route_failed",
        (3, 6) => "destination_network_unknown",
        (3, 7) => "destination_host_unknown",
        (3, 8) => "source_host_isolated",
        (3, 9) => "network_administratively_prohibited",
        (3, 10) => "host_administratively_prohibited",
        (3, 11) => "network_unreachable_for_type_of_service",
        (3, 12) => "host_unreachable_for_type_of_service",
        (3, 13) => "communication_administratively_prohibited",
        (3, 14) => "host_precedence_violation",
        (3, 15) => "precedence_cutoff_in_effect",
        (5, 0) => "network_redirect",
        (5, 1) => "host_redirect",
        (5, 2) => "type_of_service_and_network_redirect",
        (5, 3) => "type_of_service_and_host_redirect",
        (11, 0) => "ttl_exceeded_in_transit",
        (11, 1) => "fragment_reassembly_time_exceeded",
        (12, 0) => "pointer_indicates_error",
        (12, 1) => "missing_required_option",
        (12, 2) => "bad_length",
        _ => return None,
    })
}

/// A type of ICMPv6 message.
pub fn icmp6_type(kind: u8) -> Option<&'static str> {
    Some(match kind {
        1 => "destination_unreachable",
        2 => "packet_too_big",
        3 => "time_exceeded",
        4 => "parameter_problem",
        128 => "echo_request",
        129 => "echo_reply",
        130 => "multicast_listener_request",
        131 => "multicast_listener_report",
        132 => "multicast_listener_done",
        133 => "router_solicitation",
        134 => "router_advertisement",
        135 => "neighbor_solicitation",
        136 => "neighbor_advertisement",
        137 => "redirect",
        143 => "multicast_listener_report_v2",
        _ => return None,
    })
}
