//! `pcap trace`: what comes in, goes out and is dropped ends in a file.

use nodes::pg::pcap::Packets;

use crate::forwarding::udp;
use crate::support::Bed;

/// A file that is gone after the test.
struct File(String);

impl File {
    fn new(name: &str) -> File {
        File(format!("{}/maglane-{}-{name}.pcap", std::env::temp_dir().display(), std::process::id()))
    }

    fn packets(&self) -> Vec<Vec<u8>> {
        let packets = Packets::read(self.0.as_ref()).unwrap();
        (0..packets.len()).map(|at| packets.get(at).to_vec()).collect()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn what_comes_in_and_goes_out_is_in_the_file() {
    let (mut bed, file) = (Bed::new(), File::new("both"));
    bed.vppctl("ip route add 90.0.0.0/8 via 10.0.2.2");
    assert_eq!(bed.vppctl(&format!("pcap trace rx tx max 100 intfc any file {}", file.0)), "");
    let frames = [udp([90, 0, 0, 1], 64, b"one"), udp([77, 0, 0, 1], 64, b"lost")];
    let [_, out] = bed.send("pg0", &frames);
    let status = bed.vppctl("pcap trace status");
    let expected = format!("pcap rx and tx dispatch capture enabled: 3 of 100 pkts...\ncapture to file {}\n", file.0);
    assert_eq!(status, expected);
    let ended = bed.vppctl("pcap trace off");
    assert_eq!(ended, format!("Write 3 packets to {}, and stop capture...\n", file.0));
    let [lost, one] = [frames[1].clone(), frames[0].clone()];
    assert_eq!(file.packets(), [one, lost, out[0].clone()]);
    bed.send("pg0", &frames);
    assert_eq!(file.packets().len(), 3, "the capture is over");
}

#[test]
fn a_dropped_packet_has_the_link_header_it_came_with_or_one_that_is_made_up() {
    let (mut bed, file) = (Bed::new(), File::new("drop"));
    bed.type_all("lb conf ip4-src-address 10.0.2.1\n lb vip 90.0.0.1/32 encap gre4\n lb as 90.0.0.1/32 172.16.0.1");
    bed.vppctl("ip route add 172.16.0.1/32 drop");
    bed.vppctl(&format!("pcap trace drop file {}", file.0));
    let frames = [udp([77, 0, 0, 1], 64, b"lost"), udp([90, 0, 0, 1], 64, b"no way to the server")];
    bed.send("pg0", &frames);
    bed.vppctl("pcap trace off");
    let caught = file.packets();
    assert_eq!((caught.len(), &caught[0]), (2, &frames[0]));
    assert_eq!(caught[1][12..14], [8, 0]);
    assert!(caught[1].ends_with(b"no way to the server"));
}

#[test]
fn the_bounds_are_kept_and_interfaces_made_later_are_seen() {
    let (mut bed, file) = (Bed::new(), File::new("bounds"));
    bed.type_all("ip route add 90.0.0.0/8 via 10.0.2.2");
    let trace = format!("pcap trace rx tx max 2 intfc pg1 file {}", file.0);
    bed.vppctl(&trace);
    let frames = vec![udp([90, 0, 0, 1], 64, b"x"); 5];
    let [_, out] = bed.send("pg0", &frames);
    assert_eq!(bed.vppctl("pcap trace off"), format!("Write 2 packets to {}, and stop capture...\n", file.0));
    assert_eq!(file.packets(), out[..2]);
    bed.vppctl(&format!("pcap trace tx file {}", file.0));
    bed.type_all(
        "create packet-generator interface pg7\n set interface state pg7 up\n set interface ip address pg7 10.0.7.1/24
         set ip neighbor pg7 10.0.7.2 02:00:00:00:00:07\n ip route add 91.0.0.0/8 via 10.0.7.2",
    );
    bed.send("pg0", &[udp([91, 0, 0, 1], 64, b"later")]);
    assert_eq!(bed.vppctl("pcap trace off"), format!("Write 1 packets to {}, and stop capture...\n", file.0));
    assert!(file.packets()[0].ends_with(b"later"));
}

#[test]
fn an_earlier_capture_is_overwritten_and_nothing_else() {
    let (mut bed, file) = (Bed::new(), File::new("again"));
    let line = format!("pcap trace rx file {}", file.0);
    for _ in 0..2 {
        bed.vppctl(&line);
        bed.send("pg0", &[udp([77, 0, 0, 1], 64, b"x")]);
        bed.vppctl("pcap trace off");
        assert_eq!(file.packets().len(), 1);
    }
    std::fs::write(&file.0, "a letter").unwrap();
    let error = format!("pcap trace: `{}': it is there and no capture, so it is not overwritten", file.0);
    assert_eq!(bed.refused(&line), error);
    assert_eq!(std::fs::read(&file.0).unwrap(), b"a letter");
}

#[test]
fn refusals_name_the_word_and_change_nothing() {
    let mut bed = Bed::new();
    for (line, error) in [
        ("pcap trace", "pcap trace: expected rx, tx, drop, off or status, got nothing of these"),
        ("pcap trace max 5", "pcap trace: expected rx, tx, drop, off or status, got nothing of these"),
        ("pcap trace rx foo", "pcap trace: unknown input `foo'"),
        ("pcap trace rx max 0", "pcap trace: expected a number of packets from 1 to 10000000, got `0'"),
        ("pcap trace rx intfc nosuch", "pcap trace: unknown interface `nosuch'"),
        ("pcap trace rx file", "pcap trace: expected a file, got nothing"),
        (
            "pcap trace rx file ../x.pcap",
            "pcap trace: expected the name of a file in /tmp or a path from the root, got `../x.pcap'",
        ),
        ("pcap trace rx file /nosuch/x.pcap", "pcap trace: `/nosuch/x.pcap': there is no such folder"),
        ("pcap trace rx file /dev/null", "pcap trace: `/dev/null': it is there and no regular file"),
        ("pcap trace off max 5", "pcap trace: `max' is of no use with off or status"),
        ("pcap trace off", "pcap trace: dispatch trace already disabled..."),
    ] {
        assert_eq!(bed.refused(line), error, "{line}");
        assert_eq!(bed.vppctl("pcap trace status"), "pcap dispatch capture disabled\n");
    }
    bed.vppctl("pcap trace rx");
    assert_eq!(bed.refused("pcap trace tx"), "pcap trace: dispatch trace already enabled...");
    let status = "pcap rx dispatch capture enabled: 0 of 1000 pkts...\ncapture to file rx.pcap\n";
    assert_eq!(bed.vppctl("pcap trace status"), status);
    assert_eq!(bed.vppctl("pcap trace off"), "No packets captured...\n");
}
