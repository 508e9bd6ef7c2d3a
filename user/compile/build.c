// SPDX-License-Identifier: GPL-2.0-only
/* A build from the first stage to the last. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compile/builder.h"

#define NS_PER_S 1000000000ULL

static __u64 interval_ns(__u32 per_second)
{
	return per_second ? (NS_PER_S + per_second - 1) / per_second : 0;
}

static bool checks_paths(const struct policy *policy)
{
	for (size_t i = 0; i < policy->nr_interfaces; i++)
		if (policy->interface[i].antispoof != WEIR_ANTISPOOF_OFF)
			return true;
	return false;
}

static __u32 policy_flags(const struct policy *policy, const struct environment *env)
{
	enum policy_default forward = policy->defaults.forward;

	if (forward == DEFAULT_UNSAID)
		forward = policy->defaults.ingress;
	return (policy->monitor ? WEIR_CFG_MONITOR : 0) |
	       (forward == DEFAULT_ALLOW ? WEIR_CFG_FORWARD_ALLOW : 0) |
	       (env && env->forwarding4 ? WEIR_CFG_FORWARDING4 : 0) |
	       (env && env->forwarding6 ? WEIR_CFG_FORWARDING6 : 0) |
	       (policy->nr_workloads ? WEIR_CFG_WORKLOADS : 0) |
	       (policy->nr_limits ? WEIR_CFG_LIMITS : 0) | (policy->nr_vlans ? WEIR_CFG_VLANS : 0) |
	       (checks_paths(policy) ? WEIR_CFG_ANTISPOOF : 0);
}

static void vlans_build(const struct policy *policy, __u64 *vlans)
{
	for (size_t i = 0; i < policy->nr_vlans; i++)
		for (unsigned int vid = policy->vlan[i].first; vid <= policy->vlan[i].last; vid++)
			vlans[vid / 64] |= 1ULL << vid % 64;
}

static int config_build(struct builder *b)
{
	const struct policy *policy = b->policy;
	struct weir_config *config = calloc(1, sizeof(*config));

	if (!config)
		return -ENOMEM;
	b->tables->weir_cfg = config;
	b->tables->nr_weir_cfg = 1;
	config->flags = policy_flags(policy, b->env);
	config->nr_rules = policy->nr_rules + policy->nr_limits;
	config->nr_files = policy->nr_files;
	config->nr_limits = policy->nr_limits;
	config->tcp_s = policy->timeouts.tcp;
	config->tcp_closing_s = policy->timeouts.tcp_closing;
	config->udp_s = policy->timeouts.udp;
	config->udp_stream_s = policy->timeouts.udp_stream;
	config->icmp_s = policy->timeouts.icmp;
	config->half_open_s = policy->timeouts.half_open;
	config->event_interval_ns = interval_ns(policy->audit.events_per_second);
	config->event_source_interval_ns = interval_ns(policy->audit.per_source_per_second);
	vlans_build(policy, config->vlans);
	memcpy(config->sha256, policy->sha256, sizeof(config->sha256));
	return 0;
}

/* The first limit with a bucket for each packet's own key, at the home of its receiver. */
static __u32 limit_to_touch(const struct tables *tables)
{
	for (size_t i = 0; i < tables->weir_cfg->nr_limits; i++)
		if (!(tables->weir_limit[i].flags & WEIR_LIMIT_EGRESS) &&
		    tables->weir_limit[i].mask)
			return i;
	return WEIR_NONE;
}

static int config_finish(struct builder *b)
{
	struct weir_config *config = b->tables->weir_cfg;

	config->nr_classes = b->classes.intern.n;
	config->touch = limit_to_touch(b->tables);
	config->nr_service_classes = b->ports.nr_real + b->ports.nr_fragments;
	config->nr_zones = b->zones.nr;
	b->tables->nr_rules_only = b->policy->nr_rules;
	return 0;
}

static int run_stages(struct builder *b)
{
	/* clang-format off */
	static int (*const stage[])(struct builder *b) = {
		config_build,  rules_build,    sets_open,         matches_build, limits_build,
		protects_build,
		zones_build,   services_build, classes_build,     trie_build,    vips_build,
		groups_build,  ends_build,     pairs_build,       cells_build,   matrices_build,
		class_table_build, config_finish,
	};
	/* clang-format on */
	for (size_t i = 0; i < sizeof(stage) / sizeof(*stage); i++) {
		int err = stage[i](b);

		if (err)
			return err;
	}
	return 0;
}

static void builder_clear(struct builder *b)
{
	sets_clear(&b->sets);
	classes_clear(&b->classes);
	services_clear(&b->ports);
	zones_clear(&b->zones);
	ends_clear(&b->src);
	ends_clear(&b->dst);
	pairs_clear(&b->pairs);
	cells_clear(&b->cells);
	intern_clear(&b->group_intern);
	free(b->match);
	free(b->group);
	free(b->log);
	free(b->segment_default);
	free(b->spared);
	vips_clear(b);
}

int tables_build_with(const struct policy *policy, const struct environment *env,
		      const struct build_options *options, struct tables **ret, struct diag *diag)
{
	struct builder b = {.policy = policy, .env = env, .diag = diag, .options = *options};
	int err = -ENOMEM;

	b.tables = calloc(1, sizeof(*b.tables));
	if (b.tables)
		err = run_stages(&b);
	builder_clear(&b);
	if (err) {
		tables_free(b.tables);
		return err == -ENOMEM ? diag_fail(diag, err, NULL, "out of memory") : err;
	}
	*ret = b.tables;
	return 0;
}

int tables_build(const struct policy *policy, const struct environment *env, struct tables **ret,
		 struct diag *diag)
{
	const struct build_options options = {.dense_max = BUILD_DENSE_MAX,
					      .max_bytes = COMPILE_MAX_BYTES};

	return tables_build_with(policy, env, &options, ret, diag);
}

void tables_free(struct tables *tables)
{
	if (!tables)
		return;
#define FREE(name, type, entries) free(tables->name);
	WEIR_SLOT_MAPS(FREE)
#undef FREE
	free(tables->zone);
	free(tables);
}
