//! Commands: what the transcripts of the real VPP show, and errors in words that change nothing.

use crate::support::Bed;

#[test]
fn show_interface_is_laid_out_as_in_the_real_vpp() {
    let mut bed = Bed::new();
    assert_eq!(
        bed.vppctl("show interface"),
        "              Name               Idx    State  MTU (L3/IP4/IP6/MPLS)     Counter          Count     \n\
         local0                            0     down          0/0/0/0       \n\
         pg0                               1      up          9000/0/0/0     \n\
         pg1                               2      up          9000/0/0/0     \n"
    );
    assert_eq!(bed.vppctl("sh int addr"), "local0 (dn):\npg0 (up):\n  L3 10.0.1.1/24\npg1 (up):\n  L3 10.0.2.1/24\n");
}

#[test]
fn host_bits_of_a_vip_are_cleared() {
    let mut bed = Bed::new();
    assert_eq!(bed.vppctl("lb vip 90.0.0.77/24 encap gre4"), "lb_vip_add ok 1\n");
    assert_eq!(bed.vppctl("show lb vips"), "ip4-gre4 90.0.0.0/24 new_size:1024 #as:0\n");
}

#[test]
fn a_script_stops_at_its_first_error_and_names_the_line() {
    let mut bed = Bed::new();
    let file = std::env::temp_dir().join(format!("maglane-script-{}.cli", std::process::id()));
    std::fs::write(&file, "# set-up\nlb vip 90.0.0.1/32 encap gre4\nlb as 90.0.0.1/32 nonsense\nlb vip 91.0.0.1/32\n")
        .unwrap();
    let error = bed.refused(&format!("exec {}", file.display()));
    std::fs::remove_file(&file).unwrap();
    assert_eq!(
        error,
        format!(
            "{} line 3: lb as: parse error: 'nonsense' (expected the address of a server, protocol, port, target_port, mac, server-id, weight, del, flush or dry-run)",
            file.display()
        )
    );
    assert_eq!(bed.vppctl("show lb vips"), "ip4-gre4 90.0.0.1/32 new_size:1024 #as:0\n");
}

/// Of a script, VIPs and servers are published together: the same comes of it as of the lines one by one, errors included.
#[test]
fn a_script_of_many_vips_is_published_as_one() {
    let mut lines = vec!["lb conf ip4-src-address 10.0.2.1".to_string()];
    for n in 0..500 {
        let vip = format!("90.0.{}.{}/32", n / 250, n % 250);
        lines.push(format!("lb vip {vip} encap gre4"));
        lines.push(format!("lb as {vip} 10.0.2.{}", 2 + n % 100));
        lines.push(format!("lb as {vip} 10.0.3.{} weight {}", 2 + n % 100, n % 101));
    }
    // What goes is gone for whoever looks next, and its number is free again.
    lines.push("lb vip 90.0.0.7/32 del".into());
    lines.push("lb vip 91.0.0.7/32 encap ipip4".into());
    let (mut typed, mut scripted) = (Bed::new(), Bed::new());
    let before = [typed.publications(), scripted.publications()];
    let said: String = lines.iter().map(|line| typed.vppctl(line)).collect();
    let file = std::env::temp_dir().join(format!("maglane-vips-{}.cli", std::process::id()));
    let script = format!("{}\nlb as 91.0.0.7/32 10.0.2.2\nlb as 91.0.0.7/32 91.0.0.7\n", lines.join("\n"));
    std::fs::write(&file, script).unwrap();
    let error = scripted.refused(&format!("exec {}", file.display()));
    std::fs::remove_file(&file).unwrap();
    let line = lines.len() + 2;
    assert!(error.contains(&format!("line {line}: lb as: server 91.0.0.7 lies within VIP 91.0.0.7/32")), "{error}");
    typed.vppctl("lb as 91.0.0.7/32 10.0.2.2");
    assert!(said.contains("lb_vip_add ok 500\n") && said.ends_with("lb_vip_add ok 8\n"), "{said}");
    for show in ["show lb vips verbose", "show lb", "show ip fib", "show ip path-mtu"] {
        assert_eq!(typed.vppctl(show), scripted.vppctl(show), "{show}");
    }
    let [one_by_one, together] = [typed.publications() - before[0], scripted.publications() - before[1]];
    assert!(one_by_one > 1500 && together < 10, "{one_by_one}, {together}");
}

/// VIPs and servers go together, too: many, and the same is left.
#[test]
fn a_script_that_removes_many_vips_is_published_as_one() {
    let vip = |n: usize| format!("90.0.{}.{}/32", n / 250, n % 250);
    let mut lines = vec!["lb conf ip4-src-address 10.0.2.1".to_string()];
    for n in 0..500 {
        lines.push(format!("lb vip {} encap gre4", vip(n)));
        lines.push(format!("lb as {} 10.0.2.{} 10.0.3.{}", vip(n), 2 + n % 100, 2 + n % 100));
    }
    let mut removing = Vec::new();
    for n in 0..450 {
        if n % 3 == 0 {
            removing.push(format!("lb as {} 10.0.2.{} del flush", vip(n), 2 + n % 100));
        }
        removing.push(format!("lb vip {} del", vip(n)));
    }
    // The lowest numbers are free.
    removing.push(format!("lb vip {} encap gre6", vip(3)));
    removing.push("lb conf ip6-src-address 2001:db8::1".into());
    removing.push(format!("lb as {} 2001:db8::2", vip(3)));
    let (mut typed, mut scripted) = (Bed::new(), Bed::new());
    let file = std::env::temp_dir().join(format!("maglane-removed-{}.cli", std::process::id()));
    for lines in [lines, removing] {
        let before = [typed.publications(), scripted.publications()];
        lines.iter().for_each(|line| drop(typed.vppctl(line)));
        std::fs::write(&file, lines.join("\n")).unwrap();
        scripted.vppctl(&format!("exec {}", file.display()));
        let [one_by_one, together] = [typed.publications() - before[0], scripted.publications() - before[1]];
        assert!(one_by_one > 500 && together < 10, "{one_by_one}, {together}");
        for show in ["show lb vips verbose", "show lb", "show ip fib", "show ip path-mtu"] {
            // Numbers of forwarding entries are free again once tables are published.
            let [left, right] = [&mut typed, &mut scripted].map(|bed| without_numbers(&bed.vppctl(show)));
            assert_eq!(left, right, "{show}");
        }
    }
    std::fs::remove_file(&file).unwrap();
}

/// What the FIB shows, without the lines that number its entries.
fn without_numbers(shown: &str) -> String {
    shown.lines().filter(|line| !line.contains("dpo-load-balance")).flat_map(|line| [line, "\n"]).collect()
}

#[test]
fn a_million_routes_come_and_go() {
    let mut bed = Bed::new();
    let routes = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
    bed.vppctl(&format!("ip route add count {routes} 20.0.0.0/32 via 10.0.2.2"));
    assert!(bed.vppctl("show ip fib 20.0.200.7").contains("20.0.200.7/32"));
    bed.vppctl(&format!("ip route del count {routes} 20.0.0.0/32 via 10.0.2.2"));
    assert!(!bed.vppctl("show ip fib 20.0.200.7").contains("20.0.200.7/32"));
}

#[test]
fn the_graph_shows_the_ways_that_tables_name() {
    let mut bed = Bed::new();
    let lookup = bed.vppctl("show node ip4-lookup");
    for next in ["ip4-drop", "ip4-rewrite", "ip4-receive", "ip4-glean", "lb4-gre4"] {
        let row = lookup.lines().find(|line| line.split_whitespace().nth(2) == Some(next));
        assert!(row.is_some(), "{next}\n{lookup}");
    }
    let balancer = bed.vppctl("show node lb4-gre4");
    assert!(balancer.starts_with("node lb4-gre4, type internal, state active, index "), "{balancer}");
    assert!(balancer.contains("\n  node function variants:\n    default only\n\n  next nodes:\n"), "{balancer}");
    assert!(balancer.contains("\n    next-index  node-index               Node"), "{balancer}");
    assert!(balancer.contains(" ip4-rewrite "), "{balancer}");
    let graph = bed.vppctl("show vlib graph pg1-output");
    assert!(graph.contains("pg1-tx [") && graph.contains("arp-reply"), "{graph}");
}

#[test]
fn show_runtime_is_laid_out_as_in_the_real_vpp() {
    let mut bed = Bed::new();
    bed.vppctl("ip route add 90.0.0.0/8 via 10.0.2.2");
    bed.vppctl("clear runtime");
    bed.send("pg0", &vec![crate::forwarding::udp([90, 0, 0, 1], 64, b"x"); 3]);
    bed.send("pg0", &[crate::forwarding::udp([77, 0, 0, 1], 64, b"lost")]);
    let shown = bed.vppctl("show runtime");
    let mut lines = shown.lines();
    let time = lines.next().unwrap();
    let words = time.split([',', ' ']).filter(|word| !word.is_empty() && word.parse::<f64>().is_err());
    assert_eq!(words.collect::<Vec<_>>().join(" "), "Time sec internal node vector rate loops/sec", "{time}");
    let rates: Vec<_> = lines.next().unwrap().split([',', ' ']).filter(|word| !word.is_empty()).collect();
    assert_eq!(
        [rates[0], rates[1], rates[2], rates[4], rates[6], rates[8]],
        ["vector", "rates", "in", "out", "drop", "punt"]
    );
    let rate = |at: usize| rates[at].parse::<f64>().unwrap();
    assert!((rate(5) * 3.0 / rate(7) - 9.0).abs() < 0.01 && rate(9) == 0.0, "three out, one dropped: {rates:?}");
    assert_eq!(
        lines.next(),
        Some(
            "             Name                 State         Calls          Vectors        Suspends      Packet-Clocks   Vectors/Call  "
        )
    );
    let row = lines.find(|line| line.starts_with("ip4-input ")).unwrap();
    assert_eq!(
        &row[..91],
        "ip4-input                        active                  2               4               0 "
    );
    assert!(row.ends_with("            2.00") && row.len() == 122, "{row:?}");
}
