// SPDX-License-Identifier: GPL-2.0-only
/* Regions -> compressed multibit trie (poptrie, Asai and Ohara, SIGCOMM 2015), with skip nodes for chains. */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "compile/builder.h"

#define SLOTS (1U << WEIR_STRIDE)

struct trie {
	struct builder *b;
	const struct region *region;
	struct weir_node *node;
	size_t nr_nodes, node_capacity;
	__u32 *leaf;
	size_t nr_leaves, leaf_capacity;
	__u32 *
	    single; /* class -> a leaf that holds it, for nodes with one leaf; WEIR_NONE: none yet */
};

/* What stands at a place of the trie: one class, or a node that is not placed yet. */
struct built {
	bool is_node;
	__u32 class;
	struct weir_node node;
};

struct range { /* regions first .. last - 1, all inside the place and longer than its position */
	size_t first, last;
};

/* @n (1..64) bits of the region's address from position @pos on; bits beyond the address are 0. */
static __u64 bits_at(const struct region *r, unsigned int pos, unsigned int n)
{
	__u64 word;

	if (pos >= 128)
		return 0;
	if (pos == 0)
		word = r->hi;
	else if (pos < 64)
		word = r->hi << pos | r->lo >> (64 - pos);
	else
		word = r->lo << (pos - 64);
	return word >> (64 - n);
}

static unsigned int common_bits(const struct region *a, const struct region *b)
{
	if (a->hi != b->hi)
		return __builtin_clzll(a->hi ^ b->hi);
	return a->lo == b->lo ? 128 : 64 + __builtin_clzll(a->lo ^ b->lo);
}

static int add_node(struct trie *trie, const struct weir_node *node, __u32 *ret)
{
	if (mem_grow(&trie->node, trie->nr_nodes, &trie->node_capacity, sizeof(*node)))
		return -ENOMEM;
	if (trie->nr_nodes * sizeof(*node) * WEIR_NR_SLOTS > trie->b->options.max_bytes)
		return build_too_big(trie->b, trie->nr_nodes * sizeof(*node) * WEIR_NR_SLOTS, true);
	*ret = trie->nr_nodes;
	trie->node[trie->nr_nodes++] = *node;
	return 0;
}

static int add_leaf(struct trie *trie, __u32 class)
{
	if (mem_grow(&trie->leaf, trie->nr_leaves, &trie->leaf_capacity, sizeof(__u32)))
		return -ENOMEM;
	trie->leaf[trie->nr_leaves++] = class;
	return 0;
}

static int build(struct trie *trie, struct range range, unsigned int pos, __u32 class,
		 struct built *ret);

/* All regions of the range share the next @n bits. */
static int build_skip(struct trie *trie, struct range range, unsigned int pos, unsigned int n,
		      __u32 class, struct built *ret)
{
	const struct region *first = &trie->region[range.first];
	__u64 path = bits_at(first, pos, n);
	__u32 inside = class;
	struct built hit;
	int err;

	if (first->length == pos + n) {
		inside = first->class;
		range.first++;
	}
	err = build(trie, range, pos + n, inside, &hit);
	if (err)
		return err;
	*ret = (struct built){.class = class};
	if (!hit.is_node && hit.class == class)
		return 0;
	ret->is_node = true;
	ret->node = (struct weir_node){
	    .inner = path, .leaf = n, .miss = class, .node_base = WEIR_NODE_SKIP};
	ret->node.hit = WEIR_REF_CLASS | hit.class;
	return hit.is_node ? add_node(trie, &hit.node, &ret->node.hit) : 0;
}

/* Regions that end within the stride paint their slots; the others become each slot's range. */
static void sort_slots(const struct trie *trie, struct range range, unsigned int pos,
		       __u32 slot[SLOTS], struct range inner[SLOTS])
{
	for (size_t i = range.first; i < range.last; i++) {
		const struct region *r = &trie->region[i];
		__u32 v = bits_at(r, pos, WEIR_STRIDE);

		if (r->length <= pos + WEIR_STRIDE) {
			for (__u32 n = 1U << (pos + WEIR_STRIDE - r->length); n > 0; n--)
				slot[v++] = r->class;
			continue;
		}
		if (inner[v].first == inner[v].last)
			inner[v].first = i;
		inner[v].last = i + 1;
	}
}

static int add_leaves(struct trie *trie, const __u32 slot[SLOTS], struct weir_node *node)
{
	__u32 last = WEIR_NONE;

	node->leaf_base = trie->nr_leaves;
	for (__u32 v = 0; v < SLOTS; v++) {
		if (node->inner >> v & 1 || (node->leaf && slot[v] == last))
			continue;
		last = slot[v];
		node->leaf |= 1ULL << v;
		if (add_leaf(trie, last))
			return -ENOMEM;
	}
	if (__builtin_popcountll(node->leaf) != 1)
		return 0;
	if (trie->single[last] == WEIR_NONE)
		trie->single[last] = node->leaf_base;
	else
		trie->nr_leaves--;
	node->leaf_base = trie->single[last];
	return 0;
}

static bool uniform(const __u32 slot[SLOTS])
{
	for (__u32 v = 1; v < SLOTS; v++)
		if (slot[v] != slot[0])
			return false;
	return true;
}

static int build_stride(struct trie *trie, struct range range, unsigned int pos, __u32 class,
			struct built *ret)
{
	struct weir_node child[SLOTS], node = {0};
	struct range inner[SLOTS] = {{0, 0}};
	__u32 slot[SLOTS], placed, n = 0;

	for (__u32 v = 0; v < SLOTS; v++)
		slot[v] = class;
	sort_slots(trie, range, pos, slot, inner);
	for (__u32 v = 0; v < SLOTS; v++) {
		struct built built;
		int err;

		if (inner[v].first == inner[v].last)
			continue;
		err = build(trie, inner[v], pos + WEIR_STRIDE, slot[v], &built);
		if (err)
			return err;
		slot[v] = built.class;
		if (built.is_node) {
			node.inner |= 1ULL << v;
			child[n++] = built.node;
		}
	}
	*ret = (struct built){.class = slot[0]};
	if (!node.inner && uniform(slot))
		return 0;
	node.node_base = trie->nr_nodes;
	for (__u32 i = 0; i < n; i++) {
		int err = add_node(trie, &child[i], &placed);

		if (err)
			return err;
	}
	ret->is_node = true;
	ret->node = node;
	return add_leaves(trie, slot, &ret->node);
}

/*
 * Depth stays below WEIR_MAX_DEPTH: every node takes at least 6 bits, but for a skip to a class, which is the last.
 */
static int build(struct trie *trie, struct range range, unsigned int pos, __u32 class,
		 struct built *ret)
{
	const struct region *first = &trie->region[range.first];
	unsigned int n;

	if (range.first == range.last) {
		*ret = (struct built){.class = class};
		return 0;
	}
	/* Outer before inner: when any region is shorter than what all share, it is the first. */
	n = common_bits(first, &trie->region[range.last - 1]);
	n = (n < first->length ? n : first->length) - pos;
	if (n > 64)
		n = 64;
	if (n >= WEIR_STRIDE || (range.last - range.first == 1 && n > 0))
		return build_skip(trie, range, pos, n, class, ret);
	return build_stride(trie, range, pos, class, ret);
}

/* One family: regions up to /16 paint the roots, the others hang below them. */
static int build_family(struct trie *trie, struct range range, struct weir_root *root)
{
	static const unsigned int nr = 1U << WEIR_ROOT_BITS;
	__u32 *ref = root->ref;

	for (__u32 v = 0; v < nr; v++)
		ref[v] = WEIR_REF_CLASS;
	for (size_t i = range.first, next; i < range.last; i = next) {
		const struct region *r = &trie->region[i];
		__u32 v = bits_at(r, 0, WEIR_ROOT_BITS);
		struct built built;
		int err;

		next = i + 1;
		if (r->length <= WEIR_ROOT_BITS) {
			for (__u32 n = 1U << (WEIR_ROOT_BITS - r->length); n > 0; n--)
				ref[v++] = WEIR_REF_CLASS | r->class;
			continue;
		}
		while (next < range.last && bits_at(&trie->region[next], 0, WEIR_ROOT_BITS) == v)
			next++;
		err = build(trie, (struct range){i, next}, WEIR_ROOT_BITS, ref[v] & ~WEIR_REF_CLASS,
			    &built);
		if (err)
			return err;
		ref[v] = WEIR_REF_CLASS | built.class;
		err = built.is_node ? add_node(trie, &built.node, &ref[v]) : 0;
		if (err)
			return err;
	}
	return 0;
}

static int finish(struct trie *trie)
{
	struct tables *tables = trie->b->tables;
	size_t entries;

	/* An array map has at least one entry; nothing refers to these. */
	if (!trie->nr_nodes && add_node(trie, &(struct weir_node){0}, &(__u32){0}))
		return -ENOMEM;
	if (trie->nr_leaves == 0 && add_leaf(trie, 0))
		return -ENOMEM;
	if (trie->nr_leaves % 2 && add_leaf(trie, 0))
		return -ENOMEM;
	entries = trie->nr_leaves / 2;
	tables->weir_node = TAKE_PTR(trie->node);
	tables->nr_weir_node = trie->nr_nodes;
	tables->weir_leaf = (struct weir_leaf *)TAKE_PTR(trie->leaf);
	tables->nr_weir_leaf = entries;
	return 0;
}

int trie_build(struct builder *b)
{
	struct trie trie = {.b = b, .region = b->classes.region};
	struct tables *tables = b->tables;
	size_t nr_v4 = 0;
	int err = -ENOMEM;

	tables->weir_root = calloc(WEIR_NR_ROOTS, sizeof(*tables->weir_root));
	tables->nr_weir_root = WEIR_NR_ROOTS;
	trie.single = malloc(b->classes.intern.n * sizeof(__u32));
	if (tables->weir_root && trie.single) {
		memset(trie.single, 0xff, b->classes.intern.n * sizeof(__u32));
		while (nr_v4 < b->classes.nr_regions && !b->classes.region[nr_v4].v6)
			nr_v4++;
		err = build_family(&trie, (struct range){0, nr_v4}, tables->weir_root);
		if (!err)
			err = build_family(&trie, (struct range){nr_v4, b->classes.nr_regions},
					   tables->weir_root + WEIR_NR_ROOTS / 2);
	}
	if (!err)
		err = finish(&trie);
	free(trie.node);
	free(trie.leaf);
	free(trie.single);
	return err;
}
