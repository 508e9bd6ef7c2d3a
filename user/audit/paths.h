/* SPDX-License-Identifier: GPL-2.0-only */
/* Where a weir keeps what is not in its pin directory. */
#ifndef WEIR_AUDIT_PATHS_H
#define WEIR_AUDIT_PATHS_H

#include <stddef.h>

/**
 * path_name() - name of a pin directory: its path below /sys/fs/bpf with '+' for '/'.
 * "/sys/fs/bpf/weir" is "weir", "/sys/fs/bpf/weir/blue" is "weir+blue"; other paths are taken whole.
 * Returns 0, -EINVAL when nothing is left, -ENAMETOOLONG.
 */
int path_name(const char *pin_dir, char *ret, size_t size);

/** path_run() - /run/weir/NAME.SUFFIX; WEIR_RUN_DIR replaces /run/weir. Returns as path_name(). */
int path_run(const char *pin_dir, const char *suffix, char *ret, size_t size);

/** path_state() - /var/lib/weir/NAME; WEIR_STATE_DIR replaces /var/lib/weir. Returns as path_name(). */
int path_state(const char *pin_dir, char *ret, size_t size);

#endif
