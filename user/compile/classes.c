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
	bool hole;   /* numbers of units: what is around it does not hold them */
	bool inside; /* a hole, or in one: only units count */
};

struct walk {
	struct builder *b;
	struct open_prefix stack[130]; /* one of each length at most */
	size_t depth;
};

static void shift(struct sets *sets, const struct open_prefix *open, int by)
{
	for (size_t i = open->first; i < open->last; i++) {
		const struct event *event = &sets->event[i];

		if (event->what == (open->inside ? EVENT_UNIT : EVENT_LISTED))
			sets_shift(sets, event->set, event->side, (1 << NR_KINDS) - 1, by);
	}
}

/* @by of everything that is open below the top. */
static void shift_below(struct walk *walk, int by)
{
	for (size_t i = 0; i + 1 < walk->depth; i++)
		shift(&walk->b->sets, &walk->stack[i], by);
}

static void push(struct walk *walk, size_t first, size_t last)
{
	struct open_prefix *open = &walk->stack[walk->depth++];
	const struct event *event = walk->b->sets.event;

	*open = (struct open_prefix){.first = first, .last = last};
	for (size_t i = first; i < last; i++)
		open->hole |= event[i].what == EVENT_HOLE;
	open->inside = open->hole || (walk->depth > 1 && open[-1].inside);
	if (open->hole)
		shift_below(walk, -1);
	shift(&walk->b->sets, open, 1);
}

static void pop(struct walk *walk)
{
	const struct open_prefix *open = &walk->stack[walk->depth - 1];

	shift(&walk->b->sets, open, -1);
	if (open->hole)
		shift_below(walk, 1);
	walk->depth--;
}

/* Probes say nothing: they ask. */
static void answer_probes(struct walk *walk, const struct open_prefix *open)
{
	const struct event *event = walk->b->sets.event;

	for (size_t i = open->first; i < open->last; i++)
		if (event[i].what == EVENT_PROBE)
			walk->b->classes.probe[event[i].set] = open->class;
}

static int walk_events(struct walk *walk)
{
	struct builder *b = walk->b;
	struct sets *sets = &b->sets;
	int err = 0;

	for (size_t i = 0, next; !err && i < sets->nr_events; i = next) {
		const struct event *event = &sets->event[i];
		struct open_prefix *open;
		__u32 outside;

		for (next = i + 1; next < sets->nr_events; next++)
			if (!same_prefix(event, &sets->event[next]))
				break;
		while (walk->depth &&
		       !covers(&sets->event[walk->stack[walk->depth - 1].first], event))
			pop(walk);
		outside = walk->depth ? walk->stack[walk->depth - 1].class : 0;
		push(walk, i, next);
		open = &walk->stack[walk->depth - 1];
		err = current_class(b, &open->class);
		answer_probes(walk, open);
		if (!err && open->class != outside)
			err = add_region(&b->classes, event, open->class);
	}
	while (walk->depth)
		pop(walk);
	return err;
}

int classes_build(struct builder *b)
{
	struct sets *sets = &b->sets;
	struct walk walk = {.b = b};
	__u32 nowhere;
	int err;

	b->classes.probe = calloc(sets->nr_probes + 1, sizeof(*b->classes.probe));
	if (!b->classes.probe ||
	    mem_grow(&b->classes.first, 0, &b->classes.first_capacity, sizeof(size_t)))
		return -ENOMEM;
	err = current_class(b, &nowhere); /* class 0: no prefix */
	if (sets->nr_events)
		qsort(sets->event, sets->nr_events, sizeof(*sets->event), compare_events);
	if (!err)
		err = walk_events(&walk);
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
	free(classes->probe);
	intern_clear(&classes->intern);
	memset(classes, 0, sizeof(*classes));
}
