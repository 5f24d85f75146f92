# Full NAT: the client's address is translated, too. The servers know their own network and nothing else.
#
#   client ──── lb ──── switch ──── server1, server2, server3

show() {
    local i vip=90.0.0.1 vip6=fd90::1
    namespace client lb switch
    link client c0 lb l0
    link lb l1 switch p0
    address client c0 10.0.1.2/24 fd01::2/64
    route client $vip/32 via 10.0.1.1
    route client $vip6/128 via fd01::1
    for i in 1 2 3; do
        namespace "server$i"
        link switch "p$i" "server$i" s0
        address "server$i" s0 "10.0.10.1$i/24" "fd10::1$i/64"
        web "server$i" "[::]:8080"
        background "echo$i" "server$i" "$bin/examples/http" echo "[::]:7007" "server$i"
        ! in_ns "server$i" ip route get 10.0.1.2 >/dev/null 2>&1 || fail "server$i has a way to the client"
    done
    switch switch p0 p1 p2 p3

    say "The balancer: clients appear to the servers as 10.0.10.100 to 10.0.10.103"
    maglane lb
    interface lb l0 10.0.1.1/24 fd01::1/64
    interface lb l1 10.0.10.1/24 fd10::1/64
    vppctl lb lb conf snat4 10.0.10.100-10.0.10.103 snat6 fd10::100-fd10::103
    vppctl lb lb vip $vip/32 protocol tcp port 80 encap fullnat4 type clusterip target_port 8080
    vppctl lb lb as $vip/32 protocol tcp port 80 10.0.10.11 10.0.10.12 10.0.10.13
    vppctl lb lb vip $vip/32 protocol udp port 7 encap fullnat4 type clusterip target_port 7007
    vppctl lb lb as $vip/32 protocol udp port 7 10.0.10.11 10.0.10.12 10.0.10.13
    vppctl lb lb vip $vip6/128 protocol tcp port 80 encap fullnat6 type clusterip target_port 8080
    vppctl lb lb as $vip6/128 protocol tcp port 80 fd10::11 fd10::12 fd10::13
    vppctl lb lb set interface nat4 in host-l1
    vppctl lb lb set interface nat6 in host-l1
    sleep 0.3

    vppctl lb trace add "$input" 20
    requests 100 get http://$vip/
    shares 3
    requests 100 ask $vip:7
    shares 3
    requests 100 get "http://[$vip6]/"
    shares 3
    requests 1 get http://$vip/bytes/100000000
    say "Whom a server knows: its own network"
    in_ns server1 ip route show
    in_ns server1 ip neighbor show | tee "$run/neighbors"
    grep -q '^10\.0\.10\.10[0-3] ' "$run/neighbors" || fail "server1 has seen no client as 10.0.10.100 to 103"
    say "What the balancer saw"
    vppctl lb show lb vip verbose
    say "The way of the first packets: a request, and its answer"
    vppctl lb show trace max 4
    say "All answers were right, from servers that know no way to the client."
}
