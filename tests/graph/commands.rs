//! Commands: what the transcripts of the real VPP show, and errors in words that change nothing.

use crate::support::Bed;

#[test]
fn errors_name_the_word_and_change_nothing() {
    let mut bed = Bed::new();
    bed.type_all("lb vip 90.0.0.1/32 encap gre4\n lb as 90.0.0.1/32 10.0.2.2");
    let before = (bed.vppctl("show lb vips verbose"), bed.vppctl("show ip fib"), bed.vppctl("show interface addr"));
    for (line, error) in [
        ("foo", "unknown input `foo'"),
        ("show int foo", "show interface: unknown input `foo'"),
        ("show lb foo", "show lb: unknown input `foo'"),
        ("set interface state host-zz up", "set interface state: unknown interface `host-zz up'"),
        ("set interface state pg0 sideways", "set interface state: unknown input `sideways'"),
        (
            "set interface ip address pg0 300.0.1.1/24",
            "set interface ip address: expected IP4/IP6 address/length `300.0.1.1/24'",
        ),
        ("set interface ip address pg0 10.0.1.1/33", "Invalid prefix len: 33"),
        (
            "set interface ip address pg0 10.0.1.1/24",
            "set interface ip address: failed to add 10.0.1.1/24 on pg0 which conflicts with 10.0.1.1/24 for interface pg0",
        ),
        ("ip route add 1.1.1.0/24", "expected paths."),
        ("ip route del 7.7.7.7/32 via 10.0.2.9", "ip route: no route to 7.7.7.7/32 from CLI"),
        ("trace add nosuch 10", "trace add: expected NODE COUNT, got `nosuch 10'"),
        ("trace add pg-input", "trace add: expected NODE COUNT, got `pg-input'"),
        (
            "set ip neighbor pg1 10.0.2.9 zz",
            "set ip neighbor: specify interface, IP address and MAC: `pg1 10.0.2.9 zz'",
        ),
        ("create host-interface", "create host-interface: "),
        ("packet-generator delete nosuch", "packet-generator delete: expected stream name `nosuch'"),
        (
            "packet-generator new pcap /nosuch.pcap source pg0 name x",
            "packet-generator new: open `/nosuch.pcap': No such file or directory",
        ),
        ("lb vip foo", "lb vip: invalid vip prefix: 'foo'"),
        ("lb vip 1.2.3.4/32 encap bogus", "lb vip: unknown encap `bogus' (there is: gre4)"),
        ("lb vip 1.2.3.4/32 new_len 1000", "lb vip: new_len must be a power of two or a prime"),
        ("lb vip 90.0.0.1/32 encap gre4", "lb vip: VIP 90.0.0.1/32 already exists"),
        ("lb vip 1.2.3.4/32 protocol tcp port 70000", "lb vip: expected a port from 1 to 65535, got `70000'"),
        ("lb as 9.9.9.9/32 1.1.1.1", "lb as: no VIP 9.9.9.9/32"),
        ("lb as 90.0.0.1/32", "lb as: No AS address provided"),
        ("lb as 90.0.0.1/32 10.0.2.2", "lb as: server 10.0.2.2 is already there for VIP 90.0.0.1/32"),
        ("lb as 90.0.0.1/32 5.5.5.5 del", "lb as: no server 5.5.5.5 for VIP 90.0.0.1/32"),
        ("lb as 90.0.0.1/32 90.0.0.1", "lb as: server 90.0.0.1 lies within VIP 90.0.0.1/32"),
        ("lb as 90.0.0.1/32 2001::1", "lb as: server 2001::1: encap gre4 needs an IPv4 address"),
        ("lb as 90.0.0.1/32 1.1.1.1 weight 101", "lb as: weight must be between 0 and 100"),
        ("lb as 90.0.0.1/32 10.0.2.2 weight 5 del", "lb as: weight and del are mutually exclusive"),
        ("lb conf buckets 33", "lb conf: buckets must be a power of two"),
        ("lb conf foo", "lb conf: parse error: 'foo'"),
        ("lb", "lb: unknown input `'"),
        ("exec /nosuch.cli", "exec: cannot read `/nosuch.cli'"),
    ] {
        let said = bed.refused(line);
        assert!(said.starts_with(error), "`{line}`\n  said     {said}\n  expected {error}");
    }
    let after = (bed.vppctl("show lb vips verbose"), bed.vppctl("show ip fib"), bed.vppctl("show interface addr"));
    assert_eq!(before, after);
}

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
    assert_eq!(error, format!("{} line 3: lb as: parse error: 'nonsense'", file.display()));
    assert_eq!(bed.vppctl("show lb vips"), "ip4-gre4 90.0.0.1/32 new_size:1024 #as:0\n");
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
