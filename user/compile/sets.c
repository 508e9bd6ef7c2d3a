// SPDX-License-Identifier: GPL-2.0-only
/* Lists of addresses that rules name -> sets; prefixes that they hold -> events for the walk in classes.c. */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "compile/builder.h"

#define SETS_MAX_DEPTH 256 /* segments in segments */
#define ALL_KINDS      7

static struct item any_item = {.kind = ITEM_ANY}, self_item = {.kind = ITEM_SELF};
const struct items items_any = {&any_item, 1}, items_self = {&self_item, 1};

static int add_set(struct sets *sets, const struct items *members, const struct items *except,
		   const struct position *at)
{
	struct set *set;

	if (mem_grow(&sets->set, sets->n, &sets->capacity, sizeof(*set)))
		return -ENOMEM;
	set = &sets->set[sets->n++];
	*set = (struct set){
	    .list = {members, except}, .at = *at, .parents = WEIR_NONE, .active = WEIR_NONE};
	return 0;
}

static struct sig name_sig(enum item_kind kind, const char *name)
{
	return sig_add(sig_of(kind, 4), sig_bytes(name, strlen(name)));
}

int sets_open(struct builder *b)
{
	const struct policy *policy = b->policy;

	for (size_t i = 0; b->env && i < b->env->nr_names; i++) {
		const struct env_name *name = &b->env->name[i];
		__u32 n;

		if (intern_get(&b->sets.followed, name_sig(name->kind, name->name), &n, NULL))
			return -ENOMEM;
	}
	for (size_t i = 0; i < policy->nr_segments; i++) {
		const struct segment *segment = &policy->segment[i];
		bool fresh;
		__u32 n;

		if (intern_get(&b->sets.segment, sig_bytes(segment->name, strlen(segment->name)),
			       &n, &fresh))
			return -ENOMEM;
		if (!fresh)
			return diag_fail(b->diag, -EINVAL, &segment->at,
					 "segment \"%s\" is defined twice", segment->name);
		if (add_set(&b->sets, &segment->members, &segment->except, &segment->at))
			return -ENOMEM;
	}
	return 0;
}

static int find_segment(struct builder *b, const char *name, const struct position *at, __u32 *ret)
{
	*ret = intern_find(&b->sets.segment, sig_bytes(name, strlen(name)));
	if (*ret == WEIR_NONE)
		return diag_fail(b->diag, -EINVAL, at, "no segment \"%s\"", name);
	return 0;
}

int sets_name(struct builder *b, const char *name, const struct position *at, __u32 *ret)
{
	int err = find_segment(b, name, at, ret);

	if (!err)
		b->sets.set[*ret].used = true;
	return err;
}

static struct sig prefix_sig(const struct prefix *prefix)
{
	__u8 key[18];

	memcpy(key, prefix->address.byte, 16);
	key[16] = prefix->v6;
	key[17] = prefix->length;
	return sig_bytes(key, sizeof(key));
}

/* What an item holds, whatever its place: lists with the same items are one set. */
static struct sig item_sig(const struct item *item)
{
	struct sig sig = sig_of(item->kind, 1);

	switch (item->kind) {
	case ITEM_PREFIX:
		return sig_add(sig, prefix_sig(&item->prefix));
	case ITEM_RANGE:
		sig = sig_add(sig, sig_bytes(&item->first, sizeof(item->first)));
		sig.b ^= sig_bytes(&item->last, sizeof(item->last)).a;
		return sig;
	case ITEM_FILE:
		for (size_t i = 0; i < item->nr_list; i++)
			sig = sig_add(sig, prefix_sig(&item->list[i]));
		return sig;
	case ITEM_SEGMENT:
	case ITEM_INTERFACE:
	case ITEM_CONTAINER:
	case ITEM_NETWORK:
	case ITEM_COMPOSE:
	case ITEM_NAME:
	case ITEM_UNIT:
		return sig_add(sig, sig_bytes(item->name, strlen(item->name)));
	case ITEM_ANY:
	case ITEM_SELF:
	case ITEM_WORKLOADS:
		break;
	}
	return sig;
}

struct sig sets_sig(const struct items *items)
{
	struct sig sig = sig_of(items->n, 2);

	for (size_t i = 0; i < items->n; i++) {
		struct sig item = item_sig(&items->item[i]);

		sig = sig_add(sig, sig_of(item.a, item.b));
	}
	return sig;
}

int sets_list(struct builder *b, const struct items *items, __u32 *ret)
{
	bool fresh;
	__u32 n;

	if (items->n == 1 && items->item[0].kind == ITEM_SEGMENT)
		return sets_name(b, items->item[0].name, &items->item[0].at, ret);
	if (intern_get(&b->sets.list, sets_sig(items), &n, &fresh))
		return -ENOMEM;
	*ret = b->policy->nr_segments + n;
	if (fresh) {
		struct position nowhere = {0};

		if (add_set(&b->sets, items, NULL, items->n ? &items->item[0].at : &nowhere))
			return -ENOMEM;
		b->sets.set[*ret].used = true;
	}
	return 0;
}

static int add_event_of(struct sets *sets, enum event_what what, __u32 set, int side,
			const struct prefix *prefix)
{
	const __u8 *byte = prefix->address.byte;
	struct event *event;

	if (mem_grow(&sets->event, sets->nr_events, &sets->event_capacity, sizeof(*event)))
		return -ENOMEM;
	event = &sets->event[sets->nr_events++];
	*event = (struct event){.set = set,
				.side = side,
				.length = prefix->length,
				.v6 = prefix->v6 ? 1 : 0,
				.what = what};
	for (int i = 0; i < 8; i++) {
		event->hi = event->hi << 8 | byte[prefix->v6 ? i : i < 4 ? 12 + i : 0];
		event->lo = event->lo << 8 | byte[prefix->v6 ? 8 + i : 0];
	}
	return 0;
}

static int add_event(struct sets *sets, __u32 set, int side, const struct prefix *prefix)
{
	return add_event_of(sets, EVENT_LISTED, set, side, prefix);
}

int sets_probe(struct builder *b, const struct prefix *address, size_t *ret)
{
	*ret = b->sets.nr_probes++;
	return add_event_of(&b->sets, EVENT_PROBE, *ret, SET_IN, address);
}

int sets_vip(struct builder *b, struct vip *vip)
{
	bool fresh;
	__u32 n;

	vip->member = (struct items){&vip->item, 1};
	if (intern_get(&b->sets.list, sig_add(sets_sig(&vip->member), sig_of(0, 5)), &n, &fresh))
		return -ENOMEM;
	vip->set = b->policy->nr_segments + n;
	if (fresh && add_set(&b->sets, &vip->member, &items_self, &vip->item.at))
		return -ENOMEM;
	b->sets.set[vip->set].used = true;
	return 0;
}

static int add_interface(struct builder *b, __u32 set, int side, const struct item *item)
{
	const struct environment *env = b->env;

	for (size_t i = 0; env && i < env->nr_interfaces; i++) {
		const struct env_interface *interface = &env->interface[i];

		if (strcmp(interface->name, item->name) != 0)
			continue;
		for (size_t j = 0; j < interface->nr_addresses; j++)
			if (add_event(&b->sets, set, side, &interface->address[j]))
				return -ENOMEM;
		return 0;
	}
	diag_warn(b->diag, &item->at, "no interface \"%s\": it stands for no address", item->name);
	return 0;
}

/* What a followed name stands for now. The policy is the same when that changes: so are its sets and their numbers. */
static int add_followed(struct builder *b, __u32 set, int side, const struct item *item)
{
	__u32 n = intern_find(&b->sets.followed, name_sig(item->kind, item->name));
	const struct env_name *name = n == WEIR_NONE ? NULL : &b->env->name[n];
	bool unit = item->kind == ITEM_UNIT;

	if (!name || !name->n)
		diag_warn(b->diag, &item->at, "{%s: %s} stands for no address %s",
			  item_key(item->kind), item->name, name && name->known ? "now" : "yet");
	if (unit)
		b->tables->weir_cfg->flags |= WEIR_CFG_UNITS;
	for (size_t i = 0; name && i < name->n; i++)
		if (add_event_of(&b->sets, unit ? EVENT_UNIT : EVENT_LISTED, set, side,
				 &name->address[i]))
			return -ENOMEM;
	return 0;
}

static int add_range(struct builder *b, __u32 set, int side, const struct item *item)
{
	struct prefix prefix[256];
	int n = addr_range_to_prefixes(&item->first, &item->last, prefix);

	if (n < 0)
		return diag_fail(b->diag, -EINVAL, &item->at, "range that ends before it begins");
	for (int i = 0; i < n; i++)
		if (add_event(&b->sets, set, side, &prefix[i]))
			return -ENOMEM;
	return 0;
}

static int visit(struct builder *b, __u32 n, int depth);

static int add_segment(struct builder *b, __u32 n, int side, const struct item *item, int depth)
{
	struct sets *sets = &b->sets;
	struct set_parent *parent;
	__u32 inner;
	int err = find_segment(b, item->name, &item->at, &inner);

	if (!err)
		err = visit(b, inner, depth + 1);
	if (err)
		return err;
	if (mem_grow(&sets->parent, sets->nr_parents, &sets->parent_capacity, sizeof(*parent)))
		return -ENOMEM;
	parent = &sets->parent[sets->nr_parents];
	*parent = (struct set_parent){n, side, sets->set[inner].parents};
	sets->set[inner].parents = sets->nr_parents++;
	for (int k = 0; k < NR_KINDS; k++)
		sets->set[n].count[side][k] += sets->set[inner].base >> k & 1;
	return 0;
}

static int add_item(struct builder *b, __u32 n, int side, const struct item *item, int depth)
{
	struct set *set = &b->sets.set[n];

	switch (item->kind) {
	case ITEM_ANY:
		for (int k = 0; k < NR_KINDS; k++)
			set->count[side][k]++;
		return 0;
	case ITEM_SELF:
		set->count[side][WEIR_SELF]++;
		return 0;
	case ITEM_WORKLOADS:
		set->count[side][WEIR_WORKLOAD]++;
		return 0;
	case ITEM_PREFIX:
		return add_event(&b->sets, n, side, &item->prefix);
	case ITEM_RANGE:
		return add_range(b, n, side, item);
	case ITEM_SEGMENT:
		return add_segment(b, n, side, item, depth);
	case ITEM_INTERFACE:
		return add_interface(b, n, side, item);
	case ITEM_CONTAINER:
	case ITEM_NETWORK:
	case ITEM_COMPOSE:
	case ITEM_NAME:
	case ITEM_UNIT:
		return add_followed(b, n, side, item);
	case ITEM_FILE:
		for (size_t i = 0; i < item->nr_list; i++)
			if (add_event(&b->sets, n, side, &item->list[i]))
				return -ENOMEM;
		return 0;
	}
	return -EINVAL;
}

static __u8 set_mask(const struct set *set)
{
	__u8 mask = 0;

	for (int k = 0; k < NR_KINDS; k++)
		if (set->count[SET_IN][k] && !set->count[SET_OUT][k])
			mask |= 1 << k;
	return mask;
}

/* Inner segments first: a set's base needs theirs. */
static int visit(struct builder *b, __u32 n, int depth)
{
	struct sets *sets = &b->sets;
	const struct set *set = &sets->set[n];

	if (set->visited == 2)
		return 0;
	if (set->visited == 1 || depth > SETS_MAX_DEPTH)
		return diag_fail(b->diag, -EINVAL, &set->at,
				 set->visited ? "segment that contains itself"
					      : "segments in segments, more than 256 deep");
	sets->set[n].visited = 1;
	for (int side = SET_IN; side <= SET_OUT; side++)
		for (size_t i = 0; set->list[side] && i < set->list[side]->n; i++) {
			int err = add_item(b, n, side, &set->list[side]->item[i], depth);

			if (err)
				return err;
		}
	sets->set[n].visited = 2;
	sets->set[n].base = sets->set[n].mask = set_mask(set);
	return 0;
}

/* Where numbers of units are: 1 to WEIR_MAX_UNITS behind its beginning. */
static const struct prefix unit_hole = {
    .address.byte = {[10] = 0xff,
		     [11] = 0xff,
		     [12] = WEIR_UNIT_ADDRESS >> 24,
		     [13] = WEIR_UNIT_ADDRESS >> 16 & 0xff},
    .length = 19,
};
_Static_assert(WEIR_MAX_UNITS < 1 << (32 - 19), "numbers of units are in the hole");

int sets_close(struct builder *b)
{
	for (size_t i = 0; i < b->sets.n; i++) {
		int err = b->sets.set[i].used ? visit(b, i, 0) : 0;

		if (err)
			return err;
	}
	if (b->tables->weir_cfg->flags & WEIR_CFG_UNITS &&
	    add_event_of(&b->sets, EVENT_HOLE, 0, SET_IN, &unit_hole))
		return -ENOMEM;
	/* Room for all of them, so that the walk cannot fail in the middle. */
	b->sets.active.at = calloc(b->sets.n + 1, sizeof(__u32));
	return b->sets.active.at ? 0 : -ENOMEM;
}

static void set_active(struct sets *sets, __u32 n, bool active)
{
	struct set *set = &sets->set[n];
	struct u32s *list = &sets->active;

	if (active && set->active == WEIR_NONE) {
		set->active = list->n;
		list->at[list->n++] = n;
	} else if (!active && set->active != WEIR_NONE) {
		__u32 last = list->at[--list->n];

		list->at[set->active] = last;
		sets->set[last].active = set->active;
		set->active = WEIR_NONE;
	}
}

void sets_shift(struct sets *sets, __u32 n, int side, __u8 kinds, int by)
{
	struct set *set = &sets->set[n];
	__u8 old = set->mask, up, down;

	for (int k = 0; k < NR_KINDS; k++)
		if (kinds >> k & 1)
			set->count[side][k] += by;
	set->mask = set_mask(set);
	if (set->mask == old)
		return;
	if (set->used) {
		if (old != set->base)
			sets->sum = sig_sub(sets->sum, sig_of((__u64)n << 3 | old, 3));
		if (set->mask != set->base)
			sets->sum = sig_add(sets->sum, sig_of((__u64)n << 3 | set->mask, 3));
		set_active(sets, n, set->mask != set->base);
	}
	up = set->mask & ~old;
	down = old & ~set->mask;
	for (__u32 i = set->parents; i != WEIR_NONE; i = sets->parent[i].next) {
		if (up)
			sets_shift(sets, sets->parent[i].set, sets->parent[i].side, up, 1);
		if (down)
			sets_shift(sets, sets->parent[i].set, sets->parent[i].side, down, -1);
	}
}

void sets_clear(struct sets *sets)
{
	free(sets->set);
	free(sets->parent);
	free(sets->event);
	free(sets->active.at);
	intern_clear(&sets->segment);
	intern_clear(&sets->list);
	intern_clear(&sets->followed);
	memset(sets, 0, sizeof(*sets));
}
