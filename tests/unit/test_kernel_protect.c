// SPDX-License-Identifier: GPL-2.0-only
/* States of protected services, the window scale that cookies announce, and VLANs that are judged below. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/internal.h"

static void the_window_scale_is_that_of_the_largest_buffer(void **state)
{
	/* By tcp_select_initial_window(): ilog2 of the larger one, less 15, in 0..14. */
	static const struct {
		__u64 tcp_rmem, rmem_max;
		unsigned int scale;
	} cases[] = {
	    {0, 0, 0},		{65535, 0, 0},		 {65536, 0, 1},	      {131071, 4096, 1},
	    {131072, 4096, 2},	{6291456, 212992, 7}, /* Linux as it comes */
	    {4096, 6291456, 7}, {33554432, 4194304, 10}, {1073741823, 0, 14}, {536870911, 0, 13},
	    {~0ULL, ~0ULL, 14},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(window_scale_of(cases[i].tcp_rmem, cases[i].rmem_max),
				 cases[i].scale);
	assert_in_range(window_scale(), 0, 14);
	assert_int_equal(cookie_options() & WEIR_COOKIE_WSCALE, window_scale());
}

static void the_first_states_are_the_first_places(void **state)
{
	struct kernel kernel = {};
	struct weir_protect prot[WEIR_MAX_PROTECTS + 1] = {};
	struct protects_plan plan;

	assert_int_equal(protects_plan(&kernel, 1, prot, 1, &plan), 0);
	for (int i = 0; i < WEIR_NR_COOKIES; i++)
		assert_false(plan.fresh[i]);
	for (int i = 0; i < 3; i++)
		prot[i] = (struct weir_protect){.interval = 1, .id = 100 - i, .state = 77};
	assert_int_equal(protects_used(prot, WEIR_MAX_PROTECTS), 3);
	assert_int_equal(protects_plan(&kernel, 1, prot, WEIR_MAX_PROTECTS, &plan), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(prot[i].state, i);
	for (int i = 0; i < WEIR_NR_COOKIES; i++)
		assert_int_equal(plan.fresh[i], i < 3);
	assert_int_equal(prot[3].state, 0);
	for (int i = 0; i <= WEIR_MAX_PROTECTS; i++)
		prot[i].interval = 1;
	assert_int_equal(protects_plan(&kernel, 1, prot, WEIR_MAX_PROTECTS + 1, &plan), -E2BIG);
}

static void a_vlan_is_judged_at_the_watched_device_that_it_is_on(void **state)
{
	struct link link[] = {
	    {.ifindex = 2, .name = "eth0"},
	    {.ifindex = 3, .name = "eth0.5", .lower = 2},
	    {.ifindex = 4, .name = "inner", .lower = 3},
	    {.ifindex = 5, .name = "eth1"},
	    {.ifindex = 6, .name = "eth1.5", .lower = 5},
	    {.ifindex = 7, .name = "lost", .lower = 99},
	    {.ifindex = 8, .name = "round", .lower = 9},
	    {.ifindex = 9, .name = "again", .lower = 8},
	    {.ifindex = 10, .name = "veth0"},
	    {.ifindex = 11, .name = "veth0.5", .lower = 10},
	};
	struct links links = {.link = link, .n = ARRAY_SIZE(link)};
	struct wanted wanted[] = {
	    {.link = &link[0]}, {.link = &link[1]}, {.link = &link[8], .workload = true}};
	struct wants wants = {.wanted = wanted, .n = ARRAY_SIZE(wanted)};
	static const __u32 below[] = {0, 2, 3, 0, 0, 0, 0, 0, 0, 0};

	for (size_t i = 0; i < links.n; i++) {
		const struct link *lower = wants_below(&links, &wants, &link[i]);

		assert_int_equal(lower ? lower->ifindex : 0, below[i]);
	}
}

static void vlans_on_watched_devices_get_no_hooks(void **state)
{
	struct link link[] = {
	    {.ifindex = 4, .name = "eth0.5.7", .lower = 3},
	    {.ifindex = 3, .name = "eth0.5", .lower = 2},
	    {.ifindex = 2, .name = "eth0"},
	    {.ifindex = 6, .name = "eth1.5", .lower = 5},
	    {.ifindex = 5, .name = "eth1"},
	};
	struct links links = {.link = link, .n = ARRAY_SIZE(link)};
	struct interface_rule rule[] = {{.pattern = "eth0*"}, {.pattern = "eth1.5"}};
	struct policy policy = {.interface = rule, .nr_interfaces = 2};
	struct naming naming = {.policy = &policy};
	struct wants wants = {};

	assert_int_equal(wants_build(&links, &naming, 1, &wants), 0);
	assert_int_equal(wants.n, 2);
	assert_non_null(wants_find(&wants, 2));
	/* Nobody watches what it is on. */
	assert_non_null(wants_find(&wants, 6));
	wants_free(&wants);
}

static void a_protected_veth_gets_generic_xdp_where_nobody_asked_for_more(void **state)
{
	struct link veth = {.ifindex = 2, .name = "eth0", .veth = true};
	struct link nic = {.ifindex = 3, .name = "eth0"};
	struct interface_rule rule[] = {{.pattern = "eth0"}};
	struct policy policy = {.interface = rule, .nr_interfaces = 1};
	struct naming naming = {.policy = &policy, .protect = true};
	struct wanted wanted;

	assert_true(wants_match(&naming, 1, &veth, &wanted));
	assert_int_equal(wanted.xdp, XDP_GENERIC);
	assert_true(wants_match(&naming, 1, &nic, &wanted));
	assert_int_equal(wanted.xdp, XDP_AUTO);
	rule[0].xdp = XDP_NATIVE;
	assert_true(wants_match(&naming, 1, &veth, &wanted));
	assert_int_equal(wanted.xdp, XDP_NATIVE);
	rule[0].xdp = XDP_AUTO;
	naming.protect = false;
	assert_true(wants_match(&naming, 1, &veth, &wanted));
	assert_int_equal(wanted.xdp, XDP_AUTO);
}

static void antispoof_is_by_the_entry_that_names_the_interface(void **state)
{
	struct interface_rule rule[] = {
	    {.pattern = "*", .antispoof = WEIR_ANTISPOOF_LOOSE},
	    {.pattern = "eth1", .antispoof = WEIR_ANTISPOOF_STRICT},
	    {.pattern = "eth2"},
	};
	struct interface_rule workload[] = {{.pattern = "veth*"}};
	struct policy policy = {
	    .interface = rule, .nr_interfaces = 3, .workload = workload, .nr_workloads = 1};
	struct naming naming = {.policy = &policy};
	static const struct {
		const char *name;
		__u8 antispoof;
	} cases[] = {
	    {"eth0", WEIR_ANTISPOOF_LOOSE},
	    {"eth1", WEIR_ANTISPOOF_STRICT},
	    {"eth2", WEIR_ANTISPOOF_OFF},
	    {"veth0", WEIR_ANTISPOOF_OFF},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct link link = {};

		strcpy(link.name, cases[i].name);
		assert_int_equal(naming_antispoof(&naming, &link), cases[i].antispoof);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_window_scale_is_that_of_the_largest_buffer),
	    cmocka_unit_test(the_first_states_are_the_first_places),
	    cmocka_unit_test(a_vlan_is_judged_at_the_watched_device_that_it_is_on),
	    cmocka_unit_test(vlans_on_watched_devices_get_no_hooks),
	    cmocka_unit_test(a_protected_veth_gets_generic_xdp_where_nobody_asked_for_more),
	    cmocka_unit_test(antispoof_is_by_the_entry_that_names_the_interface),
	};

	return cmocka_run_group_tests_name("kernel_protect", tests, NULL, NULL);
}
