# GRE to three servers, each with a tunnel made by hand; `lb host vip` (see the other demos) does the same in one line.

show() {
    local i
    direct 3
    say "The balancer"
    maglane lb
    vppctl lb lb conf ip4-src-address 10.0.11.1 buckets 32
    vppctl lb lb vip 90.0.0.1/32 encap gre4
    vppctl lb lb as 90.0.0.1/32 10.0.11.2 10.0.12.2 10.0.13.2
    interfaces 3

    say "The servers: each ends its tunnel and hands the inner packets to its kernel"
    for i in 1 2 3; do
        maglane "server$i"
        interface "server$i" s0 "10.0.1$i.2/24"
        vppctl "server$i" create gre tunnel src "10.0.1$i.2" multipoint
        vppctl "server$i" set interface state gre0 up
        to_kernel "server$i"
        vppctl "server$i" ip route add 90.0.0.1/32 via 172.16.0.2 "$inner"
        web "server$i" 90.0.0.1:80
    done
    sleep 0.3

    vppctl lb trace filter include ip4-rewrite 10
    vppctl lb trace add "$input" 10
    requests 100 get http://90.0.0.1/
    say "What the balancer saw"
    vppctl lb show lb vip verbose
    vppctl lb show interface
    say "The way of one packet"
    vppctl lb show trace max 1
    shares 3
    say "All 100 answers were right, and every server had a share."
}
