// SPDX-License-Identifier: GPL-2.0-only
/*
 * Run-time blocks. weir_control.blocks says whether weir_block is consulted at all: it is raised before an entry is
 * added and lowered after one is gone, so that no block is ever overlooked.
 */
#include "kernel/internal.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>
#include <time.h>

static struct weir_block_key key_of(const struct prefix *prefix)
{
	struct weir_block_key key;

	memset(&key, 0, sizeof(key));
	key.prefixlen = prefix->v6 ? prefix->length : 96 + prefix->length;
	key.address = addr_mask(&prefix->address, prefix->length);
	return key;
}

static struct prefix prefix_of(const struct weir_block_key *key)
{
	bool v4 = addr_is_v4(&key->address) && key->prefixlen >= 96;

	return (struct prefix){.address = key->address,
			       .v6 = !v4,
			       .length = v4 ? key->prefixlen - 96 : key->prefixlen};
}

/* The trie finds the longest match: the entry is this prefix's own when its length is. */
static bool lookup(int fd, const struct weir_block_key *key, struct weir_block *ret)
{
	return bpf_map_lookup_elem(fd, key, ret) == 0 && ret->prefixlen == key->prefixlen;
}

static void count_blocks(struct kernel *kernel, __s64 n)
{
	__atomic_fetch_add(&kernel->control->blocks, n, __ATOMIC_SEQ_CST);
}

static int block_one(struct kernel *kernel, const struct prefix *prefix, __u64 expires_ns,
		     __u64 since_ns)
{
	int fd = kernel->maps.fd[MAP_weir_block];
	struct weir_block_key key = key_of(prefix);
	struct weir_block was,
	    now = {.expires_ns = expires_ns, .since_ns = since_ns, .prefixlen = key.prefixlen};
	bool existed = lookup(fd, &key, &was);

	if (existed && (!was.expires_ns || was.expires_ns > boot_ns(kernel)))
		now.since_ns = was.since_ns;
	if (!existed)
		count_blocks(kernel, 1);
	if (bpf_map_update_elem(fd, &key, &now, BPF_ANY) == 0)
		return 0;
	if (!existed)
		count_blocks(kernel, -1);
	return errno == E2BIG ? -ENOSPC : -errno;
}

int kernel_block(struct kernel *kernel, const struct prefix *prefix, size_t n,
		 __u64 expires_boot_ns, size_t *ret_done, struct diag *diag)
{
	struct timespec now;
	size_t done = 0;
	int err = 0;

	*ret_done = 0;
	if (!kernel->loaded)
		return diag_fail(diag, -ENOENT, NULL,
				 "no programs are loaded: apply a policy first");
	clock_gettime(CLOCK_REALTIME, &now);
	while (done < n && !err) {
		err = block_one(kernel, &prefix[done], expires_boot_ns,
				now.tv_sec * 1000000000ULL + now.tv_nsec);
		if (!err)
			done++;
	}
	*ret_done = done;
	if (err == -ENOSPC)
		return diag_fail(diag, err, NULL,
				 "no room for more than %u blocks: %zu of %zu are in",
				 kernel->maps.entries[MAP_weir_block], done, n);
	return err ? diag_fail(diag, err, NULL, "cannot block: %s", strerror(-err)) : 0;
}

static bool unblock_one(struct kernel *kernel, const struct prefix *prefix)
{
	int fd = kernel->maps.fd[MAP_weir_block];
	struct weir_block_key key = key_of(prefix);
	struct weir_block was;

	if (!lookup(fd, &key, &was) || bpf_map_delete_elem(fd, &key) < 0)
		return false;
	count_blocks(kernel, -1);
	return true;
}

/* ---- automatic blocks ---- */

/* The address that a limiter's key stands for; false when it is no address (per: rule, hashed pairs). */
static bool key_address(const struct weir_autoblk_key *key, struct weir_addr *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (key->key[0] >> 56 == 0xff && !(key->key[0] >> 32 & 0xffffff)) {
		ret->byte[10] = ret->byte[11] = 0xff;
		for (int i = 0; i < 4; i++)
			ret->byte[12 + i] = key->key[0] >> (24 - 8 * i);
		return true;
	}
	if (key->key[0] == 1)
		return false;
	for (int i = 0; i < 8; i++) {
		ret->byte[i] = key->key[0] >> (56 - 8 * i);
		ret->byte[8 + i] = key->key[1] >> (56 - 8 * i);
	}
	return true;
}

struct unblocking {
	struct kernel *kernel;
	const struct prefix *prefix;
	size_t n;
	size_t done;
};

static bool same_family(const struct prefix *prefix, const struct weir_addr *address)
{
	return addr_is_v4(address) != !!prefix->v6;
}

/* A /64 key stands for all addresses in it: an address unblocks the key that holds it, a prefix those within. */
static bool speaks_of(const struct prefix *prefix, const struct weir_addr *address)
{
	struct weir_addr masked;

	if (!same_family(prefix, address))
		return false;
	if (prefix_contains(prefix, address))
		return true;
	if (!prefix->v6 || prefix->length <= 64)
		return false;
	masked = addr_mask(&prefix->address, 64);
	return memcmp(&masked, address, sizeof(masked)) == 0;
}

static int unblock_auto(void *arg, const void *key, const void *value)
{
	struct unblocking *u = arg;
	struct weir_addr address;

	if (!key_address(key, &address))
		return 0;
	for (size_t i = 0; i < u->n; i++) {
		if (!speaks_of(&u->prefix[i], &address))
			continue;
		if (bpf_map_delete_elem(u->kernel->maps.fd[MAP_weir_autoblk], key) == 0)
			u->done++;
		break;
	}
	return 0;
}

int kernel_unblock(struct kernel *kernel, const struct prefix *prefix, size_t n, size_t *ret_done,
		   struct diag *diag)
{
	struct unblocking u = {.kernel = kernel, .prefix = prefix, .n = n};
	int err = 0;

	*ret_done = 0;
	if (!kernel->loaded)
		return diag_fail(diag, -ENOENT, NULL, "no programs are loaded");
	for (size_t i = 0; i < n; i++)
		u.done += unblock_one(kernel, &prefix[i]);
	if (__atomic_load_n(&kernel->control->autoblocks, __ATOMIC_SEQ_CST))
		err = map_each(kernel->maps.fd[MAP_weir_autoblk], sizeof(struct weir_autoblk_key),
			       sizeof(struct weir_autoblk), unblock_auto, &u);
	*ret_done = u.done;
	return err ? diag_fail(diag, err, NULL, "cannot read weir_autoblk: %s", strerror(-err)) : 0;
}

/* ---- walks ---- */

struct block_walk {
	struct kernel *kernel;
	__u64 now_ns;
	int (*each)(void *arg, const struct block_entry *entry);
	void *arg;
	size_t left, removed;
};

static int show_block(void *arg, const void *key, const void *value)
{
	const struct block_walk *w = arg;
	const struct weir_block *block = value;
	struct block_entry entry = {.prefix = prefix_of(key),
				    .expires_boot_ns = block->expires_ns,
				    .since_ns = block->since_ns};

	if (block->expires_ns && block->expires_ns <= w->now_ns)
		return 0;
	return w->each(w->arg, &entry);
}

static int show_auto(void *arg, const void *key, const void *value)
{
	const struct block_walk *w = arg;
	const struct weir_autoblk *block = value;
	const struct weir_autoblk_key *who = key;
	struct block_entry entry = {.automatic = true,
				    .limit_id = who->limit,
				    .key = {who->key[0], who->key[1]},
				    .expires_boot_ns = block->expires_ns};

	return block->expires_ns <= w->now_ns ? 0 : w->each(w->arg, &entry);
}

int kernel_each_block(struct kernel *kernel,
		      int (*each)(void *arg, const struct block_entry *entry), void *arg,
		      struct diag *diag)
{
	struct block_walk w = {.kernel = kernel, .each = each, .arg = arg};
	int err;

	if (!kernel->loaded)
		return diag_fail(diag, -ENOENT, NULL, "no programs are loaded");
	w.now_ns = boot_ns(kernel);
	err = map_each(kernel->maps.fd[MAP_weir_block], sizeof(struct weir_block_key),
		       sizeof(struct weir_block), show_block, &w);
	if (!err)
		err = map_each(kernel->maps.fd[MAP_weir_autoblk], sizeof(struct weir_autoblk_key),
			       sizeof(struct weir_autoblk), show_auto, &w);
	return err;
}

static int sweep_block(void *arg, const void *key, const void *value)
{
	struct block_walk *w = arg;
	const struct weir_block *block = value;

	if ((!block->expires_ns || block->expires_ns > w->now_ns) ||
	    bpf_map_delete_elem(w->kernel->maps.fd[MAP_weir_block], key) < 0)
		w->left++;
	else
		w->removed++;
	return 0;
}

static int sweep_auto(void *arg, const void *key, const void *value)
{
	struct block_walk *w = arg;
	const struct weir_autoblk *block = value;

	if (block->expires_ns > w->now_ns ||
	    bpf_map_delete_elem(w->kernel->maps.fd[MAP_weir_autoblk], key) < 0)
		w->left++;
	else
		w->removed++;
	return 0;
}

/* Only if nobody added one meanwhile: a count that is too high costs a lookup, one too low lets the blocked in. */
static void settle_count(__u64 *count, __u64 seen, __u64 left)
{
	__atomic_compare_exchange_n(count, &seen, left, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

int kernel_sweep(struct kernel *kernel, size_t *ret_removed, struct diag *diag)
{
	struct block_walk w = {.kernel = kernel};
	__u64 seen;
	int err = 0;

	*ret_removed = 0;
	if (!kernel->loaded)
		return diag_fail(diag, -ENOENT, NULL, "no programs are loaded");
	w.now_ns = boot_ns(kernel);
	seen = __atomic_load_n(&kernel->control->blocks, __ATOMIC_SEQ_CST);
	if (seen)
		err = map_each(kernel->maps.fd[MAP_weir_block], sizeof(struct weir_block_key),
			       sizeof(struct weir_block), sweep_block, &w);
	if (!err)
		settle_count(&kernel->control->blocks, seen, w.left);
	w.left = 0;
	seen = __atomic_load_n(&kernel->control->autoblocks, __ATOMIC_SEQ_CST);
	/* A program counts before it adds: whoever is in between has added when the walk begins. */
	if (seen && !err)
		err = grace();
	if (seen && !err)
		err = map_each(kernel->maps.fd[MAP_weir_autoblk], sizeof(struct weir_autoblk_key),
			       sizeof(struct weir_autoblk), sweep_auto, &w);
	if (!err)
		settle_count(&kernel->control->autoblocks, seen, w.left);
	*ret_removed = w.removed;
	return err ? diag_fail(diag, err, NULL, "cannot sweep: %s", strerror(-err)) : 0;
}
