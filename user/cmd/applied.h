/* SPDX-License-Identifier: GPL-2.0-only */
/* Which host, lists and names the policy in force was compiled for: kept in /run/weir by whoever put it there. */
#ifndef WEIR_CMD_APPLIED_H
#define WEIR_CMD_APPLIED_H

#include <stdbool.h>

#include "cmd/fingerprint.h"

/**
 * struct applied - @seed: of the programs (weir_control); it and @generation say whether the note is still true.
 * @names: what followed names stood for, naming_digest()
 */
struct applied {
	__u64 seed;
	__u32 generation;
	struct fingerprint fingerprint, names;
};

/** applied_write() - a note that cannot be written costs one more compilation, so nobody is told. */
void applied_write(const char *pin_dir, const struct applied *applied);

/** applied_read() - false: there is no note about this generation of the programs with this seed. */
bool applied_read(const char *pin_dir, __u64 seed, __u32 generation, struct applied *ret);

#endif
