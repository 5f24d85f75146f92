//! The packet generator in a router: streams, captures, traces.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nodes::pg::pcap::{Packets, Writer};
use nodes::pg::{Pg, PgError};
use vnet::fib::Path as Via;
use vnet::wire::Mac;
use vnet::{Builder, Config, IfIndex, Router};

const PG0: IfIndex = IfIndex(1);
const PG1: IfIndex = IfIndex(2);
const MAC0: Mac = Mac([2, 0xfe, 0x97, 0x76, 0x93, 0x49]);
const MAC1: Mac = Mac([2, 0xfe, 0xa5, 0x6d, 0x4c, 0xb3]);

/// A directory that is deleted with this value.
struct Files(PathBuf);

impl Files {
    fn new(name: &str) -> Files {
        let path = std::env::temp_dir().join(format!("pg-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Files(path)
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// `pg0` and `pg1`, a neighbour behind `pg1`, and a route over it.
fn router(config: &Config) -> Router {
    let mut builder = Builder::new();
    nodes::register_nodes(&mut builder);
    let mut router = builder.build(config).map_err(|error| error.to_string()).unwrap();
    for (number, mac) in [(0, MAC0), (1, MAC1)] {
        let index = pg(&mut router, |pg, router| pg.create_interface(router, number, Some(mac))).unwrap();
        router.set_interface_state(index, true).unwrap();
        router.add_address(index, Ipv4Addr::new(10, 0, number as u8 + 1, 1), 24).unwrap();
    }
    router.set_neighbor(PG1, Ipv4Addr::new(10, 0, 2, 2), [2, 0, 0, 0, 0, 2], false).unwrap();
    let via = Via::via(Ipv4Addr::new(10, 0, 2, 2), None);
    router.add_route(vnet::fib::Source::Cli, "90.0.0.0/8".parse().unwrap(), via).unwrap();
    router.publish();
    router
}

fn inline() -> Router {
    router(&Config { inline: true, buffers: 2048, ..Config::default() })
}

fn pg<R>(router: &mut Router, work: impl FnOnce(&mut Pg, &mut Router) -> R) -> R {
    router.with_state::<Pg, R>(work).unwrap()
}

fn new(router: &mut Router, text: &str) -> Result<(), PgError> {
    pg(router, |pg, router| pg.new_stream(router, text))
}

fn show(router: &mut Router) -> String {
    pg(router, |pg, router| pg.show(router).to_string())
}

/// Enables all streams and waits until they are done.
fn run(router: &mut Router) {
    pg(router, |pg, router| pg.enable(router, None)).unwrap();
    let done = router.wait_until(Duration::from_secs(10), |router| !show(router).contains(" Yes "));
    assert!(done, "{}", show(router));
}

fn counter(router: &Router, interface: IfIndex, name: &str) -> u64 {
    router.record(interface).unwrap().counters().into_iter().find(|(other, _)| *other == name).unwrap().1
}

fn in_use(router: &mut Router) -> usize {
    router.ask_all(|worker| worker.buffers_in_use()).into_iter().sum()
}

/// The first packet of the golden trace: UDP from 11.0.0.1 port 1000 to 90.0.0.1 port 80, 60 bytes.
fn golden_packet() -> Vec<u8> {
    let mut frame = Vec::new();
    etherparse::PacketBuilder::ethernet2([2, 0, 0, 0, 1, 2], MAC0.0)
        .ip(etherparse::IpHeaders::Ipv4(
            etherparse::Ipv4Header {
                identification: 1,
                dont_fragment: false,
                ..etherparse::Ipv4Header::new(26, 64, etherparse::ip_number::UDP, [11, 0, 0, 1], [90, 0, 0, 1]).unwrap()
            },
            Default::default(),
        ))
        .udp(1000, 80)
        .write(&mut frame, &[b'x'; 18])
        .unwrap();
    frame
}

fn write(path: &Path, packets: &[Vec<u8>]) {
    let mut writer = Writer::create(path).unwrap();
    for packet in packets {
        writer.write(Duration::from_secs(1), packet).unwrap();
    }
    writer.flush().unwrap();
}

#[test]
fn a_recorded_stream_is_sent_captured_and_shown() {
    let files = Files::new("recorded");
    let mut router = inline();
    assert_eq!(show(&mut router), "no streams currently defined\n");
    let (input, output) = (files.path("in.pcap"), files.path("out.pcap"));
    let mut lost = golden_packet();
    lost.truncate(43);
    write(&input, &[golden_packet(), golden_packet(), lost]);
    new(&mut router, &format!("pcap {} source pg0 name four", input.display())).unwrap();
    // The file was read: it may go.
    std::fs::remove_file(&input).unwrap();
    assert_eq!(
        show(&mut router),
        "Name               Enabled        Count     Parameters\n\
         four                 No             0       limit 3, rate 0.00e0 pps, size 43-60, buffer-size 2048, worker 0, \n"
    );
    pg(&mut router, |pg, router| pg.capture(router, PG1, &output, None)).unwrap();
    router.step();
    assert!(!output.exists(), "made with the first packet");
    for round in 1..=2 {
        run(&mut router);
        assert_eq!(
            show(&mut router).lines().nth(1),
            Some(
                "four                 No             3       limit 3, rate 0.00e0 pps, size 43-60, buffer-size 2048, worker 0, "
            )
        );
        let captured = Packets::read(&output).unwrap();
        assert_eq!(captured.len(), 2 * round);
        assert_eq!(captured.get(0)[..12], [[2, 0, 0, 0, 0, 2], MAC1.0].concat());
        assert_eq!((captured.get(0).len(), captured.get(0)[22]), (60, 63), "TTL");
        assert!(captured.stamp(0).as_secs() > 1_700_000_000);
    }
    assert_eq!((counter(&router, PG0, "rx packets"), counter(&router, PG0, "rx bytes")), (6, 2 * 163));
    assert_eq!((counter(&router, PG1, "tx packets"), counter(&router, PG1, "tx bytes")), (4, 240));
    assert_eq!(in_use(&mut router), 0);
}

#[test]
fn captures_follow_their_rules() {
    let files = Files::new("captures");
    let mut router = inline();
    let path = files.path("out.pcap");
    let capture = |router: &mut Router, interface, count| {
        pg(router, |pg, router| pg.capture(router, interface, &files.path("out.pcap"), count))
    };
    let off = |router: &mut Router, interface| pg(router, |pg, router| pg.capture_off(router, interface));
    off(&mut router, PG1).unwrap();
    std::fs::write(&path, "something").unwrap();
    let error = capture(&mut router, PG1, None).unwrap_err().to_string();
    assert_eq!(error, format!("file `{}' exists already", path.display()));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(
        capture(&mut router, IfIndex(0), None).unwrap_err().to_string(),
        "`local0' is not a packet-generator interface"
    );
    capture(&mut router, PG1, Some(3)).unwrap();
    assert_eq!(capture(&mut router, PG1, None).unwrap_err().to_string(), "`pg1' is being captured already");
    new(&mut router, &made("s", 5)).unwrap();
    run(&mut router);
    assert_eq!(Packets::read(&path).unwrap().len(), 3, "count");
    // Over already: ending it is fine, and nothing more is written.
    off(&mut router, PG1).unwrap();
    run(&mut router);
    assert_eq!(Packets::read(&path).unwrap().len(), 3);
    std::fs::remove_file(&path).unwrap();
    // A file that cannot be made ends the capture with a line in the log.
    capture(&mut router, PG1, None).unwrap();
    std::fs::create_dir(&path).unwrap();
    run(&mut router);
    let logged = router.log().lines().any(|line| line.text.contains("capture ended"));
    assert!(logged);
    std::fs::remove_dir(&path).unwrap();
    capture(&mut router, PG1, None).unwrap();
    off(&mut router, PG1).unwrap();
    assert!(!path.exists());
    assert_eq!(in_use(&mut router), 0);
}

/// A stream of frames from 10.0.1.2 and on to 90.0.0.1.
fn made(name: &str, limit: u64) -> String {
    format!(
        "{{ name {name} limit {limit} interface pg0 data {{ IP4: 02:00:00:00:01:02 -> {MAC0}
           UDP: 11.0.0.1 - 11.0.0.9 -> 90.0.0.1 UDP: 1000 -> 80 incrementing 18 }} }}"
    )
}

#[test]
fn a_trace_is_that_of_the_real_vpp() {
    let files = Files::new("trace");
    let mut router = inline();
    let input = files.path("in.pcap");
    write(&input, &[golden_packet()]);
    new(&mut router, &format!("pcap {} source pg0 name four", input.display())).unwrap();
    let node = router.node("pg-input").unwrap();
    router.ask(0, move |worker| worker.trace_add(node, 1));
    run(&mut router);
    let text = router.ask(0, |worker| worker.traces().text("vpp_main", 10));
    let body = |node: &str| -> String {
        let lines = text.lines().skip_while(|line| !line.ends_with(&format!(": {node}"))).skip(1);
        lines.take_while(|line| line.starts_with("  ")).map(|line| format!("{line}\n")).collect()
    };
    assert_eq!(
        body("pg-input"),
        "  stream four, 60 bytes, sw_if_index 1, next_node ethernet-input\n  \
           current data 0, length 60, buffer-pool 0, ref-count 1, trace handle 0x0\n  \
           IP4: 02:00:00:00:01:02 -> 02:fe:97:76:93:49\n  \
           UDP: 11.0.0.1 -> 90.0.0.1\n    \
             tos 0x00, ttl 64, length 46, checksum 0x15bd dscp CS0 ecn NON_ECN\n    \
             fragment id 0x0001\n  \
           UDP: 1000 -> 80\n    \
             length 26, checksum 0x5a44\n"
    );
    assert_eq!(
        body("ethernet-input"),
        "  frame: flags 0x1, hw-if-index 1, sw-if-index 1\n  IP4: 02:00:00:00:01:02 -> 02:fe:97:76:93:49\n"
    );
    let tx = body("pg1-tx");
    let (buffer, rest) = tx.split_once(": ").unwrap();
    assert!(buffer.starts_with("    buffer 0x"), "{tx}");
    assert_eq!(
        rest,
        "current data 0, length 60, buffer-pool 0, ref-count 1, trace handle 0x0\n                    \
                             l2-hdr-offset 0 l3-hdr-offset 14 \n  \
           IP4: 02:fe:a5:6d:4c:b3 -> 02:00:00:00:00:02\n  \
           UDP: 11.0.0.1 -> 90.0.0.1\n    \
             tos 0x00, ttl 63, length 46, checksum 0x16bd dscp CS0 ecn NON_ECN\n    \
             fragment id 0x0001\n  \
           UDP: 1000 -> 80\n    \
             length 26, checksum 0x5a44\n"
    );
}

#[test]
fn streams_begin_stop_and_go() {
    let mut router = inline();
    new(&mut router, &made("a", 1000)).unwrap();
    new(&mut router, &made("endless", 0)).unwrap();
    let enable = |router: &mut Router, name| pg(router, |pg, router| pg.enable(router, Some(name)));
    let count = |router: &mut Router, at: usize| pg(router, |pg, router| pg.show(router).0[at].clone());
    enable(&mut router, "endless").unwrap();
    enable(&mut router, "a").unwrap();
    for _ in 0..20 {
        router.pass(0);
    }
    let (a, endless) = (count(&mut router, 0), count(&mut router, 1));
    assert_eq!((a.enabled, a.count), (false, 1000), "an endless stream lets others send");
    assert_eq!((endless.enabled, endless.count), (true, 20 * 256 - 1000));
    // Enabling what sends changes nothing.
    enable(&mut router, "endless").unwrap();
    assert_eq!(count(&mut router, 1), endless);
    pg(&mut router, |pg, router| pg.disable(router, Some("endless"))).unwrap();
    router.step();
    assert_eq!(count(&mut router, 1).count, endless.count);
    // Replaced: at the same place, from the beginning.
    new(&mut router, &made("a", 7)).unwrap();
    assert_eq!((count(&mut router, 0).limit, count(&mut router, 0).count), (7, 0));
    pg(&mut router, |pg, router| pg.delete(router, "endless")).unwrap();
    for error in [
        pg(&mut router, |pg, router| pg.delete(router, "endless")),
        enable(&mut router, "endless"),
        pg(&mut router, |pg, router| pg.disable(router, Some("endless"))),
    ] {
        assert_eq!(error.unwrap_err().to_string(), "expected stream name `endless'");
    }
    assert_eq!(in_use(&mut router), 0);
}

#[test]
fn a_rate_is_kept() {
    let mut router = inline();
    new(&mut router, &made("slow", 20).replace("limit", "rate 1000 limit")).unwrap();
    let begin = std::time::Instant::now();
    run(&mut router);
    // The first packet goes at once, so that 20 packets take 19 ms at least.
    assert!(begin.elapsed() >= Duration::from_millis(19), "{:?}", begin.elapsed());
    assert_eq!(counter(&router, PG1, "tx packets"), 20);
}

#[test]
fn other_nodes_take_packets_too() {
    let mut router = inline();
    let text = "name x limit 300 node ip4-input interface pg0 size 28-4000
        data { UDP: 10.0.1.2 -> 90.0.0.1 UDP: 1 - 1000 -> 80 }";
    new(&mut router, text).unwrap();
    run(&mut router);
    assert_eq!(counter(&router, PG1, "tx packets"), 300);
    let bytes: u64 = (0..300).map(|number| 28 + number).sum();
    assert_eq!((counter(&router, PG0, "rx bytes"), counter(&router, PG1, "tx bytes")), (bytes, bytes + 300 * 14));
    assert_eq!(in_use(&mut router), 0);
}

#[test]
fn refusals_say_what_is_wrong_and_change_nothing() {
    let files = Files::new("refusals");
    let mut router = inline();
    let mut refused = |text: &str| new(&mut router, text).unwrap_err().to_string();
    assert_eq!(refused("pcap /nosuch.pcap source pg0 name x"), "open `/nosuch.pcap': No such file or directory");
    let empty = files.path("empty.pcap");
    write(&empty, &[]);
    let text = format!("pcap {} source pg0 name x", empty.display());
    assert_eq!(refused(&text), format!("no packets in `{}'", empty.display()));
    assert_eq!(refused("data { hex 00 } interface eth9"), "unknown interface `eth9'");
    assert_eq!(refused("data { hex 00 } tx-interface pg9"), "unknown interface `pg9'");
    assert_eq!(refused("data { hex 00 } node nosuch"), "no node `nosuch' that takes packets");
    assert_eq!(refused("data { hex 00 } node pg-input"), "no node `pg-input' that takes packets");
    assert_eq!(refused("data { hex 00 } worker 1"), "no worker 1, there are 1");
    assert_eq!(show(&mut router), "no streams currently defined\n");
    // An interface of the generator is made when a stream needs it.
    new(&mut router, "data { hex 00 } source pg7").unwrap();
    let made = router.interface_by_name("pg7").unwrap();
    let interface = router.interface(made).unwrap().clone();
    assert_eq!((interface.mtu, &interface.mac[..2], interface.link_up), (9000, &[2, 0xfe][..], true));
    let error = pg(&mut router, |pg, router| pg.create_interface(router, 7, None)).unwrap_err();
    assert_eq!(error.to_string(), "an interface named `pg7' exists already");
    assert!(show(&mut router).contains("\nstream0 "));
    pg(&mut router, |pg, router| pg.remove_interface(router, made)).unwrap();
    assert_eq!((show(&mut router).as_str(), router.interface_by_name("pg7")), ("no streams currently defined\n", None));
    let local = pg(&mut router, |pg, router| pg.remove_interface(router, IfIndex(0)));
    assert_eq!(local.unwrap_err().to_string(), "`local0' is not a packet-generator interface");
}

#[test]
fn packet_threads_send_and_their_captures_become_one_file() {
    let files = Files::new("threads");
    let mut router = router(&Config { workers: 2, buffers: 2048, ..Config::default() });
    let path = files.path("out.pcap");
    pg(&mut router, |pg, router| pg.capture(router, PG1, &path, None)).unwrap();
    new(&mut router, &made("zero", 3000)).unwrap();
    new(&mut router, &made("one", 2000).replace("interface", "worker 1 interface")).unwrap();
    pg(&mut router, |pg, router| pg.enable(router, None)).unwrap();
    // Exactly when the last `Yes` has gone, everything is in the file.
    while show(&mut router).contains(" Yes ") {
        std::thread::sleep(Duration::from_micros(100));
    }
    let captured = Packets::read(&path).unwrap();
    assert_eq!(captured.len(), 5000);
    pg(&mut router, |pg, router| pg.capture_off(router, PG1)).unwrap();
    assert_eq!(in_use(&mut router), 0);
}

#[test]
fn a_capture_is_written_without_a_command() {
    let files = Files::new("notice");
    let mut router = inline();
    let path = files.path("out.pcap");
    pg(&mut router, |pg, router| pg.capture(router, PG1, &path, None)).unwrap();
    new(&mut router, &made("s", 4)).unwrap();
    pg(&mut router, |pg, router| pg.enable(router, None)).unwrap();
    router.step();
    assert_eq!(Packets::read(&path).unwrap().len(), 4);
}

#[test]
fn a_long_packet_is_a_chain() {
    let files = Files::new("chain");
    let mut router = inline();
    let path = files.path("out.pcap");
    pg(&mut router, |pg, router| pg.capture(router, PG1, &path, None)).unwrap();
    new(&mut router, &made("long", 3).replace("limit", "size 5000-5002 limit")).unwrap();
    let node = router.node("pg-input").unwrap();
    router.ask(0, move |worker| worker.trace_add(node, 1));
    run(&mut router);
    let captured = Packets::read(&path).unwrap();
    assert_eq!((captured.sizes(), captured.len()), ((5000, 5002), 3));
    let text = router.ask(0, |worker| worker.traces().text("vpp_main", 10));
    assert!(text.contains("stream long, 5000 bytes"), "{text}");
    assert!(
        text.contains("current data 0, length 2048, buffer-pool 0, ref-count 1, totlen-nifb 2952, trace"),
        "{text}"
    );
    assert_eq!(in_use(&mut router), 0);
}

#[test]
fn commands_say_what_those_of_vpp_say() {
    let files = Files::new("commands");
    let (input, output) = (files.path("in.pcap"), files.path("out.pcap"));
    write(&input, &[golden_packet(), golden_packet()]);
    let mut app = cli::App::new();
    nodes::register(&mut app);
    let mut console = app.build(&Config { inline: true, ..Config::default() }).unwrap();
    let silent = |console: &mut cli::Console, line: &str| assert_eq!(console.exec(line), Ok(String::new()), "{line}");
    for (number, mac) in [(0, MAC0), (1, MAC1)] {
        silent(&mut console, &format!("create packet-generator interface pg{number} hw-addr {mac}"));
        silent(&mut console, &format!("set interface state pg{number} up"));
        silent(&mut console, &format!("set interface ip address pg{number} 10.0.{}.1/24", number + 1));
    }
    silent(&mut console, "set ip neighbor pg1 10.0.2.2 02:00:00:00:00:02");
    silent(&mut console, "ip route add 90.0.0.0/8 via 10.0.2.2");
    silent(&mut console, &format!("packet-generator new pcap {} source pg0 name four", input.display()));
    silent(&mut console, &format!("packet-generator new {}", made("six", 3).replace('\n', " ")));
    silent(&mut console, &format!("packet-generator capture pg1 pcap {}", output.display()));
    silent(&mut console, "packet-generator enable-stream four");
    silent(&mut console, "packet-generator enable");
    console.router().step();
    assert_eq!(
        console.exec("show packet-generator").unwrap(),
        "Name               Enabled        Count     Parameters\n\
         four                 No             2       limit 2, rate 0.00e0 pps, size 60-60, buffer-size 2048, worker 0, \n\
         six                  No             3       limit 3, rate 0.00e0 pps, size 60-60, buffer-size 2048, worker 0, \n"
    );
    silent(&mut console, "packet-generator capture pg1 disable");
    silent(&mut console, "packet-generator capture pg1 disable");
    assert_eq!(Packets::read(&output).unwrap().len(), 5);
    silent(&mut console, "packet-generator disable");
    silent(&mut console, "packet-generator delete four");
    for (line, error) in [
        ("packet-generator delete nosuch", "packet-generator delete: expected stream name `nosuch'"),
        (
            "packet-generator new pcap /nosuch.pcap source pg0 name x",
            "packet-generator new: open `/nosuch.pcap': No such file or directory",
        ),
    ] {
        assert_eq!(console.exec(line), Err(error.into()));
    }
}
