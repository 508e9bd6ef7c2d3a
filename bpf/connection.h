/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whose packet is this: flows that weir remembers, and sockets that the kernel knows.
 *
 * weir_flow is set-associative with the expiry in the entry. A newcomer takes the place of an expired entry, else of the
 * oldest that is not assured; of its own owner's where that one has its quota. Assured is what was answered, or for TCP
 * what proved its address: nothing that a flood sends makes weir forget it. Since only part of a set's ways may be assured,
 * there is a place for newcomers as well, and a flood must fill a set's other ways anew within a round trip to push one out.
 */
#ifndef WEIR_CONNECTION_H
#define WEIR_CONNECTION_H

#include "maps.h"
#include "parse.h"
#include "weir/hash.h"

/** struct flow_key - a flow as its opener's end sees it. Wire order. */
struct flow_key {
	union address local;
	union address remote;
	__be16 lport;
	__be16 rport;
	__u8 proto;
	__u8 pad[3];
};

/** flow_key_of() - key of a packet; @inbound: it comes from the remote end. */
static __always_inline void flow_key_of(const struct packet *pkt, int inbound, struct flow_key *key)
{
	key->local = inbound ? pkt->dst : pkt->src;
	key->remote = inbound ? pkt->src : pkt->dst;
	if (pkt->flags & PKT_ECHO) { /* the id belongs to the flow, not to an end */
		key->lport = pkt->sport;
		key->rport = 0;
	} else {
		key->lport = inbound ? pkt->dport : pkt->sport;
		key->rport = inbound ? pkt->sport : pkt->dport;
	}
	key->proto = pkt->proto;
	key->pad[0] = 0;
	key->pad[1] = 0;
	key->pad[2] = 0;
}

static __always_inline __u32 flow_hash(const struct flow_key *key, __u64 seed)
{
	__u64 h = weir_mix(key->local.d[0] ^ seed, seed);

	h = weir_mix(h ^ key->local.d[1], seed);
	h = weir_mix(h ^ key->remote.d[0], seed);
	h = weir_mix(h ^ key->remote.d[1], seed);
	return weir_mix(h ^ (__u64)key->lport << 32 ^ (__u64)key->rport << 16 ^ key->proto, seed);
}

static __always_inline struct weir_flow_set *flow_set(__u32 region, const struct flow_key *key)
{
	struct weir_control *c = control();
	__u32 index;

	if (!c || region >= WEIR_FLOW_REGIONS)
		return 0;
	index = region * WEIR_FLOW_SETS + (flow_hash(key, c->seed) & (WEIR_FLOW_SETS - 1));
	return bpf_map_lookup_elem(&weir_flow, &index);
}

static __always_inline int flow_matches(const struct weir_flow *flow, const struct flow_key *key)
{
	const __u64 *local = (const void *)&flow->local, *remote = (const void *)&flow->remote;

	return local[1] == key->local.d[1] && remote[1] == key->remote.d[1] &&
	       local[0] == key->local.d[0] && remote[0] == key->remote.d[0] &&
	       flow->lport == key->lport && flow->rport == key->rport && flow->proto == key->proto;
}

enum { TCP_FIN = 0x01, TCP_SYN = 0x02, TCP_RST = 0x04, TCP_ACK = 0x10 };

/* How long a flow of this protocol lives after a packet. @state: WEIR_FLOW_* of the entry */
static __always_inline __u64 flow_lifetime_ns(const struct weir_config *config, __u8 proto,
					      __u64 state)
{
	__u32 seconds;

	if (proto == PROTO_TCP || proto == PROTO_SCTP)
		seconds = state & WEIR_FLOW_CLOSING	  ? config->tcp_closing_s
			  : state & WEIR_FLOW_ESTABLISHED ? config->tcp_s
							  : config->half_open_s;
	else if (proto == PROTO_ICMP || proto == PROTO_ICMPV6)
		seconds = config->icmp_s;
	else
		seconds = state & WEIR_FLOW_ESTABLISHED ? config->udp_stream_s : config->udp_s;
	return (__u64)seconds * 1000000000;
}

/**
 * struct flow_use - arguments of the flow functions.
 * @owner:    whose quota; which link, where the address is local to one
 * @mode:     FLOW_*
 * @answers:  the packet comes from the end that did not open
 * @tcp:      TCP_* of the segment
 * @seq, @ack: its numbers
 */
struct flow_use {
	struct flow_key key;
	__u32 slot;
	__u32 region;
	__u32 owner;
	__u32 mode;
	__u32 answers;
	__u32 tcp;
	__u32 seq;
	__u32 ack;
};
#define FLOW_LOOKS 0x1 /* refresh nothing: the packet is about the flow, not of it */
#define FLOW_OPENS 0x2 /* SYN or INIT: an entry that is closing starts anew */

/* Regions where nobody may have more than WEIR_FLOW_QUOTA ways of a set. */
static __always_inline int flow_has_quota(__u32 region)
{
	return region == WEIR_FLOW_WORKLOAD || region == WEIR_FLOW_TRANSIT;
}

/* How far two sequence numbers of a stream may be apart: a forged one is that near once in 8,192 times. */
#define FLOW_NEAR (1U << 18)

static __always_inline int flow_near(__u32 number, __u32 known)
{
	return number - known + FLOW_NEAR <= 2 * FLOW_NEAR;
}

/* The numbers move on; written only now and then, since both directions' CPUs read the line. */
static __always_inline void flow_track(struct weir_flow *flow, const struct flow_use *use)
{
	__u32 opener = use->answers ? use->ack : use->seq;
	__u32 other = use->answers ? use->seq : use->ack;

	if (opener - flow->seq[0] - FLOW_NEAR / 4 <= FLOW_NEAR - FLOW_NEAR / 4)
		flow->seq[0] = opener;
	if (other - flow->seq[1] - FLOW_NEAR / 4 <= FLOW_NEAR - FLOW_NEAR / 4)
		flow->seq[1] = other;
}

static __always_inline void flow_date(struct weir_flow *flow, __u64 now)
{
	__u64 since = now / 1000000000;

	flow->since = since;
	flow->fraction = (now - since * 1000000000) >> 14;
}

/* 1 or 0, without a jump: the verifier would walk every way of eight jumps. */
static __always_inline __u64 flow_live(__u64 expires, __u64 now)
{
	return (now - (expires & ~WEIR_FLOW_BUSY)) >> 63;
}

static __always_inline __u64 flow_has(__u64 expires, __u64 flag)
{
	return (0 - (expires & flag)) >> 63;
}

static __always_inline __u64 flow_equal(__u32 a, __u32 b)
{
	return ((__u64)(a ^ b) - 1) >> 63;
}

/**
 * flow_assure() - an established entry asks not to be replaced: granted while few of its set are.
 *
 * What forged packets can bring about with the help of whom they are sent to (UDP, ICMP), or one workload by itself (TCP
 * that is masqueraded), gets fewer of the ways than TCP in transit, which has proved itself. Returns WEIR_FLOW_ASSURED or 0.
 */
__noinline __u64 flow_assure(const struct weir_flow_set *set, const struct flow_use *use)
{
	__u64 now = now_coarse_ns(), all = 0, own = 0;

	if (!set || !use)
		return 0;
	for (int i = 0; i < WEIR_FLOW_WAYS; i++) {
		__u64 expires = set->way[i].expires;
		__u64 assured = flow_live(expires, now) & flow_has(expires, WEIR_FLOW_ASSURED);

		all += assured;
		own += assured & flow_equal(set->way[i].owner, use->owner);
	}
	if (flow_has_quota(use->region) && own >= WEIR_FLOW_QUOTA - 1)
		return 0;
	return all < (use->key.proto == PROTO_TCP && use->region == WEIR_FLOW_TRANSIT
			  ? WEIR_FLOW_MAX_PROVEN
			  : WEIR_FLOW_MAX_ASSURED)
		   ? WEIR_FLOW_ASSURED
		   : 0;
}

/* A segment of a connection that is not established. Returns its state after it. */
static __always_inline __u64 flow_handshake(struct weir_flow *flow, const struct flow_use *use,
					    __u64 state)
{
	if (use->tcp & TCP_RST) /* refused: what little time it has is enough */
		return state;
	if (use->answers) {
		if (use->tcp & TCP_SYN) {
			flow->seq[1] = use->seq + 1;
			return state | WEIR_FLOW_REPLIED | WEIR_FLOW_HANDSHAKE;
		}
		if (!(state & WEIR_FLOW_HANDSHAKE)) { /* it was there before us */
			flow->seq[1] = use->seq;
			return state | WEIR_FLOW_REPLIED;
		}
		/* Its opener's acknowledgement escaped us: who goes on to send has seen it. */
		if (use->seq == flow->seq[1] || !flow_near(use->seq, flow->seq[1]))
			return state;
		flow->seq[1] = use->seq;
		flow->seq[0] = use->ack;
		return state | WEIR_FLOW_ESTABLISHED;
	}
	flow->seq[0] = use->tcp & TCP_SYN ? use->seq + 1 : use->seq;
	if (!(state & WEIR_FLOW_REPLIED) || !(use->tcp & TCP_ACK))
		return state;
	if (state & WEIR_FLOW_HANDSHAKE ? use->ack != flow->seq[1]
					: !flow_near(use->ack, flow->seq[1]))
		return state;
	flow->seq[1] = use->ack;
	return state | WEIR_FLOW_ESTABLISHED;
}

/**
 * flow_tcp() - what a segment makes of its connection's state.
 *
 * The opener of a connection must acknowledge the number that the other end chose: who forges a source does not see it.
 * FIN and RST count only with a number near those that were seen, a SYN only once the connection is closing.
 */
__noinline __u64 flow_tcp(struct weir_flow *flow, const struct flow_use *use, __u64 state)
{
	if (!flow || !use)
		return state;
	if (use->mode & FLOW_OPENS && state & WEIR_FLOW_CLOSING) {
		flow_date(flow, now_coarse_ns());
		flow->seq[0] = use->seq + 1;
		return 0;
	}
	if (!(state & WEIR_FLOW_ESTABLISHED)) {
		state = flow_handshake(flow, use, state);
		if (!(state & WEIR_FLOW_ESTABLISHED))
			return state;
	}
	if (use->tcp & (TCP_FIN | TCP_RST) &&
	    flow_near(use->seq, use->answers ? flow->seq[1] : flow->seq[0]))
		state |= WEIR_FLOW_CLOSING;
	flow_track(flow, use);
	return state;
}

/* The state of the entry after this packet. */
static __always_inline __u64 flow_next(struct weir_flow_set *set, struct weir_flow *flow,
				       const struct flow_use *use, __u64 state)
{
	if (use->key.proto == PROTO_TCP) {
		if (state & WEIR_FLOW_ASSURED && !(use->tcp & (TCP_SYN | TCP_FIN | TCP_RST))) {
			flow_track(flow, use);
			return state;
		}
		state = flow_tcp(flow, use, state);
	} else if (use->answers) {
		state |= WEIR_FLOW_REPLIED;
		if (use->key.proto != PROTO_SCTP)
			state |= WEIR_FLOW_ESTABLISHED;
	} else if (use->key.proto == PROTO_SCTP && state & WEIR_FLOW_REPLIED &&
		   !(use->mode & FLOW_OPENS)) {
		state |= WEIR_FLOW_ESTABLISHED;
	}
	if ((state & (WEIR_FLOW_ESTABLISHED | WEIR_FLOW_ASSURED)) == WEIR_FLOW_ESTABLISHED)
		state |= flow_assure(set, use);
	return state;
}

/* Is this still the entry that @expires was read from? */
static __always_inline int flow_same(const struct weir_flow *flow, __u64 expires)
{
	return (*(volatile __u64 *)&flow->expires & (WEIR_FLOW_BUSY | WEIR_FLOW_VERSION)) ==
	       (expires & WEIR_FLOW_VERSION);
}

/**
 * flow_seen() - is there a live entry? Brings it up to date, unless FLOW_LOOKS.
 *
 * The word with the expiry is loaded before the key and compared after it: an entry is rewritten with that word marked busy,
 * and its version counted up, so an unchanged version means an unchanged key. What flow_next() notes beside that word
 * may hit the next flow of the place, in the moment of a rewrite: then that one proves itself a packet later.
 * Returns 1 or 0.
 */
__noinline int flow_seen(const struct flow_use *use)
{
	const struct weir_config *config;
	struct weir_flow_set *set;
	__u64 now = now_coarse_ns();

	if (!use)
		return 0;
	config = WEIR_TABLE(weir_cfg, use->slot, 0);
	set = flow_set(use->region, &use->key);
	if (!set || !config)
		return 0;
	for (int i = 0; i < WEIR_FLOW_WAYS; i++) {
		struct weir_flow *flow = &set->way[i];
		__u64 expires = *(volatile __u64 *)&flow->expires, later, state;

		if (expires & WEIR_FLOW_BUSY || expires <= now || !flow_matches(flow, &use->key))
			continue;
		/* Two workloads may have the same address on links of their own; in transit, owners are no links. */
		if (flow->owner != use->owner && use->region != WEIR_FLOW_TRANSIT &&
		    address_link_local6(&use->key.local))
			continue;
		if (use->mode & FLOW_LOOKS || !flow_same(flow, expires))
			return flow_same(flow, expires);
		state = flow_next(set, flow, use, expires & WEIR_FLOW_STATE);
		later = now + flow_lifetime_ns(config, use->key.proto, state);
		later = (later & ~(WEIR_FLOW_STATE | WEIR_FLOW_VERSION)) |
			(expires & WEIR_FLOW_VERSION) | state;
		/* One write a second is enough, unless the state changed. */
		if ((later ^ expires) & WEIR_FLOW_STATE || later > expires + 1000000000 ||
		    later < expires)
			__sync_val_compare_and_swap(&flow->expires, expires, later);
		return flow_same(flow, expires);
	}
	return 0;
}

/**
 * flow_victim() - which way of a set a newcomer may have: an expired one, else the oldest that is not assured; where its
 * owner has its quota, the oldest of that one's. Returns the way's number, WEIR_FLOW_WAYS: none.
 */
__noinline __u32 flow_victim(const struct weir_flow_set *set, const struct flow_use *use)
{
	__u64 now = now_coarse_ns(), owned = 0, best = ~0ULL, own_best = ~0ULL;

	if (!set || !use)
		return WEIR_FLOW_WAYS;
	for (int i = 0; i < WEIR_FLOW_WAYS; i++) {
		const struct weir_flow *flow = &set->way[i];
		__u64 expires = *(volatile __u64 *)&flow->expires;
		__u64 live = flow_live(expires, now);
		__u64 mine = live & flow_equal(flow->owner, use->owner);
		/* Its age and its number; of an expired one the number only, of one that stays as much as can be. */
		__u64 score = (((__u64)flow->since << 24 | flow->fraction << 8) & (0 - live)) | i |
			      (0 - (expires >> 63 | (live & flow_has(expires, WEIR_FLOW_ASSURED))));

		owned += mine;
		if (score < best)
			best = score;
		score |= mine - 1;
		if (score < own_best)
			own_best = score;
	}
	if (flow_has_quota(use->region) && owned >= WEIR_FLOW_QUOTA)
		best = own_best;
	return best == ~0ULL ? WEIR_FLOW_WAYS : best & (WEIR_FLOW_WAYS - 1);
}

/* The entry of a place that is marked busy, for this flow; @was: what its word was before */
static __always_inline void flow_write(const struct weir_config *config, struct weir_flow *flow,
				       const struct flow_use *use, __u64 was, __u64 now)
{
	__u64 expires = now + flow_lifetime_ns(config, use->key.proto, 0);

	flow->local = use->key.local.addr;
	flow->remote = use->key.remote.addr;
	flow->lport = use->key.lport;
	flow->rport = use->key.rport;
	flow->proto = use->key.proto;
	flow->owner = use->owner;
	flow->seq[0] = use->tcp & TCP_SYN ? use->seq + 1 : use->seq;
	flow->seq[1] = use->ack;
	flow_date(flow, now);
	expires = (expires & ~(WEIR_FLOW_STATE | WEIR_FLOW_VERSION)) |
		  ((was + WEIR_FLOW_VERSION_ONE) & WEIR_FLOW_VERSION);
	__sync_lock_test_and_set(&flow->expires, expires);
}

#define FLOW_ROUNDS 4

/**
 * flow_make() - refresh the entry of a flow, or make one; FLOW_LOOKS makes none.
 *
 * Returns 1; 0: no place.
 */
__noinline int flow_make(const struct flow_use *use)
{
	const struct weir_config *config;
	struct weir_flow_set *set;
	__u64 now = now_coarse_ns();

	if (!use)
		return 0;
	if (flow_seen(use) || use->mode & FLOW_LOOKS)
		return 1;
	config = WEIR_TABLE(weir_cfg, use->slot, 0);
	set = flow_set(use->region, &use->key);
	if (!set || !config)
		return 0;
	for (int i = 0; i < FLOW_ROUNDS; i++) {
		__u32 way = flow_victim(set, use);
		struct weir_flow *flow;
		__u64 was;

		if (way >= WEIR_FLOW_WAYS)
			return 0;
		flow = &set->way[way];
		was = *(volatile __u64 *)&flow->expires;
		if (was & WEIR_FLOW_BUSY || (was > now && was & WEIR_FLOW_ASSURED))
			continue;
		if (__sync_val_compare_and_swap(&flow->expires, was, WEIR_FLOW_BUSY) != was)
			continue;
		flow_write(config, flow, use, was, now);
		return 1;
	}
	return 0;
}

/* What the kernel's socket table says about a packet. */
enum socket_answer {
	SOCKET_NONE = 0,
	SOCKET_FROM_OUTSIDE = 1, /* a listener has the local port: the peer opened */
	SOCKET_FROM_INSIDE = 2,
};

/**
 * struct socket_query - the local end's tuple, wire order; @netns: nsid, or BPF_F_CURRENT_NETNS; @waits: what was found
 * is in TIME_WAIT
 */
struct socket_query {
	struct bpf_sock_tuple tuple; /* saddr, sport: the peer; daddr, dport: the local end */
	__u32 v6;
	__u64 netns;
	__u64 waits;
};

static __always_inline void socket_query_of(const union address *peer, __be16 pport,
					    const union address *local, __be16 lport, __u8 family,
					    __s32 nsid, struct socket_query *query)
{
	__builtin_memset(query, 0, sizeof(*query));
	if (family == 4) {
		query->tuple.ipv4.saddr = peer->w[3];
		query->tuple.ipv4.daddr = local->w[3];
		query->tuple.ipv4.sport = pport;
		query->tuple.ipv4.dport = lport;
	} else {
		__builtin_memcpy(query->tuple.ipv6.saddr, peer, 16);
		__builtin_memcpy(query->tuple.ipv6.daddr, local, 16);
		query->tuple.ipv6.sport = pport;
		query->tuple.ipv6.dport = lport;
		query->v6 = 1;
	}
	query->netns = nsid < 0 ? (__u64)BPF_F_CURRENT_NETNS : (__u64)nsid;
}

enum { SOCKET_ABSENT, SOCKET_LISTENS, SOCKET_CONNECTED };

/* One lookup in the TCP table; it falls back to listeners when no connection has the tuple. */
static __always_inline int socket_tcp_find(void *ctx, struct socket_query *query)
{
	struct bpf_sock *sk;
	int listens;

	if (query->v6)
		sk = bpf_skc_lookup_tcp(ctx, &query->tuple, sizeof(query->tuple.ipv6), query->netns,
					0);
	else
		sk = bpf_skc_lookup_tcp(ctx, &query->tuple, sizeof(query->tuple.ipv4), query->netns,
					0);
	if (!sk)
		return SOCKET_ABSENT;
	listens = sk->state == BPF_TCP_LISTEN;
	query->waits = sk->state == BPF_TCP_TIME_WAIT;
	bpf_sk_release(sk);
	return listens ? SOCKET_LISTENS : SOCKET_CONNECTED;
}

/*
 * A connection's socket does not say who opened it: where a listener has the local port, in the same namespace, the
 * peer did; otherwise the local end did.
 */
static __always_inline enum socket_answer socket_tcp(void *ctx, struct socket_query *query)
{
	if (socket_tcp_find(ctx, query) != SOCKET_CONNECTED)
		return SOCKET_NONE;
	if (query->v6)
		query->tuple.ipv6.sport = 0;
	else
		query->tuple.ipv4.sport = 0;
	return socket_tcp_find(ctx, query) == SOCKET_LISTENS ? SOCKET_FROM_OUTSIDE
							     : SOCKET_FROM_INSIDE;
}

/* Whether a connected UDP socket has exactly this tuple. */
static __always_inline int socket_udp(void *ctx, struct socket_query *query)
{
	struct bpf_sock *sk;
	int connected;

	if (query->v6)
		sk = bpf_sk_lookup_udp(ctx, &query->tuple, sizeof(query->tuple.ipv6), query->netns,
				       0);
	else
		sk = bpf_sk_lookup_udp(ctx, &query->tuple, sizeof(query->tuple.ipv4), query->netns,
				       0);
	if (!sk)
		return 0;
	connected = sk->state == BPF_TCP_ESTABLISHED;
	bpf_sk_release(sk);
	return connected;
}

#endif
