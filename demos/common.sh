# What the demos share: namespaces, links, daemons, servers, and that all of it goes away again.
# Sourced by build_lb_config, which sets `bin' (the folder of the programs), `keep', `af_xdp' and `demo'. A demo defines `show'.

tag=mgl$$
run=$(mktemp -d /tmp/maglane-demo.XXXXXX)
pids=()
# The node that packets come in by.
input=af-packet-input
if $af_xdp; then input=af_xdp-input; fi
failed=
# What --keep offers to try.
url=http://90.0.0.1/

clean_up() {
    local status=$?
    trap - EXIT
    trap '' INT TERM HUP
    if $keep && [ $status = 0 ]; then
        return
    fi
    # What ended unforeseen may be told by a log.
    [ $status = 0 ] || [ -n "$failed" ] || tail -n 5 "$run"/*.log >&2 2>/dev/null || true
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    for name in $(ip netns list | awk -v tag="$tag-" 'index($1, tag) == 1 {print $1}'); do ip netns delete "$name"; done
    rm -rf "$run"
    exit $status
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

say() { printf '\n== %s\n' "$*"; }
fail() { failed=$*; echo "build_lb_config: $demo: $failed" >&2; exit 1; }
in_ns() { local name=$1; shift; ip netns exec "$tag-$name" "$@"; }

# setting NS KEY VALUE: a setting of the kernel, by its path below /proc/sys/net
setting() { in_ns "$1" sh -c "echo $3 >/proc/sys/net/$2"; }

# namespace NS...
namespace() {
    local name
    for name in "$@"; do
        ip netns add "$tag-$name"
        # Answers come in by another way than requests go out: that is what direct return means.
        setting "$name" ipv4/conf/all/rp_filter 0
        setting "$name" ipv4/conf/default/rp_filter 0
        # No addresses that nobody asked for, and no waiting until those asked for have been tried.
        setting "$name" ipv6/conf/default/accept_dad 0 2>/dev/null || true
        setting "$name" ipv6/conf/default/accept_ra 0 2>/dev/null || true
        setting "$name" ipv6/conf/default/disable_ipv6 1 2>/dev/null || true
        in_ns "$name" ip link set lo up
    done
}

# link NS1 DEV1 NS2 DEV2
link() {
    ip link add "$2" netns "$tag-$1" type veth peer name "$4" netns "$tag-$3"
    in_ns "$1" ip link set "$2" up
    in_ns "$3" ip link set "$4" up
}

# switch NS DEV...: a switch between these devices of a namespace
switch() {
    local name=$1 device
    in_ns "$name" ip link add br0 type bridge
    in_ns "$name" ip link set br0 up
    shift
    for device in "$@"; do in_ns "$name" ip link set "$device" master br0; done
}

# address NS DEV ADDRESS/LEN...: of a kernel
address() {
    local name=$1 device=$2 address
    shift 2
    for address in "$@"; do
        case $address in *:*) setting "$name" "ipv6/conf/$device/disable_ipv6" 0 ;; esac
        in_ns "$name" ip address add "$address" dev "$device"
    done
}

# route NS WORDS...: of a kernel
route() { local name=$1; shift; in_ns "$name" ip route add "$@"; }

# background LOG NS COMMAND...: its process number goes to `pids', which holds those that end with the demo
background() {
    local log=$1 name=$2
    shift 2
    # Not by in_ns: the process number must be the command's own.
    ip netns exec "$tag-$name" "$@" >"$run/$log.log" 2>&1 &
    pids+=($!)
}

# maglane NS: starts the daemon there and waits for its CLI
maglane() {
    rm -f "$run/$1.sock"
    background "$1" "$1" "$bin/maglane" unix "{" nodaemon cli-listen "$run/$1.sock" "}"
    for _ in $(seq 100); do
        [ -S "$run/$1.sock" ] && "$bin/vppctl" -s "$run/$1.sock" show version >/dev/null 2>&1 && return
        sleep 0.1
    done
    cat "$run/$1.log" >&2
    fail "maglane did not start in $1"
}

# vppctl NS COMMAND...: types a command, showing it
vppctl() {
    local name=$1
    shift
    printf '%s# %s\n' "$name" "$*"
    "$bin/vppctl" -s "$run/$name.sock" "$@"
}

# interface NS DEV ADDRESS/LEN...: a device of the daemon's
interface() {
    local name=$1 device=$2 address
    shift 2
    if $af_xdp; then
        vppctl "$name" create interface af_xdp host-if "$device" name "host-$device"
    else
        vppctl "$name" create host-interface name "$device"
    fi
    for address in "$@"; do vppctl "$name" set interface ip address "host-$device" "$address"; done
    vppctl "$name" set interface state "host-$device" up
}

# to_kernel NS: a device between the daemon and the kernel of a namespace; the kernel's end is t0 with 172.16.0.2, the
# daemon's has 172.16.0.1 and its name goes to `inner'
to_kernel() {
    if in_ns "$1" sh -c ': <>/dev/net/tun' 2>/dev/null &&
        vppctl "$1" create tap id 0 host-if-name t0 host-ip4-addr 172.16.0.2/30; then
        inner=tap0
    else
        in_ns "$1" ip link add t0 type veth peer name t1
        in_ns "$1" ip address add 172.16.0.2/30 dev t0
        in_ns "$1" ip link set t0 up
        in_ns "$1" ip link set t1 up
        vppctl "$1" create host-interface name t1
        inner=host-t1
    fi
    vppctl "$1" set interface ip address "$inner" 172.16.0.1/30
    vppctl "$1" set interface state "$inner" up
}

# direct N: a client, a balancer, and servers with ways of their own to the client. The devices between the balancer and
# the servers belong to daemons.
direct() {
    local i
    namespace client lb
    link client c0 lb l0
    address client c0 10.0.1.2/24
    route client 90.0.0.1/32 via 10.0.1.1
    for i in $(seq "$1"); do
        namespace "server$i"
        link lb "l$i" "server$i" s0
        way_back "$i"
        address "server$i" lo 90.0.0.1/32
    done
}

# way_back I: a link from a server to the client
way_back() {
    link client "d$1" "server$1" d0
    address client "d$1" "10.9.$1.1/30"
    address "server$1" d0 "10.9.$1.2/30"
    route "server$1" 10.0.1.0/24 via "10.9.$1.1"
}

# interfaces N: those of the balancer
interfaces() {
    local i
    interface lb l0 10.0.1.1/24
    for i in $(seq "$1"); do interface lb "l$i" "10.0.1$i.1/24"; done
}

# agent I WORDS...: the daemon of a server, which takes VIPs out of tunnels of every kind; and the server itself
agent() {
    local i=$1
    shift
    maglane "server$i"
    interface "server$i" s0 "10.0.1$i.2/24"
    to_kernel "server$i"
    vppctl "server$i" lb host vip 90.0.0.1/32 via "$inner" "$@"
    web "server$i" 90.0.0.1:80
}

# web NS ADDR:PORT [NAME]: a web server
web() { background "http-$1-${2##*:}" "$1" "$bin/examples/http" serve "$2" "${3:-$1}"; }

# requests N COMMAND...: what each server answered of N, or the end of the demo
requests() {
    local count=$1
    shift
    say "$count requests from the client: $*"
    local status=0
    in_ns client "$bin/examples/http" "$@" -n "$count" >"$run/tally" || status=1
    cat "$run/tally"
    [ $status = 0 ] || fail "not every answer was right"
}

# shares N: that so many servers answered
shares() { [ "$(wc -l <"$run/tally")" = "$1" ] || fail "not every server had a share"; }

look_around() {
    say "Everything is left running. To look around:"
    for sock in "$run"/*.sock; do echo "  $bin/vppctl -s $sock"; done
    echo "  ip netns exec $tag-client $bin/examples/http get $url -n 10"
    if [ -n "${MAGLANE_USER_NAMESPACE:-}" ]; then
        # All of it is in a user namespace, which ends with its first process: this one.
        echo "in the shell that follows; leaving it cleans up."
        keep=false
        "${SHELL:-/bin/sh}" || true
        return
    fi
    local name names=""
    for name in $(ip netns list | awk -v tag="$tag-" 'index($1, tag) == 1 {print $1}'); do
        names+=" ip netns delete $name;"
    done
    echo "To clean up: kill ${pids[*]};$names rm -r $run"
}
