// SPDX-License-Identifier: GPL-2.0-only
/* The lookups of the programs, compiled for the host. */
#include <errno.h>
#include <string.h>

#include "compile/compile.h"

/* The tables that the lookups of this thread read: classify.h knows slots, and here is only one. */
static _Thread_local const struct tables *current;

#define WEIR_TABLE(name, slot, index) \
	((size_t)(index) < current->nr_##name ? &current->name[index] : NULL)
#define WEIR_FUNC static
/* Loop hints are for clang. */
#pragma GCC diagnostic ignored "-Wunknown-pragmas"
#include "classify.h"

static __u32 class_of(const struct weir_addr *address, enum weir_kind kind)
{
	__u64 hi = 0, lo = 0;
	bool v4 = addr_is_v4(address);
	__u32 class;

	for (int i = 0; i < 8; i++) {
		hi = hi << 8 | address->byte[i];
		lo = lo << 8 | address->byte[8 + i];
	}
	class = v4 ? classify_address(0, 0, lo << 32, 0) : classify_address(0, 1, hi, lo);
	return class == WEIR_NONE ? WEIR_NONE : kind * current->weir_cfg->nr_classes + class;
}

static bool judged_here(enum weir_kind kind)
{
	return kind != WEIR_OTHER;
}

/* What each end's home says; an end that is none of ours has no say. */
static void judge(const struct question *question, const struct weir_class *src,
		  const struct weir_class *dst, struct answer *answer)
{
	const bool forward = current->weir_cfg->flags & WEIR_CFG_FORWARD_ALLOW;
	bool in = judged_here(question->destination_kind), out = judged_here(question->source_kind);

	switch (answer->verdict.action) {
	case WEIR_ACT_FAILSAFE:
		answer->ingress_allow = answer->egress_allow = true;
		return;
	case WEIR_ACT_ALLOW:
		answer->ingress_allow = answer->egress_allow = true;
		break;
	case WEIR_ACT_DENY:
	case WEIR_ACT_LATER:
		answer->ingress_allow = answer->egress_allow = false;
		answer->later = answer->verdict.action == WEIR_ACT_LATER;
		break;
	default:
		answer->ingress_allow = in ? dst->flags & WEIR_CLASS_INGRESS_ALLOW : out || forward;
		answer->egress_allow = out ? src->flags & WEIR_CLASS_EGRESS_ALLOW : in || forward;
		break;
	}
	if (answer->verdict.rule >= WEIR_RULE_FIRST)
		answer->rule = answer->verdict.rule - WEIR_RULE_FIRST;
	if ((src->flags | dst->flags) & WEIR_CLASS_BLOCKED) {
		answer->ingress_allow = answer->egress_allow = answer->later = false;
		answer->rule = -1;
	}
}

int tables_eval(const struct tables *tables, const struct question *question, struct answer *ret)
{
	struct answer answer = {.rule = -1};
	__u32 src, dst, verdict;

	current = tables;
	src = class_of(&question->source, question->source_kind);
	dst = class_of(&question->destination, question->destination_kind);
	if (src >= tables->nr_weir_class || dst >= tables->nr_weir_class)
		return -EBADMSG;
	verdict = classify_verdict(0, src, dst, classify_service(question->proto, question->port),
				   question->zone);
	if (verdict >= tables->nr_weir_verd)
		return -EBADMSG;
	answer.verdict = tables->weir_verd[verdict];
	judge(question, &tables->weir_class[src], &tables->weir_class[dst], &answer);
	answer.allow = answer.ingress_allow && answer.egress_allow;
	*ret = answer;
	return 0;
}
