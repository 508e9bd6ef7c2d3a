/* SPDX-License-Identifier: GPL-2.0-only */
/* What several commands say alike about a policy and its parts. */
#ifndef WEIR_CMD_REPORT_H
#define WEIR_CMD_REPORT_H

#include "cmd/load.h"

struct rule_counts {
	size_t allow, deny;
};
struct rule_counts rule_counts(const struct policy *policy);

/** print_failures() - the policy's tests that failed, one line each, to stderr. */
void print_failures(const struct loaded *loaded);

json_t *policy_json(const struct policy *policy);      /* {"files", "sha256"} */
json_t *rule_counts_json(const struct policy *policy); /* {"allow", "deny"} */
json_t *budget_json(
    const struct budget *budget); /* {"addresses", "classes", "pairs", "cells", "bytes"} */
json_t *tests_json(const struct loaded *loaded); /* {"passed", "failed", "failures": [{…}]} */
json_t *json_sha256(const __u8 sha256[32]);
json_t *json_time(__u64 realtime_ns); /* RFC 3339 in UTC; 0 is null */

json_t *trial_json(__u64 deadline_real_ns, __u32 previous); /* {"deadline", "previous"} */

/** json_put_count() - "passed" and "dropped", each {"packets", "bytes"}. */
void json_put_count(json_t *object, const struct weir_count *count);

/** text_items(), text_services() - as the policy writes them, malloc'ed: "admin, 192.0.2.0/24"; "tcp/22". */
char *text_items(const struct items *items, const char *if_empty);
char *text_services(const struct services *services);
char *text_names(const struct names *names);
/** text_item() - one item; @buffer holds @size bytes. */
const char *text_item(const struct item *item, char *buffer, size_t size);

/** boot_to_real_ns() - a time of CLOCK_BOOTTIME as CLOCK_REALTIME. */
__u64 boot_to_real_ns(__u64 boot_ns);

#endif
