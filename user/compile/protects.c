// SPDX-License-Identifier: GPL-2.0-only
/* `protect:` -> weir_prot: from which rate on SYNs are answered with cookies. */
#include <errno.h>
#include <stdlib.h>

#include "compile/builder.h"

#define NS_PER_S 1000000000ULL

static __u64 protect_id(const struct protect_rule *rule)
{
	return chain_id(chain_id(200, sets_sig(&rule->to)), services_sig(&rule->port));
}

/* A tenth of a second's worth may come at once: what a browser opens together is no attack. */
static void fill(const struct protect_rule *rule, size_t index, struct weir_protect *ret)
{
	unsigned __int128 up = (unsigned __int128)rule->period_ns << WEIR_TAT_SHIFT;
	unsigned __int128 burst = (unsigned __int128)rule->rate * (NS_PER_S / 10) / rule->period_ns;

	ret->interval = (up + rule->rate - 1) / rule->rate;
	ret->tolerance = ret->interval * (burst ? (__u64)burst : 1);
	ret->state = index;
	ret->id = protect_id(rule);
}

/* Limits of connections that a cookie could be used again to get around: all of them, for settings are the host's. */
static bool limits_connections(const struct policy *policy)
{
	for (size_t i = 0; i < policy->nr_limits; i++)
		if (policy->limit[i].count == WEIR_COUNT_CONNECTIONS)
			return true;
	return false;
}

int protects_build(struct builder *b)
{
	size_t n = b->policy->nr_protects, most;

	b->watch_cookies = n && limits_connections(b->policy);
	most = WEIR_MAX_PROTECTS - b->watch_cookies;
	if (n > most)
		return diag_fail(b->diag, -E2BIG, &b->policy->protect[most].at,
				 "protect has at most %zu entries%s", most,
				 b->watch_cookies ? " beside limits of connections" : "");
	b->tables->weir_prot = calloc(n + 1, sizeof(struct weir_protect));
	if (!b->tables->weir_prot)
		return -ENOMEM;
	b->tables->nr_weir_prot = n ? n : 1;
	for (size_t i = 0; i < n; i++)
		fill(&b->policy->protect[i], i, &b->tables->weir_prot[i]);
	if (b->watch_cookies) {
		b->tables->weir_prot[n] = (struct weir_protect){.interval = WEIR_PROTECT_NEVER,
								.tolerance = 1ULL << 62,
								.state = n,
								.id = WEIR_PROTECT_NEVER};
		b->tables->nr_weir_prot = n + 1;
	}
	return 0;
}
