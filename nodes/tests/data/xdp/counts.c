#include "sockets.h"

struct {
    __uint(type, 2); /* ARRAY */
    __uint(max_entries, 1);
    __uint(key_size, 4);
    __uint(value_size, 8);
} counts SEC(".maps");

/* Counts frames, and hands none to a socket. */
SEC("xdp") int count(struct xdp_md *ctx)
{
    u32 key = 0;
    unsigned long *packets = bpf_map_lookup_elem(&counts, &key);
    if (packets)
        ++*packets;
    return XDP_PASS;
}
