# IP-in-IP to the servers of a CSV file, as in the eBPF demo of a network card's maker; and its table of rates.

show() {
    local i
    direct 3
    say "The servers"
    for i in 1 2 3; do agent "$i"; done
    # Addresses and MACs: those of the daemons' devices.
    for i in 1 2 3; do
        "$bin/vppctl" -s "$run/server$i.sock" show hardware-interfaces host-s0 |
            awk -v address="10.0.1$i.2" '/Ethernet address/ {print address ", " $3}'
    done >"$run/servers.csv"

    say "The balancer, and its servers from a file"
    maglane lb
    vppctl lb lb conf ip4-src-address 10.0.11.1
    interfaces 3
    cat "$run/servers.csv"
    vppctl lb lb import csv "$run/servers.csv" encap ipip4 vip 90.0.0.1/32

    vppctl lb trace filter include ip4-rewrite 10
    vppctl lb trace add "$input" 10
    requests 100 get http://90.0.0.1/
    shares 3
    vppctl lb show lb vip verbose
    say "The way of one packet"
    vppctl lb show trace max 1

    say "30 connections, and what each server gets of them"
    in_ns client "$bin/examples/http" keep http://90.0.0.1/ -n 30 --seconds 4 >"$run/kept" 2>&1 &
    local keeping=$!
    sleep 2.5
    vppctl lb show lb rates | tee "$run/rates"
    wait $keeping || { cat "$run/kept"; fail "a connection broke"; }
    [ "$(grep -cE '10\.0\.1[123]\.2[[:space:]]+[1-9][0-9,]* pkts/s' "$run/rates")" = 3 ] || fail "a server has no rate"
    say "All 100 answers were right, and every server had a share."
}
