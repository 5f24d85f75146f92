/* What programs for the tests need of the kernel's headers. Each file was compiled with
 * clang 14: clang -O2 -g -target bpf -ffile-prefix-map=$PWD=. -c NAME.c -o NAME.o && llvm-strip -g NAME.o */
typedef unsigned int u32;
struct xdp_md { u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex; };
#define SEC(name) __attribute__((section(name), used))
#define __uint(name, value) int (*name)[value]
#define XDP_PASS 2
static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*bpf_trace_printk)(const char *format, u32 size, ...) = (void *)6;
static long (*bpf_redirect_map)(void *map, u32 key, unsigned long flags) = (void *)51;
