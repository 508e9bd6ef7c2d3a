// SPDX-License-Identifier: GPL-2.0-only
/* weir_local: addresses whose home is here, and whose they are. */
#include "kernel/internal.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>

static int by_key(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct weir_local_key));
}

const struct local_entry *local_find(const struct local_set *set, const struct weir_local_key *key)
{
	return set->n ? bsearch(key, set->entry, set->n, sizeof(*set->entry), by_key) : NULL;
}

bool local_lookup(const struct kernel *kernel, const struct weir_local_key *key,
		  struct weir_local *ret)
{
	return bpf_map_lookup_elem(kernel->maps.fd[MAP_weir_local], key, ret) == 0;
}

int local_add(struct local_set *set, const struct weir_local_key *key,
	      const struct weir_local *value)
{
	if (mem_grow(&set->entry, set->n, &set->capacity, sizeof(*set->entry)))
		return -ENOMEM;
	set->entry[set->n++] = (struct local_entry){*key, *value};
	return 0;
}

void local_free(struct local_set *set)
{
	free(set->entry);
	memset(set, 0, sizeof(*set));
}

static int on_entry(void *arg, const void *key, const void *value)
{
	return local_add(arg, key, value);
}

int local_read(const struct kernel *kernel, struct local_set *ret)
{
	struct local_set set = {};
	int err = hash_each(kernel->maps.fd[MAP_weir_local], sizeof(struct weir_local_key),
			    sizeof(struct weir_local), on_entry, &set);

	if (err) {
		local_free(&set);
		return err;
	}
	if (set.n)
		qsort(set.entry, set.n, sizeof(*set.entry), by_key);
	*ret = set;
	return 0;
}

/* ---- this node's own ---- */

struct weir_local_key local_key(const struct link_address *address, __u32 scope)
{
	struct weir_local_key key;

	memset(&key, 0, sizeof(key));
	key.address = address->address;
	key.scope = address->link_local ? scope : 0;
	return key;
}

bool local_loopback(const struct link_address *address)
{
	static const struct weir_addr one = {.byte[15] = 1};

	if (address->v6)
		return memcmp(&address->address, &one, sizeof(one)) == 0;
	return address->address.byte[12] == 127;
}

static struct weir_addr subnet_broadcast(const struct link_address *address)
{
	struct weir_addr ret = address->address;

	for (int bit = address->length; bit < 32; bit++)
		ret.byte[12 + bit / 8] |= 0x80 >> bit % 8;
	return ret;
}

static int add_self(struct local_set *set, const struct link_address *address)
{
	struct weir_local value = {.kind = WEIR_SELF};
	struct weir_local_key key = local_key(address, address->ifindex);
	int err;

	if (local_loopback(address))
		return 0;
	err = local_add(set, &key, &value);
	if (err || address->v6)
		return err;
	value.flags = WEIR_LOCAL_BROADCAST;
	key.scope = 0;
	if (address->has_broadcast) {
		key.address = address->broadcast;
		err = local_add(set, &key, &value);
	}
	if (!err && address->length < 31) {
		key.address = subnet_broadcast(address);
		err = local_add(set, &key, &value);
	}
	return err;
}

/* Sorted, one entry a key; a real address wins over a broadcast address. */
void local_settle(struct local_set *set)
{
	size_t n = 0;

	if (!set->n)
		return;
	qsort(set->entry, set->n, sizeof(*set->entry), by_key);
	for (size_t i = 0; i < set->n; i++) {
		if (n && by_key(&set->entry[n - 1].key, &set->entry[i].key) == 0) {
			if (!set->entry[i].value.flags)
				set->entry[n - 1].value.flags = 0;
			continue;
		}
		set->entry[n++] = set->entry[i];
	}
	set->n = n;
}

int local_self(struct local_set *set)
{
	struct link_addresses addresses = {};
	int err = addresses_read(-1, 0, &addresses);

	for (size_t i = 0; i < addresses.n && !err; i++)
		err = add_self(set, &addresses.address[i]);
	addresses_free(&addresses);
	local_settle(set);
	return err;
}

/* A link-local address alone opens nothing: it says nothing about who that is, and others are still to come. */
bool local_bound(const struct local_set *set, __u32 ifindex)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->entry[i].value.kind == WEIR_WORKLOAD && !set->entry[i].key.scope &&
		    set->entry[i].value.ifindex == ifindex)
			return true;
	return false;
}

/* ---- into the map ---- */

static int put(struct kernel *kernel, const struct local_entry *entry,
	       const struct local_entry *before, struct change *change)
{
	struct undo *undo = change_note(change, UNDO_LOCAL);

	if (!undo)
		return -ENOMEM;
	undo->key = entry->key;
	undo->existed = before != NULL;
	if (before)
		undo->local = before->value;
	return bpf_map_update_elem(kernel->maps.fd[MAP_weir_local], &entry->key, &entry->value,
				   BPF_ANY) < 0
		   ? -errno
		   : 0;
}

static int drop(struct kernel *kernel, const struct local_entry *before, struct change *change)
{
	struct undo *undo = change_note(change, UNDO_LOCAL);

	if (!undo)
		return -ENOMEM;
	undo->key = before->key;
	undo->existed = true;
	undo->local = before->value;
	return bpf_map_delete_elem(kernel->maps.fd[MAP_weir_local], &before->key) < 0 &&
		       errno != ENOENT
		   ? -errno
		   : 0;
}

int local_without(const struct local_set *set, bool (*leave_out)(void *arg, __u32 ifindex),
		  void *arg, struct local_set *ret)
{
	int err = 0;

	for (size_t i = 0; i < set->n && !err; i++) {
		const struct local_entry *entry = &set->entry[i];

		if (entry->value.kind != WEIR_WORKLOAD || !leave_out(arg, entry->value.ifindex))
			err = local_add(ret, &entry->key, &entry->value);
	}
	return err;
}

static int not_written(const struct kernel *kernel, int err, const struct local_set *want,
		       struct diag *diag)
{
	if (err == -E2BIG)
		return diag_fail(diag, err, NULL, "weir_local holds %u addresses, %zu are wanted",
				 kernel->maps.entries[MAP_weir_local], want->n);
	return diag_fail(diag, err, NULL, "cannot write weir_local: %s", strerror(-err));
}

int local_sync(struct kernel *kernel, const struct local_set *now, const struct local_set *want,
	       __u32 only, struct change *change, struct diag *diag)
{
	int err = fault("local");

	for (size_t i = 0; i < want->n && !err; i++) {
		const struct local_entry *before = local_find(now, &want->entry[i].key);

		if (!before || memcmp(&before->value, &want->entry[i].value, sizeof(before->value)))
			err = put(kernel, &want->entry[i], before, change);
	}
	for (size_t i = 0; i < now->n && !err; i++) {
		const struct weir_local *value = &now->entry[i].value;

		if (only && (value->kind != WEIR_WORKLOAD || value->ifindex != only))
			continue;
		if (!local_find(want, &now->entry[i].key))
			err = drop(kernel, &now->entry[i], change);
	}
	return err ? not_written(kernel, err, want, diag) : 0;
}

int local_put(struct kernel *kernel, const struct local_set *want, struct change *change,
	      struct diag *diag)
{
	int err = fault("local");

	for (size_t i = 0; i < want->n && !err; i++) {
		struct local_entry was = {.key = want->entry[i].key};
		bool existed = local_lookup(kernel, &was.key, &was.value);

		if (!existed || memcmp(&was.value, &want->entry[i].value, sizeof(was.value)) != 0)
			err = put(kernel, &want->entry[i], existed ? &was : NULL, change);
	}
	return err ? not_written(kernel, err, want, diag) : 0;
}
