/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bpf/classify.h on what user/compile/trie.c makes: the class of an address is that of the longest prefix that holds it.
 *
 *   prove_stride  one node of stride 6, any children and leaves: the walk finds slot v, for each of the 64
 *   prove_skip    a skip node of any length, and what is left of the address behind it, for all of its 128 bits
 *   prove_trie    build() and classify_walk() as they are, at a stride of TOY bits (a copy of tables.h has it): any PREFIXES
 *                 prefixes of up to WIDTH bits behind the root's, any address
 *
 * By induction over the depth the first two hold for tries of any size: a node is right when its children are.
 */
#include "prove.h"

#include "../../user/compile/trie.c"

#define FOUND 0x1000u /* children of a node under proof answer with this and their number */

static struct weir_node nodes[16];
static __u32 leaves[64];
static struct weir_node child; /* a stride node with one leaf, which is the answer */
static struct weir_leaf answer;

static const struct weir_node *node_at(__u32 index)
{
	if (index < 16)
		return &nodes[index];
	child = (struct weir_node){.leaf = 1, .leaf_base = FOUND + index};
	return &child;
}

static const struct weir_leaf *leaf_at(__u32 pair)
{
	if (pair >= FOUND / 2) {
		answer.class[0] = 2 * pair;
		answer.class[1] = 2 * pair + 1;
		return &answer;
	}
	__CPROVER_assert(pair < 32, "leaves are there");
	answer.class[0] = leaves[2 * pair];
	answer.class[1] = leaves[2 * pair + 1];
	return &answer;
}

#define TABLE_weir_node(index)	      node_at(index)
#define TABLE_weir_leaf(index)	      leaf_at(index)
#define TABLE_weir_root(index)	      ((const struct weir_root *)0)
#define TABLE_weir_cfg(index)	      ((const struct weir_config *)0)
#define TABLE_weir_class(index)	      ((const struct weir_class *)0)
#define TABLE_weir_svc(index)	      ((const struct weir_service *)0)
#define TABLE_weir_pair(index)	      ((const struct weir_dense *)0)
#define TABLE_weir_cell(index)	      ((const struct weir_dense *)0)
#define TABLE_weir_pairx(index)	      ((const struct weir_exact *)0)
#define TABLE_weir_cellx(index)	      ((const struct weir_exact *)0)
#define WEIR_TABLE(name, slot, index) TABLE_##name(index)
#define WEIR_FUNC		      static
#include "classify.h"

/* Room is there: arrays of the size that the proofs need. */
int mem_grow(void *array, size_t n, size_t *capacity, size_t element_size)
{
	if (element_size == sizeof(struct weir_node))
		__CPROVER_assert(n < 16, "nodes have room");
	else
		__CPROVER_assert(n < 64, "leaves have room");
	return 0;
}

static __u32 single[4];
static struct builder builder;

static void begin(struct trie *trie)
{
	builder.options.max_bytes = ~0UL;
	trie->b = &builder;
	trie->node = nodes;
	trie->leaf = leaves;
	trie->single = single;
	for (int i = 0; i < 4; i++)
		single[i] = WEIR_NONE;
}

#ifndef TOY
void prove_stride(void)
{
	struct trie trie = {};
	struct weir_node node = {.node_base = 16};
	__u64 hi = nondet_u64(), lo = nondet_u64();
	__u32 slot[SLOTS], v = hi >> 58, wanted = 0;

	begin(&trie);
	for (__u32 i = 0; i < SLOTS; i++)
		slot[i] = nondet_u8() & 3;
	node.inner = nondet_u64();
	if (add_leaves(&trie, slot, &node))
		return;
	nodes[0] = node;
	for (__u32 i = 0; i < SLOTS; i++)
		if (i < v)
			wanted += node.inner >> i & 1;
	wanted = node.inner >> v & 1 ? FOUND + 16 + wanted : slot[v];
	PROVE(classify_walk(0, 0, hi, lo) == wanted);
	PROVE(trie.nr_leaves <= SLOTS);
	REACHED(1, wanted == FOUND + 16 + 63);
	REACHED(2, node.inner == 0 && trie.nr_leaves == 64);
	REACHED(3, trie.nr_leaves == 1 && wanted == 3);
}

static int bit_of(__u64 hi, __u64 lo, __u32 at)
{
	return at < 64 ? hi >> (63 - at) & 1 : at < 128 ? lo >> (127 - at) & 1 : 0;
}

/* Behind a skip of n bits stands one of 64, which looks at all that was left of the next ones. */
void prove_skip(void)
{
	__u64 hi = nondet_u64(), lo = nondet_u64(), path = nondet_u64(), next = nondet_u64();
	__u32 n = nondet_u8(), wanted = 3;

	ASSUME(n >= 1 && n <= 64);
	nodes[0] = (struct weir_node){
	    .node_base = WEIR_NODE_SKIP, .leaf = n, .inner = path, .miss = 1, .hit = 1};
	nodes[1] = (struct weir_node){.node_base = WEIR_NODE_SKIP,
				      .leaf = 64,
				      .inner = next,
				      .miss = 2,
				      .hit = WEIR_REF_CLASS | 3};
	ASSUME(n == 64 || path >> n == 0);
	for (__u32 i = 0; i < 64; i++)
		if (bit_of(hi, lo, n + i) != (next >> (63 - i) & 1))
			wanted = 2;
	for (__u32 i = 0; i < 64; i++)
		if (i < n && bit_of(hi, lo, i) != (path >> (n - 1 - i) & 1))
			wanted = 1;
	PROVE(classify_walk(0, 0, hi, lo) == wanted);
	REACHED(1, wanted == 3 && n == 64);
	REACHED(2, wanted == 3 && n == 1 && lo);
	REACHED(3, wanted == 2);
}
#else
#ifndef PREFIXES
#define PREFIXES 2
#endif
#ifndef WIDTH
#define WIDTH 4
#endif

static int holds(const struct region *r, __u64 hi)
{
	return r->length == 0 || (r->hi ^ hi) >> (64 - r->length) == 0;
}

/* At position 0: the bits that the root takes are the same for all that hang below it. */
void prove_trie(void)
{
	struct region region[PREFIXES];
	struct trie trie = {.region = region};
	struct built built;
	__u64 hi = (__u64)nondet_u8() << 56;
	__u32 wanted = 0, found, longest = 0, ref;

	begin(&trie);
	for (int i = 0; i < PREFIXES; i++) {
		struct region *r = &region[i];

		*r = (struct region){.hi = (__u64)nondet_u8() << 56,
				     .length = nondet_u8(),
				     .class = nondet_u8() & 3};
		ASSUME(r->length >= 1 && r->length <= WIDTH && r->hi << r->length == 0);
		if (i)
			ASSUME(r->hi > region[i - 1].hi ||
			       (r->hi == region[i - 1].hi && r->length > region[i - 1].length));
		if (holds(r, hi) && r->length > longest) {
			longest = r->length;
			wanted = r->class;
		}
	}
	if (build(&trie, (struct range){0, PREFIXES}, 0, 0, &built))
		return;
	ref = WEIR_REF_CLASS | built.class;
	if (built.is_node)
		add_node(&trie, &built.node, &ref);
	found = classify_walk(0, ref, hi, 0);
	PROVE(found == wanted);
	REACHED(1, wanted == 3 && longest == WIDTH && trie.nr_nodes >= 3);
	REACHED(2, wanted == 0 && trie.nr_nodes == 1);
}
#endif
