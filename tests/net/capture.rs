//! What goes through the tunnel on the wire, where a client with stock offloads sends segments of up to 64 KB.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

use etherparse::{Ipv4HeaderSlice, TcpHeaderSlice};

use crate::bed::Net;
use crate::packet::PacketSocket;

const MTU: usize = 1500;

/// What a capture found.
#[derive(Default)]
struct Seen {
    tunnelled: usize,
    payload: usize,
    longest: usize,
    wrong: Vec<String>,
}

impl Seen {
    fn frame(&mut self, frame: &[u8]) {
        self.longest = self.longest.max(frame.len() - 14);
        if frame[12..14] != [8, 0] {
            return;
        }
        if let Err(error) = self.packet(&frame[14..]) {
            self.wrong.push(error);
        }
    }

    fn packet(&mut self, bytes: &[u8]) -> Result<(), String> {
        let (outer, gre) = ip4(bytes)?;
        if outer.protocol().0 != 47 {
            return Ok(());
        }
        if outer.is_fragmenting_payload() {
            return Err("a fragment".into());
        }
        let (head, inner) = gre.split_at_checked(4).ok_or("GRE header cut")?;
        if head != [0, 0, 8, 0] {
            return Err(format!("GRE header {head:02x?}"));
        }
        let (inner, segment) = ip4(inner)?;
        let tcp = TcpHeaderSlice::from_slice(segment).map_err(|error| error.to_string())?;
        let payload = &segment[tcp.slice().len()..];
        let sum = tcp.calc_checksum_ipv4(&inner, payload).map_err(|error| error.to_string())?;
        // In ones' complement 0 is also written as ffff (RFC 1624, section 3); receivers take both.
        if sum != tcp.checksum() && (sum, tcp.checksum()) != (0, 0xffff) {
            return Err(format!("TCP checksum {:04x}, should be {sum:04x}", tcp.checksum()));
        }
        self.tunnelled += 1;
        self.payload += payload.len();
        Ok(())
    }
}

/// An IPv4 header with the right checksum, and what it carries, without padding.
fn ip4(bytes: &[u8]) -> Result<(Ipv4HeaderSlice<'_>, &[u8]), String> {
    let header = Ipv4HeaderSlice::from_slice(bytes).map_err(|error| error.to_string())?;
    let sum = header.to_header().calc_header_checksum();
    if sum != header.header_checksum() {
        return Err(format!("IPv4 checksum {:04x}, should be {sum:04x}", header.header_checksum()));
    }
    let payload = bytes.get(header.slice().len()..usize::from(header.total_len()));
    Ok((header, payload.ok_or("an IPv4 packet was cut")?))
}

#[test]
fn an_upload_is_cut_to_the_mtu_with_right_checksums() {
    const BODY: usize = 8 << 20;
    let Some(net) = Net::new("capture", 2) else { return };
    let sockets = [1, 2].map(|number| PacketSocket::open(net.server(number), "s0"));
    let done = AtomicBool::new(false);
    let capture = |socket: PacketSocket| {
        let (mut seen, mut buffer) = (Seen::default(), vec![0; 1 << 17]);
        loop {
            match socket.receive(&mut buffer) {
                Some(frame) => seen.frame(frame),
                None if done.load(SeqCst) => return seen,
                None => (),
            }
        }
    };
    let (all, server) = thread::scope(|scope| {
        let captures = sockets.map(|socket| scope.spawn(|| capture(socket)));
        let upload = || net.connect()?.upload(BODY);
        let result = upload();
        done.store(true, SeqCst);
        let all = captures.map(|capture| capture.join().unwrap());
        (all, result.unwrap_or_else(|error| panic!("upload: {error}")).server)
    });
    for (number, seen) in all.iter().enumerate() {
        let name = format!("server{}", number + 1);
        assert!(seen.wrong.is_empty(), "{name}: {} wrong, first {}", seen.wrong.len(), seen.wrong[0]);
        assert!(seen.longest <= MTU, "{name}: a packet of {} bytes", seen.longest);
        let here = if name == server { BODY } else { 0 };
        assert!(seen.payload >= here, "{name}: {} of {here} bytes seen", seen.payload);
    }
    let rx = net.vppctl("show interface host-l0");
    let (packets, bytes) = (crate::bed::number_after(&rx, "rx packets"), crate::bed::number_after(&rx, "rx bytes"));
    assert!(bytes / packets > MTU as u64, "the client's segments came cut already: {bytes} bytes in {packets} packets");
    let tunnelled: usize = all.iter().map(|seen| seen.tunnelled).sum();
    assert!(tunnelled > BODY / MTU, "{tunnelled} packets");
}
