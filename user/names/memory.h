/* SPDX-License-Identifier: GPL-2.0-only */
/* The file in which answers outlive a process: JSON, mode 0600, of this boot only. */
#ifndef WEIR_NAMES_MEMORY_H
#define WEIR_NAMES_MEMORY_H

#include <jansson.h>

#define MEMORY_MAX_BYTES (64 << 20)

/**
 * memory_read() - what an earlier process of this boot left, without "boot_id".
 * Returns 0; -ENOENT: nothing, or of another boot; -EPERM: others could have written it; -EPROTO: no JSON; -errno.
 */
int memory_read(const char *path, json_t **ret);

/** memory_write() - replace it by @what (taken over). Its directory is made where it is missing (one level). */
int memory_write(const char *path, json_t *what);

#endif
