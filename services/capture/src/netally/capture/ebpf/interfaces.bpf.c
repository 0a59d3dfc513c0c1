/* What passes an interface, by kind. Attached to a packet socket, it lets nothing through: every packet is looked at
 * where the interface's own counter counts it, and none is copied.
 */
#include "kernel.h"

#define NOT_IP 0
#define ELSEWHERE 1 /* frames for other machines, and IP neither from nor to an address of this one */
#define OWN 2

#define HOST 0
#define OTHERHOST 3
#define OUTGOING 4

#define ETHERNET_HEADER 14

struct place {
    __u32 interface;
    __u16 kind;
    __u16 outgoing;
};

struct passed {
    __u64 frames; /* as the kernel handles them: a super-packet of segmentation offload is one */
    __u64 frame_bytes; /* with link headers */
    __u64 packets; /* as they are on the wire */
    __u64 bytes; /* L3 */
};

struct address {
    __u8 bytes[16];
} __attribute__((aligned(8)));

struct map SECTION("maps") passing = {BPF_MAP_TYPE_HASH, sizeof(struct place), sizeof(struct passed), 4096, 0};
/* Addresses of this machine, IPv4 in the first four bytes. */
struct map SECTION("maps") own = {BPF_MAP_TYPE_HASH, sizeof(struct address), 1, 4096, 0};

ALWAYS_INLINE int is_own(const struct address *address) {
    const __u64 *words = (const __u64 *)address;
    /* Who has no address yet (DHCP) is this machine as well. */
    return !(words[0] | words[1]) || map_lookup(&own, address);
}

ALWAYS_INLINE int look(struct __sk_buff *skb, __u32 link) {
    struct place place = {.interface = skb->ifindex, .kind = NOT_IP, .outgoing = skb->pkt_type == OUTGOING};
    struct passed *passed, nothing = {};
    __u8 first[40] = {}, protocol = 0;
    __u32 kind = skb->protocol, header;
    __u64 length, packets = 1;

    if (kind == SWAP16(0x8100) || kind == SWAP16(0x88A8)) {
        /* A tag in the data is link header, as a tag that the card takes off is. */
        __u16 inner = 0;
        load_bytes(skb, link + 2, &inner, 2);
        kind = inner;
        link += 4;
    }
    length = skb->len - link;
    if (kind == SWAP16(0x0800) || kind == SWAP16(0x86DD)) {
        header = ip_header(skb, link, first, &protocol);
        if (header) {
            int four = first[0] >> 4 == 4;
            struct address mine = {};
            if (four)
                load_bytes(skb, link + (place.outgoing ? 12 : 16), mine.bytes, 4);
            else
                load_bytes(skb, link + (place.outgoing ? 8 : 24), mine.bytes, 16);
            place.kind = ELSEWHERE;
            /* Groups and broadcasts are for this machine too. */
            if (skb->pkt_type != OTHERHOST &&
                ((skb->pkt_type != HOST && skb->pkt_type != OUTGOING) || is_own(&mine)))
                place.kind = OWN;
            /* Short frames are padded; the IP header tells the length without that, or 0 above 64 KiB. */
            __u16 field = 0;
            load_bytes(skb, link + (four ? 2 : 4), &field, 2);
            __u32 told = SWAP16(field);
            if (told && !four)
                told += 40;
            if (told > header && told < length)
                length = told;
            split(skb, link, header, protocol, &length, &packets);
        }
    }
    passed = map_lookup(&passing, &place);
    if (!passed) {
        map_update(&passing, &place, &nothing, BPF_NOEXIST);
        passed = map_lookup(&passing, &place);
    }
    if (passed) {
        ADD(passed->frames, 1);
        ADD(passed->frame_bytes, skb->len);
        ADD(passed->packets, packets);
        ADD(passed->bytes, length);
    }
    return 0;
}

SECTION("socket/ethernet")
int look_at_frame(struct __sk_buff *skb) { return look(skb, ETHERNET_HEADER); }

SECTION("socket/ip")
int look_at_packet(struct __sk_buff *skb) { return look(skb, 0); }

char SECTION("license") terms[] = "Apache-2.0";
