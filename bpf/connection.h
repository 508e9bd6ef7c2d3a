/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whose packet is this: flows that weir remembers, and sockets that the kernel knows.
 *
 * weir_flow is set-associative with the expiry in the entry: only expired entries are replaced, so nothing that a
 * flood sends makes weir forget a live flow; a full set, or an owner's quota in it, refuses the newcomer.
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

/* How long a flow of this protocol lives after a packet. @flags: WEIR_FLOW_* of the entry */
static __always_inline __u64 flow_lifetime_ns(const struct weir_config *config, __u8 proto,
					      __u8 flags)
{
	__u32 seconds;

	if (proto == PROTO_TCP || proto == PROTO_SCTP)
		seconds = flags & WEIR_FLOW_CLOSING   ? config->tcp_closing_s
			  : flags & WEIR_FLOW_REPLIED ? config->tcp_s
						      : config->half_open_s;
	else if (proto == PROTO_ICMP || proto == PROTO_ICMPV6)
		seconds = config->icmp_s;
	else
		seconds = flags & WEIR_FLOW_REPLIED ? config->udp_stream_s : config->udp_s;
	return (__u64)seconds * 1000000000;
}

/** struct flow_use - arguments of the flow functions. */
struct flow_use {
	struct flow_key key;
	__u32 slot;
	__u32 region;
	__u32 owner;	 /* whose quota; which link, where the address is local to one */
	__u32 set_flags; /* flow_seen(): WEIR_FLOW_* that this packet adds */
	__u32 mode;	 /* FLOW_* */
};
#define FLOW_LOOKS   0x1 /* refresh nothing: the packet is about the flow, not of it */
#define FLOW_REOPENS 0x2 /* an entry that is closing starts anew */

/**
 * flow_seen() - is there a live entry? Refreshes it, unless FLOW_LOOKS.
 *
 * The expiry is loaded before and compared after the key: an entry is rewritten only after it expired, with its expiry
 * marked busy meanwhile, so an unchanged expiry means an unchanged key. Returns 1 or 0.
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
		__u64 expires = *(volatile __u64 *)&flow->expires, later;
		__u8 flags;

		if (expires & WEIR_FLOW_BUSY || expires <= now || !flow_matches(flow, &use->key))
			continue;
		/* Two workloads may have the same address on links of their own. */
		if (flow->owner != use->owner && address_link_local6(&use->key.local))
			continue;
		flags = flow->flags;
		if (use->mode & FLOW_REOPENS && flags & WEIR_FLOW_CLOSING)
			flags = 0;
		flags |= use->set_flags;
		if (use->mode & FLOW_LOOKS) {
			if (*(volatile __u64 *)&flow->expires == expires)
				return 1;
			continue;
		}
		if (flags != flow->flags)
			flow->flags = flags;
		later = now + flow_lifetime_ns(config, use->key.proto, flags);
		/* One write a second is enough, unless the state changed the lifetime. */
		if (later > expires + 1000000000 || later < expires)
			return __sync_val_compare_and_swap(&flow->expires, expires, later) ==
				   expires ||
			       flow_matches(flow, &use->key);
		if (*(volatile __u64 *)&flow->expires == expires)
			return 1;
	}
	return 0;
}

/**
 * flow_make() - refresh the entry of a flow, or make one.
 *
 * At most WEIR_FLOW_QUOTA ways of a set belong to one owner (regions of workloads and transit), so that one of them
 * cannot fill the table for the others. Returns 1; 0: no place.
 */
__noinline int flow_make(const struct flow_use *use)
{
	const struct weir_config *config;
	struct weir_flow_set *set;
	__u64 now = now_coarse_ns();
	__u32 owned = 0;

	if (!use)
		return 0;
	config = WEIR_TABLE(weir_cfg, use->slot, 0);
	set = flow_set(use->region, &use->key);
	if (!set || !config)
		return 0;
	if (flow_seen(use))
		return 1;
	for (int i = 0; i < WEIR_FLOW_WAYS; i++) {
		const struct weir_flow *flow = &set->way[i];

		if (flow->owner == use->owner && (flow->expires & ~WEIR_FLOW_BUSY) > now)
			owned++;
	}
	if (owned >= WEIR_FLOW_QUOTA &&
	    (use->region == WEIR_FLOW_WORKLOAD || use->region == WEIR_FLOW_TRANSIT))
		return 0;
	for (int i = 0; i < WEIR_FLOW_WAYS; i++) {
		struct weir_flow *flow = &set->way[i];
		__u64 expires = *(volatile __u64 *)&flow->expires;

		if (expires & WEIR_FLOW_BUSY || expires > now)
			continue;
		if (__sync_val_compare_and_swap(&flow->expires, expires, WEIR_FLOW_BUSY) != expires)
			continue;
		flow->local = use->key.local.addr;
		flow->remote = use->key.remote.addr;
		flow->lport = use->key.lport;
		flow->rport = use->key.rport;
		flow->proto = use->key.proto;
		flow->flags = 0;
		flow->owner = use->owner;
		flow->since = now / 1000000000;
		__sync_lock_test_and_set(&flow->expires,
					 now + flow_lifetime_ns(config, use->key.proto, 0));
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

/** struct socket_query - the local end's tuple, wire order; @netns: nsid, or BPF_F_CURRENT_NETNS */
struct socket_query {
	struct bpf_sock_tuple tuple; /* saddr, sport: the peer; daddr, dport: the local end */
	__u32 v6;
	__u64 netns;
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
