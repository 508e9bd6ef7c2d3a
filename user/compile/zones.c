// SPDX-License-Identifier: GPL-2.0-only
/* `on` lists -> zones: interfaces that the same lists name are one zone, zone 0 is what none names. */
#include <errno.h>
#include <fnmatch.h>
#include <string.h>

#include "base/mem.h"
#include "compile/builder.h"

int zones_list(struct builder *b, const struct names *on, __u32 *ret)
{
	struct zones *zones = &b->zones;
	struct sig sig = {0, 0};
	bool fresh;

	*ret = WEIR_NONE;
	if (!on->n)
		return 0;
	for (size_t i = 0; i < on->n; i++)
		sig = sig_add(sig, sig_bytes(on->name[i], strlen(on->name[i])));
	if (intern_get(&zones->intern, sig, ret, &fresh))
		return -ENOMEM;
	if (!fresh)
		return 0;
	if (mem_grow(&zones->on, *ret, &zones->on_capacity, sizeof(*zones->on)))
		return -ENOMEM;
	zones->on[*ret] = on;
	return 0;
}

static bool named_by(const struct names *on, const char *interface)
{
	for (size_t i = 0; i < on->n; i++)
		if (fnmatch(on->name[i], interface, 0) == 0)
			return true;
	return false;
}

static void warn_missing(struct builder *b, const struct names *on)
{
	for (size_t i = 0; i < on->n; i++) {
		bool found = strpbrk(on->name[i], "*?[") != NULL;

		for (size_t j = 0; !found && b->env && j < b->env->nr_interfaces; j++)
			found = strcmp(on->name[i], b->env->interface[j].name) == 0;
		if (!found)
			diag_warn(b->diag, on->at ? &on->at[i] : NULL,
				  "no interface \"%s\": a rule that is bound to it meets no packet",
				  on->name[i]);
	}
}

int zones_build(struct builder *b)
{
	size_t nr_lists = b->zones.intern.n, nr = b->env ? b->env->nr_interfaces : 0;
	struct intern intern = {0};
	__u8 *holds = calloc(nr + 1, nr_lists + 1);
	int err = -ENOMEM;
	__u32 zone;

	b->zones.holds = holds;
	b->tables->zone = calloc(nr + 1, sizeof(__u16));
	if (!holds || !b->tables->zone)
		return -ENOMEM;
	for (size_t i = 0; i < nr_lists; i++)
		warn_missing(b, b->zones.on[i]);
	if (intern_get(&intern, (struct sig){0, 0}, &zone, NULL))
		goto out;
	for (size_t i = 0; i < nr; i++) {
		__u8 *row = holds + intern.n * nr_lists; /* what a new zone would hold */
		struct sig sig = {0, 0};

		for (size_t j = 0; j < nr_lists; j++) {
			row[j] = named_by(b->zones.on[j], b->env->interface[i].name);
			if (row[j])
				sig = sig_add(sig, sig_of(j, 20));
		}
		if (intern_get(&intern, sig, &zone, NULL))
			goto out;
		if (zone > 0xffff) {
			err =
			    diag_fail(b->diag, -E2BIG, NULL, "more than 65536 zones of interfaces");
			goto out;
		}
		b->tables->zone[i] = zone;
	}
	b->zones.nr = intern.n;
	err = 0;
out:
	intern_clear(&intern);
	return err;
}

void zones_clear(struct zones *zones)
{
	free(zones->on);
	free(zones->holds);
	intern_clear(&zones->intern);
	memset(zones, 0, sizeof(*zones));
}
