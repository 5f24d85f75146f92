#include "sockets.h"

struct {
    __uint(type, 17); /* XSKMAP */
    __uint(max_entries, 64);
    __uint(key_size, 4);
    __uint(value_size, 4);
} xsks_map SEC(".maps");

/* Hands all frames to the sockets; speaks where there is none, which the kernel allows to programs under the GPL only. */
SEC("xdp") int to_socket(struct xdp_md *ctx)
{
    char words[] = "queue";
    long done = bpf_redirect_map(&xsks_map, ctx->rx_queue_index, XDP_PASS);
    if (done == XDP_PASS)
        bpf_trace_printk(words, sizeof(words));
    return done;
}

char licence[] SEC("license") = "GPL";
