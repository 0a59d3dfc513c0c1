/* What the programs use of linux/bpf.h and of C: nothing but the compiler and linux/bpf.h is needed to build them. */
#include <linux/bpf.h>

#define SECTION(name) __attribute__((section(name), used))
#define ALWAYS_INLINE static __attribute__((always_inline)) inline
#define SWAP16(x) __builtin_bswap16(x)
#define ADD(where, amount) __sync_fetch_and_add(&(where), amount)

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the objects are made for little-endian kernels (bpfel)"
#endif

/* A map in the objects: the loader makes it and puts its descriptor where the programs name it. */
struct map {
    __u32 type, key_size, value_size, max_entries, flags;
};

static void *(*map_lookup)(const void *map, const void *key) = (void *)BPF_FUNC_map_lookup_elem;
static long (*map_update)(const void *map, const void *key, const void *value, __u64 flags) =
    (void *)BPF_FUNC_map_update_elem;
static __u64 (*current_pid_tgid)(void) = (void *)BPF_FUNC_get_current_pid_tgid;
static __u64 (*current_uid_gid)(void) = (void *)BPF_FUNC_get_current_uid_gid;
static long (*current_comm)(void *buffer, __u32 size) = (void *)BPF_FUNC_get_current_comm;
static __u64 (*ktime)(void) = (void *)BPF_FUNC_ktime_get_ns;
static void *(*storage_of)(const void *map, void *sk, void *value, __u64 flags) = (void *)BPF_FUNC_sk_storage_get;
static struct bpf_sock *(*full_sock)(struct bpf_sock *sk) = (void *)BPF_FUNC_sk_fullsock;
static __u64 (*namespace_of)(void *context) = (void *)BPF_FUNC_get_netns_cookie;
static long (*load_bytes)(const void *skb, __u32 offset, void *to, __u32 length) = (void *)BPF_FUNC_skb_load_bytes;
static long (*ring_output)(const void *ring, const void *data, __u64 size, __u64 flags) =
    (void *)BPF_FUNC_ringbuf_output;
static long (*load_relative)(const void *skb, __u32 offset, void *to, __u32 length, __u32 start) =
    (void *)BPF_FUNC_skb_load_bytes_relative;

#define TCP 6
#define UDP 17

/* A super-packet of segmentation offload as the segments it becomes: each repeats all headers. `length` is the packet's
 * L3 length, `header` that of its IP headers, which begin at `start` bytes of the data. */
ALWAYS_INLINE void split(struct __sk_buff *skb, __u32 start, __u32 header, __u8 protocol, __u64 *length,
                         __u64 *packets) {
    __u32 segment = skb->gso_size, headers;
    __u8 words = 0;
    if (!segment)
        return;
    if (protocol == UDP)
        headers = header + 8;
    else if (protocol == TCP && !load_bytes(skb, start + header + 12, &words, 1))
        headers = header + (words >> 4) * 4;
    else
        return;
    if (*length <= headers)
        return;
    *packets = (*length - headers + segment - 1) / segment;
    *length += (*packets - 1) * headers;
}

/* IP header at `start` bytes of the data: length of its headers, extension headers included, and the protocol they
 * lead to. 0 where there is none. */
ALWAYS_INLINE __u32 ip_header(struct __sk_buff *skb, __u32 start, __u8 *first, __u8 *protocol) {
    __u32 header = 40;
    if (load_bytes(skb, start, first, 20))
        return 0;
    if (first[0] >> 4 == 4) {
        *protocol = first[9];
        return (first[0] & 15) * 4;
    }
    if (first[0] >> 4 != 6 || load_bytes(skb, start, first, 40))
        return 0;
    *protocol = first[6];
    /* Hop by hop, routing, destination options, fragment. */
#pragma unroll
    for (int i = 0; i < 4; i++) {
        __u8 extension[2];
        if (*protocol != 0 && *protocol != 43 && *protocol != 60 && *protocol != 44)
            break;
        if (load_bytes(skb, start + header, extension, 2))
            break;
        header += *protocol == 44 ? 8 : (extension[1] + 1) * 8;
        *protocol = extension[0];
    }
    return header;
}
