//! Frames from one ring to another, over a veth pair and over loopback.

use super::*;
use crate::af_packet::{DeviceError, PacketSocket};

#[test]
fn every_frame_arrives_whole_and_in_order_many_times_round_the_ring() {
    let Some(net) = Namespaces::pair("ring") else { return };
    for version in BOTH {
        for offload in [true, false] {
            let small = DeviceOptions { offload, tx_frames: 20, rx_blocks: 4, ..options("veth-a", version) };
            let mut here = open(&net, 0, &small);
            let mut there = open(&net, 1, &DeviceOptions { name: "veth-b".into(), ..small });
            let (tx, rx) = (&mut there.tx[0], &mut here.rx[0]);
            let rounds = 8 * rx.layout().frames.max(tx.layout().frames).min(100);
            let mut number = 0;
            while number < rounds {
                let first = number;
                while number < first + 16
                    && queue(tx, &frame(number, 20 + number as usize * 7 % 1490), &VnetHdr::default())
                {
                    number += 1;
                }
                let kick = tx.kick();
                assert_eq!((kick.sent, kick.dropped, kick.waiting, kick.event), (number - first, 0, 0, None));
                let got = receive(rx, (number - first) as usize);
                let wanted = (first..number).map(|n| frame(n, 20 + n as usize * 7 % 1490)).collect::<Vec<_>>();
                assert_eq!(got, wanted, "{version:?} offload {offload}");
            }
            assert_eq!(tx.counts().available, tx.counts().total);
            assert_eq!(rx.kernel_counts().drops, 0);
            assert_eq!(rx.malformed(), 0);
        }
    }
}

#[test]
fn the_facts_are_those_of_the_transcripts() {
    let Some(net) = Namespaces::pair("facts") else { return };
    for (version, mac) in [(Version::V2, 76), (Version::V3, 92)] {
        let mut here = open(&net, 0, &options("veth-a", version));
        let mut there = open(&net, 1, &options("veth-b", version));
        assert!(queue(&mut there.tx[0], &frame(1, 100), &VnetHdr::default()));
        assert_eq!(there.tx[0].facts(100).len, 110);
        assert_eq!(there.tx[0].counts().request, 1);
        there.tx[0].kick();
        let rx = &mut here.rx[0];
        eventually(PATIENCE, "the frame", || {
            let Some(frame) = rx.next_frame() else { return false };
            if !is_ours(frame.data) {
                return false;
            }
            let facts = frame.facts();
            assert_eq!((facts.len, facts.snaplen, facts.mac, facts.net), (100, 100, mac, mac + 14));
            assert_eq!(facts.status & 1, 1);
            assert!(facts.sec > 1_000_000_000);
            assert_eq!(facts.block.is_some(), version == Version::V3);
            assert!(facts.block.is_none_or(|block| block.version == 2 && block.pkt_num == 0 && block.seq_num > 0));
            true
        });
    }
}

#[test]
fn a_foreign_address_needs_no_promiscuous_mode_on_veth() {
    let Some(net) = Namespaces::pair("mac") else { return };
    let mut here = open(&net, 0, &DeviceOptions { mac: Some(OWN_MAC), ..options("veth-a", Version::V3) });
    let mut there = open(&net, 1, &options("veth-b", Version::V3));
    let promiscuity = || {
        let shown = std::process::Command::new("ip")
            .args(["-n", net.name(0), "-d", "link", "show", "veth-a"])
            .output()
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
            .unwrap();
        let mut words = shown.split_whitespace().skip_while(|word| *word != "promiscuity");
        words.nth(1).unwrap().to_owned()
    };
    assert_ne!(here.link.mac, OWN_MAC);
    assert!(queue(&mut there.tx[0], &frame(1, 60), &VnetHdr::default()));
    there.tx[0].kick();
    assert_eq!(receive(&mut here.rx[0], 1)[0][..6], OWN_MAC);
    here.control.set_promiscuous(true).unwrap();
    here.control.set_promiscuous(true).unwrap();
    assert_ne!(promiscuity(), "0");
    here.control.set_promiscuous(false).unwrap();
    here.control.set_mac(None).unwrap();
    assert_eq!(promiscuity(), "0");
}

#[test]
fn a_frame_on_loopback_comes_once() {
    let Some(net) = Namespaces::new("lo", 1) else { return };
    for version in BOTH {
        let mut device = open(&net, 0, &options("lo:1", version));
        assert!(device.link.loopback);
        assert_eq!(device.rx[0].socket().name(), "lo:1");
        for number in 0..10 {
            assert!(queue(&mut device.tx[0], &frame(number, 80), &VnetHdr::default()));
        }
        assert_eq!(device.tx[0].kick().sent, 10);
        assert_eq!(receive(&mut device.rx[0], 10).len(), 10);
        std::thread::sleep(Duration::from_millis(20));
        assert!(device.rx[0].next_frame().is_none());
    }
}

#[test]
fn a_full_receive_ring_counts_drops_and_recovers() {
    let Some(net) = Namespaces::pair("full") else { return };
    for version in BOTH {
        let mut here = open(&net, 0, &DeviceOptions { rx_blocks: 2, ..options("veth-a", version) });
        let mut there = open(&net, 1, &options("veth-b", version));
        for _ in 0..20 {
            for number in 0..100 {
                assert!(queue(&mut there.tx[0], &frame(number, 1000), &VnetHdr::default()));
            }
            assert_eq!(there.tx[0].kick().sent, 100);
        }
        eventually(PATIENCE, "drops", || here.rx[0].kernel_counts().drops > 0);
        while here.rx[0].next_frame().is_some() {}
        std::thread::sleep(Duration::from_millis(20));
        while here.rx[0].next_frame().is_some() {}
        assert!(queue(&mut there.tx[0], &frame(777, 100), &VnetHdr::default()));
        there.tx[0].kick();
        assert_eq!(receive(&mut here.rx[0], 1), [frame(777, 100)]);
        let counts = here.rx[0].kernel_counts();
        assert!(counts.packets >= 2000 && counts.drops < 2001, "{counts:?}");
    }
}

#[test]
fn what_the_kernel_refuses_does_not_stop_the_rest() {
    let Some(net) = Namespaces::pair("bad") else { return };
    for version in BOTH {
        let mut here = open(&net, 0, &options("veth-a", version));
        let mut there = open(&net, 1, &options("veth-b", version));
        let tx = &mut there.tx[0];
        let nonsense = VnetHdr { gso_type: 0x55, ..VnetHdr::default() };
        assert!(queue(tx, &frame(0, 100), &VnetHdr::default()));
        assert!(queue(tx, &frame(1, 100), &nonsense));
        assert!(queue(tx, &frame(2, 1530), &VnetHdr::default()));
        assert!(queue(tx, &frame(3, 100), &VnetHdr::default()));
        assert!(queue(tx, &frame(4, 100), &nonsense));
        let kick = tx.kick();
        assert_eq!(kick.rejected, 2, "{version:?} {kick:?}");
        assert_eq!((kick.sent + kick.dropped, kick.waiting, kick.event), (3, 0, None), "{kick:?}");
        assert_eq!(tx.counts().available, tx.counts().total);
        let numbers = |frames: Vec<Vec<u8>>| {
            frames.iter().map(|frame| u32::from_be_bytes(frame[14..18].try_into().unwrap())).collect::<Vec<_>>()
        };
        assert_eq!(numbers(receive(&mut here.rx[0], 2)), [0, 3]);
        // However often the ring was mended, its next rounds are sound.
        for number in 10..10 + tx.layout().frames * 2 {
            assert!(queue(tx, &frame(number, 90), &VnetHdr::default()));
            assert_eq!(tx.kick().sent, 1);
            assert_eq!(numbers(receive(&mut here.rx[0], 1)), [number]);
        }
    }
}

#[test]
fn a_frame_that_is_too_long_for_its_slot_is_not_queued() {
    let Some(net) = Namespaces::pair("long") else { return };
    let mut there = open(&net, 1, &DeviceOptions { offload: false, ..options("veth-b", Version::V3) });
    let tx = &mut there.tx[0];
    let capacity = tx.capacity();
    let mut slot = tx.reserve().unwrap();
    assert_eq!(slot.data().len(), capacity);
    assert!(!slot.commit(capacity + 1, &VnetHdr::default()));
    assert_eq!((tx.pending(), tx.position()), (0, 0));
}

#[test]
fn a_frame_longer_than_the_rings_goes_past_it_and_keeps_its_place() {
    let Some(net) = Namespaces::pair("past") else { return };
    for (version, offload) in [(Version::V3, true), (Version::V2, true), (Version::V3, false)] {
        let options = |name| DeviceOptions { offload, ..options(name, version) };
        let mut here = open(&net, 0, &options("veth-a"));
        let mut there = open(&net, 1, &options("veth-b"));
        for (name, device) in [(0, "veth-a"), (1, "veth-b")] {
            net.ip(&format!("-n {} link set {device} mtu 9000", net.name(name)));
        }
        let tx = &mut there.tx[0];
        assert!(tx.capacity() < 3000, "made for an MTU of 1500");
        for round in 0..3 {
            let numbers = [0, 1, 2, 3].map(|number| 4 * round + number);
            assert!(queue(tx, &frame(numbers[0], 100), &VnetHdr::default()));
            let long = frame(numbers[1], 5000);
            let kick = tx.send_long([&long[..1000], &long[1000..]].into_iter(), &VnetHdr::default());
            assert_eq!((kick.sent, kick.dropped, kick.rejected, kick.waiting), (2, 0, 0, 0), "{kick:?}");
            let kick = tx.send_long([&frame(numbers[2], 8000)[..]].into_iter(), &VnetHdr::default());
            assert_eq!(kick.sent, 1, "{kick:?}");
            assert!(queue(tx, &frame(numbers[3], 100), &VnetHdr::default()));
            assert_eq!(tx.kick().sent, 1);
            let wanted = numbers.into_iter().zip([100, 5000, 8000, 100]).map(|(n, len)| frame(n, len));
            assert_eq!(receive(&mut here.rx[0], 4), wanted.collect::<Vec<_>>());
        }
        let nonsense = VnetHdr { gso_type: 0x55, ..VnetHdr::default() };
        let kick = tx.send_long([&frame(9, 5000)[..]].into_iter(), &nonsense);
        assert_eq!((kick.sent + kick.dropped, kick.rejected), (0, 1), "{kick:?}");
        for (name, device) in [(0, "veth-a"), (1, "veth-b")] {
            net.ip(&format!("-n {} link set {device} mtu 1500", net.name(name)));
        }
    }
}

#[test]
fn what_the_kernel_copies_and_what_it_takes_by_the_page_arrives_whole() {
    let Some(net) = Namespaces::pair("copied") else { return };
    for (name, device) in [(0, "veth-a"), (1, "veth-b")] {
        net.ip(&format!("-n {} link set {device} mtu 9000", net.name(name)));
    }
    for version in BOTH {
        let mut here = open(&net, 0, &options("veth-a", version));
        let mut there = open(&net, 1, &options("veth-b", version));
        let tx = &mut there.tx[0];
        let most = VnetHdr::COPIED;
        for lengths in [[60, most - 1, most, most + 1], [4096, 9014, 20, most]] {
            let frames: Vec<_> = (0..).zip(lengths).map(|(number, len)| frame(number, len)).collect();
            assert!(frames.iter().all(|frame| queue(tx, frame, &VnetHdr::default())));
            let kick = tx.kick();
            assert_eq!((kick.sent, kick.rejected), (4, 0), "{kick:?}");
            assert_eq!(receive(&mut here.rx[0], 4), frames, "{version:?}");
        }
    }
}

#[test]
fn a_ring_that_is_full_says_so() {
    let Some(net) = Namespaces::pair("txfull") else { return };
    for version in BOTH {
        let mut there = open(&net, 1, &DeviceOptions { tx_frames: 1, ..options("veth-b", version) });
        let tx = &mut there.tx[0];
        let total = tx.layout().frames;
        for number in 0..total {
            assert!(queue(tx, &frame(number, 60), &VnetHdr::default()));
        }
        assert!(tx.reserve().is_none());
        assert_eq!(tx.counts().request, total);
        assert_eq!(tx.kick().sent, total);
        assert!(tx.reserve().is_some());
    }
}

#[test]
fn errors_name_the_device_and_the_capability() {
    let error = DeviceError::new("eth0", "open a packet socket", std::io::Error::from_raw_os_error(libc::EPERM));
    assert_eq!(error.to_string(), "eth0: not permitted to open a packet socket (needs CAP_NET_RAW)");
    let error = PacketSocket::open("nosuch0").unwrap_err();
    assert!(matches!(&error, DeviceError::NoSuchDevice { name } if name == "nosuch0"), "{error}");
    assert_eq!(error.to_string(), "Invalid interface name `nosuch0': the kernel has no such device");
}
