// SPDX-License-Identifier: GPL-2.0-only
/*
 * Following workloads one by one, with the real engine's steps done by hand: a bridge, a veth in it, its other end in a
 * namespace. What is where in weir_iface and weir_local, which hooks there are, and that nothing is left.
 */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/addr.h"
#include "kernel/internal.h"

static char dir[64];

#define POLICY                                                                             \
	"interfaces: [nic]\nworkloads: [\"veth*\"]\nsegments: {web: [{container: web}]}\n" \
	"allow:\n- {name: served, from: 192.0.2.0/24, to: web, port: tcp/80}\n"            \
	"limits: [{name: lim, to: web, port: tcp/80, count: packets, rate: 1/second, burst: 5}]\n"

static void sh(const char *format, ...)
{
	char command[512];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	if (system(command))
		fail_msg("failed: %s", command);
}

/* ---- what the engine says ---- */

static struct environment env;

static struct prefix prefix_of(const char *text)
{
	struct prefix prefix;
	const char *why;

	assert_int_equal(prefix_parse(text, &prefix, &why), 0);
	return prefix;
}

/* The engine's subnet, and the one address that it told of (NULL: none), which is the container "web". */
static void engine(const char *address)
{
	static struct prefix subnet, told;
	static struct env_name name = {.kind = ITEM_CONTAINER, .name = "web", .known = true};

	subnet = prefix_of("10.77.0.0/16");
	env.engine_subnet = &subnet;
	env.nr_engine_subnets = 1;
	if (address)
		told = prefix_of(address);
	env.engine_address = name.address = address ? &told : NULL;
	env.nr_engine_addresses = name.n = address != NULL;
	env.name = &name;
	env.nr_names = 1;
}

static void environment_again(void)
{
	_cleanup_(diag_reset) struct diag diag = {};
	struct environment fresh = {};

	assert_int_equal(environment_read(&fresh, &diag), 0);
	for (size_t i = 0; i < env.nr_interfaces; i++)
		free(env.interface[i].address);
	free(env.interface);
	env.interface = fresh.interface;
	env.nr_interfaces = fresh.nr_interfaces;
	env.tick_ns = fresh.tick_ns;
}

/* ---- changes ---- */

static struct kernel *opened(bool write)
{
	_cleanup_(diag_reset) struct diag diag = {};
	struct kernel *kernel = NULL;

	if (kernel_open(dir, write, &kernel, &diag))
		fail_msg("cannot open: %s", diag.error);
	return kernel;
}

/* As if the policy needed more of the kernel than it says. */
static __u32 more_flags;

static int change(const char *text, bool live, __u64 confirm_ms, struct apply_result *result)
{
	_cleanup_(diag_reset) struct diag diag = {};
	struct apply_options options = {.confirm_ms = confirm_ms};
	struct policy *parsed = NULL;
	struct tables *tables = NULL;
	struct kernel *kernel = NULL;
	int err;

	environment_again();
	err = policy_parse_text(text, strlen(text), "test", &parsed, &diag);
	if (!err)
		err = tables_build(parsed, &env, &tables, &diag);
	if (err)
		fail_msg("%s", diag.error);
	tables->weir_cfg->flags |= more_flags;
	kernel = opened(true);
	err = live ? kernel_update(kernel, parsed, tables, &env, result, &diag)
		   : kernel_apply(kernel, parsed, tables, &env, &options, result, &diag);
	if (err && !confirm_ms && !live)
		print_error("%s\n", diag.error);
	kernel_close(kernel);
	tables_free(tables);
	policy_free(parsed);
	return err;
}

static int apply(const char *text)
{
	return change(text, false, 0, NULL);
}

static int update(struct apply_result *result)
{
	return change(POLICY, true, 0, result);
}

static unsigned int follow_index(__u32 ifindex)
{
	_cleanup_(diag_reset) struct diag diag = {};
	struct kernel *kernel = opened(true);
	unsigned int changes;
	__u64 window_ns;

	if (kernel_follow_link(kernel, ifindex, &env, &changes, &window_ns, &diag))
		fail_msg("cannot follow: %s", diag.error);
	kernel_close(kernel);
	return changes;
}

static unsigned int follow(const char *name)
{
	return follow_index(if_nametoindex(name));
}

static unsigned int follow_all(void)
{
	_cleanup_(diag_reset) struct diag diag = {};
	struct kernel *kernel = opened(true);
	unsigned int changes;
	__u64 window_ns;

	if (kernel_follow_links(kernel, &env, &changes, &window_ns, &diag))
		fail_msg("cannot follow: %s", diag.error);
	kernel_close(kernel);
	return changes;
}

static unsigned int rebind(const char *name)
{
	_cleanup_(diag_reset) struct diag diag = {};
	struct kernel *kernel = opened(true);
	unsigned int changes;

	assert_int_equal(
	    kernel_bind(kernel, &env, name ? if_nametoindex(name) : 0, &changes, &diag), 0);
	kernel_close(kernel);
	return changes;
}

static void withdraw(const char *address)
{
	_cleanup_(diag_reset) struct diag diag = {};
	struct kernel *kernel = opened(true);
	struct prefix prefix = prefix_of(address);

	assert_int_equal(kernel_withdraw(kernel, &prefix, 1, &diag), 0);
	kernel_close(kernel);
}

static void detach(void)
{
	_cleanup_(diag_reset) struct diag diag = {};
	struct kernel *kernel = opened(true);

	if (kernel_loaded(kernel))
		assert_int_equal(kernel_detach(kernel, &diag), 0);
	kernel_close(kernel);
}

/* ---- what there is ---- */

static bool iface_of(__u32 ifindex, struct weir_iface *ret)
{
	struct kernel *kernel = opened(false);
	bool found = iface_read(kernel, ifindex, ret);

	kernel_close(kernel);
	return found;
}

static __u32 flags_of(const char *name)
{
	struct weir_iface iface;

	return iface_of(if_nametoindex(name), &iface) ? iface.flags & ~IFACE_CLSACT : WEIR_NONE;
}

static bool local_of(const char *address, const char *scope, struct weir_local *ret)
{
	struct kernel *kernel = opened(false);
	struct weir_local_key key;
	const char *why;
	bool found;

	memset(&key, 0, sizeof(key));
	assert_int_equal(addr_parse(address, &key.address, &why), 0);
	key.scope = scope ? if_nametoindex(scope) : 0;
	found = bpf_map_lookup_elem(kernel->maps.fd[MAP_weir_local], &key, ret) == 0;
	kernel_close(kernel);
	return found;
}

static bool bound_to(const char *address, const char *name)
{
	struct weir_local local;

	return local_of(address, NULL, &local) && local.kind == WEIR_WORKLOAD &&
	       local.ifindex == if_nametoindex(name);
}

static bool marked(const char *address)
{
	struct weir_local local;

	return local_of(address, NULL, &local) && local.flags & WEIR_LOCAL_GONE;
}

static int count_entry(void *arg, const void *key, const void *value)
{
	const struct weir_local *local = value;

	if (local->kind == WEIR_WORKLOAD || local->flags & WEIR_LOCAL_GONE)
		++*(unsigned int *)arg;
	return 0;
}

static unsigned int bindings(void)
{
	struct kernel *kernel = opened(false);
	unsigned int n = 0;

	hash_each(kernel->maps.fd[MAP_weir_local], sizeof(struct weir_local_key),
		  sizeof(struct weir_local), count_entry, &n);
	kernel_close(kernel);
	return n;
}

static int count_pin(void *arg, const char *name)
{
	++*(unsigned int *)arg;
	return 0;
}

static unsigned int pins(void)
{
	struct kernel *kernel = opened(false);
	unsigned int n = 0;

	pin_each(kernel, "links", count_pin, &n);
	kernel_close(kernel);
	return n;
}

static bool has_hooks(const char *name)
{
	_cleanup_(diag_reset) struct diag diag = {};
	struct kernel *kernel = opened(false);
	struct kernel_status status = {};
	bool found = false;

	assert_int_equal(kernel_status(kernel, &status, &diag), 0);
	for (size_t i = 0; i < status.nr_interfaces; i++)
		if (strcmp(status.interface[i].name, name) == 0)
			found = status.interface[i].attached;
	kernel_status_clear(&status);
	kernel_close(kernel);
	return found;
}

static enum interface_role role_of(const char *name)
{
	_cleanup_(diag_reset) struct diag diag = {};
	struct kernel *kernel = opened(false);
	struct kernel_status status = {};
	int role = -1;

	assert_int_equal(kernel_status(kernel, &status, &diag), 0);
	for (size_t i = 0; i < status.nr_interfaces; i++)
		if (strcmp(status.interface[i].name, name) == 0)
			role = status.interface[i].role;
	kernel_status_clear(&status);
	kernel_close(kernel);
	return role;
}

static __u32 generation(void)
{
	struct kernel *kernel = opened(false);
	__u32 ret = word_generation(word_peek(kernel));

	kernel_close(kernel);
	return ret;
}

static unsigned int word_slot_now(void)
{
	struct kernel *kernel = opened(false);
	unsigned int ret = word_slot(word_peek(kernel));

	kernel_close(kernel);
	return ret;
}

/* Where the state of a protected service is, by its place in the policy in force. */
static __u32 state_of(size_t place)
{
	struct kernel *kernel = opened(false);
	struct weir_protect prot[WEIR_MAX_PROTECTS] = {};
	size_t n;

	assert_int_equal(slot_protects(kernel, word_slot(word_peek(kernel)), prot, &n), 0);
	kernel_close(kernel);
	assert_true(place < n);
	return prot[place].state;
}

/* ---- containers ---- */

#define NS "weir-test-follow"

static void container(const char *name, const char *address)
{
	sh("ip link add veth%s type veth peer name %s-in && ip link set veth%s master br-c && "
	   "ip link set veth%s up",
	   name, name, name, name);
	follow_index(if_nametoindex("vethx"));
	sh("ip link set %s-in netns " NS " && ip -n " NS " address add %s/16 dev %s-in && "
	   "ip -n " NS " link set %s-in up",
	   name, address, name, name);
}

static void no_container(const char *name)
{
	char veth[IF_NAMESIZE];
	__u32 ifindex;

	snprintf(veth, sizeof(veth), "veth%s", name);
	ifindex = if_nametoindex(veth);
	sh("ip link delete %s", veth);
	follow_index(ifindex);
}

/* ---- tests ---- */

static void a_bridge_of_workloads_is_guarded_from_its_first_moment(void **state)
{
	sh("ip link add br-new type bridge");
	follow("br-new");
	assert_int_equal(flags_of("br-new"), WEIR_IF_BRIDGE | WEIR_IF_GUARD);
	assert_true(has_hooks("br-new"));
	assert_int_equal(role_of("br-new"), INTERFACE_BRIDGE);
	sh("ip link delete br-new");
	follow_all();
}

static void a_workload_is_closed_until_the_engine_tells_of_it(void **state)
{
	struct weir_iface iface, bridge;

	engine(NULL);
	container("x", "10.77.0.2");
	follow("vethx");
	assert_int_equal(flags_of("vethx"), WEIR_IF_WORKLOAD | WEIR_IF_CLOSED | WEIR_IF_PORT);
	assert_true(has_hooks("vethx"));
	assert_int_equal(role_of("vethx"), INTERFACE_WORKLOAD);
	assert_false(bound_to("10.77.0.2", "vethx"));
	assert_true(iface_of(if_nametoindex("vethx"), &iface));
	assert_true(iface_of(if_nametoindex("br-c"), &bridge));
	assert_int_equal(iface.master, if_nametoindex("br-c"));
	assert_memory_equal(iface.mac, bridge.mac, 6);
	assert_int_equal(bindings(), 0);
	assert_int_equal(rebind("vethx"), 0);

	engine("10.77.0.2");
	assert_true(rebind("vethx") > 0);
	assert_int_equal(flags_of("vethx"), WEIR_IF_WORKLOAD | WEIR_IF_PORT);
	assert_true(bound_to("10.77.0.2", "vethx"));
	assert_int_equal(rebind("vethx"), 0);
	assert_int_equal(rebind(NULL), 0);
	assert_int_equal(follow("vethx"), 0);

	engine(NULL);
	assert_true(rebind(NULL) > 0);
	assert_false(bound_to("10.77.0.2", "vethx"));
	assert_int_equal(flags_of("vethx"), WEIR_IF_WORKLOAD | WEIR_IF_CLOSED | WEIR_IF_PORT);
	no_container("x");
	assert_int_equal(bindings(), 0);
}

static void a_link_local_address_is_known_to_port_and_bridge(void **state)
{
	struct weir_local port, bridge;

	engine("10.77.0.2");
	container("x", "10.77.0.2");
	sh("ip -n " NS " address add fe80::77:2/64 dev x-in nodad");
	follow("vethx");
	assert_true(local_of("fe80::77:2", "vethx", &port));
	assert_true(local_of("fe80::77:2", "br-c", &bridge));
	assert_memory_equal(&port, &bridge, sizeof(port));
	assert_int_equal(port.ifindex, if_nametoindex("vethx"));
	no_container("x");
	assert_int_equal(bindings(), 0);
}

static void a_port_that_is_no_workload_ends_the_guard(void **state)
{
	engine("10.77.0.2");
	container("x", "10.77.0.2");
	follow("vethx");
	sh("ip link add other0 type veth peer name other1 && ip link set other0 master br-c");
	follow("other0");
	assert_int_equal(flags_of("br-c"), 0);
	assert_false(has_hooks("br-c"));
	assert_int_equal(flags_of("other0"), 0);
	assert_int_equal(flags_of("vethx"), WEIR_IF_WORKLOAD);
	assert_int_equal(follow("br-c"), 0);
	assert_int_equal(follow("vethx"), 0);
	sh("ip link set other0 nomaster");
	follow("other0");
	assert_int_equal(flags_of("br-c"), WEIR_IF_BRIDGE | WEIR_IF_GUARD);
	assert_true(has_hooks("br-c"));
	assert_int_equal(flags_of("vethx"), WEIR_IF_WORKLOAD | WEIR_IF_PORT);
	sh("ip link delete other0");
	follow_all();
	no_container("x");
}

static void every_interface_has_an_entry(void **state)
{
	__u32 ifindex;
	struct weir_iface iface;

	sh("ip link add other0 type veth peer name other1");
	follow("other0");
	assert_int_equal(flags_of("other0"), 0);
	assert_int_equal(flags_of("lo"), 0);
	assert_int_equal(flags_of("nic"), WEIR_IF_NIC);
	ifindex = if_nametoindex("other0");
	sh("ip link delete other0");
	follow_index(ifindex);
	assert_false(iface_of(ifindex, &iface));
	follow_all();
	assert_int_equal(follow_all(), 0);
}

static void what_is_withdrawn_comes_back_only_by_the_engine(void **state)
{
	engine("10.77.0.2");
	container("x", "10.77.0.2");
	follow("vethx");
	assert_true(bound_to("10.77.0.2", "vethx"));
	assert_int_equal(update(NULL), 0);
	withdraw("10.77.0.2");
	assert_true(marked("10.77.0.2"));
	engine(NULL);
	follow_all();
	rebind(NULL);
	follow("vethx");
	assert_true(marked("10.77.0.2"));
	assert_int_equal(update(NULL), 0);
	assert_false(marked("10.77.0.2"));
	assert_false(bound_to("10.77.0.2", "vethx"));

	engine("10.77.0.2");
	rebind(NULL);
	withdraw("10.77.0.2");
	assert_true(marked("10.77.0.2"));
	rebind("vethx");
	assert_true(bound_to("10.77.0.2", "vethx"));
	no_container("x");
	assert_int_equal(bindings(), 0);
}

static void a_trial_keeps_addresses_but_withdraws_them(void **state)
{
	_cleanup_(diag_reset) struct diag diag = {};
	struct kernel *kernel;
	__u32 back;

	engine("10.77.0.2");
	assert_int_equal(change(POLICY "# again\n", false, 60000, NULL), 0);
	assert_int_equal(update(NULL), -EINPROGRESS);
	withdraw("10.77.0.2");
	assert_true(marked("10.77.0.2"));
	kernel = opened(true);
	assert_int_equal(kernel_confirm(kernel, &back, &diag), 0);
	kernel_close(kernel);
	engine(NULL);
	assert_int_equal(change(POLICY "# again\n", true, 0, NULL), 0);
	assert_false(marked("10.77.0.2"));
	assert_int_equal(update(NULL), -ESTALE);
	assert_int_equal(apply(POLICY), 0);
}

static void the_same_policy_of_before_is_nothing_to_go_back_to(void **state)
{
	_cleanup_(diag_reset) struct diag diag = {};
	struct kernel *kernel;
	__u32 before = generation(), back;

	engine("10.77.0.3");
	assert_int_equal(update(NULL), 0);
	assert_int_not_equal(generation(), before);
	kernel = opened(true);
	assert_int_equal(kernel_rollback(kernel, &back, &diag), -ENOENT);
	kernel_close(kernel);
	assert_int_equal(apply(POLICY), 0);
	kernel = opened(true);
	assert_int_equal(kernel_rollback(kernel, &back, &diag), 0);
	kernel_close(kernel);
	assert_int_equal(apply(POLICY), 0);
}

static void hooks_in_a_hurry_become_links(void **state)
{
	unsigned int before;

	engine("10.77.0.2");
	container("x", "10.77.0.2");
	follow("vethx");
	assert_false(tcx_has(if_nametoindex("vethx"), HOOK_IN, 0));
	before = pins();
	follow_all();
	follow_all();
	assert_true(tcx_has(if_nametoindex("vethx"), HOOK_IN, 0));
	assert_true(tcx_has(if_nametoindex("vethx"), HOOK_OUT, 0));
	assert_true(pins() >= before + 2);
	sh("! tc qdisc show dev vethx | grep -q clsact");
	assert_true(has_hooks("vethx"));
	assert_true(has_hooks("br-c"));
	assert_int_equal(follow("vethx"), 0);
	assert_int_equal(follow_all(), 0);
	before = pins();
	no_container("x");
	assert_int_equal(pins(), before - 2);
	assert_int_equal(bindings(), 0);
	assert_true(has_hooks("br-c"));
}

static void apply_with_growth_keeps_guards(void **state)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	fprintf(out, POLICY "deny:\n");
	for (unsigned int i = 0; i < 3000; i++)
		fprintf(out, "- {from: 198.51.100.%u, to: web, port: tcp/%u}\n", i % 250, i + 1);
	fclose(out);
	engine("10.77.0.2");
	container("x", "10.77.0.2");
	follow("vethx");
	assert_int_equal(apply(text), 0);
	assert_true(has_hooks("vethx"));
	assert_true(has_hooks("br-c"));
	assert_int_equal(flags_of("br-c"), WEIR_IF_BRIDGE | WEIR_IF_GUARD);
	assert_true(bound_to("10.77.0.2", "vethx"));
	assert_int_equal(apply(POLICY), 0);
	no_container("x");
	free(text);
}

static unsigned int programs_at(const char *name)
{
	return tcx_has(if_nametoindex(name), HOOK_IN, 0) +
	       tcx_has(if_nametoindex(name), HOOK_OUT, 0);
}

static bool hooked_inside(const char *name)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		int fd = open("/run/netns/" NS, O_RDONLY | O_CLOEXEC);

		if (fd < 0 || setns(fd, CLONE_NEWNET) < 0 || !if_nametoindex(name))
			_exit(2);
		_exit(tcx_has(if_nametoindex(name), HOOK_IN, 0) ||
		      tcx_has(if_nametoindex(name), HOOK_OUT, 0));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
	return WEXITSTATUS(status);
}

/* An engine makes both ends here, by names that may both be a workload's, and then gives one away. */
static void no_hook_goes_into_the_container(void **state)
{
	__u32 inner;

	for (int settled = 0; settled < 2; settled++) {
		sh("ip link add vethx type veth peer name vethy");
		inner = if_nametoindex("vethy");
		follow("vethx");
		follow("vethy");
		if (settled) {
			follow_all();
			follow_all();
			assert_true(programs_at("vethy") > 0);
		}
		sh("ip link set vethy netns " NS);
		follow_index(inner);
		sh("! ip netns exec " NS " tc qdisc show dev vethy | grep -q clsact");
		assert_false(hooked_inside("vethy"));
		assert_true(has_hooks("vethx"));
		no_container("x");
		follow_all();
	}
}

static void detach_leaves_nothing(void **state)
{
	engine("10.77.0.2");
	container("x", "10.77.0.2");
	follow("vethx");
	detach();
	assert_int_equal(programs_at("br-c"), 0);
	assert_int_equal(programs_at("vethx"), 0);
	sh("! tc qdisc show | grep -q clsact");
	sh("ip link delete vethx");
	assert_int_equal(apply(POLICY), 0);
}

#define NO_WORKLOADS "interfaces: [nic]\nallow:\n- {from: 192.0.2.0/24, to: self, port: tcp/80}\n"

static void without_workloads_there_is_no_guard(void **state)
{
	engine("10.77.0.2");
	container("x", "10.77.0.2");
	follow("vethx");
	assert_int_equal(apply(NO_WORKLOADS), 0);
	assert_int_equal(flags_of("br-c"), 0);
	assert_int_equal(flags_of("vethx"), 0);
	assert_int_equal(programs_at("br-c") + programs_at("vethx"), 0);
	assert_int_equal(bindings(), 0);
	assert_int_equal(follow("br-c"), 0);
	assert_int_equal(apply(POLICY), 0);
	assert_int_equal(flags_of("br-c"), WEIR_IF_BRIDGE | WEIR_IF_GUARD);
	assert_true(has_hooks("br-c"));
	assert_true(bound_to("10.77.0.2", "vethx"));
	no_container("x");
}

static void a_bridge_that_is_named_is_a_nic(void **state)
{
	assert_int_equal(apply("interfaces: [nic, br-c]\nworkloads: [\"veth*\"]\n"), 0);
	assert_int_equal(flags_of("br-c") & ~WEIR_IF_NO_METADATA, WEIR_IF_NIC);
	assert_int_equal(role_of("br-c"), INTERFACE_NIC);
	assert_int_equal(apply(POLICY), 0);
	assert_int_equal(flags_of("br-c") & ~WEIR_IF_NO_METADATA, WEIR_IF_BRIDGE | WEIR_IF_GUARD);
	assert_int_equal(role_of("br-c"), INTERFACE_BRIDGE);
	assert_true(has_hooks("br-c"));
}

static const char *fail_point;

static int fail_there(const char *point)
{
	return strcmp(point, fail_point) == 0 ? -EIO : 0;
}

static int fails_at(const char *point, const char *text, bool live)
{
	int err;

	fail_point = point;
	kernel_fault = fail_there;
	err = change(text, live, 0, NULL);
	kernel_fault = NULL;
	return err;
}

static void what_fails_leaves_all_as_it_was(void **state)
{
	__u32 before;

	assert_int_equal(apply(NO_WORKLOADS), 0);
	engine("10.77.0.2");
	sh("ip link add vethx type veth peer name x-in && ip link set vethx master br-c");
	follow_all();
	before = generation();
	assert_int_equal(fails_at("swap", POLICY, false), -EIO);
	assert_int_equal(generation(), before);
	assert_int_equal(flags_of("br-c"), 0);
	assert_int_equal(flags_of("vethx"), 0);
	assert_int_equal(programs_at("br-c") + programs_at("vethx"), 0);
	assert_int_equal(apply(POLICY), 0);
	before = generation();
	assert_int_equal(fails_at("swap", POLICY, true), -EIO);
	assert_int_equal(fails_at("compare", POLICY, true), -EIO);
	assert_int_equal(fails_at("map_write", POLICY, true), -EIO);
	assert_int_equal(generation(), before);
	assert_int_equal(update(NULL), 0);
}

static unsigned int nic_has_xdp(void)
{
	_cleanup_(diag_reset) struct diag diag = {};
	struct kernel *kernel = opened(false);
	struct kernel_status status = {};
	unsigned int found = 0;

	assert_int_equal(kernel_status(kernel, &status, &diag), 0);
	for (size_t i = 0; i < status.nr_interfaces; i++)
		if (strcmp(status.interface[i].name, "nic") == 0)
			found = strcmp(status.interface[i].xdp, "off") != 0;
	kernel_status_clear(&status);
	kernel_close(kernel);
	return found;
}

static void units_are_judged_by_tc_alone(void **state)
{
	assert_int_equal(apply(POLICY), 0);
	assert_true(nic_has_xdp());
	more_flags = WEIR_CFG_UNITS;
	assert_int_equal(fails_at("bpf_skb_cgroup_id", POLICY, false), -EOPNOTSUPP);
	assert_true(nic_has_xdp());
	assert_int_equal(fails_at("swap", POLICY, false), -EIO);
	assert_true(nic_has_xdp());
	assert_int_equal(apply(POLICY), 0);
	assert_false(nic_has_xdp());
	follow_all();
	assert_false(nic_has_xdp());
	assert_true(has_hooks("nic"));
	more_flags = 0;
	assert_int_equal(apply(POLICY), 0);
	assert_true(nic_has_xdp());
}

static int no_tcx(const char *point)
{
	return strcmp(point, "tcx") == 0 ? -EOPNOTSUPP : 0;
}

static void without_tcx_filters_stay_beside_xdp(void **state)
{
	sh("ip link add nic7 type veth peer name nic7-in && ip link set nic7 up");
	kernel_fault = no_tcx;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(apply("interfaces: [nic, nic7]\n"), 0);
		assert_true(has_hooks("nic7"));
		follow_all();
		assert_true(has_hooks("nic7"));
	}
	kernel_fault = NULL;
	sh("tc filter show dev nic7 egress | grep -q weir_nic_out");
	sh("ip link del nic7");
	assert_int_equal(apply(POLICY), 0);
}

static void what_the_kernel_lacks_is_refused_by_name(void **state)
{
	_cleanup_free_ char *text = NULL;

	more_flags = WEIR_CFG_LATER;
	assert_int_equal(fails_at("bpf_skb_ct_lookup", POLICY, false), -EOPNOTSUPP);
	more_flags = WEIR_CFG_PROTECT;
	assert_int_equal(fails_at("bpf_tcp_raw_gen_syncookie", POLICY, false), -EOPNOTSUPP);
	more_flags = 0;
	assert_int_equal(kernel_features(&text, NULL), 0);
	assert_non_null(strstr(text, "bpf_skb_ct_lookup: "));
	assert_non_null(strstr(text, "bpf_skb_cgroup_id: "));
}

static bool unit_of(__u64 cgroup, __u32 *ret)
{
	struct kernel *kernel = opened(false);
	struct weir_unit unit = {};
	bool found = bpf_map_lookup_elem(kernel->maps.fd[MAP_weir_unit], &cgroup, &unit) == 0;

	kernel_close(kernel);
	*ret = unit.unit;
	return found;
}

static void cgroups_are_replaced_as_a_whole(void **state)
{
	_cleanup_(diag_reset) struct diag diag = {};
	const __u64 first[] = {101, 102}, then[] = {102, 103};
	const __u32 first_unit[] = {1, 2}, then_unit[] = {3, 1};
	struct kernel *kernel = opened(true);
	__u32 unit;

	assert_int_equal(kernel_units(kernel, first, first_unit, 2, &diag), 0);
	assert_int_equal(kernel_units(kernel, then, then_unit, 2, &diag), 0);
	kernel_close(kernel);
	assert_false(unit_of(101, &unit));
	assert_true(unit_of(102, &unit));
	assert_int_equal(unit, 3);
	assert_true(unit_of(103, &unit));
	assert_int_equal(unit, 1);
	kernel = opened(true);
	assert_int_equal(kernel_units(kernel, NULL, NULL, 0, &diag), 0);
	kernel_close(kernel);
	assert_false(unit_of(102, &unit));
}

/* Rules for interfaces have zones, and which number a zone has may change with the interfaces. */
static void zones_follow_the_numbers_of_their_slot(void **state)
{
	static const char *const text =
	    "interfaces: [nic]\nworkloads: [\"veth*\"]\nsegments: {web: [{container: web}]}\n"
	    "allow:\n- {from: 192.0.2.0/24, to: web, port: tcp/80, on: [nic]}\n"
	    "- {from: 192.0.2.0/24, to: web, port: tcp/81, on: [far]}\n";
	struct weir_iface iface;

	engine("10.77.0.2");
	assert_int_equal(apply(text), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(change(text, true, 0, NULL), 0);
		assert_true(iface_of(if_nametoindex("nic"), &iface));
		assert_int_not_equal(iface.zone[0], 0);
		assert_int_not_equal(iface.zone[1], 0);
	}
	assert_int_equal(apply(POLICY), 0);
}

#define GUARDED                                                                                 \
	"workloads: [\"veth*\"]\nsegments: {web: [{container: web}]}\n"                         \
	"allow:\n- {from: any, to: web, port: tcp/80}\n- {to: self, port: [tcp/443, tcp/80]}\n" \
	"protect:\n"
#define STRICT	      "interfaces: [{name: nic, antispoof: strict}]\n" GUARDED
#define PROTECT(port) "- {port: tcp/" port ", syn_cookies: {above: 10/s}}\n"

/* How sources are checked is said for each slot, and new addresses of names put the same policy into the other one. */
static void reverse_paths_are_checked_in_the_slot_that_says_so(void **state)
{
	struct weir_iface iface;
	unsigned int slot;

	engine("10.77.0.2");
	assert_int_equal(apply(STRICT PROTECT("443")), 0);
	slot = word_slot_now();
	assert_true(iface_of(if_nametoindex("nic"), &iface));
	assert_int_equal(iface.antispoof[slot], WEIR_ANTISPOOF_STRICT);
	assert_true(iface_of(if_nametoindex("br-c"), &iface));
	assert_int_equal(iface.antispoof[slot], WEIR_ANTISPOOF_OFF);
	engine("10.77.0.3");
	assert_int_equal(change(STRICT PROTECT("443"), true, 0, NULL), 0);
	assert_int_not_equal(word_slot_now(), slot);
	assert_true(iface_of(if_nametoindex("nic"), &iface));
	assert_int_equal(iface.antispoof[!slot], WEIR_ANTISPOOF_STRICT);
	follow_all();
	assert_true(iface_of(if_nametoindex("nic"), &iface));
	assert_int_equal(iface.antispoof[!slot], WEIR_ANTISPOOF_STRICT);
	assert_int_equal(apply(POLICY), 0);
	assert_true(iface_of(if_nametoindex("nic"), &iface));
	assert_int_equal(iface.antispoof[word_slot_now()], WEIR_ANTISPOOF_OFF);
	assert_int_equal(iface.antispoof[!word_slot_now()], WEIR_ANTISPOOF_STRICT);
}

static void protected_services_keep_their_state(void **state)
{
	detach();
	assert_int_equal(apply(STRICT PROTECT("80") PROTECT("443")), 0);
	assert_int_equal(state_of(0), 0);
	assert_int_equal(state_of(1), 1);
	assert_int_equal(apply(STRICT PROTECT("443")), 0);
	assert_int_equal(state_of(0), 1);
	engine("10.77.0.3");
	assert_int_equal(change(STRICT PROTECT("443"), true, 0, NULL), 0);
	assert_int_equal(state_of(0), 1);
	/* Of another policy these would be other services. */
	assert_int_equal(change(STRICT PROTECT("80"), true, 0, NULL), -ESTALE);
	assert_int_equal(change(STRICT PROTECT("443") PROTECT("80"), true, 0, NULL), -ESTALE);
	assert_int_equal(apply(POLICY), 0);
}

static void interfaces_know_their_mtu_and_master(void **state)
{
	struct weir_iface iface;

	sh("ip link set nic mtu 1400");
	follow("nic");
	assert_true(iface_of(if_nametoindex("nic"), &iface));
	assert_int_equal(iface.mtu, 1400);
	assert_int_equal(iface.master, 0);
	assert_int_equal(iface.lower, 0);
	sh("ip link add other0 type veth peer name other1 && ip link set other0 master br-c");
	follow("other0");
	assert_true(iface_of(if_nametoindex("other0"), &iface));
	assert_int_equal(iface.master, if_nametoindex("br-c"));
	assert_int_equal(iface.flags & WEIR_IF_PORT, 0);
	assert_int_equal(iface.mtu, 1500);
	sh("ip link del other0 && ip link set nic mtu 1500");
	follow_all();
}

/* A kernel that has 802.1Q: not all do. */
static void a_vlan_on_a_watched_interface_is_judged_below(void **state)
{
	struct weir_iface iface;

	if (system("ip link add link nic name nic.5 type vlan id 5 2>/dev/null"))
		skip();
	assert_int_equal(apply("interfaces: [\"nic*\"]\nvlans: 5\n"), 0);
	assert_true(has_hooks("nic"));
	assert_false(has_hooks("nic.5"));
	assert_true(iface_of(if_nametoindex("nic.5"), &iface));
	assert_int_equal(iface.flags, 0);
	assert_int_equal(iface.lower, if_nametoindex("nic"));
	sh("ip link del nic.5");
	assert_int_equal(apply(POLICY), 0);
}

static void settings_that_cannot_be_written_are_named_and_stay(void **state)
{
	__u32 before;

	detach();
	sh("sysctl -qw net.ipv4.conf.lo.forwarding=0");
	assert_int_equal(apply(POLICY), 0);
	before = generation();
	assert_int_equal(fails_at("sysctl", STRICT PROTECT("443"), false), -EOPNOTSUPP);
	assert_int_equal(generation(), before);
	sh("test $(sysctl -n net.ipv4.conf.lo.forwarding) = 0");
	/* What fails later gives them back. */
	assert_int_equal(fails_at("swap", STRICT PROTECT("443"), false), -EIO);
	sh("test $(sysctl -n net.ipv4.conf.lo.forwarding) = 0");
	assert_int_equal(apply(STRICT PROTECT("443")), 0);
	sh("test $(sysctl -n net.ipv4.conf.lo.forwarding) = 1");
	detach();
	sh("test $(sysctl -n net.ipv4.conf.lo.forwarding) = 0");
	assert_int_equal(apply(POLICY), 0);
}

static __u64 cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

#define MANY 500

/* Whole policies with many containers, one of which changes its address; what a change costs, grace aside. */
static void one_of_500_containers_changes_in_under_10_ms(void **state)
{
	static struct prefix address[MANY];
	static struct env_name name[MANY];
	static char names[MANY][16];
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	__u64 worst_wall = 0, worst_cpu = 0;

	fprintf(out, "interfaces: [nic]\nworkloads: [\"veth*\"]\nallow:\n");
	for (unsigned int i = 0; i < MANY; i++) {
		char t[32];

		snprintf(names[i], sizeof(names[i]), "c%u", i);
		snprintf(t, sizeof(t), "10.77.%u.%u", i / 200 + 1, i % 200 + 1);
		address[i] = prefix_of(t);
		name[i] = (struct env_name){ITEM_CONTAINER, names[i], &address[i], 1, true};
		fprintf(out, "- {from: {container: c%u}, to: {container: c%u}, port: tcp/%u}\n", i,
			(i + 1) % MANY, 1000 + i);
	}
	fclose(out);
	engine(NULL);
	env.name = name;
	env.nr_names = MANY;
	assert_int_equal(apply(text), 0);
	for (unsigned int i = 0; i < 20; i++) {
		_cleanup_(diag_reset) struct diag diag = {};
		struct policy *parsed = NULL;
		struct tables *tables = NULL;
		struct apply_result result;
		struct kernel *kernel;
		__u64 wall, cpu;

		/* as the daemon does: the policy is parsed already */
		assert_int_equal(policy_parse_text(text, strlen(text), "test", &parsed, &diag), 0);
		address[i].address.byte[14] ^= 0x80;
		kernel = opened(true); /* grace of the change before is not work */
		grace();
		kernel->meta->flags &= ~META_GRACE;
		kernel_close(kernel);
		wall = mono_ns(NULL);
		cpu = cpu_ns();
		assert_int_equal(tables_build(parsed, &env, &tables, &diag), 0);
		kernel = opened(true);
		if (kernel_update(kernel, parsed, tables, &env, &result, &diag))
			fail_msg("%s", diag.error);
		kernel_close(kernel);
		wall = mono_ns(NULL) - wall;
		cpu = cpu_ns() - cpu;
		if (i == 0)
			print_message("written and flipped in %llu us, all of it %llu us\n",
				      (unsigned long long)result.fill_ns / 1000,
				      (unsigned long long)result.total_ns / 1000);
		worst_wall = wall > worst_wall ? wall : worst_wall;
		worst_cpu = cpu > worst_cpu ? cpu : worst_cpu;
		tables_free(tables);
		policy_free(parsed);
	}
	print_message("one of %u containers changes: at worst %llu us of time, %llu us of CPU\n",
		      MANY, (unsigned long long)worst_wall / 1000,
		      (unsigned long long)worst_cpu / 1000);
#ifndef __SANITIZE_ADDRESS__
	assert_true(worst_cpu < 10000000);
#endif
	engine(NULL);
	assert_int_equal(apply(POLICY), 0);
	free(text);
}

#define CROWD 100

static void crowd(const char *what, unsigned int from, unsigned int to)
{
	char path[] = "/tmp/weir-test-follow-XXXXXX";
	int fd = mkstemp(path);
	FILE *out = fdopen(fd, "w");

	for (unsigned int i = from; i < to; i++)
		fprintf(out, what, i, i, i, i, i, i, i, i);
	fclose(out);
	sh("ip -batch %s", path);
	unlink(path);
}

static void crowd_in(const char *what, unsigned int from, unsigned int to)
{
	for (unsigned int i = from; i < to; i++)
		sh(what, i + 2, i);
}

/* Returns ns of CPU that following one new veth takes, hooks and bindings and all. */
static __u64 follow_crowd(unsigned int from, unsigned int to)
{
	__u64 cpu = cpu_ns();

	for (unsigned int i = from; i < to; i++) {
		char name[IF_NAMESIZE];

		snprintf(name, sizeof(name), "vethm%u", i);
		assert_true(follow(name) > 0);
	}
	return (cpu_ns() - cpu) / (to - from);
}

static void following_one_costs_the_same_among_many(void **state)
{
	__u64 few, many;
	unsigned int before = bindings();
	__u32 ifindex[CROWD];

	engine(NULL);
	env.nr_engine_subnets = 0;
	crowd("link add vethm%u type veth peer name m%u\nlink set vethm%u master br-c up\n"
	      "link set m%u netns " NS "\n",
	      0, CROWD);
	crowd_in("ip -n " NS " address add 10.77.9.%u/16 dev m%u", 0, CROWD);
	few = follow_crowd(0, 10);
	follow_crowd(10, CROWD - 10);
	many = follow_crowd(CROWD - 10, CROWD);
	print_message("a new veth among 10: %llu us of CPU, among %u: %llu us\n",
		      (unsigned long long)few / 1000, CROWD, (unsigned long long)many / 1000);
	assert_true(bound_to("10.77.9.101", "vethm99"));
	assert_true(many < 5 * few);
	for (unsigned int i = 0; i < CROWD; i++) {
		char name[IF_NAMESIZE];

		snprintf(name, sizeof(name), "vethm%u", i);
		ifindex[i] = if_nametoindex(name);
	}
	crowd("link delete vethm%u\n", 0, CROWD);
	for (unsigned int i = 0; i < CROWD; i++)
		follow_index(ifindex[i]);
	assert_int_equal(bindings(), before);
	for (unsigned int i = 0; i < CROWD; i++) {
		struct weir_iface iface;

		assert_false(iface_of(ifindex[i], &iface));
	}
}

static int tidy(void **state)
{
	if (if_nametoindex("vethx"))
		sh("ip link delete vethx");
	if (if_nametoindex("other0"))
		sh("ip link delete other0");
	return 0;
}

static bool resumed(bool write, struct kernel **kernel)
{
	_cleanup_(diag_reset) struct diag diag = {};
	struct kernel *before = *kernel;
	bool kept;

	if (before)
		before->made_dir = true; /* what is opened anew does not say so */
	if (kernel_resume(dir, write, kernel, &diag))
		fail_msg("cannot resume: %s", diag.error);
	kept = before && (*kernel)->made_dir;
	(*kernel)->made_dir = false;
	return kept;
}

/* Between changes others take the lock; what they put in place of the maps is found. */
static void pins_stay_open_until_others_are_there(void **state)
{
	struct kernel *kernel = NULL;
	int fd;

	usleep(2100000); /* within a second of a change, nothing is taken for unchanged */
	assert_false(resumed(false, &kernel));
	kernel_suspend(&kernel);
	assert_false(resumed(true, &kernel)); /* whoever only looked has finished nobody's reload */
	kernel_suspend(&kernel);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	kernel_suspend(&kernel);
	assert_true(fcntl(fd, F_GETFD) >= 0);
	close(fd);
	assert_true(resumed(true, &kernel));
	kernel_suspend(&kernel);
	kernel_close(opened(true));
	assert_true(resumed(false, &kernel));
	kernel_suspend(&kernel);

	detach();
	assert_int_equal(apply(POLICY), 0);
	assert_false(resumed(true, &kernel));
	assert_true(kernel_loaded(kernel));
	kernel_close(kernel);
}

static int setup(void **state)
{
	if (geteuid() != 0) {
		print_message("needs root\n");
		exit(77);
	}
	snprintf(dir, sizeof(dir), "/sys/fs/bpf/weir-test-follow-%d", getpid());
	if (unshare(CLONE_NEWNET) < 0)
		return -1;
	/* No addresses but those that a test gives: the kernel's own come when they come. */
	if (system("ip netns add " NS " && sysctl -qw net.ipv6.conf.default.addr_gen_mode=1 && "
		   "ip netns exec " NS " sysctl -qw net.ipv6.conf.default.addr_gen_mode=1 && "
		   "ip link set lo up && ip link add nic type veth peer name far && "
		   "ip link set nic up && ip link add br-c type bridge && ip link set br-c up && "
		   "ip address add 10.77.0.1/16 dev br-c"))
		return -1;
	engine(NULL);
	return apply(POLICY);
}

static int teardown(void **state)
{
	detach();
	return system("ip netns delete " NS) ? -1 : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_teardown(a_bridge_of_workloads_is_guarded_from_its_first_moment, tidy),
	    cmocka_unit_test_teardown(a_workload_is_closed_until_the_engine_tells_of_it, tidy),
	    cmocka_unit_test_teardown(a_link_local_address_is_known_to_port_and_bridge, tidy),
	    cmocka_unit_test_teardown(a_port_that_is_no_workload_ends_the_guard, tidy),
	    cmocka_unit_test_teardown(every_interface_has_an_entry, tidy),
	    cmocka_unit_test_teardown(what_is_withdrawn_comes_back_only_by_the_engine, tidy),
	    cmocka_unit_test_teardown(a_trial_keeps_addresses_but_withdraws_them, tidy),
	    cmocka_unit_test_teardown(the_same_policy_of_before_is_nothing_to_go_back_to, tidy),
	    cmocka_unit_test_teardown(hooks_in_a_hurry_become_links, tidy),
	    cmocka_unit_test_teardown(apply_with_growth_keeps_guards, tidy),
	    cmocka_unit_test_teardown(no_hook_goes_into_the_container, tidy),
	    cmocka_unit_test_teardown(detach_leaves_nothing, tidy),
	    cmocka_unit_test_teardown(pins_stay_open_until_others_are_there, tidy),
	    cmocka_unit_test_teardown(without_workloads_there_is_no_guard, tidy),
	    cmocka_unit_test_teardown(a_bridge_that_is_named_is_a_nic, tidy),
	    cmocka_unit_test_teardown(what_fails_leaves_all_as_it_was, tidy),
	    cmocka_unit_test_teardown(units_are_judged_by_tc_alone, tidy),
	    cmocka_unit_test_teardown(without_tcx_filters_stay_beside_xdp, tidy),
	    cmocka_unit_test_teardown(what_the_kernel_lacks_is_refused_by_name, tidy),
	    cmocka_unit_test_teardown(cgroups_are_replaced_as_a_whole, tidy),
	    cmocka_unit_test_teardown(zones_follow_the_numbers_of_their_slot, tidy),
	    cmocka_unit_test_teardown(reverse_paths_are_checked_in_the_slot_that_says_so, tidy),
	    cmocka_unit_test_teardown(protected_services_keep_their_state, tidy),
	    cmocka_unit_test_teardown(interfaces_know_their_mtu_and_master, tidy),
	    cmocka_unit_test_teardown(a_vlan_on_a_watched_interface_is_judged_below, tidy),
	    cmocka_unit_test_teardown(settings_that_cannot_be_written_are_named_and_stay, tidy),
	    cmocka_unit_test_teardown(following_one_costs_the_same_among_many, tidy),
	    cmocka_unit_test_teardown(one_of_500_containers_changes_in_under_10_ms, tidy),
	};

	return cmocka_run_group_tests_name("following workloads", tests, setup, teardown);
}
