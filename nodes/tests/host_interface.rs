//! Host-interfaces and taps against a real kernel: a router with threads of its own between network namespaces.

#[allow(dead_code)]
#[path = "../src/sys/testing.rs"]
mod testing;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use cli::{App, Console};
use nodes::sys::in_namespace;
use socket2::{Domain, Protocol, Socket, Type};
use testing::Namespaces;
use vnet::Config;

const PATIENCE: Duration = Duration::from_secs(20);

/// Client, router, server: namespaces 0 to 2, joined by veth pairs with stock offloads.
fn chain(purpose: &str) -> Option<Namespaces> {
    let net = Namespaces::new(purpose, 3)?;
    for (ns, own, router, address, gateway) in
        [(0, "c0", "r0", "10.1.0.2/24", "10.1.0.1"), (2, "s0", "r1", "10.2.0.2/24", "10.2.0.1")]
    {
        let (end, middle) = (net.name(ns), net.name(1));
        for ns in [end, middle] {
            net.exec(ns, "sysctl -qw net.ipv6.conf.default.disable_ipv6=1 net.ipv6.conf.all.disable_ipv6=1");
        }
        net.ip(&format!("link add {own} netns {end} type veth peer name {router} netns {middle}"));
        net.ip(&format!("-n {end} addr add {address} dev {own}"));
        net.ip(&format!("-n {end} link set {own} up"));
        net.ip(&format!("-n {middle} link set {router} up"));
        net.ip(&format!("-n {end} route add default via {gateway}"));
    }
    Some(net)
}

/// Runs `body` with a router in the middle namespace.
fn routed(net: &Namespaces, workers: usize, body: impl FnOnce(&mut Console) + Send) {
    in_namespace(Some(net.name(1)), || {
        let mut app = App::new();
        nodes::register(&mut app);
        let mut console = app.build(&Config { workers, ..Config::default() }).unwrap();
        body(&mut console);
    })
    .unwrap();
}

fn exec(console: &mut Console, line: &str) -> String {
    console.exec(line).unwrap_or_else(|error| panic!("{line}: {error}"))
}

fn configure(console: &mut Console, how: &str) {
    for (number, device) in ["r0", "r1"].into_iter().enumerate() {
        let name = exec(console, &format!("create host-interface {how} name {device}"));
        assert_eq!(name, format!("host-{device}\n"));
        exec(console, &format!("set interface ip address host-{device} 10.{}.0.1/24", number + 1));
        exec(console, &format!("set interface state host-{device} up"));
    }
}

/// Linux makes entries of announcements alone where `arp_accept` says so.
#[test]
fn our_addresses_are_announced_when_they_or_their_mac_are_new_and_when_the_link_comes_up() {
    let Some(net) = chain("announce") else { return };
    net.exec(net.name(0), "sysctl -qw net.ipv4.conf.c0.arp_accept=1");
    let knows = |console: &mut Console, address: &str, mac: &str| {
        let show = ["-n", net.name(0), "neigh", "show", address, "dev", "c0"];
        let mut seen = String::new();
        let told = console.router().wait_until(PATIENCE, |_| {
            seen = String::from_utf8(Command::new("ip").args(show).output().unwrap().stdout).unwrap();
            seen.contains(&format!("lladdr {mac} "))
        });
        assert!(told, "{address} should be at {mac}: {seen}");
    };
    routed(&net, 1, |console| {
        exec(console, "create host-interface name r0");
        exec(console, "set interface mac address host-r0 02:00:00:00:00:a1");
        exec(console, "set interface ip address host-r0 10.1.0.1/24");
        exec(console, "set interface state host-r0 up");
        knows(console, "10.1.0.1", "02:00:00:00:00:a1");
        exec(console, "set interface ip address host-r0 10.1.0.9/24");
        knows(console, "10.1.0.9", "02:00:00:00:00:a1");
        // An entry is not replaced within a second of its making (`locktime`).
        thread::sleep(Duration::from_millis(1500));
        exec(console, "set interface mac address host-r0 02:00:00:00:00:a2");
        knows(console, "10.1.0.1", "02:00:00:00:00:a2");
        knows(console, "10.1.0.9", "02:00:00:00:00:a2");
        net.ip(&format!("-n {} link set c0 down", net.name(0)));
        let down = |router: &mut vnet::Router| {
            let index = router.interface_by_name("host-r0").unwrap();
            !router.interface(index).unwrap().link_up
        };
        assert!(console.router().wait_until(PATIENCE, down));
        net.ip(&format!("-n {} link set c0 up", net.name(0)));
        knows(console, "10.1.0.1", "02:00:00:00:00:a2");
    });
}

/// A gratuitous ARP packet's time and sender.
type Heard = (Instant, [u8; 4]);

/// RFC 5227 section 2.3: twice, two seconds apart.
#[test]
fn announcements_come_twice_and_plugins_addresses_are_announced_where_they_are_answered_for() {
    let Some(net) = chain("announce2") else { return };
    let listener = in_namespace(Some(net.name(0)), || {
        // ETH_P_ARP in network order.
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0x0608))).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket
    })
    .unwrap();
    // The sender addresses of gratuitous ARP packets, with the time at which they were seen.
    let mut heard: Vec<Heard> = Vec::new();
    let mut listen = |console: &mut Console, until: &mut dyn FnMut(&[Heard]) -> bool| {
        let told = console.router().wait_until(PATIENCE, |_| {
            let mut frame = [0; 128];
            while let Ok(len) = (&listener).read(&mut frame) {
                if len >= 42 && frame[28..32] == frame[38..42] {
                    heard.push((Instant::now(), frame[28..32].try_into().unwrap()));
                }
            }
            until(&heard)
        });
        assert!(told, "{heard:?}");
        std::mem::take(&mut heard)
    };
    let of = |all: &[Heard], address: [u8; 4]| -> Vec<Instant> {
        all.iter().filter(|(_, other)| *other == address).map(|(when, _)| *when).collect()
    };
    routed(&net, 1, |console| {
        exec(console, "create host-interface name r0");
        exec(console, "set interface ip address host-r0 10.1.0.1/24");
        exec(console, "set interface state host-r0 up");
        let all = listen(console, &mut |all| of(all, [10, 1, 0, 1]).len() >= 2);
        let times = of(&all, [10, 1, 0, 1]);
        let apart = *times.last().unwrap() - times[0];
        assert!(apart >= Duration::from_millis(1500), "{apart:?}");

        // A plugin's address that the connected prefix covers, and one that it does not.
        let node = console.router().node("null-node").unwrap();
        for prefix in ["10.1.0.76/31", "10.9.0.7/32"] {
            console.router().add_plugin_route::<std::net::Ipv4Addr>(prefix.parse().unwrap(), "test", node, 0).unwrap();
        }
        console.router().publish();
        let all = listen(console, &mut |all| of(all, [10, 1, 0, 77]).len() >= 2);
        assert_eq!(of(&all, [10, 1, 0, 76]).len(), 2);
        assert!(of(&all, [10, 9, 0, 7]).is_empty());

        // With the interface, all of them; what is gone, not any more.
        console.router().del_plugin_route::<std::net::Ipv4Addr>("10.1.0.76/31".parse().unwrap(), "test").unwrap();
        console
            .router()
            .add_plugin_route::<std::net::Ipv4Addr>("10.1.0.78/32".parse().unwrap(), "test", node, 0)
            .unwrap();
        exec(console, "set interface state host-r0 down");
        exec(console, "set interface state host-r0 up");
        let all = listen(console, &mut |all| of(all, [10, 1, 0, 78]).len() >= 2 && of(all, [10, 1, 0, 1]).len() >= 2);
        assert!(of(&all, [10, 1, 0, 76]).is_empty());
    });
}

/// Runs `work` on another thread while the router's control side goes on.
fn beside<R: Send>(console: &mut Console, work: impl FnOnce() -> R + Send) -> R {
    thread::scope(|scope| {
        let worker = scope.spawn(work);
        console.router().wait_until(PATIENCE, |_| worker.is_finished());
        worker.join().unwrap()
    })
}

/// Sends echo requests from the client; whether all answers came.
fn ping(net: &Namespaces, count: u8, size: usize, address: &str) -> bool {
    let to: SocketAddr = format!("{address}:0").parse().unwrap();
    let ask = || -> std::io::Result<()> {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4))?;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        for sequence in 1..=count {
            let mut request = vec![0; 8 + size];
            (request[0], request[7]) = (8, sequence);
            request[2..4].copy_from_slice(&(!(0x0800 + u16::from(sequence))).to_be_bytes());
            socket.send_to(&request, &to.into())?;
            let mut reply = vec![0; 8192];
            loop {
                let len = (&socket).read(&mut reply)?;
                if (len, reply[20], reply[27]) == (28 + size, 0, sequence) {
                    break;
                }
            }
        }
        Ok(())
    };
    in_namespace(Some(net.name(0)), ask).unwrap().is_ok()
}

/// Sends bytes to a server, which sends them back.
fn transfer(net: &Namespaces, address: &str, bytes: usize) {
    let address: SocketAddr = address.parse().unwrap();
    let listener = in_namespace(Some(net.name(2)), || TcpListener::bind(address)).unwrap().unwrap();
    let sent: Vec<u8> = (0..bytes).map(|at| (at ^ (at >> 9) ^ (at >> 17)) as u8).collect();
    let connect = || TcpStream::connect_timeout(&address, PATIENCE);
    let mut stream = in_namespace(Some(net.name(0)), connect).unwrap().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut stream = listener.accept().unwrap().0;
            let mut got = Vec::new();
            stream.read_to_end(&mut got).unwrap();
            stream.write_all(&got).unwrap();
        });
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&sent).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut back = Vec::new();
        stream.read_to_end(&mut back).unwrap();
        assert!(back == sent, "{} of {} bytes, or wrong ones", back.len(), sent.len());
    });
}

fn counter(console: &mut Console, interface: &str, name: &str) -> u64 {
    let router = console.router();
    let index = router.interface_by_name(interface).unwrap();
    let counters = router.record(index).unwrap().counters();
    counters.iter().find(|(other, _)| *other == name).unwrap().1
}

/// Waits until no packet is on its way, and says how many buffers are still in use.
fn buffers_in_use(console: &mut Console) -> usize {
    let count = |router: &mut vnet::Router| -> usize { router.ask_all(|worker| worker.buffers_in_use()).iter().sum() };
    console.router().wait_until(Duration::from_secs(3), |router| count(router) == 0);
    count(console.router())
}

#[test]
fn forwards_pings_and_tcp_with_stock_offloads() {
    for (how, workers) in [("", 1), ("v2", 1), ("num-rx-queues 2", 2), ("cksum-gso-disable", 1)] {
        let Some(net) = chain("fwd") else { return };
        routed(&net, workers, |console| {
            configure(console, how);
            assert!(beside(console, || ping(&net, 3, 56, "10.1.0.1")), "{how}: the router answers");
            assert!(beside(console, || ping(&net, 5, 56, "10.2.0.2")), "{how}: forwarded");
            assert!(beside(console, || ping(&net, 2, 4000, "10.2.0.2")), "{how}: fragments");
            if how == "cksum-gso-disable" {
                // Without virtio-net headers TCP over a stock veth would take `ethtool -K': its sums are unfinished.
                return;
            }
            beside(console, || transfer(&net, "10.2.0.2:8000", 12 << 20));
            let (packets, bytes) = (counter(console, "host-r0", "rx packets"), counter(console, "host-r0", "rx bytes"));
            assert!(bytes > 12 << 20, "{how}: {bytes} bytes");
            assert!(bytes / packets > 1514, "{how}: segments came cut: {bytes} bytes in {packets} packets");
            assert_eq!(buffers_in_use(console), 0, "{how}");
            exec(console, "delete host-interface name r0");
            assert_eq!(
                console.exec("delete host-interface name r0").unwrap_err(),
                "delete host-interface: there is no host-interface on `r0'"
            );
            assert!(!ping(&net, 1, 56, "10.2.0.2"));
        });
    }
}

#[test]
fn the_router_pings_in_vpps_words() {
    let Some(net) = chain("ping") else { return };
    routed(&net, 1, |console| {
        configure(console, "");
        let text = exec(console, "ping 10.2.0.2 repeat 2 interval 0.2");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        for (number, line) in lines[..2].iter().enumerate() {
            let start = format!("64 bytes from 10.2.0.2: icmp_seq={} ttl=64 time=", number + 1);
            assert!(line.starts_with(&start) && line.ends_with(" ms"), "{text}");
        }
        assert_eq!(lines[2..], ["", "Statistics: 2 sent, 2 received, 0% packet loss"]);
        let text = exec(console, "ping 10.2.0.77 repeat 1 interval 0.1");
        assert_eq!(text, "\nStatistics: 1 sent, 0 received, 100% packet loss\n");
        let text = exec(console, "ping 10.1.0.2 source host-r0 size 1400 repeat 1");
        assert!(text.starts_with("1408 bytes from 10.1.0.2: icmp_seq=1 ttl=64 time="), "{text}");
        assert_eq!(console.exec("ping 9.9.9.9").unwrap_err(), "ping: no route to 9.9.9.9");
    });
}

/// Replaces what differs from run to run: times, MACs, and the numbers after some words.
fn settle(text: &str) -> Vec<String> {
    let volatile = ["block", "address", "seq_num", "pkt_num", "status", "sec", "nsec", "buffer", "rx-queue"];
    let line = |line: &str| {
        let (mut words, mut after) = (Vec::new(), "");
        for word in line.split(' ') {
            let mac = word.len() == 17 && word.matches(':').count() == 5;
            let time = word.len() == 16 && word.ends_with(':') && word.matches(':').count() == 4;
            words.push(match word {
                _ if mac => "MAC",
                _ if time => "TIME",
                _ if volatile.contains(&after) => "N",
                _ => word,
            });
            after = word;
        }
        words.join(" ")
    };
    text.lines().map(line).collect()
}

#[test]
fn traces_as_vpp_prints_them() {
    for version in [3, 2] {
        let Some(net) = chain("trace") else { return };
        routed(&net, 1, |console| {
            configure(console, &format!("v{version}"));
            assert!(beside(console, || ping(&net, 1, 56, "10.2.0.2")), "neighbours are known from here on");
            exec(console, "trace add af-packet-input 1");
            assert!(beside(console, || ping(&net, 1, 56, "10.2.0.2")));
            let lines = settle(&exec(console, "show trace"));
            let (mac, l3) = if version == 3 { (92, 106) } else { (76, 90) };
            let part = |node: &str, len: usize| {
                let at = lines.iter().position(|line| line == node).unwrap_or_else(|| panic!("{lines:#?}"));
                lines[at..].iter().take(len).map(String::as_str).collect::<Vec<_>>().join("\n")
            };
            let block = "    block N\n      address N version 2 seq_num N pkt_num N\n";
            let input = format!(
                "TIME af-packet-input\n  af_packet: hw_if_index 1 rx-queue N next-index 1\n{}    tpacket{version}_hdr:\n      \
                 status N len 98 snaplen 98 mac {mac} net {l3}\n      sec N nsec N vlan 0 vlan_tpid 0\n    vnet-hdr:\n      \
                 flags 0x00 gso_type 0x00 hdr_len 0\n      gso_size 0 csum_start 0 csum_offset 0\nTIME ethernet-input",
                if version == 3 { block } else { "" }
            );
            assert_eq!(part("TIME af-packet-input", input.lines().count()), input);
            let output = format!(
                "TIME host-r1-tx\n  af_packet: hw_if_index 2 tx-queue 0\n    tpacket{version}_hdr:\n      \
                 status N len 108 snaplen 108 mac 0 net 0\n      sec N nsec N vlan 0 vlan_tpid 0\n    vnet-hdr:\n      \
                 flags 0x00 gso_type 0x00 hdr_len 0\n      gso_size 0 csum_start 0 csum_offset 0\n    buffer N\n      \
                 current data 0, length 98, buffer-pool 0, ref-count 1, trace handle 0x0\n      \
                 l2-hdr-offset 0 l3-hdr-offset 14 \n    IP4: MAC -> MAC\n    ICMP: 10.1.0.2 -> 10.2.0.2"
            );
            assert_eq!(part("TIME host-r1-tx", output.lines().count()), output);
        });
    }
}

#[test]
fn hardware_as_vpp_shows_it() {
    let Some(net) = chain("hw") else { return };
    routed(&net, 2, |console| {
        exec(console, "create host-interface name r0 num-rx-queues 2 hw-addr 02:fe:00:00:00:07");
        let wanted = "              Name                Idx   Link  Hardware
host-r0                            1     up   host-r0
  Link speed: unknown
  RX Queues:
    queue thread         mode      \n    0     wk_0 (0)       adaptive  \n    1     wk_1 (1)       adaptive  \n  TX Queues:
    queue shared thread(s)      \n    0     yes    0,1
  Ethernet address 02:fe:00:00:00:07
  Linux PACKET socket interface v3
  FEATURES:
    qdisc-bpass-enabled
    cksum-gso-enabled
  Host Interface Offload:
    creation time:
     rx checksum
     tx checksum
     tcp segmentation offload
     generic segmentation offload
    now:
     rx checksum
     tx checksum
     tcp segmentation offload
     generic segmentation offload
  RX Queue 0:
    block size:131072 nr:64  frame size:2048 nr:4096 next block:0
    kernel drops:0 freezes:0
  RX Queue 1:
    block size:131072 nr:64  frame size:2048 nr:4096 next block:0
    kernel drops:0 freezes:0
  TX Queue 0:
    block size:65536 nr:7  frame size:1600 nr:280 next frame:0
    available:280 request:0 sending:0 wrong:0 total:280
";
        assert_eq!(exec(console, "show hardware-interfaces host-r0"), wanted);
        assert_eq!(exec(console, "create host-interface name r0"), "host-r0\n", "a second time the same name");
        for (line, error) in [
            ("create host-interface name nosuch", "Invalid interface name `nosuch': the kernel has no such device"),
            ("create host-interface", "expected name <ifname>"),
            ("create host-interface name r1 mode ip", "mode `ip': host-interfaces carry Ethernet frames only"),
            ("create host-interface name r1 num-rx-queues 0", "expected a number of queues from 1 to 64, got `0'"),
            ("create host-interface name r1 foo", "unknown input `foo'"),
            ("set interface mtu 9000 host-r0", "the MTU of the kernel's device is 1500, got 9000"),
        ] {
            let path = if line.starts_with("set") { "set interface mtu" } else { "create host-interface" };
            assert_eq!(console.exec(line).unwrap_err(), format!("{path}: {error}"));
        }
        assert_eq!(exec(console, "create host-interface name lo:1"), "host-lo:1\n");
        let lo = exec(console, "show interface host-lo:1");
        assert!(lo.contains("65535/0/0/0"), "{lo}");
        assert_eq!(console.router().interface_by_name("host-r1"), None, "what was refused has changed nothing");
    });
}

#[test]
fn interfaces_with_one_queue_each_are_served_by_different_workers() {
    let Some(net) = chain("spread") else { return };
    routed(&net, 2, |console| {
        configure(console, "");
        for (name, thread) in [("r0", "wk_0 (0)"), ("r1", "wk_1 (1)")] {
            let text = exec(console, &format!("show hardware-interfaces host-{name}"));
            assert!(text.contains(&format!("\n    0     {thread}       adaptive")), "{text}");
        }
        assert!(beside(console, || ping(&net, 20, 56, "10.2.0.2")));
        // Which worker counted what came in by which interface.
        let rx = |console: &mut Console, name| -> Vec<u64> {
            let index = console.router().interface_by_name(name).unwrap();
            let record = console.router().record(index).unwrap();
            record.counters_of_workers().map(|list| list[0].1).collect()
        };
        let (r0, r1) = (rx(console, "host-r0"), rx(console, "host-r1"));
        assert!(r0[0] >= 20 && r0[1] == 0, "{r0:?}");
        assert!(r1[0] == 0 && r1[1] >= 20, "{r1:?}");
        // The place of an interface that goes is the next one's.
        exec(console, "delete host-interface name r1");
        exec(console, "create host-interface name r1");
        let text = exec(console, "show hardware-interfaces host-r1");
        assert!(text.contains("\n    0     wk_1 (1) "), "{text}");
    });
}

/// Passes of all workers within half a second.
fn loops_in_half_a_second(console: &mut Console) -> u64 {
    let router = console.router();
    let count = |router: &vnet::Router| (0..router.workers()).map(|w| router.loop_stats(w).loops.get()).sum::<u64>();
    // A socket's error wakes its worker again and again until the next look at the socket, after a millisecond at most.
    thread::sleep(Duration::from_millis(20));
    let before = count(router);
    thread::sleep(Duration::from_millis(500));
    router.poll();
    count(router) - before
}

/// A worker that sleeps makes a few dozen passes each time it wakes; one that spins, a hundred thousand.
const FEW: u64 = 3000;

#[test]
fn follows_the_link_down_up_and_away_without_a_spin() {
    for (how, workers) in [("num-rx-queues 2", 2), ("v2", 1)] {
        let Some(net) = chain("link") else { return };
        routed(&net, workers, |console| {
            configure(console, how);
            assert!(beside(console, || ping(&net, 1, 56, "10.2.0.2")));
            let up = |router: &mut vnet::Router| router.interface(vnet::IfIndex(2)).unwrap().link_up;
            net.ip(&format!("-n {} link set r1 down", net.name(1)));
            assert!(console.router().wait_until(PATIENCE, |router| !up(router)), "{how}: down");
            let loops = loops_in_half_a_second(console);
            assert!(loops < FEW, "{how}: {loops} passes while the link is down");
            net.ip(&format!("-n {} link set r1 up", net.name(1)));
            assert!(console.router().wait_until(PATIENCE, up), "{how}: up");
            assert!(beside(console, || ping(&net, 3, 56, "10.2.0.2")), "{how}: goes on");
            net.ip(&format!("-n {} link set r0 mtu 1400", net.name(1)));
            let mtu = |router: &mut vnet::Router| router.interface(vnet::IfIndex(1)).unwrap().mtu;
            assert!(console.router().wait_until(PATIENCE, |router| mtu(router) == 1400), "{how}: MTU");
            away_under_traffic(&net, console);
            let loops = loops_in_half_a_second(console);
            assert!(loops < FEW, "{how}: {loops} passes with devices that are gone");
            let text = exec(console, "show hardware-interfaces host-r1");
            assert!(text.contains("the kernel's device is gone"), "{text}");
            let words = "the kernel's device r1 is gone; delete host-interface name r1 first";
            for line in ["create host-interface name r1", "set interface state host-r1 up"] {
                let error = console.exec(line).expect_err(line);
                assert!(error.ends_with(words), "{error}");
            }
            exec(console, "set interface state host-r1 down");
            assert!(exec(console, "show errors").contains("device is gone"));
            assert_eq!(buffers_in_use(console), 0);
            exec(console, "delete host-interface name r1");
            exec(console, "delete host-interface name r0");
            assert!(loops_in_half_a_second(console) < FEW);
        });
    }
}

/// Deletes both devices of the router while frames come in and go out.
fn away_under_traffic(net: &Namespaces, console: &mut Console) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let bind = || std::net::UdpSocket::bind("10.1.0.2:0").unwrap();
            let socket = in_namespace(Some(net.name(0)), bind).unwrap();
            while !stop.load(SeqCst) {
                // Once the way is gone, the kernel says so.
                let _ = socket.send_to(&[7; 300], "10.2.0.2:9");
            }
        });
        let up = |router: &vnet::Router, index| router.interface(vnet::IfIndex(index)).unwrap().link_up;
        let router = console.router();
        router.wait_until(Duration::from_millis(100), |_| false);
        net.ip(&format!("-n {} link del r1", net.name(1)));
        let second = router.wait_until(PATIENCE, |router| !up(router, 2));
        router.wait_until(Duration::from_millis(100), |_| false);
        net.ip(&format!("-n {} link del r0", net.name(1)));
        let first = router.wait_until(PATIENCE, |router| !up(router, 1));
        stop.store(true, SeqCst);
        assert!(first && second, "gone");
    });
}

/// A process that another test is about to start may still hold what it inherited.
fn eventually_none(count: impl Fn() -> usize) -> bool {
    (0..100).any(|_| {
        count() == 0 || {
            thread::sleep(Duration::from_millis(20));
            false
        }
    })
}

#[test]
fn a_tap_and_a_tunnel_take_part() {
    let Some(net) = chain("tap") else { return };
    routed(&net, 2, |console| {
        configure(console, "");
        let server = net.name(2).to_owned();
        let line = format!("create tap id 3 host-if-name agent host-ip4-addr 10.9.0.2/24 host-ns {server}");
        match console.exec(&line) {
            Ok(name) => assert_eq!(name, "tap3\n"),
            Err(error) if error.contains("/dev/net/tun") => {
                // Not `eprintln': the test harness would keep that to itself when the test passes.
                let _ = writeln!(std::io::stderr(), "SKIPPED tap: {error}");
                return;
            }
            Err(error) => panic!("{error}"),
        }
        assert_eq!(
            exec(console, "show interface rx-placement"),
            "Thread 0 (vpp_wk_0):\n  node af-packet-input:\n    host-r0 queue 0 (adaptive)\n  node tap-input:\n    \
             tap3 queue 0 (adaptive)\nThread 1 (vpp_wk_1):\n  node af-packet-input:\n    host-r1 queue 0 (adaptive)\n"
        );
        exec(console, "set interface ip address tap3 10.9.0.1/24");
        exec(console, "set interface state tap3 up");
        net.ip(&format!("-n {server} route replace 10.1.0.0/24 via 10.9.0.1"));
        assert!(beside(console, || ping(&net, 3, 56, "10.9.0.2")));
        beside(console, || transfer(&net, "10.9.0.2:8000", 8 << 20));
        assert_eq!(buffers_in_use(console), 0);
        assert_eq!(exec(console, "create gre tunnel src 10.1.0.1 dst 10.1.0.2"), "gre0\n");
        assert_eq!(exec(console, "create gre tunnel src 10.2.0.1 multipoint instance 7"), "gre7\n");
        assert_eq!(
            exec(console, "show gre tunnel"),
            "[0] instance 0 src 10.1.0.1 dst 10.1.0.2 fib-idx 0 sw-if-idx 4 payload L3 point-to-point\n\
             [7] instance 7 src 10.2.0.1 dst 0.0.0.0 fib-idx 0 sw-if-idx 5 payload L3 multi-point\n"
        );
        assert!(console.exec("create gre tunnel src 10.1.0.1 dst 10.1.0.2").unwrap_err().contains("exists already"));
        exec(console, "create gre tunnel src 10.1.0.1 dst 10.1.0.2 del");
        assert!(console.exec("create gre tunnel src 10.1.0.1 dst 10.1.0.2 del").unwrap_err().contains("no GRE tunnel"));

        net.ip(&format!("-n {server} link del agent"));
        let gone = |router: &mut vnet::Router| !router.interface(vnet::IfIndex(3)).unwrap().link_up;
        assert!(console.router().wait_until(PATIENCE, gone), "gone");
        let loops = loops_in_half_a_second(console);
        assert!(loops < FEW, "{loops} passes with a tap that is gone");
        exec(console, "delete tap tap3");
        // A tap that is there goes with its device, and can be made again.
        for _ in 0..2 {
            exec(console, &line);
            exec(console, "delete tap tap3");
        }
        let sockets = || {
            let list = in_namespace(Some(net.name(1)), || std::fs::read_to_string("/proc/thread-self/net/packet"));
            list.unwrap().unwrap().lines().count() - 1
        };
        assert!(sockets() > 0);
        exec(console, "delete host-interface name r0");
        exec(console, "delete host-interface name r1");
        assert!(eventually_none(sockets), "{} packet sockets are left", sockets());
        assert_eq!(console.exec("delete tap sw_if_index 1").unwrap_err(), "delete tap: interface 1 is no tap");
    });
}
