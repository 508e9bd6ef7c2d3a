// SPDX-License-Identifier: GPL-2.0-only
#include "packets.h"

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>

enum { MAX_LAYERS = 256 };

/* What is known of a layer that was put down. */
struct placed {
	const struct layer *layer;
	size_t at;
	size_t number_at; /* where the next layer's number goes */
	int number_size;
};

struct builder {
	struct frame *frame;
	const struct ends *ends;
	struct placed placed[MAX_LAYERS];
	size_t n;
	size_t end; /* of the datagram: behind it is padding */
	int nr_ip;
};

static void put(struct builder *b, const void *bytes, size_t n)
{
	assert(b->frame->len + n <= FRAME_MAX);
	memcpy(b->frame->byte + b->frame->len, bytes, n);
	b->frame->len += n;
}

static void put_zero(struct builder *b, size_t n)
{
	assert(b->frame->len + n <= FRAME_MAX);
	memset(b->frame->byte + b->frame->len, 0, n);
	b->frame->len += n;
}

static void store(struct frame *frame, size_t at, int width, __u32 value)
{
	assert(at + width <= FRAME_MAX);
	for (int i = 0; i < width; i++)
		frame->byte[at + i] = value >> 8 * (width - 1 - i);
}

static __u32 load16(const struct frame *frame, size_t at)
{
	return frame->byte[at] << 8 | frame->byte[at + 1];
}

static void address(struct builder *b, size_t at, int family, const char *text)
{
	int ok = inet_pton(family, text, b->frame->byte + at);

	assert(ok == 1);
	(void)ok;
}

static __u32 number_of(const struct layer *layer, int number_size)
{
	if (number_size == 2)
		switch (layer->kind) {
		case LAYER_VLAN:
			return layer->ethertype ? layer->ethertype : 0x8100;
		case LAYER_IP4:
			return 0x0800;
		case LAYER_IP6:
			return 0x86dd;
		case LAYER_ARP:
			return 0x0806;
		default:
			return layer->ethertype;
		}
	if (layer->proto || layer->kind == LAYER_EXT)
		return layer->proto;
	switch (layer->kind) {
	case LAYER_IP4:
		return 4;
	case LAYER_IP6:
		return 41;
	case LAYER_FRAGMENT:
		return 44;
	case LAYER_TCP:
		return 6;
	case LAYER_UDP:
		return 17;
	case LAYER_SCTP:
		return 132;
	case LAYER_ICMP:
		return 1;
	case LAYER_ICMP6:
		return 58;
	default:
		return 59;
	}
}

static void build_eth(struct builder *b, const struct layer *l, struct placed *p)
{
	put(b, b->ends->dmac, 6);
	put(b, b->ends->smac, 6);
	put_zero(b, 2);
	if (l->bytes)
		memcpy(b->frame->byte, l->bytes, l->nr_bytes);
	p->number_at = 12;
	p->number_size = 2;
	store(b->frame, 12, 2, l->ethertype);
}

static void build_vlan(struct builder *b, const struct layer *l, struct placed *p)
{
	put_zero(b, 4);
	store(b->frame, p->at, 2, l->vlan);
	p->number_at = p->at + 2;
	p->number_size = 2;
}

static void build_ip4(struct builder *b, const struct layer *l, struct placed *p)
{
	const struct ends *e = b->ends;
	bool quoted = b->nr_ip++ > 0;

	put_zero(b, 20);
	store(b->frame, p->at, 1, 0x45 + l->fill / 4);
	store(b->frame, p->at + 4, 2, l->id ? l->id : 0x1234);
	store(b->frame, p->at + 6, 2, l->fragment);
	store(b->frame, p->at + 8, 1, l->ttl ? l->ttl : 64);
	address(b, p->at + 12, AF_INET, l->src ? l->src : quoted ? e->dst4 : e->src4);
	address(b, p->at + 16, AF_INET, l->dst ? l->dst : quoted ? e->src4 : e->dst4);
	for (int i = 0; i < l->fill; i++)
		put(b, i < l->nr_bytes ? l->bytes + i : "\x01", 1);
	p->number_at = p->at + 9;
	p->number_size = 1;
}

static void build_ip6(struct builder *b, const struct layer *l, struct placed *p)
{
	const struct ends *e = b->ends;
	bool quoted = b->nr_ip++ > 0;

	put_zero(b, 40);
	store(b->frame, p->at, 1, 0x60);
	store(b->frame, p->at + 7, 1, l->ttl ? l->ttl : 64);
	address(b, p->at + 8, AF_INET6, l->src ? l->src : quoted ? e->dst6 : e->src6);
	address(b, p->at + 24, AF_INET6, l->dst ? l->dst : quoted ? e->src6 : e->dst6);
	p->number_at = p->at + 6;
	p->number_size = 1;
}

/* Extension headers are 8 + fill bytes, filled with Pad1; AH counts its length in another unit. */
static void build_ext(struct builder *b, const struct layer *l, struct placed *p)
{
	put_zero(b, 8 + l->fill);
	store(b->frame, p->at + 1, 1, l->proto == 51 ? (8 + l->fill) / 4 - 2 : l->fill / 8);
	if (l->proto == 43)
		store(b->frame, p->at + 2, 1, l->type);
	p->number_at = p->at;
	p->number_size = 1;
}

static void build_fragment(struct builder *b, const struct layer *l, struct placed *p)
{
	put_zero(b, 8);
	store(b->frame, p->at + 2, 2, l->fragment);
	store(b->frame, p->at + 4, 4, l->id ? l->id : 0x1234);
	p->number_at = p->at;
	p->number_size = 1;
}

static void build_transport(struct builder *b, const struct layer *l, struct placed *p)
{
	static const __u8 size[] = {[LAYER_TCP] = 20,
				    [LAYER_UDP] = 8,
				    [LAYER_SCTP] = 12,
				    [LAYER_ICMP] = 8,
				    [LAYER_ICMP6] = 8};

	if (!b->frame->l4)
		b->frame->l4 = p->at;
	put_zero(b, size[l->kind] + (l->kind == LAYER_TCP ? l->fill : 0));
	if (l->kind == LAYER_ICMP || l->kind == LAYER_ICMP6) {
		store(b->frame, p->at, 1, l->type);
		store(b->frame, p->at + 1, 1, l->code);
		store(b->frame, p->at + 4, 2, l->id);
		return;
	}
	store(b->frame, p->at, 2, l->sport ? l->sport : 40000);
	store(b->frame, p->at + 2, 2, l->dport ? l->dport : 443);
	if (l->kind == LAYER_TCP) {
		store(b->frame, p->at + 4, 4, 1);
		store(b->frame, p->at + 12, 1, (20 + l->fill) / 4 << 4);
		store(b->frame, p->at + 13, 1, l->flags);
		store(b->frame, p->at + 14, 2, 65535);
		memset(b->frame->byte + p->at + 20, 1, l->fill);
	}
}

static void build_arp(struct builder *b, const struct layer *l, struct placed *p)
{
	static const __u8 head[] = {0, 1, 8, 0, 6, 4, 0, 1};

	put(b, head, 8);
	if (l->type)
		store(b->frame, p->at + 7, 1, l->type);
	put(b, b->ends->smac, 6);
	put_zero(b, 4);
	address(b, p->at + 14, AF_INET, l->src ? l->src : b->ends->src4);
	put_zero(b, 10);
	address(b, p->at + 24, AF_INET, l->dst ? l->dst : b->ends->dst4);
}

static void build_data(struct builder *b, const struct layer *l)
{
	for (int i = 0; i < l->size; i++) {
		__u8 byte = i < l->nr_bytes ? (__u8)l->bytes[i] : (__u8)('a' + i % 26);

		put(b, &byte, 1);
	}
}

static void place(struct builder *b, const struct layer *l)
{
	struct placed *p = &b->placed[b->n];
	struct placed *before = b->n ? &b->placed[b->n - 1] : NULL;

	assert(b->n < MAX_LAYERS);
	b->n++;
	p->layer = l;
	p->at = b->frame->len;
	/* Data has a number only where it says so; the Ethernet header keeps its own otherwise. */
	if (before && before->number_size &&
	    (l->kind != LAYER_DATA || l->proto || l->ethertype || before->number_size == 1))
		store(b->frame, before->number_at, before->number_size,
		      number_of(l, before->number_size));
	if ((l->kind == LAYER_IP4 || l->kind == LAYER_IP6 || l->kind == LAYER_ARP) && !b->frame->l3)
		b->frame->l3 = p->at;
	switch (l->kind) {
	case LAYER_ETH:
		build_eth(b, l, p);
		break;
	case LAYER_VLAN:
		build_vlan(b, l, p);
		break;
	case LAYER_IP4:
		build_ip4(b, l, p);
		break;
	case LAYER_IP6:
		build_ip6(b, l, p);
		break;
	case LAYER_EXT:
		build_ext(b, l, p);
		break;
	case LAYER_FRAGMENT:
		build_fragment(b, l, p);
		break;
	case LAYER_ARP:
		build_arp(b, l, p);
		break;
	case LAYER_DATA:
		build_data(b, l);
		break;
	default:
		build_transport(b, l, p);
	}
}

static void set_lengths(struct builder *b)
{
	for (size_t i = 0; i < b->n; i++) {
		const struct placed *p = &b->placed[i];

		if (p->layer->kind == LAYER_IP4)
			store(b->frame, p->at + 2, 2, b->end - p->at);
		else if (p->layer->kind == LAYER_IP6)
			store(b->frame, p->at + 4, 2, b->end - p->at - 40);
		else if (p->layer->kind == LAYER_UDP)
			store(b->frame, p->at + 4, 2, b->end - p->at);
	}
}

static __u32 sum16(const struct frame *frame, size_t from, size_t to, __u32 sum)
{
	for (; from + 1 < to; from += 2)
		sum += load16(frame, from);
	if (from < to)
		sum += frame->byte[from] << 8;
	return sum;
}

static __u16 fold(__u32 sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static void sum_ip4(struct frame *frame, size_t at)
{
	size_t ihl = (frame->byte[at] & 15) * 4;

	store(frame, at + 10, 2, 0);
	store(frame, at + 10, 2, fold(sum16(frame, at, at + ihl, 0)));
}

void frame_sum(struct frame *frame)
{
	if (frame->l3 && frame->byte[frame->l3] >> 4 == 4)
		sum_ip4(frame, frame->l3);
}

/* Checksum field of each transport; SCTP's is a CRC that nobody here checks. */
static int checksum_at(int kind)
{
	switch (kind) {
	case LAYER_TCP:
		return 16;
	case LAYER_UDP:
		return 6;
	case LAYER_ICMP:
	case LAYER_ICMP6:
		return 2;
	default:
		return -1;
	}
}

/* Innermost first: an outer checksum covers the inner ones. */
static void set_checksums(struct builder *b)
{
	for (size_t i = b->n; i-- > 0;) {
		const struct placed *p = &b->placed[i], *ip = NULL;
		int at = checksum_at(p->layer->kind);
		__u32 sum = 0;
		__u16 result;

		if (p->layer->kind == LAYER_IP4) {
			sum_ip4(b->frame, p->at);
			continue;
		}
		if (at < 0)
			continue;
		for (size_t j = 0; j < i; j++)
			if (b->placed[j].layer->kind == LAYER_IP4 ||
			    b->placed[j].layer->kind == LAYER_IP6)
				ip = &b->placed[j];
		if (ip && p->layer->kind != LAYER_ICMP) {
			size_t from = ip->layer->kind == LAYER_IP4 ? 12 : 8;
			size_t to = ip->layer->kind == LAYER_IP4 ? 20 : 40;

			sum = sum16(b->frame, ip->at + from, ip->at + to, 0);
			sum += number_of(p->layer, 1) + (b->end - p->at);
		}
		store(b->frame, p->at + at, 2, 0);
		result = fold(sum16(b->frame, p->at, b->end, sum));
		store(b->frame, p->at + at, 2, !result && at == 6 ? 0xffff : result);
	}
}

void frame_build(const struct layer *layers, const struct ends *ends, struct frame *ret)
{
	struct builder b = {.frame = ret, .ends = ends};
	const struct layer *l;
	size_t placed = 0, start = 0;

	memset(ret, 0, sizeof(*ret));
	for (l = layers; l->kind; l++)
		if (l->kind < LAYER_SET)
			for (int i = 0; i <= (l->repeat ? l->repeat - 1 : 0); i++)
				place(&b, l);
	b.end = ret->len;
	set_lengths(&b);
	/* Checksums last, but a spoiled checksum must stay spoiled: set, sum, set again. */
	for (int round = 0; round < 2; round++) {
		placed = 0;
		for (l = layers; l->kind; l++) {
			if (l->kind < LAYER_SET) {
				start = b.placed[placed].at;
				placed += l->repeat ? l->repeat : 1;
			} else if (l->kind == LAYER_SET) {
				store(ret, start + l->at, l->width, l->value);
			}
		}
		if (round == 0)
			set_checksums(&b);
	}
	for (l = layers; l->kind; l++) {
		if (l->kind == LAYER_PAD)
			put_zero(&b, l->size);
		else if (l->kind == LAYER_CUT)
			ret->len = l->size < 0 ? ret->len + l->size : (size_t)l->size;
	}
}
