// SPDX-License-Identifier: GPL-2.0-only
/*
 * kernel_update(): the policy in force with other addresses behind its followed names. Rules and limits are the same, so
 * each goes on with the counter and the region that it has, and nothing is attached.
 */
#include "kernel/internal.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

struct update {
	struct kernel *kernel;
	const struct environment *env;
	struct diag *diag;
	__u64 word;
	unsigned int running, idle;
	struct tables tables; /* with counters, regions and states; five tables are copies */
	struct weir_rule *rule;
	struct weir_limit *limit;
	struct weir_protect prot[WEIR_MAX_PROTECTS];
	size_t nr_prot;
	struct weir_config config; /* of the slot that judges */
	size_t nr_limits;
};

static int stale(const struct update *u, const char *what)
{
	return diag_fail(u->diag, -ESTALE, NULL,
			 "generation %u is in force, which is not this policy: %s differ",
			 word_generation(u->word), what);
}

static int oops(const struct update *u, int err, const char *what)
{
	return diag_fail(u->diag, err, NULL, "%s: %s", what, strerror(-err));
}

static int check_word(struct update *u)
{
	if (!u->kernel->loaded)
		return diag_fail(u->diag, -ENOENT, NULL, "no policy is loaded");
	u->word = word_settle(u->kernel);
	if (u->word & WEIR_WORD_PENDING)
		return diag_fail(u->diag, -EINPROGRESS, NULL,
				 "generation %u is on trial: addresses change when that has ended",
				 word_generation(u->word));
	if (!word_generation(u->word))
		return diag_fail(u->diag, -ESTALE, NULL, "no policy is in force");
	u->running = word_slot(u->word);
	u->idle = !u->running;
	return 0;
}

static int read_running(struct update *u)
{
	int err = slot_config(u->kernel, u->running, &u->config);

	if (!err)
		err = slot_table(u->kernel, u->running, TABLE_weir_rule, u->config.nr_rules,
				 (void **)&u->rule);
	if (!err)
		err = slot_limits(u->kernel, u->running, &u->limit, &u->nr_limits);
	if (!err)
		err = slot_protects(u->kernel, u->running, u->prot, &u->nr_prot);
	return err ? oops(u, err, "cannot read the slot in force") : 0;
}

static int check_same(const struct update *u, const struct tables *tables)
{
	const struct weir_config *config = tables->weir_cfg;

	if (config->nr_rules != u->config.nr_rules || config->nr_limits != u->nr_limits ||
	    tables->nr_rules_only + config->nr_limits != config->nr_rules ||
	    config->nr_zones != u->config.nr_zones)
		return stale(u, "rules");
	if (memcmp(config->sha256, u->config.sha256, sizeof(config->sha256)))
		return stale(u, "files");
	for (size_t i = 0; i < config->nr_rules; i++)
		if (tables->weir_rule[i].id != u->rule[i].id ||
		    tables->weir_rule[i].kind != u->rule[i].kind)
			return stale(u, "rules");
	for (size_t i = 0; i < config->nr_limits; i++)
		if (!limit_same(&tables->weir_limit[i], &u->limit[i]))
			return stale(u, "limits");
	if (protects_used(tables->weir_prot, tables->nr_weir_prot) != u->nr_prot)
		return stale(u, "protected services");
	for (size_t i = 0; i < u->nr_prot; i++)
		if (tables->weir_prot[i].id != u->prot[i].id ||
		    tables->weir_prot[i].interval != u->prot[i].interval)
			return stale(u, "protected services");
	return 0;
}

static void *copy(const void *from, size_t n, size_t size)
{
	void *to = malloc(n * size + 1);

	if (to && n)
		memcpy(to, from, n * size);
	return to;
}

static int own_tables(struct update *u, const struct tables *tables)
{
	u->tables = *tables;
#define OWN(name) u->tables.name = copy(tables->name, tables->nr_##name, sizeof(*tables->name))
	OWN(weir_cfg);
	OWN(weir_verd);
	OWN(weir_rule);
	OWN(weir_limit);
	OWN(weir_prot);
#undef OWN
	return u->tables.weir_cfg && u->tables.weir_verd && u->tables.weir_rule &&
		       u->tables.weir_limit && u->tables.weir_prot
		   ? 0
		   : oops(u, -ENOMEM, "cannot number the tables");
}

static int number(struct update *u)
{
	struct tables *tables = &u->tables;
	struct weir_config *config = tables->weir_cfg;

	for (size_t i = 0; i < tables->nr_weir_verd; i++) {
		struct weir_verdict *verdict = &tables->weir_verd[i];

		if (verdict->rule < WEIR_RULE_FIRST)
			continue;
		if (verdict->rule - WEIR_RULE_FIRST >= tables->nr_rules_only)
			return oops(u, -EINVAL, "cannot number the tables");
		verdict->rule = u->rule[verdict->rule - WEIR_RULE_FIRST].counter;
	}
	for (size_t i = 0; i < config->nr_rules; i++)
		tables->weir_rule[i].counter = u->rule[i].counter;
	for (size_t i = 0; i < config->nr_limits; i++) {
		tables->weir_limit[i].counter = u->limit[i].counter;
		tables->weir_limit[i].buckets = u->limit[i].buckets;
		tables->weir_limit[i].overflow = u->limit[i].overflow;
	}
	for (size_t i = 0; i < u->nr_prot; i++)
		tables->weir_prot[i].state = u->prot[i].state;
	config->generation = generation_next(u->kernel->meta->generation > word_generation(u->word)
						 ? u->kernel->meta->generation
						 : word_generation(u->word));
	config->applied_ns = u->config.applied_ns;
	return 0;
}

/* Interfaces have a zone for each slot, and the compiler numbers zones as it meets them. */
static int put_zones(struct update *u)
{
	int fd = u->kernel->maps.fd[MAP_weir_iface];

	if (u->config.nr_zones <= 1)
		return 0;
	for (size_t i = 0; u->env && i < u->env->nr_interfaces; i++) {
		__u32 ifindex = u->env->interface[i].ifindex;
		struct weir_iface iface;

		if (!iface_read(u->kernel, ifindex, &iface) ||
		    iface.zone[u->idle] == u->tables.zone[i])
			continue;
		iface.zone[u->idle] = u->tables.zone[i];
		if (bpf_map_update_elem(fd, &ifindex, &iface, BPF_EXIST) < 0 && errno != ENOENT)
			return oops(u, -errno, "cannot write weir_iface");
	}
	return 0;
}

struct spoofs {
	const struct update *u;
	int fd;
};

static int put_antispoof(void *arg, const void *key, const void *value)
{
	const struct spoofs *s = arg;
	struct weir_iface iface = *(const struct weir_iface *)value;

	if (iface.antispoof[s->u->idle] == iface.antispoof[s->u->running])
		return 0;
	iface.antispoof[s->u->idle] = iface.antispoof[s->u->running];
	return bpf_map_update_elem(s->fd, key, &iface, BPF_EXIST) < 0 && errno != ENOENT ? -errno
											 : 0;
}

/* What is checked at interfaces is the same in the slot that comes; whether, its config says. */
static int put_antispoofs(struct update *u)
{
	struct spoofs spoofs = {u, u->kernel->maps.fd[MAP_weir_iface]};
	int err;

	if (!(u->config.flags & WEIR_CFG_ANTISPOOF))
		return 0;
	err =
	    hash_each(spoofs.fd, sizeof(__u32), sizeof(struct weir_iface), put_antispoof, &spoofs);
	return err ? oops(u, err, "cannot write weir_iface") : 0;
}

static int wait_for_slot(struct update *u)
{
	int err = u->kernel->meta->flags & META_GRACE ? grace() : 0;

	if (err)
		return oops(u, err, "cannot wait for running programs");
	u->kernel->meta->flags &= ~META_GRACE;
	return 0;
}

static int flip(struct update *u)
{
	struct weir_meta *meta = u->kernel->meta;
	__u32 generation = u->tables.weir_cfg->generation;
	int err;

	/* First: whoever dies in between has left a slot that nobody writes too early or goes back to. */
	meta->flags |= META_GRACE | META_STALE;
	meta->generation = generation;
	err = word_swap(u->kernel, u->word, word_make(u->idle, generation, 0));
	return err ? diag_fail(u->diag, err, NULL, "the policy in force changed meanwhile: %s",
			       strerror(-err))
		   : 0;
}

static int run(struct update *u, const struct tables *tables, struct apply_result *result)
{
	__u64 began_ns;
	size_t bytes = 0;
	int err = check_word(u);

	if (!err)
		err = read_running(u);
	if (!err)
		err = check_same(u, tables);
	if (!err && !slot_fits(u->kernel, tables, u->idle))
		err = diag_fail(u->diag, -E2BIG, NULL, "the tables have to grow");
	if (!err)
		err = own_tables(u, tables);
	if (!err)
		err = number(u);
	if (!err)
		err = wait_for_slot(u);
	began_ns = mono_ns(NULL);
	if (!err)
		err = slot_amend(u->kernel, &u->tables, u->idle, &bytes, u->diag);
	if (!err)
		err = put_zones(u);
	if (!err)
		err = put_antispoofs(u);
	if (!err)
		err = flip(u);
	result->fill_ns = mono_ns(NULL) - began_ns;
	result->written = bytes;
	result->generation = u->tables.weir_cfg ? u->tables.weir_cfg->generation : 0;
	return err;
}

static void release(struct update *u)
{
	free(u->tables.weir_cfg);
	free(u->tables.weir_verd);
	free(u->tables.weir_rule);
	free(u->tables.weir_limit);
	free(u->tables.weir_prot);
	free(u->rule);
	free(u->limit);
}

int kernel_update(struct kernel *kernel, const struct policy *policy, const struct tables *tables,
		  const struct environment *env, struct apply_result *ret, struct diag *diag)
{
	struct update u = {.kernel = kernel, .env = env, .diag = diag};
	struct apply_result result = {};
	struct diag scratch = {};
	__u64 began_ns = mono_ns(NULL);
	int err;

	if (!kernel->write)
		return diag_fail(diag, -EINVAL, NULL, "opened for reading");
	err = run(&u, tables, &result);
	release(&u);
	if (err)
		return err;
	result.total_ns = mono_ns(NULL) - began_ns;
	if (environment_has_engine(env))
		kernel->meta->flags |= META_ENGINE;
	sysctls_settle(kernel, diag);
	if (marks_clear(kernel, env, &scratch))
		diag_warn(diag, NULL, "%s", scratch.error);
	diag_reset(&scratch);
	if (ret)
		*ret = result;
	return 0;
}
