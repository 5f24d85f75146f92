# Layer-2 direct return: the servers have the VIP themselves, and the balancer replaces the destination MAC only.
#
#   client ──── lb ──── switch ──── server1, server2, server3
#     └──────────────────────────── server1, server2, server3

show() {
    local i vip=10.0.1.100
    namespace client lb switch
    link client c0 lb l0
    link lb l1 switch p0
    address client c0 10.0.1.2/24
    for i in 1 2 3; do
        namespace "server$i"
        link switch "p$i" "server$i" s0
        address "server$i" s0 "10.0.10.1$i/24"
        way_back "$i"
        # The VIP without ARP for it: that is the balancer's to answer.
        setting "server$i" ipv4/conf/all/arp_ignore 1
        setting "server$i" ipv4/conf/all/arp_announce 2
        address "server$i" lo $vip/32
    done
    switch switch p0 p1 p2 p3

    say "The balancer: the VIP is an address of the client's own network; the third server is given by its MAC"
    maglane lb
    interface lb l0 10.0.1.1/24
    interface lb l1 10.0.10.1/24
    vppctl lb lb vip $vip/32 encap l2dsr
    vppctl lb lb as $vip/32 10.0.10.11 10.0.10.12
    vppctl lb lb as $vip/32 10.0.10.13 mac "$(in_ns server3 cat /sys/class/net/s0/address)"
    for i in 1 2 3; do
        web "server$i" $vip:80
        background "echo$i" "server$i" "$bin/examples/http" echo $vip:7 "server$i"
    done
    sleep 0.3

    vppctl lb pcap trace rx tx max 10000 file "$run/l2dsr.pcap"
    requests 50 get http://$vip/
    shares 3
    requests 50 ask $vip:7
    shares 3
    say "30 echo requests"
    for i in $(seq 30); do
        in_ns client ping -q -c 1 -W 2 $vip >"$run/ping" || { cat "$run/ping"; fail "ping $i of $vip: no answer"; }
    done
    for i in 1 2 3; do
        in_ns "server$i" awk '/^Icmp: [0-9]/ {print "server'"$i"'", $10}' /proc/net/snmp
    done | tee "$run/tally"
    [ "$(awk '{sum += $2} END {print sum}' "$run/tally")" = 30 ] || fail "the servers did not get 30 echo requests"
    ! grep -q ' 0$' "$run/tally" || fail "a server got no echo request"

    vppctl lb pcap trace off
    say "What the client was told of the VIP"
    in_ns client ip neighbor show $vip
    say "What came in at the balancer, and what went out: only the destination MAC differs"
    "$bin/examples/frames" "$run/l2dsr.pcap" $vip || fail "more than the destination MAC was changed"
    vppctl lb show lb vip verbose
    url=http://$vip/
    say "TCP, UDP and echo requests were all answered, by every server; only the destination MAC was touched."
}
