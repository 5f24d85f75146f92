//! Segment sizes that two kernels agree on through NAT.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::TcpMaxSeg;

use super::lab::tell;
use super::nat;

/// TCP's options of segments with data, of which kernels take the bytes off: timestamps, and two of nothing (RFC 7323).
const OPTIONS: u32 = 12;

#[test]
fn both_kernels_send_what_the_vip_allows() {
    let Some(net) = nat::lay_out("mss", 1) else { return };
    let listener = net.lab.within("server1", || TcpListener::bind("[::]:8082")).unwrap();
    net.lab.ip("client", "route add 90.0.0.5/32 via 10.0.1.1");
    net.lab.ip("client", "route add fd90::5/128 via fd01::1");
    tell(&net.lb, "set interface mtu 1400 host-l1");
    for (vip, length, encap, server, headers) in
        [("90.0.0.5", 32, "nat4", "10.0.11.2", 40), ("fd90::5", 128, "nat6", "fd11::2", 60)]
    {
        let key = format!("{vip}/{length} protocol tcp port 81");
        tell(&net.lb, &format!("lb vip {key} encap {encap} target_port 8082\nlb as {key} {server}"));
        for (clamp, most) in [("1000", 1000), ("auto", 1400 - headers), ("off", 1500 - headers)] {
            net.lb.vppctl(&format!("lb vip {key} mss-clamp {clamp}"));
            let address = SocketAddr::new(vip.parse().unwrap(), 81);
            let connect = || TcpStream::connect_timeout(&address, Duration::from_secs(5));
            let mut client = net.lab.within("client", connect).unwrap();
            let (mut server, _) = listener.accept().unwrap();
            let case = format!("{encap}, mss-clamp {clamp}");
            assert_eq!(getsockopt(&client, TcpMaxSeg).unwrap(), most - OPTIONS, "{case}: the client's");
            assert_eq!(getsockopt(&server, TcpMaxSeg).unwrap(), most - OPTIONS, "{case}: the server's");
            let body = vec![7; 100_000];
            for stream in [&client, &server] {
                stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
            }
            let mut arrived = vec![0; body.len()];
            client.write_all(&body).unwrap();
            server.read_exact(&mut arrived).unwrap();
            server.write_all(&arrived).unwrap();
            arrived.fill(0);
            client.read_exact(&mut arrived).unwrap();
            assert_eq!(arrived, body, "{case}");
        }
    }
}
