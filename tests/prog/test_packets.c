// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every packet of the table at every hook, under policies that open everything and such that open nothing: by their
 * default, and by their rules.
 */
#include "harness.h"

#include <stdlib.h>

#define OPEN "interfaces: [nic]\nworkloads: [wl]\ndefault: allow\n"
#define SHUT "interfaces: [nic]\nworkloads: [wl]\ndefault: deny\nfailsafe: []\n"
/* An allowlist that names everybody, and a denylist that does. */
#define ALLOWS SHUT "allow: [{from: any, to: any}]\n"
#define DENIES OPEN "failsafe: []\ndeny: [{from: any, to: any}]\n"

enum { POLICY_OPEN, POLICY_SHUT };

/* What a policy that opens nothing says. */
static enum weir_reason refusal;

static bool at_nic(enum weir_hook hook)
{
	return hook <= WEIR_HOOK_NIC_OUT;
}

static bool leaving(enum weir_hook hook)
{
	return hook == WEIR_HOOK_NIC_OUT || hook == WEIR_HOOK_WL_OUT;
}

/* What must become of a packet of that class there. */
static enum weir_reason wanted(const struct packet_case *c, enum weir_hook hook, int which)
{
	enum weir_reason shut = which == POLICY_SHUT ? refusal : WEIR_OK;

	switch (c->class) {
	case CLASS_BAD:
		return c->reason;
	case CLASS_OPENS:
	case CLASS_LATER:
		return shut;
	case CLASS_CONTINUES:
		return which == POLICY_SHUT && refusal == WEIR_DEFAULT ? WEIR_NO_FLOW : shut;
	case CLASS_TAGGED:
		return WEIR_VLAN;
	case CLASS_OURS:
		return at_nic(hook) && !leaving(hook) ? WEIR_SPOOFED : shut;
	case CLASS_NEIGHBOUR_SELF:
		return hook == WEIR_HOOK_WL_OUT ? WEIR_SPOOFED : WEIR_OK;
	case CLASS_NEIGHBOUR:
		return WEIR_OK;
	case CLASS_CONTROL:
		return at_nic(hook) ? WEIR_OK : WEIR_ETHERTYPE;
	case CLASS_LISTENER:
		return at_nic(hook) ? WEIR_OK : shut;
	case CLASS_DHCP_ASK:
		return hook == WEIR_HOOK_NIC_OUT ? WEIR_OK : shut;
	case CLASS_DHCP_OFFER:
		return at_nic(hook) && !leaving(hook) ? WEIR_OK : shut;
	case CLASS_DHCP6:
		return at_nic(hook) ? WEIR_OK : shut;
	case CLASS_ERROR_TCP:
		/* Arriving: about no connection. Leaving: the packet that it quotes would have passed. */
		return which == POLICY_OPEN && leaving(hook) ? WEIR_OK : WEIR_ICMP_ERROR;
	case CLASS_ERROR_UDP:
		return which == POLICY_OPEN ? WEIR_OK : WEIR_ICMP_ERROR;
	case CLASS_ERROR_BAD:
		return WEIR_ICMP_ERROR;
	}
	return WEIR_NR_REASONS;
}

/* Malformed frames have no home. Others have one, or two where a workload sends to a group: its egress, our ingress. */
static void assert_homes(const struct packet_case *c, enum weir_hook hook,
			 const struct outcome *found)
{
	const unsigned int group = 1 << WEIR_HOME_WORKLOAD_OUT | 1 << WEIR_HOME_SELF_IN;

	if (hook == WEIR_HOOK_WL_OUT && found->homes == group) {
		assert_int_equal(found->home_packets, 2);
		return;
	}
	assert_true(found->home_packets <= 1);
	if (c->class == CLASS_BAD)
		assert_int_equal(found->home_packets, 0);
}

static void one_case(void **state)
{
	const struct packet_case *c = *state;
	unsigned int tried = 0;

	for (int which = POLICY_OPEN; which <= POLICY_SHUT; which++) {
		world.control->word = (__u64)which | (1ULL + which) << WEIR_WORD_GEN_SHIFT;
		for (enum weir_hook hook = WEIR_HOOK_XDP; hook <= WEIR_HOOK_WL_IN; hook++) {
			enum weir_reason want = wanted(c, hook, which);
			struct outcome found;
			struct frame frame;

			if (c->fixed && !at_nic(hook) && c->class != CLASS_BAD)
				continue;
			frame_build(c->layers, ends_of(hook), &frame);
			/* No test run without an Ethernet header, nor of an skb with half an IP header. */
			if (frame.len < 14 ||
			    (hook != WEIR_HOOK_XDP && c->reason == WEIR_TRUNCATED))
				continue;
			tried++;
			world.control->fake_ns += 3 * 3600 * S_NS; /* flows and limits end */
			found = run_frame(AT(.hook = hook), &frame);
			if (found.reason != want || found.pass != (want == WEIR_OK))
				fail_msg("%s, hook %d, %s: wanted %s, found %s (%s)", c->name, hook,
					 which ? "shut" : "open", reason_name(want),
					 reason_name(found.reason),
					 found.pass ? "passed" : "dropped");
			assert_homes(c, hook, &found);
		}
	}
	assert_true(tried || c->reason == WEIR_TRUNCATED);
}

static int by_default(void **state)
{
	int err = world_setup(state);

	if (err)
		return err;
	policy_fill(POLICY_OPEN, 1, OPEN);
	policy_fill(POLICY_SHUT, 2, SHUT);
	refusal = WEIR_DEFAULT;
	return 0;
}

static int by_rules(void **state)
{
	policy_fill(POLICY_OPEN, 1, ALLOWS);
	policy_fill(POLICY_SHUT, 2, DENIES);
	refusal = WEIR_DENY;
	return 0;
}

int main(void)
{
	struct CMUnitTest *tests = calloc(nr_packet_cases, sizeof(*tests));
	int failed;

	if (!tests)
		return 1;
	for (size_t i = 0; i < nr_packet_cases; i++)
		tests[i] = (struct CMUnitTest){.name = packet_cases[i].name,
					       .test_func = one_case,
					       .initial_state = (void *)&packet_cases[i]};
	failed = _cmocka_run_group_tests("defaults", tests, nr_packet_cases, by_default, NULL);
	failed +=
	    _cmocka_run_group_tests("rules", tests, nr_packet_cases, by_rules, world_teardown);
	free(tests);
	return failed != 0;
}
