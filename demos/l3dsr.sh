# Layer-3 direct return: packets travel with the server's address and a DSCP by which the server knows the VIP.

show() {
    local i
    direct 3
    say "The balancer"
    maglane lb
    interfaces 3
    vppctl lb lb vip 90.0.0.1/32 encap l3dsr dscp 7
    vppctl lb lb as 90.0.0.1/32 10.0.11.2 10.0.12.2 10.0.13.2

    say "The servers: DSCP 7 to an address of theirs is the VIP"
    for i in 1 2 3; do agent "$i" dscp 7; done
    sleep 0.3

    vppctl lb trace filter include ip4-rewrite 10
    vppctl lb trace add "$input" 10
    requests 100 get http://90.0.0.1/
    shares 3
    say "What the balancer saw"
    vppctl lb show lb vip verbose
    say "The way of one packet: to the balancer, and on to the server"
    vppctl lb show trace max 1
    vppctl server1 show errors | tee "$run/errors"
    grep -q 'L3DSR packets given back their VIP' "$run/errors" || fail "server1 turned no destination back"
    say "All 100 answers were right, and every server had a share."
}
