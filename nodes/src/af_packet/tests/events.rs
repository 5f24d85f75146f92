//! Devices that go down, come up, and go away.

use super::*;
use crate::af_packet::{DeviceEvent, Kick};

#[test]
fn down_is_said_once_and_up_goes_on() {
    let Some(net) = Namespaces::pair("updown") else { return };
    for version in BOTH {
        let mut here = open(&net, 0, &options("veth-a", version));
        let mut there = open(&net, 1, &options("veth-b", version));
        net.ip(&format!("-n {} link set veth-a down", net.name(0)));
        let rx = &mut here.rx[0];
        assert!(ready(&*rx, 1000).contains(PollFlags::POLLERR));
        assert_eq!(rx.take_event(), Some(DeviceEvent::Down));
        while rx.next_frame().is_some() {}
        assert_eq!(rx.take_event(), None);
        assert_eq!(ready(&*rx, 50), PollFlags::empty(), "no spin");

        let tx = &mut here.tx[0];
        for number in 0..3 {
            assert!(queue(tx, &frame(number, 60), &VnetHdr::default()));
        }
        let wanted = Kick { dropped: 3, event: Some(DeviceEvent::Down), ..Kick::default() };
        assert_eq!(tx.kick(), wanted);
        assert_eq!(tx.counts().available, tx.counts().total);

        net.ip(&format!("-n {} link set veth-a up", net.name(0)));
        eventually(PATIENCE, "carrier", || {
            in_namespace(Some(net.name(0)), || crate::sys::link_by_name("veth-a")).unwrap().unwrap().unwrap().running
        });
        assert!(queue(tx, &frame(7, 60), &VnetHdr::default()));
        assert_eq!(tx.kick(), Kick { sent: 1, ..Kick::default() });
        assert_eq!(receive(&mut there.rx[0], 1), [frame(7, 60)]);
        there.tx[0].take_event();
        assert!(queue(&mut there.tx[0], &frame(8, 60), &VnetHdr::default()));
        assert_eq!(there.tx[0].kick().sent, 1);
        assert_eq!(receive(rx, 1), [frame(8, 60)]);
    }
}

#[test]
fn a_deleted_device_is_gone_without_a_spin() {
    for version in BOTH {
        for rx_queues in [1, 2] {
            let Some(net) = Namespaces::pair("gone") else { return };
            let mut here = open(&net, 0, &DeviceOptions { rx_queues, ..options("veth-a", version) });
            assert!(queue(&mut here.tx[0], &frame(1, 60), &VnetHdr::default()));
            net.ip(&format!("-n {} link del veth-a", net.name(0)));
            for rx in &mut here.rx {
                assert!(ready(&*rx, 1000).contains(PollFlags::POLLERR));
                assert_eq!(rx.take_event(), Some(DeviceEvent::Gone));
                while rx.next_frame().is_some() {}
                assert_eq!(ready(&*rx, 50), PollFlags::empty(), "no spin");
            }
            let kick = here.tx[0].kick();
            assert_eq!(kick, Kick { dropped: 1, event: Some(DeviceEvent::Gone), ..Kick::default() });
            assert!(queue(&mut here.tx[0], &frame(2, 60), &VnetHdr::default()));
            assert_eq!(here.tx[0].kick().event, Some(DeviceEvent::Gone));
            here.tx[0].take_event();
            assert_eq!(ready(&here.tx[0], 20), PollFlags::empty());
            assert!(here.control.set_promiscuous(true).is_err());
        }
    }
}

#[test]
fn a_device_that_is_down_opens_and_works_once_it_is_up() {
    let Some(net) = Namespaces::pair("late") else { return };
    for version in BOTH {
        net.ip(&format!("-n {} link set veth-a down", net.name(0)));
        let mut here = open(&net, 0, &DeviceOptions { rx_queues: 2, ..options("veth-a", version) });
        assert!(!here.link.up);
        let mut there = open(&net, 1, &options("veth-b", version));
        in_namespace(Some(net.name(0)), || here.control.set_kernel_up(true)).unwrap().unwrap();
        let mut sent = 0;
        eventually(PATIENCE, "a frame", || {
            sent += u32::from(queue(&mut there.tx[0], &frame(sent, 60), &VnetHdr::default()));
            there.tx[0].kick();
            std::thread::sleep(Duration::from_millis(5));
            here.rx.iter_mut().any(|rx| rx.next_frame().is_some_and(|frame| is_ours(frame.data)))
        });
    }
}
