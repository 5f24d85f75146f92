//! Routes to somewhere else that lead through a VIP: its packets, and not to its address.

use crate::nat::{both, ip, judged, only, packet};

/// For each way that knows beforehand what a server's address changes: packets to the VIP and to an address behind it, by turns
/// and alone, of flows that are new and that are known.
#[test]
fn packets_to_addresses_behind_a_vip_have_right_checksums() {
    for (vip, length, encap, client, server, to) in [
        ("90.0.0.1", 32, "l3dsr dscp 3", "10.0.1.2", "10.0.2.2", 3306),
        ("90.0.0.1", 32, "nat4 type clusterip target_port 3307", "10.0.1.2", "10.0.2.2", 3307),
        ("2003::1", 128, "nat6 type clusterip target_port 3307", "2001::2", "2002::2", 3307),
    ] {
        let (behind, route) = if length == 32 { ("30.1.1.1", "30.0.0.0/8") } else { ("2030::1", "2030::/16") };
        for (protocol, tcp) in [("tcp", true), ("udp", false)] {
            let mut bed = both();
            bed.type_all(&[
                &format!("lb vip {vip}/{length} protocol {protocol} port 3306 encap {encap}"),
                &format!("lb as {vip}/{length} protocol {protocol} port 3306 {server}"),
                &format!("ip route add {route} via {vip}"),
            ]);
            let [client, server, vip, behind] = [client, server, vip, behind].map(ip);
            let frame = |port, receiver| packet((client, port, receiver, 3306), tcp, false);
            for _ in 0..3 {
                // Of the same port NAT would have to give one of them another.
                for (receiver, ports) in [(vip, 1200..1203), (behind, 1300..1303)] {
                    for port in ports {
                        let (_, left) = only(bed.send([frame(port, receiver)]));
                        assert_eq!(judged(&left), (client, port, server, to), "{encap}, to {receiver}");
                    }
                }
                let many = (1000..1100).map(|port| frame(port, if port % 3 == 0 { behind } else { vip }));
                let left = bed.send(many);
                assert_eq!(left.len(), 100, "{encap}");
                for (port, (_, left)) in (1000..1100).zip(&left) {
                    assert_eq!(judged(left), (client, port, server, to), "{encap}, of many");
                }
            }
        }
    }
}
