/* Who opened a socket, and what passed it: bytes and packets by process and connection, in all network namespaces.
 *
 * opened   (cgroup/sock_create)      remembers in the socket who opens it; sockets accepted from it inherit that.
 * sent     (cgroup_skb/egress)       counts a packet that leaves a socket.
 * received (cgroup_skb/ingress)      counts a packet that a socket takes.
 *
 * Lengths are L3 bytes of wire segments: a super-packet of segmentation offload counts its headers for each segment.
 */
#include "kernel.h"

#define SECOND 1000000000ULL

struct owner {
    __u64 namespace;   /* cookie of the network namespace, 0 where the kernel does not tell */
    __u32 pid;
    __u32 uid;
    char command[16];
};

/* One connection of one process; addresses of IPv4 in the first four bytes. 56 bytes without holes. */
struct key {
    __u8 local[16];
    __u8 remote[16];
    __u16 local_port; /* host order, as all numbers here */
    __u16 remote_port;
    __u32 interface;
    __u32 pid; /* 0: opened before this was attached, or by the kernel itself */
    __u8 protocol;
    __u8 family; /* 4 or 6 */
    __u16 unused;
    __u64 namespace;
};

struct counts {
    __u64 bytes_in, bytes_out, packets_in, packets_out;
    __u32 uid;
    __u32 events;
    char command[16];
};

#define LOCAL_OPENED 1
#define REMOTE_OPENED 2
#define CLOSED 4

struct place {
    __u64 namespace;
    __u32 interface;
    __u32 outgoing;
};

struct lost {
    __u64 bytes, packets;
};

struct program {
    __u64 namespace;
    __u32 pid;
    __u32 uid;
    char command[16];
};

struct map SECTION("maps") owners = {BPF_MAP_TYPE_SK_STORAGE, 4, sizeof(struct owner), 0,
                                     BPF_F_NO_PREALLOC | BPF_F_CLONE};
struct map SECTION("maps") flows = {BPF_MAP_TYPE_HASH, sizeof(struct key), sizeof(struct counts), 65536, 0};
struct map SECTION("maps") losses = {BPF_MAP_TYPE_HASH, sizeof(struct place), sizeof(struct lost), 1024, 0};
/* When a program was told of last. */
struct map SECTION("maps") told = {BPF_MAP_TYPE_LRU_HASH, sizeof(struct program), 8, 16384, 0};
struct map SECTION("maps") news = {BPF_MAP_TYPE_RINGBUF, 0, 0, 262144, 0};

SECTION("cgroup/sock_create")
int opened(struct bpf_sock *context) {
    if (context->family != 2 && context->family != 10)
        return 1;
    struct owner *owner = storage_of(&owners, context, 0, BPF_SK_STORAGE_GET_F_CREATE);
    if (!owner)
        return 1;
    owner->namespace = namespace_of(context);
    owner->pid = current_pid_tgid() >> 32;
    owner->uid = (__u32)current_uid_gid();
    current_comm(owner->command, sizeof(owner->command));

    /* A process that ends at once can be read in /proc only now: who opens a first socket is told. */
    struct program program = {.namespace = owner->namespace, .pid = owner->pid, .uid = owner->uid};
    __builtin_memcpy(program.command, owner->command, sizeof(program.command));
    __u64 now = ktime(), *before = map_lookup(&told, &program);
    if (before && now - *before < SECOND)
        return 1;
    map_update(&told, &program, &now, 0);
    ring_output(&news, &program, sizeof(program), 0);
    return 1;
}

ALWAYS_INLINE int count(struct __sk_buff *skb, int outgoing) {
    struct bpf_sock *sk = skb->sk;
    struct key key = {};
    struct counts *found;
    __u8 first[40];
    __u32 header, events = 0;
    __u16 ports[2] = {};

    header = ip_header(skb, 0, first, &key.protocol);
    if (!header)
        return 1;
    if (first[0] >> 4 == 4) {
        key.family = 4;
        __builtin_memcpy(outgoing ? key.local : key.remote, first + 12, 4);
        __builtin_memcpy(outgoing ? key.remote : key.local, first + 16, 4);
    } else {
        key.family = 6;
        __builtin_memcpy(outgoing ? key.local : key.remote, first + 8, 16);
        __builtin_memcpy(outgoing ? key.remote : key.local, first + 24, 16);
    }
    if (key.protocol == TCP || key.protocol == UDP) {
        load_bytes(skb, header, ports, 4);
        key.local_port = SWAP16(ports[!outgoing]);
        key.remote_port = SWAP16(ports[outgoing]);
    }
    if (key.protocol == TCP) {
        __u8 flags = 0;
        load_bytes(skb, header + 13, &flags, 1);
        if ((flags & 0x12) == 0x02)
            events = outgoing ? LOCAL_OPENED : REMOTE_OPENED;
        else if ((flags & 0x12) == 0x12)
            events = outgoing ? REMOTE_OPENED : LOCAL_OPENED;
        if (flags & 5)
            events |= CLOSED;
    }
    key.interface = skb->ifindex;

    __u32 uid = 0;
    struct owner *owner = 0;
    sk = sk ? full_sock(sk) : 0;
    if (sk)
        owner = storage_of(&owners, sk, 0, 0);
    key.namespace = owner ? owner->namespace : namespace_of(skb);
    if (owner) {
        key.pid = owner->pid;
        uid = owner->uid;
    }

    __u64 length = skb->len, packets = 1;
    split(skb, 0, header, key.protocol, &length, &packets);

    found = map_lookup(&flows, &key);
    if (!found) {
        struct counts fresh = {.uid = uid};
        if (owner)
            __builtin_memcpy(fresh.command, owner->command, sizeof(fresh.command));
        map_update(&flows, &key, &fresh, BPF_NOEXIST);
        found = map_lookup(&flows, &key);
    }
    if (!found) {
        struct place place = {.namespace = key.namespace, .interface = key.interface, .outgoing = outgoing};
        struct lost nothing = {}, *lost = map_lookup(&losses, &place);
        if (!lost) {
            map_update(&losses, &place, &nothing, BPF_NOEXIST);
            lost = map_lookup(&losses, &place);
        }
        if (lost) {
            ADD(lost->bytes, length);
            ADD(lost->packets, packets);
        }
        return 1;
    }
    if (outgoing) {
        ADD(found->bytes_out, length);
        ADD(found->packets_out, packets);
    } else {
        ADD(found->bytes_in, length);
        ADD(found->packets_in, packets);
    }
    if ((found->events & events) != events)
        found->events |= events;
    return 1;
}

SECTION("cgroup_skb/egress")
int sent(struct __sk_buff *skb) { return count(skb, 1); }

SECTION("cgroup_skb/ingress")
int received(struct __sk_buff *skb) { return count(skb, 0); }

char SECTION("license") terms[] = "Apache-2.0";
