/* SPDX-License-Identifier: GPL-2.0-only */
/* YAML text as the library's events: what policies and compose files are both read from. */
#ifndef WEIR_POLICY_EVENTS_H
#define WEIR_POLICY_EVENTS_H

#include <stddef.h>

#include "base/diag.h"

struct fy_event;

/**
 * yaml_events() - hand every event of @text to @each, in order.
 * @text: UTF-8 without zero bytes and control characters, else it is refused: the library is not asked about them
 * @each: 0: go on; 1: nothing more needs to be read; else -errno, which ends it and is returned
 * @file: name in positions
 *
 * Returns 0; -EINVAL with @diag: no YAML, with the place of the first error; -ENOMEM; what @each returned.
 */
int yaml_events(const char *text, size_t len, const char *file,
		int (*each)(void *arg, struct fy_event *event), void *arg, struct diag *diag);

#endif
