#include "sockets.h"

struct {
    __uint(type, 17); /* XSKMAP */
    __uint(max_entries, 64);
    __uint(key_size, 4);
    __uint(value_size, 4);
} xsks_map SEC(".maps");

static __attribute__((noinline)) SEC("xdp") u32 queue_of(struct xdp_md *ctx)
{
    return ctx->rx_queue_index;
}

/* Does not stand first in its section. */
SEC("xdp") int to_socket(struct xdp_md *ctx)
{
    return bpf_redirect_map(&xsks_map, queue_of(ctx), XDP_PASS);
}
