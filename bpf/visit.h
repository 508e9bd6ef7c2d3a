/* SPDX-License-Identifier: GPL-2.0-only */
/* One packet at one hook: what is known about it, and what is decided. */
#ifndef WEIR_VISIT_H
#define WEIR_VISIT_H

#include "maps.h" /* first: says how tables are reached */

#include "classify.h"
#include "connection.h"
#include "parse.h"

/* Context type of the programs in this object; out-of-line functions take it by its own type. */
#ifndef WEIR_CTX
#error "say which context the programs have"
#endif

/** struct nat_flow - a flow as its opener sent it, before NAT. Wire order. */
struct nat_flow {
	union address src;
	union address dst;
	__be16 sport;
	__be16 dport;
};

/**
 * struct cookie_work - a SYN and the answer to it, for cookie.h.
 * @syn:    its TCP header, @length bytes of it; @next: offset of the option to be read
 * @mss, @wscale, @sack, @stamped, @stamp: what the options say, see cookie_options()
 * @ip, @tcp: headers, wire order
 */
struct cookie_work {
	__u8 syn[64];
	__u32 length;
	__u32 next;
	__u32 stamp;
	__u16 mss;
	__u8 wscale;
	__u8 sack;
	__u8 stamped;
	__u8 pad[3];
	__be32 ip[10];
	__be32 tcp[10];
};

/**
 * struct visit - scratch space of one program run, in a per-CPU map because the stack is too small for it.
 * @slot, @generation: of the policy that judges; the word is read once
 * @ifindex:  interface of the hook
 * @arrived:  interface by which the packet came to this node; 0: made here
 * @src, @dst: indices into weir_class: kind * nr_classes + class
 * @own, @unit: our end as @src or @dst has it, and what its socket's unit is in the same rows; @unit 0: none
 * @nsid:     namespace of the workload behind this hook: nsid_of()
 * @segments, @bytes: wire packets and their IP total lengths (more than one for an aggregate)
 * @rule:     counter index of what decided, WEIR_NONE while nothing did
 * @limit:    counter index of the limit that refused
 * @notice:   WEIR_* reason of an extra event (enum weir_reason), 0: none
 * @direction, @home: of the home that judged last
 * @reply:    the packet belongs to a flow that its destination opened
 * @why:      enum weir_reason; passes through here, so that what follows is verified once
 * @applies:  bit i: the verdict's limit i counts this packet here
 * @hold:     HOLD_ENTRY: another home judges after this one, so an entry waits in @held; HOLD_HELD: it does
 * @answer:   the SYN is answered with a cookie: index + 1 into weir_cookie
 * @touched:  index of the limit whose key and bucket are in @key and @bucket, WEIR_NONE: none
 * @behind:   which end of the packet NAT shows an address of ours for, BEHIND_*: its own is nat.src
 * @way:      enum nat_way, once it was asked for
 * @elsewhere: the frame is for another's MAC: judged, but nothing is remembered of it or charged
 * @nat:      what conntrack says, not zeroed
 * @mac:      an interface and its MAC, as found last; not zeroed
 * @fib:      question to the kernel's routes, and its answer; not zeroed
 * @use, @query, @held: arguments of look-ups under way or to come, not zeroed
 */
#define BEHIND_SRC    1
#define BEHIND_DST    2
#define BEHIND_NOBODY 3 /* an address of ours as a source, and nobody knows for whom: class 0 */
#define NSID_UNASKED  -2
#define HOLD_ENTRY    1
#define HOLD_HELD     2
struct visit {
	struct packet pkt;
	__u32 slot;
	__u32 generation;
	__u32 ifindex;
	__u32 arrived;
	__u32 src;
	__u32 dst;
	__u32 own;
	__u32 unit;
	__u32 zone;
	__u32 segments;
	__u32 bytes;
	__u32 rule;
	__u32 limit;
	__s32 nsid;
	__u16 notice;
	__u8 hook;
	__u8 direction;
	__u8 home;
	__u8 src_kind;
	__u8 dst_kind;
	__u8 reply;
	__u8 log;
	__u8 why;
	__u8 hold;
	__u8 behind;
	__u8 way;
	__u8 elsewhere;
	__u8 answer;
	__u16 applies;
	__u32 touched;
	__u32 bucket;
	__u64 key[2];
	struct flow_use use;
	struct socket_query query;
	struct flow_use held;
	struct nat_flow nat;
	struct {
		__u32 ifindex;
		__u32 mac;
		__u16 mac_end;
	} mac;
	struct bpf_fib_lookup fib;
	struct cookie_work cookie;
};

/*
 * Whom classes, blocks, limits and events mean by the packet's ends. Flows and sockets know them as the packet has them.
 */
static __always_inline const union address *source_of(const struct visit *v)
{
	return v->behind == BEHIND_SRC ? &v->nat.src : &v->pkt.src;
}

static __always_inline const union address *destination_of(const struct visit *v)
{
	return v->behind == BEHIND_DST ? &v->nat.src : &v->pkt.dst;
}

struct scratch {
	struct visit visit;
	struct weir_event event;
};

WEIR_PERCPU(weir_scratch, struct scratch, 1);

/*
 * The generation word: which slot judges. The first packet past a trial's deadline swaps it back, also when every weir
 * process is dead; a fallback is a generation of its own, so that nothing mistakes it for the one before the trial.
 * A first policy on trial falls back to a slot that holds none: generation 0, everything passes as before it.
 */
static __always_inline __u64 word_read(struct weir_control *c)
{
	__u64 word = *(volatile __u64 *)&c->word, generation, back, was;
	const struct weir_config *config;

	if (!(word & WEIR_WORD_PENDING))
		return word;
	if (now_boot_ns() / 1000000 < word >> WEIR_WORD_DEADLINE_SHIFT)
		return word;
	generation = ((word >> WEIR_WORD_GEN_SHIFT) + 1) & WEIR_WORD_GEN_MASK;
	if (!generation)
		generation = 1;
	config = WEIR_TABLE(weir_cfg, !(word & WEIR_WORD_SLOT), 0);
	if (!config || !config->generation)
		generation = 0;
	back = ((word & WEIR_WORD_SLOT) ^ WEIR_WORD_SLOT) | generation << WEIR_WORD_GEN_SHIFT;
	was = __sync_val_compare_and_swap(&c->word, word, back);
	return was == word ? back : was;
}

/** visit_begin() - scratch space, zeroed, with the slot that judges; NULL: no policy was ever applied, pass. */
static __always_inline struct visit *visit_begin(__u8 hook, __u32 ifindex)
{
	struct weir_control *c = control();
	struct scratch *scratch;
	__u32 zero = 0;
	struct visit *v;
	__u64 word;

	scratch = bpf_map_lookup_elem(&weir_scratch, &zero);
	if (!c || !scratch)
		return 0;
	v = &scratch->visit;
	word = word_read(c);
	if (!(word >> WEIR_WORD_GEN_SHIFT & WEIR_WORD_GEN_MASK))
		return 0;
	__builtin_memset(v, 0, __builtin_offsetof(struct visit, use));
	v->slot = word & WEIR_WORD_SLOT;
	v->generation = word >> WEIR_WORD_GEN_SHIFT & WEIR_WORD_GEN_MASK;
	v->hook = hook;
	v->ifindex = ifindex;
	v->rule = WEIR_NONE;
	v->limit = WEIR_NONE;
	v->touched = WEIR_NONE;
	v->nsid = NSID_UNASKED;
	v->segments = 1;
	v->direction = WEIR_DIR_NONE;
	v->home = WEIR_NR_HOMES;
	return v;
}

static __always_inline __u32 visit_class_of(const struct visit *v, const union address *a,
					    __u8 family)
{
	if (family == 4)
		return classify_address(v->slot, 0, (__u64)BE32(a->w[3]) << 32, 0);
	return classify_address(v->slot, 1, BE64(a->d[0]), BE64(a->d[1]));
}

static __always_inline struct weir_local *local_find(const union address *a, __u32 ifindex)
{
	struct weir_local_key key;

	key.address = a->addr;
	key.scope = address_link_local6(a) ? ifindex : 0;
	return bpf_map_lookup_elem(&weir_local, &key);
}

static __always_inline struct weir_iface *iface_find(__u32 ifindex)
{
	return bpf_map_lookup_elem(&weir_iface, &ifindex);
}

/* Namespace of the workload behind this hook, -1 when not known. Asked for only where sockets are. */
static __always_inline __s32 nsid_of(struct visit *v)
{
	if (v->nsid == NSID_UNASKED) {
		const struct weir_iface *iface = iface_find(v->ifindex);

		v->nsid = iface ? iface->nsid : -1;
	}
	return v->nsid;
}

static __always_inline void count(struct weir_count *c, const struct visit *v, int passed)
{
	if (!c)
		return;
	if (passed) {
		c->passed_packets += v->segments;
		c->passed_bytes += v->bytes;
	} else {
		c->dropped_packets += v->segments;
		c->dropped_bytes += v->bytes;
	}
}

#endif
