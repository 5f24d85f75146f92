//! What ARP teaches a router, and what is counted when it is not believed.

use std::net::Ipv4Addr;
use std::time::Duration;

use cli::{App, Console};
use vnet::Config;

const MAC: [u8; 6] = [2, 0, 0, 0, 1, 2];
const OTHER: [u8; 6] = [2, 0, 0, 0, 6, 6];
const GROUP: [u8; 6] = [3, 0, 0, 0, 1, 2];

struct Bed(Console);

impl Bed {
    /// A router with `pg0`, 10.0.1.1/24, that runs on this thread.
    fn new() -> Bed {
        let mut app = App::new();
        nodes::register(&mut app);
        let config = Config { inline: true, buffers: 2048, ..Config::default() };
        let mut bed = Bed(app.build(&config).map_err(|error| error.to_string()).unwrap());
        bed.exec("create packet-generator interface pg0");
        bed.exec("set interface ip address pg0 10.0.1.1/24");
        bed.exec("set interface state pg0 up");
        bed
    }

    fn exec(&mut self, line: &str) -> String {
        self.0.exec(line).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    fn run(&mut self) {
        self.0.router().wait_until(Duration::from_millis(50), |_| false);
    }

    /// `mac` at 10.0.1.`sender` asks (1) or answers (2) us.
    fn arp(&mut self, operation: u8, sender: u8, mac: [u8; 6]) {
        let mac: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
        let hex = format!("ffffffffffff{mac}0806000108000604000{operation}{mac}0a0001{sender:02x}0000000000000a000101");
        self.exec(&format!("packet-generator new {{ name s limit 1 interface pg0 data {{ hex 0x{hex} }} }}"));
        self.exec("packet-generator enable-stream s");
        self.run();
        self.exec("packet-generator delete s");
    }

    /// How often `arp-reply` counted this.
    fn count(&mut self, text: &str) -> u64 {
        let node = self.0.router().node("arp-reply").unwrap();
        let (_, info) = self.0.router().nodes().find(|(id, _)| *id == node).unwrap();
        let code = info.errors.iter().position(|error| error.text == text).unwrap();
        info.stats.iter().map(|stats| stats.errors[code].get()).sum()
    }

    fn mac(&mut self, last: u8) -> Option<[u8; 6]> {
        let index = self.0.router().interface_by_name("pg0").unwrap();
        self.0.router().neighbors().mac(index, Ipv4Addr::new(10, 0, 1, last))
    }
}

const LEARNED: &str = "ARP request IP4 source address learned";
const REPLY_LEARNED: &str = "ARP reply IP4 source address learned";
const SENT: &str = "ARP replies sent";

#[test]
fn learned_is_counted_only_where_the_table_takes_the_sender() {
    let mut bed = Bed::new();
    bed.arp(1, 2, MAC);
    assert_eq!((bed.mac(2), bed.count(LEARNED), bed.count(SENT)), (Some(MAC), 1, 1));
    bed.arp(2, 2, OTHER);
    assert_eq!((bed.mac(2), bed.count(REPLY_LEARNED)), (Some(MAC), 0), "confirmed a moment ago");
    assert_eq!((bed.count("ARP conflict ignored"), bed.count("ARP replies received")), (1, 1));
    bed.arp(1, 255, MAC);
    assert_eq!((bed.mac(255), bed.count("ARP sender ignored")), (None, 1), "nobody has the broadcast address");
    bed.arp(2, 3, MAC);
    assert_eq!((bed.mac(3), bed.count(REPLY_LEARNED)), (Some(MAC), 1));
    bed.exec("set ip neighbor static pg0 10.0.1.9 02:00:00:00:00:09");
    bed.arp(1, 9, OTHER);
    assert_eq!((bed.mac(9), bed.count("ARP conflict ignored")), (Some([2, 0, 0, 0, 0, 9]), 2));
    assert_eq!(bed.count(LEARNED), 1, "nothing of this");
}

#[test]
fn a_request_from_a_group_address_is_neither_answered_nor_learned() {
    let mut bed = Bed::new();
    for mac in [GROUP, [0xff; 6], [0; 6]] {
        bed.arp(1, 2, mac);
    }
    assert_eq!((bed.mac(2), bed.count(SENT), bed.count(LEARNED)), (None, 0, 0));
    assert_eq!(bed.count("ARP sender MAC is not a host's"), 3);
}

#[test]
fn an_address_that_is_taken_away_takes_its_dynamic_neighbours_along() {
    let mut bed = Bed::new();
    bed.exec("set interface ip address pg0 10.0.1.200/24");
    bed.arp(1, 2, MAC);
    bed.exec("set ip neighbor static pg0 10.0.1.9 02:00:00:00:00:09");
    bed.exec("set interface ip address del pg0 10.0.1.1/24");
    assert_eq!(bed.mac(2), Some(MAC), "another address's prefix covers it");
    bed.exec("set interface ip address del pg0 10.0.1.200/24");
    assert_eq!(bed.mac(2), None);
    assert_eq!(bed.mac(9), Some([2, 0, 0, 0, 0, 9]), "static");
    let listing = bed.exec("show ip neighbors");
    assert!(!listing.contains("10.0.1.2 ") && listing.contains("10.0.1.9"), "{listing}");
    bed.exec("set interface ip address pg0 10.0.2.1/24");
    bed.exec("set interface ip address pg0 10.0.1.1/24");
    bed.arp(1, 2, OTHER);
    assert_eq!(bed.mac(2), Some(OTHER), "it is learned anew");
    bed.exec("set interface ip address del pg0 10.0.2.1/24");
    assert_eq!(bed.mac(2), Some(OTHER), "the other prefix goes");
}
