// SPDX-License-Identifier: GPL-2.0-only
/*
 * Marks of addresses whose workload stopped (WEIR_LOCAL_GONE). Tables go on naming the address until the policy is
 * compiled again, and whoever took it meanwhile would be taken for the workload.
 */
#include "kernel/internal.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

static bool names_address(const struct prefix *list, size_t n, const struct weir_addr *address)
{
	for (size_t i = 0; i < n; i++)
		if (memcmp(&list[i].address, address, sizeof(*address)) == 0)
			return true;
	return false;
}

static bool env_names(const struct environment *env, const struct weir_addr *address)
{
	for (size_t i = 0; i < env->nr_names; i++)
		if (names_address(env->name[i].address, env->name[i].n, address))
			return true;
	return names_address(env->engine_address, env->nr_engine_addresses, address);
}

struct clearing {
	struct kernel *kernel;
	const struct environment *env;
	__u32 running, other; /* generations; 0: the other slot is nothing to go back to */
	struct weir_local_key *key;
	size_t n, capacity;
	bool left; /* marks that stay */
};

static bool later(__u32 a, __u32 b)
{
	return a != b && ((a - b) & WEIR_WORD_GEN_MASK) <= WEIR_WORD_GEN_MASK / 2;
}

static int collect(void *arg, const void *k, const void *v)
{
	struct clearing *c = arg;
	const struct weir_local_key *key = k;
	const struct weir_local *value = v;

	if (!(value->flags & WEIR_LOCAL_GONE))
		return 0;
	if (!later(c->running, value->generation) ||
	    (c->other && !later(c->other, value->generation)) ||
	    (c->env && env_names(c->env, &key->address))) {
		c->left = true;
		return 0;
	}
	if (mem_grow(&c->key, c->n, &c->capacity, sizeof(*c->key)))
		return -ENOMEM;
	c->key[c->n++] = *key;
	return 0;
}

static int generations(struct clearing *c)
{
	__u64 word = word_peek(c->kernel);
	struct weir_config config;
	int err = slot_config(c->kernel, !word_slot(word), &config);

	c->running = word_generation(word);
	c->other = c->kernel->meta->flags & META_STALE ? 0 : config.generation;
	return err;
}

int marks_clear(struct kernel *kernel, const struct environment *env, struct diag *diag)
{
	struct clearing c = {.kernel = kernel, .env = env};
	int fd = kernel->maps.fd[MAP_weir_local], err;

	if (!(kernel->meta->flags & META_MARKS))
		return 0;
	err = generations(&c);
	if (!err)
		err = hash_each(fd, sizeof(struct weir_local_key), sizeof(struct weir_local),
				collect, &c);
	/* Packets that are still judged by tables of before find the mark. */
	if (!err && c.n && kernel->meta->flags & META_GRACE) {
		err = grace();
		if (!err)
			kernel->meta->flags &= ~META_GRACE;
	}
	for (size_t i = 0; i < c.n && !err; i++)
		if (bpf_map_delete_elem(fd, &c.key[i]) < 0 && errno != ENOENT)
			err = -errno;
	if (!err && !c.left)
		kernel->meta->flags &= ~META_MARKS;
	free(c.key);
	return err ? diag_fail(diag, err, NULL, "cannot clear marks in weir_local: %s",
			       strerror(-err))
		   : 0;
}

int kernel_withdraw(struct kernel *kernel, const struct prefix *address, size_t n,
		    struct diag *diag)
{
	int fd = kernel->maps.fd[MAP_weir_local], err = 0;

	if (!kernel->loaded)
		return diag_fail(diag, -ENOENT, NULL, "no policy is loaded");
	for (size_t i = 0; i < n && !err; i++) {
		struct weir_local_key key;
		struct weir_local was, mark = {.kind = WEIR_OTHER, .flags = WEIR_LOCAL_GONE};

		memset(&key, 0, sizeof(key));
		key.address = address[i].address;
		if (bpf_map_lookup_elem(fd, &key, &was) == 0) {
			if (was.kind == WEIR_SELF)
				continue;
			mark.ifindex = was.ifindex;
		}
		mark.generation = word_generation(word_peek(kernel));
		kernel->meta->flags |= META_MARKS;
		if (bpf_map_update_elem(fd, &key, &mark, BPF_ANY) < 0)
			err = -errno;
	}
	return err ? diag_fail(diag, err, NULL, "cannot write weir_local: %s", strerror(-err)) : 0;
}
