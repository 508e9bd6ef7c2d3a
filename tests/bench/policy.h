/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WEIR_BENCH_POLICY_H
#define WEIR_BENCH_POLICY_H

/** bench_policy() - text of the policy with @rules rules, see bench.h; malloc'ed. */
char *bench_policy(unsigned int rules);

#endif
