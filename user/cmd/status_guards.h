/* SPDX-License-Identifier: GPL-2.0-only */
/* weir status: what packets must be before rules speak of them: VLANs, sources, SYNs; and settings of the host. */
#ifndef WEIR_CMD_STATUS_GUARDS_H
#define WEIR_CMD_STATUS_GUARDS_H

#include "cmd/cmd.h"
#include "kernel/kernel.h"

/**
 * guards_status_json() - puts "vlans", "protect" and "settings" into @object.
 * @policy: that in force, without its lists; NULL where it cannot be read
 */
void guards_status_json(const struct kernel_status *status, const struct policy *policy,
			json_t *object);
/** print_guards() - the lines among those of the head. */
void print_guards(const struct kernel_status *status, const struct policy *policy);

/** antispoof_name() - "off", "strict", "loose". */
const char *antispoof_name(__u8 antispoof);

#endif
