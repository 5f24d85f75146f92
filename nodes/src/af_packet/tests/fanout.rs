//! Several receive queues.

use std::collections::HashMap;
use std::net::UdpSocket;

use super::*;

#[test]
fn each_frame_comes_once_and_each_flow_to_one_queue() {
    let Some(net) = Namespaces::pair("fan") else { return };
    net.ip(&format!("-n {} neigh add 10.99.0.77 lladdr 02:fe:01:02:03:04 dev veth-b", net.name(1)));
    for version in BOTH {
        let mut here = open(&net, 0, &DeviceOptions { rx_queues: 2, ..options("veth-a", version) });
        in_namespace(Some(net.name(1)), || {
            for _ in 0..64 {
                let socket = UdpSocket::bind("10.99.0.2:0").unwrap();
                for _ in 0..10 {
                    socket.send_to(b"flow", "10.99.0.77:9").unwrap();
                }
            }
        })
        .unwrap();
        let mut flows: HashMap<[u8; 2], [u32; 2]> = HashMap::new();
        let mut total = 0;
        eventually(PATIENCE, "640 datagrams", || {
            for (queue, rx) in here.rx.iter_mut().enumerate() {
                while let Some(frame) = rx.next_frame() {
                    if frame.data.len() > 42 && frame.data[12..14] == [8, 0] && frame.data[23] == 17 {
                        flows.entry([frame.data[34], frame.data[35]]).or_default()[queue] += 1;
                        total += 1;
                    }
                }
            }
            total >= 640
        });
        assert_eq!(total, 640);
        assert!(flows.values().all(|counts| counts.contains(&0)), "a flow in both queues: {flows:?}");
        for queue in 0..2 {
            let share = flows.values().filter(|counts| counts[queue] > 0).count();
            assert!((10..=54).contains(&share), "queue {queue} has {share} flows of 64");
        }
    }
}
