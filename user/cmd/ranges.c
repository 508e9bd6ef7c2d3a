// SPDX-License-Identifier: GPL-2.0-only
#include "cmd/ranges.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static int compare(const struct weir_addr *a, const struct weir_addr *b)
{
	return memcmp(a->byte, b->byte, sizeof(a->byte));
}

static int compare_ranges(const void *left, const void *right)
{
	const struct range *a = left, *b = right;

	return a->v6 != b->v6 ? a->v6 - b->v6 : compare(&a->first, &b->first);
}

/* @a ends before @b begins. */
static bool before(const struct range *a, const struct range *b)
{
	return a->v6 != b->v6 ? a->v6 < b->v6 : compare(&a->last, &b->first) < 0;
}

/* One up or down; false where there is none. */
static bool step(struct weir_addr *address, int by)
{
	for (int i = 15; i >= 0; i--) {
		address->byte[i] = (__u8)(address->byte[i] + by);
		if (address->byte[i] != (by > 0 ? 0 : 0xff))
			return true;
	}
	return false;
}

struct range prefix_range(const struct prefix *prefix)
{
	unsigned int bits = prefix->v6 ? prefix->length : 96U + prefix->length;
	struct range range = {prefix->address, prefix->address, prefix->v6};

	for (unsigned int i = bits; i < 128; i++)
		range.last.byte[i / 8] |= (__u8)(0x80 >> i % 8);
	return range;
}

static int add(struct ranges *ranges, struct range range)
{
	int err = mem_grow(&ranges->range, ranges->n, &ranges->capacity, sizeof(range));

	if (err)
		return err;
	ranges->range[ranges->n++] = range;
	return 0;
}

static int add_prefix(struct ranges *ranges, const struct prefix *prefix)
{
	return add(ranges, prefix_range(prefix));
}

/* Two ranges meet when they overlap, or when one begins where the other ends. */
static bool meets(const struct range *a, const struct range *b)
{
	struct weir_addr next = a->last;

	if (a->v6 != b->v6)
		return false;
	return compare(&b->first, &a->last) <= 0 || (step(&next, 1) && !compare(&next, &b->first));
}

static void join(struct ranges *ranges)
{
	size_t to = 0;

	if (!ranges->n)
		return;
	qsort(ranges->range, ranges->n, sizeof(*ranges->range), compare_ranges);
	for (size_t i = 1; i < ranges->n; i++) {
		struct range *last = &ranges->range[to];

		if (!meets(last, &ranges->range[i]))
			ranges->range[++to] = ranges->range[i];
		else if (compare(&ranges->range[i].last, &last->last) > 0)
			last->last = ranges->range[i].last;
	}
	ranges->n = to + 1;
}

/* @from without @less; both joined. */
static int subtract(struct ranges *from, const struct ranges *less)
{
	struct ranges rest = {};
	int err = 0;

	for (size_t i = 0; i < from->n && !err; i++) {
		struct range left = from->range[i];
		bool any = true;

		for (size_t j = 0; j < less->n && any && !err; j++) {
			const struct range *cut = &less->range[j];
			struct range below = left;

			if (before(cut, &left) || before(&left, cut))
				continue;
			if (compare(&cut->first, &left.first) > 0) {
				below.last = cut->first;
				step(&below.last, -1);
				err = add(&rest, below);
			}
			any = compare(&cut->last, &left.last) < 0;
			left.first = cut->last;
			step(&left.first, 1);
		}
		if (any && !err)
			err = add(&rest, left);
	}
	if (err) {
		ranges_clear(&rest);
		return err;
	}
	ranges_clear(from);
	*from = rest;
	return 0;
}

static int add_any(struct ranges *ranges)
{
	static const struct prefix all[] = {
	    {.address.byte = {[10] = 0xff, [11] = 0xff}, .v6 = 0, .length = 0},
	    {.v6 = 1, .length = 0},
	};
	int err = add_prefix(ranges, &all[0]);

	return err ? err : add_prefix(ranges, &all[1]);
}

static int add_interfaces(struct ranges *ranges, const struct environment *env, const char *name)
{
	int err = 0;

	for (size_t i = 0; i < env->nr_interfaces && !err; i++)
		for (size_t a = 0; a < env->interface[i].nr_addresses && !err; a++)
			if (!name || !strcmp(env->interface[i].name, name))
				err = add_prefix(ranges, &env->interface[i].address[a]);
	return err;
}

static int add_item(const struct policy *policy, const struct item *item,
		    const struct environment *env, struct ranges *ret)
{
	_cleanup_(ranges_clear) struct ranges inner = {};
	const struct segment *segment;
	const struct env_name *name;
	int err = 0;

	switch (item->kind) {
	case ITEM_ANY:
		return add_any(ret);
	case ITEM_SELF:
		return add_interfaces(ret, env, NULL);
	case ITEM_INTERFACE:
		return add_interfaces(ret, env, item->name);
	case ITEM_WORKLOADS:
	case ITEM_UNIT:
		return 0;
	case ITEM_CONTAINER:
	case ITEM_NETWORK:
	case ITEM_COMPOSE:
	case ITEM_NAME:
		name = environment_name(env, item->kind, item->name);
		for (size_t i = 0; name && i < name->n && !err; i++)
			err = add_prefix(ret, &name->address[i]);
		return err;
	case ITEM_PREFIX:
		return add_prefix(ret, &item->prefix);
	case ITEM_RANGE:
		return add(ret, (struct range){item->first, item->last, !addr_is_v4(&item->first)});
	case ITEM_FILE:
		for (size_t i = 0; i < item->nr_list && !err; i++)
			err = add_prefix(ret, &item->list[i]);
		return err;
	case ITEM_SEGMENT:
		segment = policy_segment(policy, item->name);
		if (segment)
			err = ranges_of_segment(policy, segment, env, &inner);
		for (size_t i = 0; i < inner.n && !err; i++)
			err = add(ret, inner.range[i]);
		return err;
	}
	return 0;
}

int ranges_of_items(const struct policy *policy, const struct items *items,
		    const struct environment *env, struct ranges *ret)
{
	_cleanup_(ranges_clear) struct ranges ranges = {};
	int err = 0;

	for (size_t i = 0; i < items->n && !err; i++)
		err = add_item(policy, &items->item[i], env, &ranges);
	if (err)
		return err;
	join(&ranges);
	*ret = ranges;
	ranges = (struct ranges){};
	return 0;
}

int ranges_of_segment(const struct policy *policy, const struct segment *segment,
		      const struct environment *env, struct ranges *ret)
{
	_cleanup_(ranges_clear) struct ranges members = {}, except = {};
	int err = ranges_of_items(policy, &segment->members, env, &members);

	if (!err)
		err = ranges_of_items(policy, &segment->except, env, &except);
	if (!err)
		err = subtract(&members, &except);
	if (err)
		return err;
	*ret = members;
	members = (struct ranges){};
	return 0;
}

const struct range *ranges_overlap(const struct ranges *ranges, const struct prefix *prefix)
{
	struct range wanted = prefix_range(prefix);
	size_t low = 0, high = ranges->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (before(&ranges->range[middle], &wanted))
			low = middle + 1;
		else
			high = middle;
	}
	if (low == ranges->n || before(&wanted, &ranges->range[low]))
		return NULL;
	return &ranges->range[low];
}

size_t ranges_prefixes(const struct ranges *ranges)
{
	struct prefix prefix[256];
	size_t total = 0;

	for (size_t i = 0; i < ranges->n; i++) {
		int n =
		    addr_range_to_prefixes(&ranges->range[i].first, &ranges->range[i].last, prefix);

		total += n > 0 ? (size_t)n : 0;
	}
	return total;
}

void ranges_clear(struct ranges *ranges)
{
	free(ranges->range);
	*ranges = (struct ranges){};
}
