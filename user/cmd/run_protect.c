// SPDX-License-Identifier: GPL-2.0-only
/* weir run: when services that SYN cookies protect come under attack, and when that is over. */
#include <string.h>

#include "base/mem.h"
#include "cmd/report.h"
#include "cmd/run.h"

static char *service_text(struct run *run, size_t i)
{
	_cleanup_diag_ struct diag diag = {};
	const struct policy *policy = NULL;

	if (run_policy_in_force(run, &policy, &diag) || !policy || i >= policy->nr_protects)
		return NULL;
	return text_services(&policy->protect[i].port);
}

void run_say_attacks(struct run *run, const struct kernel_status *status)
{
	/* Of another policy: the same places may be other services. */
	if (run->attacked_generation != status->generation)
		run->attacked = 0;
	run->attacked_generation = status->generation;
	for (size_t i = 0; i < status->nr_protects; i++) {
		const struct protect_status *entry = &status->protect[i];
		bool was = run->attacked >> i & 1;
		_cleanup_free_ char *text = NULL;

		if (was == entry->attacked)
			continue;
		run->attacked ^= 1U << i;
		text = service_text(run, i);
		if (entry->attacked)
			log_line(LOG_WARNING,
				 "%s is under attack: every SYN is answered with a cookie",
				 text ?: "a protected service");
		else
			log_line(LOG_NOTICE,
				 "%s is under attack no more; in all, %llu cookies were sent and "
				 "%llu clients proved their address",
				 text ?: "a protected service", entry->state.sent,
				 entry->state.valid);
	}
}
