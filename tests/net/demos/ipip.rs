//! IP-in-IP to servers from a CSV file, and what each of them gets.

use std::fs;
use std::time::{Duration, Instant};

use super::direct::{Direct, SERVERS, VIP};
use super::lab::all_of;

#[test]
fn servers_come_from_a_file_and_rates_are_shown() {
    let Some(net) = Direct::new("ipip-csv", "") else { return };
    let file = net.lab.dir.path().join("servers.csv");
    let lines = [1, 2, 3].map(|i| format!("10.0.1{i}.2, 02:fe:00:00:00:{:02x}\n", 16 + i));
    fs::write(&file, lines.concat()).unwrap();
    net.lb.vppctl(&format!("lb import csv {} encap ipip4 vip {VIP}/32", file.display()));
    all_of(&net.lab.tally(&format!("{VIP}:80"), 60), &SERVERS);
    all_of(&net.lab.ask(&format!("{VIP}:7"), 60), &SERVERS);

    let rates = |text: &str| -> Vec<u64> {
        let of = |line: &str| line.split("pkts/s").next()?.split_whitespace().last()?.replace(',', "").parse().ok();
        text.lines().filter(|line| line.contains("10.0.1") && line.contains("pkts/s")).filter_map(of).collect()
    };
    let (end, address) = (Instant::now() + Duration::from_secs(10), format!("{VIP}:80"));
    loop {
        net.lab.tally(&address, 100);
        let text = net.lb.vppctl("show lb rates");
        if rates(&text).len() == 3 && rates(&text).iter().all(|rate| *rate > 0) {
            assert!(text.contains("[Totals]"), "{text}");
            return;
        }
        assert!(Instant::now() < end, "{text}");
    }
}
