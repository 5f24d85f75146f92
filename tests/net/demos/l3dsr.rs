//! Servers that know the VIP by a DSCP.

use super::direct::{Direct, SERVERS, VIP};
use super::lab::{all_of, tell};
use crate::packet::PacketSocket;

#[test]
fn servers_know_the_vip_by_its_dscp() {
    let Some(net) = Direct::new("l3dsr", " dscp 7") else { return };
    let lines = format!("lb vip {VIP}/32 encap l3dsr dscp 7\nlb as {VIP}/32 10.0.11.2 10.0.12.2 10.0.13.2");
    tell(&net.lb, &lines);
    let wire = PacketSocket::open(net.lab.ns("server1"), "s0");
    all_of(&net.lab.tally(&format!("{VIP}:80"), 60), &SERVERS);
    all_of(&net.lab.ask(&format!("{VIP}:7"), 60), &SERVERS);
    // On the wire: the server's address, the DSCP, one hop less, and nothing around it.
    let (mut buffer, mut seen) = ([0; 1 << 16], 0);
    while let Some(frame) = wire.receive(&mut buffer) {
        if frame[12..14] == [8, 0] && frame[26..30] == [10, 0, 1, 2] {
            assert_eq!(frame[30..34], [10, 0, 11, 2], "{frame:02x?}");
            assert_eq!((frame[15] >> 2, frame[22]), (7, 63), "{frame:02x?}");
            seen += 1;
        }
    }
    assert!(seen >= 40, "{seen}");
    let mut connection = net.lab.connect(&format!("{VIP}:80")).unwrap();
    connection.upload(20_000_000).unwrap();
    connection.get("/bytes/20000000").unwrap();
    let errors = net.agents[0].vppctl("show errors");
    assert!(errors.contains("L3DSR packets given back their VIP"), "{errors}");
}
