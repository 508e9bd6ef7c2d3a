/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Inside the compiler: what one build works on, stage by stage.
 *
 *   sets      lists of addresses that rules name -> sets, each prefix an event       sets.c
 *   classes   prefixes -> address classes, and which sets hold each class            classes.c
 *   trie      prefixes with their classes -> weir_root, weir_node, weir_leaf         trie.c
 *   services  port lists -> service classes; `on` lists -> zones                     services.c, zones.c
 *   ends      classes -> equivalence classes as a source and as a destination        ends.c
 *   vips      service addresses: what rules say of their endpoints                   vips.c
 *   pairs     (source, destination) -> row, the set of rules that meet there         pairs.c
 *   cells     row x service class -> verdict                                         cells.c
 *
 * Sets of things are told apart by a 128-bit sum of what they hold (struct sig): adding and taking away is one
 * addition, so neither a million prefixes nor a hundred thousand rules are ever compared set by set.
 */
#ifndef WEIR_COMPILE_BUILDER_H
#define WEIR_COMPILE_BUILDER_H

#include <stdbool.h>
#include <stddef.h>

#include "compile/compile.h"

#define NR_KINDS WEIR_NR_KINDS

/* ---- signatures and interning (intern.c) ---- */

struct sig {
	__u64 a, b;
};

struct sig sig_of(__u64 what, __u64 salt);
struct sig sig_bytes(const void *data, size_t size);

static inline struct sig sig_add(struct sig x, struct sig y)
{
	return (struct sig){x.a + y.a, x.b + y.b};
}

static inline struct sig sig_sub(struct sig x, struct sig y)
{
	return (struct sig){x.a - y.a, x.b - y.b};
}

static inline bool sig_equal(struct sig x, struct sig y)
{
	return x.a == y.a && x.b == y.b;
}

/** struct intern - signatures numbered in order of first appearance. */
struct intern {
	struct sig *key;
	__u32 *slot; /* index in key + 1 */
	size_t n, nr_slots, capacity;
};

/** intern_get() - number of @key; @ret_fresh (may be NULL): it is new. Returns 0 or -ENOMEM. */
int intern_get(struct intern *intern, struct sig key, __u32 *ret, bool *ret_fresh);
/** intern_find() - number of @key, or WEIR_NONE. */
__u32 intern_find(const struct intern *intern, struct sig key);
void intern_clear(struct intern *intern);

/** struct u32s - a growing list of numbers. */
struct u32s {
	__u32 *at;
	size_t n, capacity;
};
int u32s_add(struct u32s *list, __u32 value);

/* ---- sets (sets.c) ---- */

enum { SET_IN = 0, SET_OUT = 1 }; /* members, except */

/** struct set - a segment or an inline list. Masks hold one bit a kind: is an address of that kind in the set? */
struct set {
	const struct items *list[2]; /* members, except (may be NULL); borrowed */
	struct position at;
	__u32 count[2][NR_KINDS]; /* items that hold the walk's place */
	__u8 base;		  /* mask where no prefix is */
	__u8 mask;		  /* at the walk's place */
	__u8 visited;
	bool used;     /* a rule, limit, list or default names it: it tells classes apart */
	__u32 parents; /* first in sets.parent, or WEIR_NONE */
	__u32 active;  /* place in sets.active while mask != base, else WEIR_NONE */
};

struct set_parent {
	__u32 set;
	__u32 side;
	__u32 next;
};

enum event_what {
	EVENT_LISTED, /* a prefix that a set lists */
	EVENT_UNIT,   /* the number of a unit, which a set lists */
	EVENT_HOLE, /* numbers of units: no other prefix holds them, though it is of the same family */
	EVENT_PROBE, /* an address whose class is asked for; @set is where it goes in probes */
};

/** struct event - what the walk over the addresses meets; left-aligned: IPv4 is the upper 32 bits of @hi. */
struct event {
	__u64 hi, lo;
	__u32 set;
	__u8 length;
	__u8 v6;
	__u8 side;
	__u8 what; /* enum event_what */
};

struct sets {
	struct set *set;
	size_t n, capacity;
	struct set_parent *parent;
	size_t nr_parents, parent_capacity;
	struct event *event;
	size_t nr_events, event_capacity;
	struct intern segment; /* names -> index, which is the set's number */
	struct intern list;    /* inline lists -> number from first_list */
	struct u32s active;
	struct sig sum;		/* of the active sets and their masks */
	struct intern followed; /* (kind, name) of what the environment has, in its order */
	size_t nr_probes;
};

/* ---- address classes (classes.c), trie (trie.c) ---- */

/** struct region - a prefix whose class differs from that of what surrounds it; sorted, outer before inner. */
struct region {
	__u64 hi, lo;
	__u32 class;
	__u8 length;
	__u8 v6;
	__u8 pad[2];
};

struct member {
	__u32 set;
	__u8 mask;
};

struct classes {
	struct region *region;
	size_t nr_regions, region_capacity;
	struct intern intern;
	size_t *
	    first; /* members of class c: first[c] .. first[c + 1] - 1; only sets whose mask is not their base */
	size_t first_capacity;
	struct member *member;
	size_t nr_members, member_capacity;
	__u32 *probe; /* class of each address that was asked for */
};

/* ---- services, zones (services.c, zones.c) ---- */

struct span { /* service indices, inclusive */
	__u32 first, last;
};

/** struct port_set - a distinct port list. @any: covers every service, @first_class lists only what it names. */
struct port_set {
	size_t first_span, nr_spans;	/* what it covers; none when @any */
	size_t first_named, nr_named;	/* what it names by protocol and port */
	size_t first_class, nr_classes; /* in ports.class_of: class * 2 + named */
	bool any;
};

struct fragment_class {
	__u64 *holds; /* bitmap over service classes */
	size_t nr;    /* how many it holds */
};

struct ports {
	struct intern intern; /* port lists */
	struct port_set *set;
	size_t set_capacity;
	struct span *span;
	size_t nr_spans, span_capacity;
	struct u32s class_of;
	/* service classes: real ones first, then those of fragments */
	size_t nr_real, nr_fragments;
	struct fragment_class *fragment;
	__u32 *example; /* one service of each real class */
	__u16 *class;	/* WEIR_NR_SERVICES */
};

struct zones {
	struct intern intern; /* `on` lists */
	const struct names **on;
	size_t on_capacity;
	__u8 *holds; /* zone * intern.n + list */
	size_t nr;
};

/* ---- what meets packets: rules, failsafe services, limits ---- */

enum match_kind {
	MATCH_ALLOW,
	MATCH_DENY,
	MATCH_FAILSAFE,
	MATCH_LIMIT,
	MATCH_PROTECT,
	MATCH_VIP,   /* a service address */
	MATCH_VOICE, /* what a rule says of one of its facets */
};

/** struct match - @on: WEIR_NONE or an `on` list; @next: next of the same group, WEIR_NONE at the end. */
struct match {
	__u32 from, to; /* sets */
	__u32 ports;
	__u32 on;
	__u32 index; /* of the rule, the limit, the entry of `protect:`, the service address */
	__u32 next;
	__u32 facet; /* MATCH_VOICE: whom the rule speaks of */
	__u8 kind;
	bool deny, named; /* MATCH_VOICE: what it says */
};

/* ---- service addresses (vips.c) ---- */

/**
 * struct facet - endpoints of a service address that every rule treats alike; as workloads and as others they are two.
 * @here: they are this node's own, where nothing is judged after NAT; @closed: and its ingress is closed by default
 */
struct facet {
	bool here, closed;
};

/** struct vip - a service address: one entry of `services:`. */
struct vip {
	struct item item; /* its address, as a member of the set */
	struct items member;
	__u32 set, ports;
	size_t first_probe; /* in classes.probe: its endpoints */
	__u32 first_facet, nr_facets;
};

/** struct group - all matches with one (from, to): they meet exactly the same pairs. */
struct group {
	__u32 from, to;
	__u32 first, last;
};

/**
 * struct side - address classes as sources or as destinations.
 *
 * Kinds that no rule tells apart on this side form one group; equivalence classes ("ids") of a group are numbered in
 * a row. A set holds, of each group, either nothing or everything, apart from its exceptions.
 */
struct side {
	__u8 group[NR_KINDS]; /* of a kind */
	size_t nr_groups;
	__u32 start[NR_KINDS + 1]; /* first id of a group */
	__u32 *id;		   /* group * nr_classes + class */
	__u8
	    *base; /* set * NR_KINDS + group: 1: holds all but the exceptions; 2 bits: see ends.c */
	size_t *first; /* set * NR_KINDS + group: exceptions */
	__u32 *exception;
	bool *used; /* sets that stand on this side */
};

static inline __u32 side_ids(const struct side *side)
{
	return side->start[side->nr_groups];
}

struct pair {
	__u32 src, dst, row;
};

struct row { /* pairs stage: groups of the row; cells stage: its cells */
	size_t first;
	size_t n;
};

struct pairs {
	struct intern intern; /* rows */
	struct row *row;
	size_t row_capacity;
	struct u32s groups;
	struct pair
	    *pair; /* pairs whose row is not the default of (group of the source, destination) */
	size_t nr_pairs, pair_capacity;
	__u32 *base; /* dst * NR_KINDS + group of the source: default row */
};

struct cell {
	__u32 column, verdict;
};

struct cells {
	struct intern intern; /* rows by what they say */
	struct row *row;      /* of cells that are not the row's default */
	__u32 *fallback;      /* default verdict of a row */
	size_t row_capacity, fallback_capacity;
	struct cell *cell;
	size_t nr_cells, cell_capacity;
	struct intern verdicts;
	struct weir_verdict *verdict;
	size_t verdict_capacity;
	__u32 *final; /* row of the pairs stage -> row by what it says */
};

/** struct build_options - for tests: the defaults are those of tables_build(). */
struct build_options {
	size_t dense_max; /* entries of a matrix that is dense in any case; 0: never dense */
	size_t max_bytes;
};
/* Measured, random pairs of n sources and destinations: 1,024 x 1,024 dense 6 ns and exact 11, 2,048 x 2,048 13 and 11. */
#define BUILD_DENSE_MAX (1U << 20)

struct builder {
	const struct policy *policy;
	const struct environment *env;
	struct diag *diag;
	struct build_options options;
	struct tables *tables;

	struct sets sets;
	struct classes classes;
	struct ports ports;
	struct zones zones;
	struct match *match;
	size_t nr_matches, match_capacity;
	struct intern group_intern;
	struct group *group;
	size_t group_capacity;
	bool *log;		  /* by rule, limits after rules: passed packets go to the audit */
	__u32 block, never_block; /* sets */
	bool *spared;		/* by set: no limit blocks its members (WEIR_CLASS_NO_AUTOBLOCK) */
	bool watch_cookies;	/* there is an entry of WEIR_PROTECT_NEVER */
	__u32 *segment_default; /* set of each segment_defaults entry */
	struct vip *vip;	/* by service_rule */
	struct facet *facet;
	size_t nr_facets, facet_capacity;
	struct side src, dst;
	struct pairs pairs;
	struct cells cells;
};

int tables_build_with(const struct policy *policy, const struct environment *env,
		      const struct build_options *options, struct tables **ret, struct diag *diag);

/* Each stage needs those above it. All return 0 or -errno with the builder's diag filled. */

/** sets_open() - one set for each segment of the policy. */
int sets_open(struct builder *b);
/** sets_list() - number of the set that is @items; a list that was seen before keeps its number. */
int sets_list(struct builder *b, const struct items *items, __u32 *ret);
/** sets_sig() - what a list says, whatever the order and the place of its items. */
struct sig sets_sig(const struct items *items);
/** sets_vip() - number of the set that is the address of @vip, where that is not this node's own. */
int sets_vip(struct builder *b, struct vip *vip);
/** sets_probe() - the walk is to tell the class of @address; it goes into classes.probe[*@ret]. */
int sets_probe(struct builder *b, const struct prefix *address, size_t *ret);
/** sets_name() - number of the set that is segment @name; -EINVAL when there is none. */
int sets_name(struct builder *b, const char *name, const struct position *at, __u32 *ret);
/** sets_close() - prefixes of every used set into events, and each set's base. */
int sets_close(struct builder *b);
/** sets_shift() - @by more (or fewer) items of @set hold the walk's place, for the kinds in @kinds. */
void sets_shift(struct sets *sets, __u32 set, int side, __u8 kinds, int by);
void sets_clear(struct sets *sets);
extern const struct items items_any, items_self;

int classes_build(struct builder *b);
void classes_clear(struct classes *classes);

int trie_build(struct builder *b);

/** services_list() - number of the port list; @tcp_only: without what is not TCP. */
int services_list(struct builder *b, const struct services *list, bool tcp_only, __u32 *ret);
/** services_includes() - does a port list name @service (index into weir_svc), `any` aside? */
bool services_includes(const struct services *list, __u32 service);
int services_build(struct builder *b);
void services_clear(struct ports *ports);
/** services_text() - "tcp/443" of an index into weir_svc; @size at least 64. */
const char *services_text(__u32 service, char *buffer, size_t size);

/** zones_list() - number of the `on` list, WEIR_NONE when it is empty. */
int zones_list(struct builder *b, const struct names *on, __u32 *ret);
int zones_build(struct builder *b);
void zones_clear(struct zones *zones);

/** matches_build() - rules, failsafe services, limits and service addresses into matches. */
int matches_build(struct builder *b);
/** matches_append() - one more match, as it is. */
int matches_append(struct builder *b, const struct match *match);
/** groups_build() - matches with the same ends into groups. */
int groups_build(struct builder *b);

/** vips_open() - sets, ports and probes of the service addresses; vips_build() - what rules say of the endpoints. */
int vips_open(struct builder *b);
int vips_build(struct builder *b);
void vips_clear(struct builder *b);

/** ends_build() - equivalence classes of both sides. */
int ends_build(struct builder *b);
/** ends_ids() - all ids of @side that @set holds, into @ret (room for side_ids()); returns how many. */
size_t ends_ids(const struct side *side, __u32 set, __u32 *ret);
size_t ends_count(const struct side *side, __u32 set);
void ends_clear(struct side *side);

int pairs_build(struct builder *b);
void pairs_clear(struct pairs *pairs);

int cells_build(struct builder *b);
void cells_clear(struct cells *cells);

/** matrices_build() - pairs and cells into weir_pair(x) and weir_cell(x), weir_verd; the budget is checked first. */
int matrices_build(struct builder *b);

/** class_table_build() - weir_class: ids, flags and default rows of each (kind, class). */
int class_table_build(struct builder *b);

/** limits_build() - weir_limit. */
int limits_build(struct builder *b);
/** limits_bytes() - kernel memory of the limits' state. */
size_t limits_bytes(const struct tables *tables);

/** protects_build() - weir_prot; states are numbered from 0 in the policy's order. */
int protects_build(struct builder *b);

/** rules_build() - weir_rule, weir_file, weir_text. */
int rules_build(struct builder *b);

/* What something is whatever its place in the file: the sum of what it says. */
/** services_sig() - of a port list. chain_id() - parts in their order: from A to B is not from B to A. */
struct sig services_sig(const struct services *list);
__u64 chain_id(__u64 id, struct sig part);

/** build_too_big() - -E2BIG with the numbers so far; @at_least: not everything was counted yet. */
int build_too_big(struct builder *b, size_t bytes, bool at_least);

#endif
