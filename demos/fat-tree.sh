# Two balancers behind ECMP in one pod of a fat tree, IP-in-IP, host agents on the servers, answers straight back. One
# balancer is killed and comes back; both compute the same table, so no connection notices but by waiting.
#
#                a1        a2             aggregation: kernels that route, a1 and a2 each to t1, t2 and t3
#             ┌───┼────────┼───┐
#            t1        t2        t3       top of rack: kernels that route, with ECMP over a1 and a2
#           ┌─┴─┐   ┌───┼───┐    │
#         lb1  lb2  s1  s2  s3  client

vip=20.0.0.1

show() {
    local i t a
    url=http://$vip/
    say "The tree"
    namespace a1 a2 t1 t2 t3 lb1 lb2 server1 server2 server3 client
    for i in a1 a2 t1 t2 t3; do
        setting "$i" ipv4/ip_forward 1
        # By addresses and ports; and not over links that are down.
        setting "$i" ipv4/fib_multipath_hash_policy 1
        setting "$i" ipv4/conf/all/ignore_routes_with_linkdown 1
    done
    for t in 1 2 3; do
        for a in 1 2; do
            link "t$t" "a$a" "a$a" "t$t"
            address "t$t" "a$a" "10.255.$t$a.1/30"
            address "a$a" "t$t" "10.255.$t$a.2/30"
            setting "a$a" "ipv4/conf/t$t/ignore_routes_with_linkdown" 1
            # Rack T is 10.T.0.0/16.
            route "a$a" "10.$t.0.0/16" via "10.255.$t$a.1"
        done
        route "t$t" default nexthop via "10.255.${t}1.2" nexthop via "10.255.${t}2.2"
    done
    for i in 1 2; do rack t1 "lb$i" "10.1.$i"; done
    for i in 1 2 3; do rack t2 "server$i" "10.2.$i"; done
    rack t3 client 10.3.1
    address client e0 10.3.1.2/24
    route client default via 10.3.1.1
    for a in 1 2; do route "a$a" $vip/32 via "10.255.1$a.1"; done
    route t1 $vip/32 nexthop via 10.1.1.2 nexthop via 10.1.2.2
    in_ns t1 ip route show

    say "The servers"
    for i in 1 2 3; do
        maglane "server$i"
        interface "server$i" e0 "10.2.$i.2/24"
        vppctl "server$i" ip route add 0.0.0.0/0 via "10.2.$i.1" host-e0
        to_kernel "server$i"
        vppctl "server$i" lb host vip $vip/32 via "$inner"
        # Answers leave by the daemon, too: the server has one link. Who asks for its MAC does so in the link's own name.
        setting "server$i" ipv4/conf/all/arp_announce 2
        address "server$i" lo $vip/32
        route "server$i" default via 172.16.0.1 dev t0
        web "server$i" $vip:80
    done
    for i in 1 2; do
        say "Balancer $i"
        balancer "$i"
    done
    sleep 0.3

    requests 100 get http://$vip/
    shares 3
    say "60 connections for 12 seconds, with request after request"
    in_ns client "$bin/examples/http" keep http://$vip/ -n 60 --seconds 12 --timeout 8 >"$run/kept" 2>"$run/broken" &
    local keeping=$!
    sleep 2
    say "Balancer 1 is killed, and its link goes down"
    kill -9 "$lb1"
    wait "$lb1" 2>/dev/null || true
    in_ns lb1 ip link set e0 down
    in_ns t1 ip route show $vip
    sleep 3
    say "Balancer 1 comes back, knowing nothing of the flows"
    in_ns lb1 ip link set e0 up
    balancer 1
    in_ns t1 ip route show $vip
    wait $keeping || { cat "$run/kept" "$run/broken"; fail "connections broke"; }
    say "What became of the connections"
    cat "$run/kept"
    [ "$(wc -l <"$run/kept")" = 4 ] || fail "not every server had a share"
    say "Both balancers had packets of theirs, and each server has as many slots in either's table"
    for i in 1 2; do
        vppctl "lb$i" show lb vip verbose | tee "$run/vip"
        grep -oE '10\.2\.[123]\.2 .* buckets:[0-9]+' "$run/vip" >"$run/table$i"
        grep -qE 'packet from existing sessions: [1-9]' "$run/vip" || fail "balancer $i had no packets"
    done
    cmp "$run/table1" "$run/table2" || fail "the tables differ"
    say "None of the $(awk '/^connections/ {print $2}' "$run/kept") connections broke."
}

# rack T HOST NET: a host, and the address of its router
rack() {
    link "$1" "$2" "$2" e0
    address "$1" "$2" "$3.1/24"
    setting "$1" "ipv4/conf/$2/ignore_routes_with_linkdown" 1
}

balancer() {
    maglane "lb$1"
    [ "$1" = 2 ] || lb1=${pids[-1]}
    vppctl "lb$1" create host-interface name e0
    vppctl "lb$1" set interface ip address host-e0 "10.1.$1.2/24"
    vppctl "lb$1" ip route add 0.0.0.0/0 via "10.1.$1.1" host-e0
    vppctl "lb$1" lb conf ip4-src-address "10.1.$1.2"
    vppctl "lb$1" lb vip $vip/32 encap ipip4
    vppctl "lb$1" lb as $vip/32 10.2.1.2 10.2.2.2 10.2.3.2
    # Last of all: from now on there are packets.
    vppctl "lb$1" set interface state host-e0 up
}
