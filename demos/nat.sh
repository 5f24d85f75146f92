# NAT: the servers know nothing of the VIP; what they answer comes back by the balancer, their way to everywhere.
#
#   client ──── lb ──── server1 (ports 8080 and 8081), server2, server3

show() {
    local i vip=90.0.0.1 vip6=fd90::1
    namespace client lb
    link client c0 lb l0
    address client c0 10.0.1.2/24 fd01::2/64
    route client $vip/32 via 10.0.1.1
    route client $vip6/128 via fd01::1
    for i in 1 2 3; do
        namespace "server$i"
        link lb "l$i" "server$i" s0
        address "server$i" s0 "10.0.1$i.2/24" "fd1$i::2/64"
        route "server$i" default via "10.0.1$i.1"
        route "server$i" default via "fd1$i::1"
        web "server$i" "[::]:8080"
        background "echo$i" "server$i" "$bin/examples/http" echo "[::]:7007" "server$i"
    done
    web server1 "[::]:8081" server1-8081
    route client 90.0.0.2/32 via 10.0.1.1
    for i in 8080 8081 8082; do
        background "echo-$i" server1 "$bin/examples/http" echo "10.0.11.2:$i" "server1-$i"
    done

    say "The balancer"
    maglane lb
    interface lb l0 10.0.1.1/24 fd01::1/64
    for i in 1 2 3; do interface lb "l$i" "10.0.1$i.1/24" "fd1$i::1/64"; done
    say "TCP, to two ports of the first server"
    vppctl lb lb vip $vip/32 protocol tcp port 80 encap nat4 type clusterip target_port 8080
    vppctl lb lb as $vip/32 protocol tcp port 80 10.0.11.2 10.0.12.2 10.0.13.2
    vppctl lb lb as $vip/32 protocol tcp port 80 10.0.11.2 target_port 8081
    say "UDP"
    vppctl lb lb vip $vip/32 protocol udp port 7 encap nat4 type clusterip target_port 7007
    vppctl lb lb as $vip/32 protocol udp port 7 10.0.11.2 10.0.12.2 10.0.13.2
    say "Three ports of one server from a file of Packetvisor's balancer, round robin"
    packetvisor | tee "$run/lb_config.xml"
    vppctl lb lb import packetvisor "$run/lb_config.xml"
    say "The same over IPv6"
    vppctl lb lb vip $vip6/128 protocol tcp port 80 encap nat6 type clusterip target_port 8080
    vppctl lb lb as $vip6/128 protocol tcp port 80 fd11::2 fd12::2 fd13::2
    vppctl lb lb as $vip6/128 protocol tcp port 80 fd11::2 target_port 8081
    vppctl lb lb vip $vip6/128 protocol udp port 7 encap nat6 type clusterip target_port 7007
    vppctl lb lb as $vip6/128 protocol udp port 7 fd11::2 fd12::2 fd13::2
    for i in 1 2 3; do
        vppctl lb lb set interface nat4 in "host-l$i"
        vppctl lb lb set interface nat6 in "host-l$i"
    done
    sleep 0.3

    vppctl lb trace add "$input" 20
    requests 100 get http://$vip/
    shares 4
    requests 100 ask $vip:7
    shares 3
    requests 90 ask 90.0.0.2:7
    [ "$(grep -c ' 30$' "$run/tally")" = 3 ] || fail "90 datagrams were not 30 for each port"
    requests 100 get "http://[$vip6]/"
    shares 4
    requests 100 ask "[$vip6]:7"
    shares 3
    requests 1 get http://$vip/bytes/100000000
    say "What the balancer saw"
    vppctl lb show lb vip verbose
    say "The way of the first packets: a request, and its answer"
    vppctl lb show trace max 4
    say "All answers came from the VIP, over TCP and UDP, IPv4 and IPv6, and 100 MB arrived as they were sent."
}

# A service as Packetvisor's balancer reads it.
packetvisor() {
    local port
    echo "<loadbalancer><service>"
    echo "  <address>90.0.0.2</address><protocol>udp</protocol><port>7</port><schedule>rr</schedule>"
    echo "  <servers>"
    for port in 8080 8081 8082; do
        echo "    <server><address>10.0.11.2</address><port>$port</port><mode>nat</mode></server>"
    done
    echo "  </servers>"
    echo "</service></loadbalancer>"
}
