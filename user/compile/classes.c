// SPDX-License-Identifier: GPL-2.0-only
/*
 * Prefixes nest, so a walk over them in order, with a stack of those that are open, meets every set of sets that any
 * address can be in: each is a class.
 */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "compile/builder.h"

static int compare_events(const void *x, const void *y)
{
	const struct event *a = x, *b = y;

	if (a->v6 != b->v6)
		return a->v6 < b->v6 ? -1 : 1;
	if (a->hi != b->hi)
		return a->hi < b->hi ? -1 : 1;
	if (a->lo != b->lo)
		return a->lo < b->lo ? -1 : 1;
	return (int)a->length - (int)b->length;
}

static bool same_prefix(const struct event *a, const struct event *b)
{
	return a->v6 == b->v6 && a->length == b->length && a->hi == b->hi && a->lo == b->lo;
}

/* Does prefix @a hold everything of @b? @a is no longer than @b. */
static bool covers(const struct event *a, const struct event *b)
{
	__u64 hi = a->hi ^ b->hi, lo = a->lo ^ b->lo;

	if (a->v6 != b->v6)
		return false;
	if (a->length == 0)
		return true;
	if (a->length <= 64)
		return hi >> (64 - a->length) == 0;
	return hi == 0 && lo >> (128 - a->length) == 0;
}

static int add_members(struct builder *b, __u32 class)
{
	struct classes *classes = &b->classes;
	const struct u32s *active = &b->sets.active;

	if (mem_grow(&classes->first, class + 1, &classes->first_capacity, sizeof(size_t)))
		return -ENOMEM;
	for (size_t i = 0; i < active->n; i++) {
		if (mem_grow(&classes->member, classes->nr_members, &classes->member_capacity,
			     sizeof(struct member)))
			return -ENOMEM;
		classes->member[classes->nr_members++] =
		    (struct member){active->at[i], b->sets.set[active->at[i]].mask};
	}
	classes->first[class + 1] = classes->nr_members;
	return 0;
}

static int current_class(struct builder *b, __u32 *ret)
{
	bool fresh;

	if (intern_get(&b->classes.intern, b->sets.sum, ret, &fresh))
		return -ENOMEM;
	return fresh ? add_members(b, *ret) : 0;
}

static int add_region(struct classes *classes, const struct event *event, __u32 class)
{
	if (mem_grow(&classes->region, classes->nr_regions, &classes->region_capacity,
		     sizeof(struct region)))
		return -ENOMEM;
	classes->region[classes->nr_regions++] = (struct region){.hi = event->hi,
								 .lo = event->lo,
								 .class = class,
								 .length = event->length,
								 .v6 = event->v6};
	return 0;
}

struct open_prefix { /* on the walk's stack: events first .. last - 1 are one prefix */
	size_t first, last;
	__u32 class;
};

static void shift(struct sets *sets, const struct open_prefix *open, int by)
{
	for (size_t i = open->first; i < open->last; i++)
		sets_shift(sets, sets->event[i].set, sets->event[i].side, (1 << NR_KINDS) - 1, by);
}

int classes_build(struct builder *b)
{
	struct sets *sets = &b->sets;
	struct open_prefix stack[130]; /* one of each length at most */
	size_t depth = 0;
	__u32 outside;
	int err;

	if (mem_grow(&b->classes.first, 0, &b->classes.first_capacity, sizeof(size_t)))
		return -ENOMEM;
	err = current_class(b, &outside); /* class 0: no prefix */
	if (sets->nr_events)
		qsort(sets->event, sets->nr_events, sizeof(*sets->event), compare_events);
	for (size_t i = 0, next; !err && i < sets->nr_events; i = next) {
		const struct event *event = &sets->event[i];
		struct open_prefix *open;

		for (next = i + 1; next < sets->nr_events; next++)
			if (!same_prefix(event, &sets->event[next]))
				break;
		while (depth && !covers(&sets->event[stack[depth - 1].first], event))
			shift(sets, &stack[--depth], -1);
		outside = depth ? stack[depth - 1].class : 0;
		open = &stack[depth++];
		*open = (struct open_prefix){i, next, 0};
		shift(sets, open, 1);
		err = current_class(b, &open->class);
		if (!err && open->class != outside)
			err = add_region(&b->classes, event, open->class);
	}
	while (depth)
		shift(sets, &stack[--depth], -1);
	free(sets->event); /* a long list's events are half of what the build holds */
	sets->event = NULL;
	sets->nr_events = sets->event_capacity = 0;
	return err;
}

void classes_clear(struct classes *classes)
{
	free(classes->region);
	free(classes->first);
	free(classes->member);
	intern_clear(&classes->intern);
	memset(classes, 0, sizeof(*classes));
}
