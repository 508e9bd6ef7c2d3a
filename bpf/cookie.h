/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * SYN cookies: a protected service under attack is opened by who has shown that its address answers.
 *
 * Above its rate, SYNs are answered here, before the stack sees them, by a cookie that the kernel's own listener takes:
 * the secret and the arithmetic are the kernel's. What the cookie cannot hold comes back in the echoed timestamp, in the
 * bits where the kernel looks for it (net/ipv4/syncookies.c, cookie_timestamp_decode), which needs time stamps without
 * an offset for each connection: net.ipv4.tcp_timestamps = 2. Listeners take cookies only when they sent one in the last two
 * minutes: net.ipv4.tcp_syncookies = 2 makes every SYN that they see count, and one a second is shown to them.
 */
#ifndef WEIR_COOKIE_H
#define WEIR_COOKIE_H

#include "charge.h"
#include "connection.h"
#include "visit.h"

/* Set by the loader where the kernel has the helpers. */
const volatile __u8 weir_has_cookies = 0;

#define COOKIE_LASTS_NS	  2000000000ULL	  /* after the rate was exceeded last */
#define COOKIE_CHECKED_NS 120000000000ULL /* after that: as long as the kernel takes one */
#define COOKIE_TRICKLE_NS 1000000000ULL
/* In units of weir_proved's time, about 1 ms, which the clock shows to a tick. */
#define COOKIE_UNIT_SHIFT 20
#define COOKIE_BATCH	  32 /* until the first segments behind a proof have found their socket */
#define COOKIE_ANSWER \
	4096 /* until a SYN that passed has been answered, and the answer been acknowledged */

enum cookie_gate {
	COOKIE_AS_EVER = 0, /* nothing that cookies are about */
	COOKIE_SYN,	    /* is answered, or cannot be: not let through */
	COOKIE_SHOWN,	    /* a SYN that the stack is to see, whoever sent it: not charged */
	COOKIE_PROOF,	    /* opens a connection: its sender is where it says */
	COOKIE_BAD,
	COOKIE_ASK, /* a SYN that is answered unless a limit refuses it: ask that, then cookie_gate() again */
};

static __always_inline struct weir_cookie *cookie_state(const struct visit *v,
							const struct weir_verdict *verdict,
							const struct weir_protect **ret)
{
	const struct weir_protect *protect =
	    WEIR_TABLE(weir_prot, v->slot, (__u32)verdict->protect - 1);

	*ret = protect;
	return protect ? bpf_map_lookup_elem(&weir_cookie, &protect->state) : 0;
}

/* ---- What passed a moment ago ---- */

/* Of the tuple; the seed is the boot's own. */
static __always_inline __u64 cookie_tuple(const struct packet *pkt, __u64 seed)
{
	__u64 ports = (__u64)pkt->sport << 16 | pkt->dport;
	__u64 hash = weir_mix(pkt->src.d[0] ^ weir_mix(pkt->src.d[1], seed), seed);

	return weir_mix(hash ^ weir_mix(pkt->dst.d[0] ^ weir_mix(pkt->dst.d[1], seed), ~seed) ^
			    ports << 32,
			seed);
}

/* Whose: the upper half of a mark, and which SYN or cookie; never 0 in its place, as empty places are. */
static __always_inline __u32 cookie_mark(__u64 tuple, __u32 number, __u64 seed)
{
	return (__u32)(tuple >> 48) << 16 | (__u16)(weir_mix(tuple ^ number, seed) >> 32) | 1;
}

static __always_inline __u64 *cookie_place(__u64 tuple)
{
	__u32 index = tuple & (WEIR_PROVED - 1);

	return bpf_map_lookup_elem(&weir_proved, &index);
}

static __always_inline __u64 cookie_word(__u32 mark, __u64 now)
{
	return (__u64)mark << 32 | (now >> COOKIE_UNIT_SHIFT & WEIR_PROVED_NOW);
}

static __always_inline int cookie_seen(__u64 word, __u32 mark, __u64 now, __u32 units)
{
	return word >> 32 == mark &&
	       (((now >> COOKIE_UNIT_SHIFT) - word) & WEIR_PROVED_NOW) <= units;
}

/* ---- SYNs ---- */

/* Does it exceed the rate of all? Where CPUs disagree all the time, it does not. */
static __always_inline int cookie_exceeds(struct weir_cookie *cookie,
					  const struct weir_protect *protect, __u64 now)
{
	for (int i = 0; i < 4; i++) {
		__u64 was = *(volatile __u64 *)&cookie->tat, next;

		if (!gcra_take(was, now << WEIR_TAT_SHIFT, protect->interval, protect->tolerance,
			       &next))
			return 1;
		if (__sync_val_compare_and_swap(&cookie->tat, was, next) == was)
			return 0;
	}
	return 0;
}

/* From here on, and until the flood has been over for a while, every SYN is answered: nobody is charged twice. */
static __always_inline int cookie_attacked(struct weir_cookie *cookie,
					   const struct weir_protect *protect, __u64 now,
					   int *exceeds)
{
	__u64 until = *(volatile __u64 *)&cookie->until_ns;

	*exceeds = cookie_exceeds(cookie, protect, now);
	if (!*exceeds)
		return until > now;
	if (until <= now)
		*(volatile __u64 *)&cookie->since_ns = now;
	if (until != now + COOKIE_LASTS_NS) /* once a tick: the line is everybody's */
		*(volatile __u64 *)&cookie->until_ns = now + COOKIE_LASTS_NS;
	return 1;
}

/* One SYN a second for each of our addresses, by hash: it may have a listener of its own, as each family has. */
static __always_inline int cookie_trickles(const struct visit *v, struct weir_cookie *cookie,
					   __u64 now, __u64 seed)
{
	const union address *dst = &v->pkt.dst;
	__u64 hash = weir_mix(dst->d[0] ^ weir_mix(dst->d[1] ^ v->pkt.dport, seed), seed), was;
	__u32 index = WEIR_PROVED + ((__u32)hash & (WEIR_TRICKLES - 1));
	__u64 *last = bpf_map_lookup_elem(&weir_proved, &index);

	if (!last)
		return 0;
	was = *(volatile __u64 *)last;
	if ((was && now - was < COOKIE_TRICKLE_NS) ||
	    __sync_val_compare_and_swap(last, was, now ? now : 1) != was)
		return 0;
	*(volatile __u64 *)&cookie->passed_ns = now;
	return 1;
}

/*
 * Is it for an address of ours? A bridge's port carries what is for others, too; where there is no bridge, all is ours:
 * frames for another's MAC are not looked at here.
 */
static __always_inline int cookie_is_for_us(struct visit *v, int *broadcast)
{
	const struct weir_local *local = local_find(&v->pkt.dst, v->ifindex);
	const struct weir_iface *iface;

	*broadcast = v->pkt.flags & PKT_L2_MULTI || address_multicast(&v->pkt.dst, v->pkt.family) ||
		     (local && local->flags & WEIR_LOCAL_BROADCAST);
	if (local)
		return 1;
	iface = iface_find(v->ifindex);
	return iface && !iface->master;
}

static __always_inline void cookie_query(struct visit *v)
{
	const struct packet *pkt = &v->pkt;

	socket_query_of(&pkt->src, pkt->sport, &pkt->dst, pkt->dport, pkt->family, -1, &v->query);
}

#ifndef WEIR_TC
/* An opening SYN above the rate, which no limit refuses. */
static __always_inline int cookie_answers(struct WEIR_CTX *ctx, struct visit *v,
					  struct weir_cookie *cookie,
					  const struct weir_protect *protect, __u64 seed)
{
	__u64 now = now_coarse_ns();

	/*
	 * On top of a connection it opens nothing, but its end may have been missed: the kernel asks. One that waits for its
	 * end the kernel opens anew at once, and without a cookie: charged here, then.
	 */
	cookie_query(v);
	switch (socket_tcp_find(ctx, &v->query)) {
	case SOCKET_CONNECTED:
		return v->query.waits ? COOKIE_AS_EVER : COOKIE_SHOWN;
	case SOCKET_ABSENT:
		return COOKIE_SYN;
	}
	if (cookie_trickles(v, cookie, now, seed))
		return COOKIE_SHOWN;
	v->answer = protect->state + 1;
	return COOKIE_SYN;
}
#endif

/**
 * cookie_syn() - an opening SYN to a protected service.
 * @limited: its limits are to be asked before it is answered
 */
static __always_inline int cookie_syn(struct WEIR_CTX *ctx, struct visit *v,
				      struct weir_cookie *cookie,
				      const struct weir_protect *protect, int limited, __u64 seed)
{
	__u64 now = now_coarse_ns();
	int exceeds;

	if (!cookie_attacked(cookie, protect, now, &exceeds))
		return COOKIE_AS_EVER;
#ifdef WEIR_TC
	/* What XDP could not read is not worth an answer: no more of it than the rate. */
	return exceeds ? COOKIE_SYN : COOKIE_AS_EVER;
#else
	int broadcast;

	if (!cookie_is_for_us(v, &broadcast))
		return COOKIE_AS_EVER;
	if (broadcast) /* opens nothing */
		return COOKIE_SYN;
	return limited ? COOKIE_ASK : cookie_answers(ctx, v, cookie, protect, seed);
#endif
}

/* ---- What comes after a SYN ---- */

/* Does it acknowledge a cookie that the kernel takes? Two lookalike headers are all that the helpers want. */
static __always_inline int cookie_valid(struct visit *v)
{
	const struct packet *pkt = &v->pkt;
	struct cookie_work *w = &v->cookie;
	void *ip = w->ip, *tcp = w->tcp;

	w->tcp[0] = pkt->sport | (__u32)pkt->dport << 16;
	w->tcp[1] = pkt->seq;
	w->tcp[2] = pkt->ack;
	w->tcp[3] = BE32(0x50100000);
	w->tcp[4] = 0;
	if (pkt->family == 4) {
		w->ip[3] = pkt->src.w[3];
		w->ip[4] = pkt->dst.w[3];
		return !bpf_tcp_raw_check_syncookie_ipv4(ip, tcp);
	}
	__builtin_memcpy(&w->ip[2], &pkt->src, 16);
	__builtin_memcpy(&w->ip[6], &pkt->dst, 16);
	return !bpf_tcp_raw_check_syncookie_ipv6(ip, tcp);
}

/*
 * Segments that arrive together are seen here before the first of them has made its socket. Behind a proof they pass; but
 * what could open the connection once more does so only once: the segment whose cookie holds, too, is the one with
 * the first data.
 */
static __always_inline int cookie_segment(struct WEIR_CTX *ctx, struct visit *v,
					  struct weir_cookie *cookie, int limited, __u64 seed)
{
	__u64 until = *(volatile __u64 *)&cookie->until_ns, now = now_coarse_ns();
	int attacked = until && now <= until + COOKIE_CHECKED_NS, broadcast;
	const struct packet *pkt = &v->pkt;
	__u64 tuple, word, *place;
	__u32 mark;

	/* Listeners take cookies at all times: one that comes once more opens a connection that no SYN has paid for. */
	if (!attacked && !limited)
		return COOKIE_AS_EVER;
	tuple = cookie_tuple(pkt, seed);
	place = cookie_place(tuple);
	if (!place)
		return COOKIE_BAD;
	word = *(volatile __u64 *)place;
	mark = cookie_mark(tuple, BE32(pkt->ack), ~seed);
	/* What this ends, whichever number it acknowledges, may begin again, at its own cost. */
	if (pkt->flags & PKT_CLOSES && word >> 48 == tuple >> 48)
		*(volatile __u64 *)place = 0;
	if (!(pkt->type & 0x10) || pkt->type & 0x04)
		return COOKIE_AS_EVER;
	cookie_query(v);
	if (socket_tcp_find(ctx, &v->query) != SOCKET_LISTENS || !cookie_is_for_us(v, &broadcast))
		return COOKIE_AS_EVER;
	if (pkt->type & 0x02 || !cookie_valid(v)) {
		if (!attacked ||
		    (!(pkt->type & 0x02) && cookie_seen(word, mark, now, COOKIE_BATCH)))
			return COOKIE_AS_EVER;
		__sync_fetch_and_add(&cookie->invalid, 1);
		return COOKIE_BAD;
	}
	if (cookie_seen(word, mark, now, COOKIE_BATCH) && !(word & WEIR_PROVED_USED) &&
	    __sync_val_compare_and_swap(place, word, word | WEIR_PROVED_USED) == word)
		return COOKIE_AS_EVER;
	__sync_fetch_and_add(&cookie->valid, 1);
	if (cookie_seen(word, cookie_mark(tuple, BE32(pkt->seq) - 1, seed), now, COOKIE_ANSWER) &&
	    __sync_val_compare_and_swap(place, word, cookie_word(mark, now)) == word)
		return COOKIE_AS_EVER; /* charged when its SYN passed */
	return COOKIE_PROOF;
}

/** cookie_remember() - a proof was charged: what comes with it is not. Or a SYN that the stack answers: its proof is not. */
static __always_inline void cookie_remember(const struct visit *v)
{
	const struct packet *pkt = &v->pkt;
	struct weir_control *c = control();
	__u64 tuple, *place;
	__u32 mark;

	if (!c)
		return;
	tuple = cookie_tuple(pkt, c->seed);
	place = cookie_place(tuple);
	mark = pkt->type & 0x10 ? cookie_mark(tuple, BE32(pkt->ack), ~c->seed)
				: cookie_mark(tuple, BE32(pkt->seq), c->seed);
	if (place)
		*(volatile __u64 *)place = cookie_word(mark, now_coarse_ns());
}

/**
 * cookie_gate() - what cookies say about a segment that arrives at a protected service.
 * @verdict: index in weir_verd; @limited: it has limits
 * @asked: COOKIE_ASK was the answer, and they do not refuse it
 *
 * Returns enum cookie_gate.
 */
static __always_inline int cookie_gate(struct WEIR_CTX *ctx, struct visit *v, __u32 verdict,
				       int limited, int asked)
{
	const struct weir_verdict *found;
	const struct weir_protect *protect;
	const struct weir_config *config;
	struct weir_control *c = control();
	struct weir_cookie *cookie;

	if (!c || !weir_has_cookies)
		return COOKIE_AS_EVER;
	config = WEIR_TABLE(weir_cfg, v->slot, 0);
	found = WEIR_TABLE(weir_verd, v->slot, verdict);
	if (!config || !found || config->flags & WEIR_CFG_MONITOR || v->hook > WEIR_HOOK_NIC_IN ||
	    v->elsewhere)
		return COOKIE_AS_EVER;
	cookie = cookie_state(v, found, &protect);
	if (!cookie)
		return COOKIE_AS_EVER;
#ifndef WEIR_TC
	if (asked)
		return cookie_answers(ctx, v, cookie, protect, c->seed);
#endif
	if (v->pkt.flags & PKT_OPENS)
		return cookie_syn(ctx, v, cookie, protect, limited, c->seed);
	return cookie_segment(ctx, v, cookie, limited, c->seed);
}

#ifndef WEIR_TC
/* ---- The answer ---- */

static __always_inline __u32 cookie_fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return ~((sum & 0xffff) + (sum >> 16)) & 0xffff;
}

/*
 * Options of the SYN, as the kernel reads them: what does not fit ends them. Each byte is visited in turn, and what the
 * last option said about the next is in memory, where verifiers do not follow it.
 */
__noinline int cookie_options(struct visit *v)
{
	struct cookie_work *w;

	if (!v)
		return 0;
	w = &v->cookie;
	w->mss = 0;
	w->wscale = 15;
	w->sack = 0;
	w->stamped = 0;
	*(volatile __u32 *)&w->next = 20;
	for (__u32 at = 20; at < 60; at++) {
		const __u8 *option = &w->syn[at & 63];
		__u32 end;

		if (at != *(volatile __u32 *)&w->next)
			continue;
		if (at >= *(volatile __u32 *)&w->length || *(volatile __u8 *)option == 0)
			break;
		end = at + 1;
		if (option[0] != 1) {
			end = at < 59 ? at + option[1] : 0;
			if (end < at + 2 || end > *(volatile __u32 *)&w->length)
				break;
			if (at < 57 && option[0] == 2 && option[1] == 4)
				w->mss = option[2] << 8 | option[3];
			if (at < 58 && option[0] == 3 && option[1] == 3)
				w->wscale = option[2] > 14 ? 14 : option[2];
			if (option[0] == 4 && option[1] == 2)
				w->sack = 1;
			if (at < 51 && option[0] == 8 && option[1] == 10) {
				w->stamped = 1;
				__builtin_memcpy(&w->stamp, option + 2, 4);
			}
		}
		*(volatile __u32 *)&w->next = end;
	}
	return 0;
}

/* The cookie for this SYN, below 0 when the kernel makes none. It holds the peer's MSS, so that is asked for alone. */
static __always_inline __s64 cookie_make(struct visit *v)
{
	const struct packet *pkt = &v->pkt;
	struct cookie_work *w = &v->cookie;
	void *ip = w->ip, *tcp = w->tcp;

	w->tcp[0] = pkt->sport | (__u32)pkt->dport << 16;
	w->tcp[1] = pkt->seq;
	w->tcp[2] = 0;
	w->tcp[3] = BE32(0x60020000);
	w->tcp[4] = 0;
	w->tcp[5] = w->mss ? BE32(0x02040000 | w->mss) : 0;
	if (pkt->family == 4) {
		w->ip[3] = pkt->src.w[3];
		w->ip[4] = pkt->dst.w[3];
		return bpf_tcp_raw_gen_syncookie_ipv4(ip, tcp, 24);
	}
	__builtin_memcpy(&w->ip[2], &pkt->src, 16);
	__builtin_memcpy(&w->ip[6], &pkt->dst, 16);
	return bpf_tcp_raw_gen_syncookie_ipv6(ip, tcp, 24);
}

/* What this host takes: by the interface's MTU, or by what every host takes where that is not known. */
static __always_inline __u32 cookie_mss(const struct visit *v)
{
	const struct weir_iface *iface = iface_find(v->ifindex);
	__u32 headers = v->pkt.family == 4 ? 40 : 60, least = v->pkt.family == 4 ? 576 : 1280;
	__u32 mtu = iface ? iface->mtu : 0;

	if (mtu < least)
		mtu = least;
	return (mtu > 65535 ? 65535 : mtu) - headers;
}

/* The time stamp, whose low bits say what the peer offered. It must not be ahead of the clock: stamps never go back. */
static __always_inline __u32 cookie_stamp(const struct cookie_work *w)
{
	__u64 now = now_ns() / 1000000;
	__u64 stamp = (now & ~63ULL) | w->wscale | (w->sack ? 16 : 0);

	return stamp > now ? stamp - 64 : stamp;
}

/* The answer's TCP header, the checksum still missing. Returns how many bytes it has. */
static __always_inline __u32 cookie_header(struct visit *v, __u32 cookie, __u32 knobs)
{
	struct cookie_work *w = &v->cookie;
	__u32 words = 6;

	if (knobs & WEIR_COOKIE_NO_WSCALE)
		w->wscale = 15;
	if (knobs & WEIR_COOKIE_NO_SACK)
		w->sack = 0;
	w->tcp[0] = v->pkt.dport | (__u32)v->pkt.sport << 16;
	w->tcp[1] = BE32(cookie);
	w->tcp[2] = BE32(BE32(v->pkt.seq) + 1);
	w->tcp[4] = 0;
	w->tcp[5] = BE32(0x02040000 | cookie_mss(v));
	w->tcp[6] = w->tcp[7] = w->tcp[8] = w->tcp[9] = 0;
	if (w->stamped) {
		w->tcp[6] = w->sack ? BE32(0x0402080a) : BE32(0x0101080a);
		w->tcp[7] = BE32(cookie_stamp(w));
		w->tcp[8] = w->stamp;
		words = 9;
		if (w->wscale != 15) {
			w->tcp[9] = BE32(0x01030300 | (knobs & WEIR_COOKIE_WSCALE));
			words = 10;
		}
	}
	/* 29,200: less than any listener begins with, and twice what a peer sends at first (RFC 6928). */
	w->tcp[3] = BE32(words << 28 | 0x00120000 | 29200);
	return words * 4;
}

/* The answer's IP header, and the checksum of the TCP header that it covers. */
static __always_inline void cookie_network(struct visit *v, __u32 length)
{
	struct cookie_work *w = &v->cookie;
	const struct packet *pkt = &v->pkt;
	__u32 sum;

	if (pkt->family == 4) {
		w->ip[0] = BE32(0x45000000 | (20 + length));
		w->ip[1] = BE32(0x00004000);
		w->ip[2] = BE32(64 << 24 | PROTO_TCP << 16);
		w->ip[3] = pkt->dst.w[3];
		w->ip[4] = pkt->src.w[3];
		w->ip[2] |= cookie_fold(bpf_csum_diff(0, 0, w->ip, 20, 0)) << 16;
		sum = bpf_csum_diff(0, 0, &w->ip[3], 8, BE32(PROTO_TCP + length));
	} else {
		w->ip[0] = BE32(0x60000000);
		w->ip[1] = BE32(length << 16 | PROTO_TCP << 8 | 64);
		__builtin_memcpy(&w->ip[2], &pkt->dst, 16);
		__builtin_memcpy(&w->ip[6], &pkt->src, 16);
		sum = bpf_csum_diff(0, 0, &w->ip[2], 32, BE32(PROTO_TCP + length));
	}
	w->tcp[4] = cookie_fold(bpf_csum_diff(0, 0, w->tcp, 40, sum));
}

/* Where the SYN begins behind the link's header, its TCP header read into the work space; 0 when it cannot be read. */
static __always_inline __u32 cookie_read(struct xdp_md *ctx, struct visit *v)
{
	__u32 l4 = v->pkt.offset & PARSE_MAX_OFFSET, length, l3;
	struct cookie_work *w = &v->cookie;

	if (bpf_xdp_load_bytes(ctx, l4, w->syn, 20))
		return 0;
	length = (w->syn[12] >> 4) * 4;
	if (length < 20)
		return 0;
	*(volatile __u32 *)&w->length = length;
	l3 = l4 + length - v->pkt.headers;
	/* The first 20 bytes again: that the rest is not empty, 6.1 does not see. */
	if (length > 20 && bpf_xdp_load_bytes(ctx, l4, w->syn, length))
		return 0;
	return l3 <= 14 + 4 * PARSE_MAX_TAGS ? l3 : 0;
}

static __always_inline int cookie_write(struct xdp_md *ctx, struct visit *v, __u32 l3, __u32 length)
{
	struct cookie_work *w = &v->cookie;
	__u32 ip = v->pkt.family == 4 ? 20 : 40, was = bpf_xdp_get_buff_len(ctx);
	__u32 size = l3 + ip + length;
	__u8 *mac = w->syn;

	/* No shorter than Ethernet's least, where the SYN was not: not every driver pads. */
	if (size < 60 && was >= 60)
		size = 60;
	if (bpf_xdp_load_bytes(ctx, 0, mac + 6, 6) || bpf_xdp_load_bytes(ctx, 6, mac, 6) ||
	    mac[0] & 1 || /* nobody's address: the answer would go to everybody */
	    bpf_xdp_adjust_tail(ctx, (int)size - (int)was) || bpf_xdp_store_bytes(ctx, 0, mac, 12))
		return -1;
	if (size > l3 + ip + length) {
		__builtin_memset(w->syn, 0, 8);
		if (bpf_xdp_store_bytes(ctx, size - 8, w->syn, 8))
			return -1;
	}
	length &= 63;
	if (length < 20 || length > 40)
		return -1;
	if (bpf_xdp_store_bytes(ctx, l3 + ip, w->tcp, length))
		return -1;
	return ip == 20 ? bpf_xdp_store_bytes(ctx, l3, w->ip, 20)
			: bpf_xdp_store_bytes(ctx, l3, w->ip, 40);
}

/**
 * cookie_answer() - make the SYN in @ctx the SYN-ACK that answers it.
 * Tags stay as they are; TTL 64, no fragment, both checksums in full.
 *
 * Returns XDP_TX, or XDP_DROP where it cannot be answered: nobody passes unproved.
 */
__noinline int cookie_answer(struct xdp_md *ctx, struct visit *v)
{
	struct weir_control *c = control();
	struct weir_cookie *state;
	__u32 l3, length, index;
	__s64 cookie;

	if (!v || !c || !weir_has_cookies || !v->answer)
		return XDP_DROP;
	l3 = cookie_read(ctx, v);
	if (!l3)
		return XDP_DROP;
	cookie_options(v);
	cookie = cookie_make(v);
	if (cookie < 0)
		return XDP_DROP;
	bpf_xdp_adjust_meta(ctx,
			    WEIR_MARK_WORDS * 4); /* the mark is for TC, which does not see it */
	length = cookie_header(v, (__u32)cookie, c->cookie_wscale);
	cookie_network(v, length);
	if (cookie_write(ctx, v, l3, length))
		return XDP_DROP;
	index = v->answer - 1;
	state = bpf_map_lookup_elem(&weir_cookie, &index);
	if (state)
		__sync_fetch_and_add(&state->sent, 1);
	return XDP_TX;
}
#endif

#endif
