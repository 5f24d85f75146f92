# One connection on lo: what VPP's notes show first.

show() {
    namespace box
    maglane box
    say "The balancer's session, on lo"
    vppctl box lb conf ip4-src-address 127.0.0.3 buckets 32
    vppctl box lb vip 127.0.0.2/32 encap gre4
    vppctl box lb as 127.0.0.2/32 127.0.0.4
    vppctl box create host-interface name lo:1
    vppctl box set interface ip address host-lo:1 127.0.0.2/8
    vppctl box set interface state host-lo:1 up
    vppctl box show interface
    vppctl box show lb vip verbose
    vppctl box trace add af-packet-input 10
    say "A client connects to 127.0.0.2:80"
    in_ns box "$bin/examples/http" get http://127.0.0.2:80/ -t 1 2>/dev/null || true
    sleep 0.3
    vppctl box show trace >"$run/trace"
    cat "$run/trace"
    vppctl box show errors
    for node in lb4-gre4 ip4-rewrite host-lo:1-output host-lo:1-tx; do
        grep -q ": $node\$" "$run/trace" || fail "the trace does not show $node"
    done
    say "The SYN went through lb4-gre4 and ip4-rewrite to host-lo:1-tx; what came back with our own source was dropped."
}
