// SPDX-License-Identifier: GPL-2.0-only
#include "harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "compile/compile.h"
#include "kernel/link.h"
#include "policy/model.h"

#include "weir_tc.skel.h"
#include "weir_xdp.skel.h"

#define WORLD_LIMITS 16

struct world world = {.node_ns = -1, .outside_ns = -1, .pod_ns = -1, .pod_nsid = -1};

const char *reason_name(enum weir_reason reason)
{
	switch (reason) {
#define NAME(value, id, name, help) \
	case WEIR_##id:             \
		return name;
		WEIR_REASONS(NAME)
#undef NAME
	}
	return "not judged";
}

/* ---- namespaces ---- */

static int own_namespace(void)
{
	return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

void enter(int ns)
{
	assert_int_equal(setns(ns, CLONE_NEWNET), 0);
}

static int new_namespace(void)
{
	int ns;

	assert_int_equal(unshare(CLONE_NEWNET), 0);
	ns = own_namespace();
	assert_true(ns >= 0);
	return ns;
}

void shell(const char *format, ...)
{
	char command[4096];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	if (system(command) != 0)
		fail_msg("%s", command);
}

static void add_veth(const char *name, const char *mac, const char *peer, int peer_ns)
{
	shell("ip link add %s address %s type veth peer name %s", name, mac, peer);
	shell("ip link set %s netns /proc/%d/fd/%d", peer, getpid(), peer_ns);
	shell("ip link set %s up", name);
}

static __u32 index_of(const char *name)
{
	__u32 index = if_nametoindex(name);

	assert_int_not_equal(index, 0);
	return index;
}

static void build_node(void)
{
	struct links links = {};

	world.outside_ns = new_namespace();
	world.pod_ns = new_namespace();
	world.node_ns = new_namespace();
	shell("ip link set lo up");
	add_veth("nic", "02:00:00:00:0a:01", "nicp", world.outside_ns);
	add_veth("nic2", "02:00:00:00:0a:02", "nic2p", world.outside_ns);
	add_veth("other", "02:00:00:00:0a:03", "otherp", world.outside_ns);
	add_veth("wl", "02:00:00:00:0a:04", "wlp", world.pod_ns);
	add_veth("wl2", "02:00:00:00:0a:05", "wl2p", world.pod_ns);
	shell("ip link add name br0 address 02:00:00:00:0a:06 type bridge && ip link set br0 up");
	shell("ip addr add " SELF4 "/24 dev nic && ip addr add " SELF6 "/64 dev nic nodad");
	shell("ip addr add 203.0.113.1/25 dev wl && ip addr add 2001:db8:77::1/64 dev wl nodad");
	enter(world.outside_ns);
	shell("ip link set lo up && ip link set nicp up && ip addr add " OUTSIDE4 "/24 dev nicp && "
	      "ip addr add " OUTSIDE6 "/64 dev nicp nodad && "
	      "ip route add 203.0.113.0/24 via " SELF4
	      " && ip route add 2001:db8:77::/64 via " SELF6);
	enter(world.pod_ns);
	shell("ip link set lo up && ip link set wlp up && ip addr add " POD4 "/25 dev wlp && "
	      "ip addr add " POD6 "/64 dev wlp nodad && ip route add default via 203.0.113.1 && "
	      "ip route add default via 2001:db8:77::1");
	enter(world.node_ns);
	shell(
	    "echo 1 >/proc/sys/net/ipv4/ip_forward && echo 1 >/proc/sys/net/ipv6/conf/all/forwarding");
	world.nic = index_of("nic");
	world.nic2 = index_of("nic2");
	world.other = index_of("other");
	world.wl = index_of("wl");
	world.wl2 = index_of("wl2");
	world.br = index_of("br0");
	assert_int_equal(links_read(&links), 0);
	world.pod_nsid = links_by_name(&links, "wl")->nsid;
	links_free(&links);
	assert_true(world.pod_nsid >= 0);
}

/* ---- programs and maps ---- */

static const struct {
	const char *name;
	__u32 entries;
} SIZES[] = {
    {"weir_node", 4096},  {"weir_leaf", 4096},	{"weir_class", 1024},
    {"weir_pair", 16384}, {"weir_pairx", 4096}, {"weir_cell", 65536},
    {"weir_cellx", 4096}, {"weir_verd", 4096},	{"weir_rule", 1024},
};

/* The map of that name in both objects is one. */
static void size_and_share(void)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, world.xdp->obj)
	{
		const char *name = bpf_map__name(map);

		for (size_t i = 0; i < sizeof(SIZES) / sizeof(SIZES[0]); i++)
			if (!strncmp(name, SIZES[i].name, strlen(SIZES[i].name)) &&
			    name[strlen(SIZES[i].name)] == '_')
				assert_int_equal(bpf_map__set_max_entries(map, SIZES[i].entries),
						 0);
		if (!strcmp(name, "weir_tat"))
			bpf_map__set_max_entries(map, WORLD_TATS);
		if (!strcmp(name, "weir_over"))
			bpf_map__set_max_entries(map, WORLD_LIMITS * WEIR_OVERFLOWS);
	}
	assert_int_equal(weir_xdp__load(world.xdp), 0);
	bpf_object__for_each_map(map, world.tc->obj)
	{
		struct bpf_map *other =
		    bpf_object__find_map_by_name(world.xdp->obj, bpf_map__name(map));

		if (other && !bpf_map__is_internal(map))
			assert_int_equal(bpf_map__reuse_fd(map, bpf_map__fd(other)), 0);
	}
	/* Frames of test runs always have an Ethernet header. */
	bpf_program__set_autoload(world.tc->progs.weir_l3_in, world.l3);
	bpf_program__set_autoload(world.tc->progs.weir_l3_out, world.l3);
	bpf_program__set_autoload(world.tc->progs.weir_clock, false);
	assert_int_equal(weir_tc__load(world.tc), 0);
}

static int map_fd(const char *name)
{
	int fd = bpf_object__find_map_fd_by_name(world.xdp->obj, name);

	if (fd < 0)
		fail_msg("no map %s", name);
	return fd;
}

static void *map_memory(const char *name, size_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, map_fd(name), 0);

	assert_ptr_not_equal(at, MAP_FAILED);
	return at;
}

/* In the kernel or in its module. */
static bool kernel_has(const char *function)
{
	struct btf *kernel = btf__load_vmlinux_btf(), *module;
	bool found;

	if (!kernel)
		return false;
	found = btf__find_by_name_kind(kernel, function, BTF_KIND_FUNC) > 0;
	module = found ? NULL : btf__load_module_btf("nf_conntrack", kernel);
	if (module)
		found = btf__find_by_name_kind(module, function, BTF_KIND_FUNC) > 0;
	btf__free(module);
	btf__free(kernel);
	return found;
}

static void load_programs(void)
{
	libbpf_set_print(NULL);
	world.xdp = weir_xdp__open();
	world.tc = weir_tc__open();
	assert_non_null(world.xdp);
	assert_non_null(world.tc);
	world.xdp->rodata->weir_fake_clock = 1;
	world.tc->rodata->weir_fake_clock = 1;
	world.has_ct = kernel_has("bpf_skb_ct_lookup");
	world.tc->rodata->weir_has_ct = world.has_ct;
	world.xdp->rodata->weir_has_ct = world.has_ct;
	world.xdp->rodata->weir_has_cookies = 1;
	world.tc->rodata->weir_has_cookies = 1;
	size_and_share();
	world.control = map_memory("weir_control", sizeof(*world.control));
	world.tat = map_memory("weir_tat", WORLD_TATS * sizeof(*world.tat));
	world.over = map_memory("weir_over", WORLD_LIMITS * WEIR_OVERFLOWS * sizeof(*world.over));
	world.control->seed = 0x1234567890abcdefULL;
	world.control->fake_ns = 3600 * S_NS;
}

static void usual_tables(void)
{
	watch(world.nic, WEIR_IF_NIC, -1);
	watch(world.nic2, WEIR_IF_NIC, -1);
	watch(world.other, 0, -1);
	watch(world.br, WEIR_IF_BRIDGE | WEIR_IF_GUARD, -1);
	watch(world.wl, WEIR_IF_WORKLOAD, world.pod_nsid);
	watch(world.wl2, WEIR_IF_WORKLOAD, -1);
	bind_local(SELF4, 0, WEIR_SELF, 0, 0);
	bind_local(SELF6, 0, WEIR_SELF, 0, 0);
	bind_local("192.0.2.255", 0, WEIR_SELF, 0, WEIR_LOCAL_BROADCAST);
	bind_local("fe80::a01", world.nic, WEIR_SELF, 0, 0);
	bind_local("203.0.113.1", 0, WEIR_SELF, 0, 0);
	bind_local("2001:db8:77::1", 0, WEIR_SELF, 0, 0);
	bind_local(POD4, 0, WEIR_WORKLOAD, world.wl, 0);
	bind_local(POD6, 0, WEIR_WORKLOAD, world.wl, 0);
	bind_local("fe80::2", world.wl, WEIR_WORKLOAD, world.wl, 0);
	bind_local(POD2_4, 0, WEIR_WORKLOAD, world.wl2, 0);
	bind_local(POD2_6, 0, WEIR_WORKLOAD, world.wl2, 0);
}

int world_setup(void **state)
{
	struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};

	if (geteuid() != 0) {
		puts("programs are loaded by root only");
		exit(77);
	}
	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	build_node();
	load_programs();
	usual_tables();
	return 0;
}

int world_teardown(void **state)
{
	for (int slot = 0; slot < WEIR_NR_SLOTS; slot++)
		tables_free(world.tables[slot]);
	weir_tc__destroy(world.tc);
	weir_xdp__destroy(world.xdp);
	close(world.outside_ns);
	close(world.pod_ns);
	close(world.node_ns);
	return 0;
}

static void address_of(const char *text, struct weir_addr *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (strchr(text, ':')) {
		assert_int_equal(inet_pton(AF_INET6, text, ret), 1);
		return;
	}
	ret->byte[10] = ret->byte[11] = 0xff;
	assert_int_equal(inet_pton(AF_INET, text, ret->byte + 12), 1);
}

void own_unit(__u64 cgroup, __u32 unit)
{
	struct weir_unit value = {.unit = unit};

	if (unit)
		assert_int_equal(bpf_map_update_elem(map_fd("weir_unit"), &cgroup, &value, 0), 0);
	else
		assert_int_equal(bpf_map_delete_elem(map_fd("weir_unit"), &cgroup), 0);
}

void bind_local(const char *address, __u32 scope, __u32 kind, __u32 ifindex, __u32 flags)
{
	struct weir_local_key key = {.scope = scope};
	struct weir_local value = {.kind = kind, .ifindex = ifindex, .flags = flags};

	address_of(address, &key.address);
	assert_int_equal(bpf_map_update_elem(map_fd("weir_local"), &key, &value, 0), 0);
}

void unbind_local(const char *address, __u32 scope)
{
	struct weir_local_key key = {.scope = scope};

	address_of(address, &key.address);
	assert_int_equal(bpf_map_delete_elem(map_fd("weir_local"), &key), 0);
}

void watch(__u32 ifindex, __u32 flags, __s32 nsid)
{
	struct weir_iface iface = {.flags = flags, .nsid = nsid};

	memcpy(iface.mac, NIC_MAC, 6);
	assert_int_equal(bpf_map_update_elem(map_fd("weir_iface"), &ifindex, &iface, 0), 0);
}

void watch_port(__u32 ifindex, __s32 nsid)
{
	struct weir_iface iface = {
	    .flags = WEIR_IF_WORKLOAD | WEIR_IF_PORT, .nsid = nsid, .master = world.br};

	memcpy(iface.mac, BR_MAC, 6);
	assert_int_equal(bpf_map_update_elem(map_fd("weir_iface"), &ifindex, &iface, 0), 0);
}

void watch_paths(__u32 ifindex, enum weir_antispoof mode, __u32 master, __u32 lower)
{
	struct weir_iface iface = {.flags = WEIR_IF_NIC,
				   .nsid = -1,
				   .antispoof = {mode, mode},
				   .master = master,
				   .lower = lower};

	memcpy(iface.mac, NIC_MAC, 6);
	assert_int_equal(bpf_map_update_elem(map_fd("weir_iface"), &ifindex, &iface, 0), 0);
}

void unwatch(__u32 ifindex)
{
	assert_int_equal(bpf_map_delete_elem(map_fd("weir_iface"), &ifindex), 0);
}

void block(const char *address, unsigned int length, __u64 expires_ns)
{
	struct weir_block_key key;
	struct weir_block value = {.expires_ns = expires_ns};

	address_of(address, &key.address);
	key.prefixlen = strchr(address, ':') ? length : length + 96;
	value.prefixlen = key.prefixlen;
	assert_int_equal(bpf_map_update_elem(map_fd("weir_block"), &key, &value, 0), 0);
	world.control->blocks++;
}

static void clear_map(const char *name, size_t key_size)
{
	__u8 key[64];
	int fd = map_fd(name);

	assert_true(key_size <= sizeof(key));
	while (bpf_map_get_next_key(fd, NULL, key) == 0)
		bpf_map_delete_elem(fd, key);
}

int world_reset(void **state)
{
	clear_map("weir_block", sizeof(struct weir_block_key));
	clear_map("weir_autoblk", sizeof(struct weir_autoblk_key));
	memset(world.tat, 0, WORLD_TATS * sizeof(*world.tat));
	memset(world.over, 0, WORLD_LIMITS * WEIR_OVERFLOWS * sizeof(*world.over));
	world.control->blocks = 0;
	world.control->autoblocks = 0;
	world.control->block_full = 0;
	world.control->behind = 0;
	world.control->word &= ~WEIR_WORD_PENDING;
	world.control->fake_ns += 86400 * S_NS; /* outlives every flow and event */
	world.forwarding = false;
	counters_clear();
	return 0;
}

/* ---- policies ---- */

#define UNIT_PREFIX(n)                          \
	{                                       \
		.length = 32, .address.byte = { \
			[10] = 0xff,            \
			[11] = 0xff,            \
			[12] = 127,             \
			[13] = 255,             \
			[15] = (n)              \
		}                               \
	}

static struct tables *compile_text(const char *text, bool want)
{
	struct env_interface interfaces[] = {{.name = "nic", .ifindex = world.nic},
					     {.name = "nic2", .ifindex = world.nic2},
					     {.name = "other", .ifindex = world.other},
					     {.name = "wl", .ifindex = world.wl},
					     {.name = "wl2", .ifindex = world.wl2}};
	/* web.service is unit 1, dns.service unit 2 */
	struct prefix unit[] = {UNIT_PREFIX(1), UNIT_PREFIX(2)};
	struct env_name names[] = {{.kind = ITEM_UNIT,
				    .name = (char[]){"web.service"},
				    .address = &unit[0],
				    .n = 1,
				    .known = true},
				   {.kind = ITEM_UNIT,
				    .name = (char[]){"dns.service"},
				    .address = &unit[1],
				    .n = 1,
				    .known = true}};
	struct environment env = {.interface = interfaces,
				  .nr_interfaces = 5,
				  .name = names,
				  .nr_names = 2,
				  .forwarding4 = world.forwarding,
				  .forwarding6 = world.forwarding};
	struct tables *tables = NULL;
	struct policy *parsed = NULL;
	struct diag diag = {};
	int err;

	err = policy_parse_text(text, strlen(text), "test", &parsed, &diag);
	if (!err)
		err = tables_build(parsed, &env, &tables, &diag);
	if (err && want)
		fail_msg("policy does not compile: %u:%u: %s", diag.at.line, diag.at.column,
			 diag.error);
	policy_free(parsed);
	diag_reset(&diag);
	return tables;
}

static void write_array(const char *name, unsigned int slot, const void *entries, size_t n,
			size_t size)
{
	static __u32 keys[WEIR_NR_ROOTS];
	char full[32];
	__u32 count = n;
	int fd;

	snprintf(full, sizeof(full), "%s_%u", name, slot);
	fd = map_fd(full);
	if (keys[1] != 1)
		for (__u32 i = 0; i < WEIR_NR_ROOTS; i++)
			keys[i] = i;
	if (n && bpf_map_update_batch(fd, keys, entries, &count, NULL))
		fail_msg("%s: %zu entries: %s", full, n, strerror(errno));
}

static void write_zones(unsigned int slot, const struct tables *tables)
{
	const __u32 index[] = {world.nic, world.nic2, world.other, world.wl, world.wl2};
	struct weir_iface iface;

	for (size_t i = 0; i < 5; i++) {
		if (bpf_map_lookup_elem(map_fd("weir_iface"), &index[i], &iface))
			continue;
		iface.zone[slot] = tables->zone ? tables->zone[i] : 0;
		bpf_map_update_elem(map_fd("weir_iface"), &index[i], &iface, 0);
	}
}

void policy_fill(unsigned int slot, __u32 generation, const char *text)
{
	struct tables *tables = compile_text(text, true);

	tables->weir_cfg->generation = generation;
#define WRITE(name, type, entries) \
	write_array(#name, slot, tables->name, tables->nr_##name, sizeof(type));
	WEIR_SLOT_MAPS(WRITE)
#undef WRITE
	write_zones(slot, tables);
	tables_free(world.tables[slot]);
	world.tables[slot] = tables;
}

void policy(const char *text)
{
	__u64 generation = (world.control->word >> WEIR_WORD_GEN_SHIFT & WEIR_WORD_GEN_MASK) + 1;
	unsigned int slot = !(world.control->word & WEIR_WORD_SLOT);

	policy_fill(slot, generation, text);
	world.control->word = slot | generation << WEIR_WORD_GEN_SHIFT;
}

void policy_refused(const char *text)
{
	struct tables *tables = compile_text(text, false);

	assert_null(tables);
}

static const struct tables *judging(void)
{
	return world.tables[world.control->word & WEIR_WORD_SLOT];
}

__u32 rule_counter(const char *name)
{
	const struct tables *t = judging();

	for (size_t i = 0; i < t->nr_rules_only; i++)
		if (!strcmp(t->weir_rule[i].name, name))
			return WEIR_RULE_FIRST + i;
	fail_msg("no rule %s", name);
	return WEIR_NONE;
}

__u32 limit_of(const char *name)
{
	const struct tables *t = judging();

	for (size_t i = t->nr_rules_only; i < t->nr_weir_rule; i++)
		if (!strcmp(t->weir_rule[i].name, name))
			return i - t->nr_rules_only;
	fail_msg("no limit %s", name);
	return WEIR_NONE;
}

/* ---- counters ---- */

static const struct {
	const char *map;
	size_t n;
} COUNTERS[] = {{"weir_rulecnt", 256},
		{"weir_limcnt", WORLD_LIMITS},
		{"weir_rsncnt", WEIR_NR_REASONS},
		{"weir_homecnt", WEIR_NR_HOMES}};
enum { COUNT_RULE, COUNT_LIMIT, COUNT_REASON, COUNT_HOME };
#define MAX_CPUS 64

static int cpus(void)
{
	int n = libbpf_num_possible_cpus();

	assert_in_range(n, 1, MAX_CPUS);
	return n;
}

static struct weir_count count_of(int which, __u32 index)
{
	struct weir_count each[MAX_CPUS], sum = {};

	assert_true(index < COUNTERS[which].n);
	assert_int_equal(bpf_map_lookup_elem(map_fd(COUNTERS[which].map), &index, each), 0);
	for (int cpu = 0; cpu < cpus(); cpu++) {
		sum.passed_packets += each[cpu].passed_packets;
		sum.passed_bytes += each[cpu].passed_bytes;
		sum.dropped_packets += each[cpu].dropped_packets;
		sum.dropped_bytes += each[cpu].dropped_bytes;
	}
	return sum;
}

struct weir_count count_rule(__u32 index)
{
	return count_of(COUNT_RULE, index);
}

struct weir_count count_limit(__u32 index)
{
	return count_of(COUNT_LIMIT, index);
}

struct weir_count count_reason(enum weir_reason reason)
{
	return count_of(COUNT_REASON, reason);
}

struct weir_count count_home(enum weir_home home)
{
	return count_of(COUNT_HOME, home);
}

struct weir_books books(void)
{
	struct weir_books each[MAX_CPUS], sum = {};
	__u32 zero = 0;

	assert_int_equal(bpf_map_lookup_elem(map_fd("weir_books"), &zero, each), 0);
	for (int cpu = 0; cpu < cpus(); cpu++) {
		sum.due += each[cpu].due;
		sum.written += each[cpu].written;
		sum.suppressed += each[cpu].suppressed;
		sum.lost_full += each[cpu].lost_full;
		sum.lost_no_reader += each[cpu].lost_no_reader;
	}
	return sum;
}

void counters_clear(void)
{
	static const struct weir_count none[MAX_CPUS];
	static const struct weir_books empty[MAX_CPUS];
	__u32 zero = 0;

	for (size_t i = 0; i < sizeof(COUNTERS) / sizeof(COUNTERS[0]); i++)
		for (__u32 at = 0; at < COUNTERS[i].n; at++)
			bpf_map_update_elem(map_fd(COUNTERS[i].map), &at, none, 0);
	bpf_map_update_elem(map_fd("weir_books"), &zero, empty, 0);
}

/* ---- flows ---- */

size_t flows_of(enum weir_flow_region region)
{
	static struct weir_flow_set set;
	static int fd;
	size_t n = 0;

	fd = map_fd("weir_flow");
	for (__u32 i = region * WEIR_FLOW_SETS; i < (region + 1U) * WEIR_FLOW_SETS; i++) {
		assert_int_equal(bpf_map_lookup_elem(fd, &i, &set), 0);
		for (int way = 0; way < WEIR_FLOW_WAYS; way++)
			if ((set.way[way].expires & ~WEIR_FLOW_BUSY) > world.control->fake_ns)
				n++;
	}
	return n;
}

size_t flows_in_all(void)
{
	size_t n = 0;

	for (int region = 0; region < WEIR_FLOW_REGIONS; region++)
		n += flows_of(region);
	return n;
}

/* ---- runs ---- */

static const struct ends ENDS[] = {
    [WEIR_HOOK_XDP] = {{2, 0, 0, 0, 0, 2}, {2, 0, 0, 0, 10, 1}, PEER4, SELF4, PEER6, SELF6},
    [WEIR_HOOK_NIC_IN] = {{2, 0, 0, 0, 0, 2}, {2, 0, 0, 0, 10, 1}, PEER4, SELF4, PEER6, SELF6},
    [WEIR_HOOK_NIC_OUT] = {{2, 0, 0, 0, 10, 1}, {2, 0, 0, 0, 0, 2}, SELF4, PEER4, SELF6, PEER6},
    [WEIR_HOOK_WL_OUT] = {{2, 0, 0, 0, 1, 2}, {2, 0, 0, 0, 10, 4}, POD4, PEER4, POD6, PEER6},
    [WEIR_HOOK_WL_IN] = {{2, 0, 0, 0, 10, 4}, {2, 0, 0, 0, 1, 2}, PEER4, POD4, PEER6, POD6},
    [WEIR_HOOK_BR_IN] = {{2, 0, 0, 0, 1, 2}, {2, 0, 0, 0, 10, 6}, POD4, PEER4, POD6, PEER6},
    [WEIR_HOOK_BR_OUT] = {{2, 0, 0, 0, 10, 6}, {2, 0, 0, 0, 1, 2}, PEER4, POD4, PEER6, POD6},
};

const struct ends *ends_of(enum weir_hook hook)
{
	return &ENDS[hook];
}

static int program_of(enum weir_hook hook)
{
	switch (hook) {
	case WEIR_HOOK_XDP:
		return bpf_program__fd(world.xdp->progs.weir_xdp);
	case WEIR_HOOK_NIC_IN:
		return bpf_program__fd(world.tc->progs.weir_nic_in);
	case WEIR_HOOK_NIC_OUT:
		return bpf_program__fd(world.tc->progs.weir_nic_out);
	case WEIR_HOOK_WL_OUT:
		return bpf_program__fd(world.tc->progs.weir_wl_out);
	case WEIR_HOOK_BR_IN:
		return bpf_program__fd(world.tc->progs.weir_br_in);
	case WEIR_HOOK_BR_OUT:
		return bpf_program__fd(world.tc->progs.weir_br_out);
	default:
		return bpf_program__fd(world.tc->progs.weir_wl_in);
	}
}

static __u32 hop_ifindex(const struct hop *hop)
{
	if (hop->ifindex)
		return hop->ifindex;
	return hop->hook >= WEIR_HOOK_BR_IN    ? world.br
	       : hop->hook >= WEIR_HOOK_WL_OUT ? world.wl
					       : world.nic;
}

/* Packets that enter a workload came by the NIC unless the test says otherwise; -1U says "made here". */
static __u32 hop_arrived(const struct hop *hop)
{
	if (hop->arrived == -1U)
		return 0;
	if (hop->arrived)
		return hop->arrived;
	if (hop->hook == WEIR_HOOK_NIC_OUT || hop->hook == WEIR_HOOK_BR_OUT)
		return 0;
	return hop->hook == WEIR_HOOK_WL_IN ? world.nic : hop_ifindex(hop);
}

static __u32 run(const struct hop *hop, const struct frame *frame, unsigned int repeat,
		 __u32 *ret_duration)
{
	static __thread __u8 out[FRAME_MAX + 512];
	struct __sk_buff skb = {.ifindex = hop_ifindex(hop),
				.ingress_ifindex = hop_arrived(hop),
				.gso_size = hop->gso_size,
				.gso_segs = hop->gso_segs};
	struct xdp_md md = {.data_end = frame->len, .ingress_ifindex = hop_ifindex(hop)};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame->byte, .data_size_in = frame->len,
		    .data_out = out, .data_size_out = sizeof(out), .repeat = repeat);

	if (hop->hook == WEIR_HOOK_XDP) {
		opts.ctx_in = &md;
		opts.ctx_size_in = sizeof(md);
	} else {
		opts.ctx_in = &skb;
		opts.ctx_size_in = sizeof(skb);
	}
	if (bpf_prog_test_run_opts(program_of(hop->hook), &opts))
		fail_msg("test run of %zu bytes at hook %d: %s", frame->len, hop->hook,
			 strerror(errno));
	if (ret_duration)
		*ret_duration = opts.duration;
	return opts.retval;
}

static bool passed(const struct hop *hop, __u32 retval)
{
	if (hop->hook == WEIR_HOOK_XDP) {
		assert_true(retval == XDP_PASS || retval == XDP_DROP || retval == XDP_TX);
		return retval == XDP_PASS;
	}
	assert_true(retval == (__u32)-1 || retval == 2); /* TC_ACT_UNSPEC, TC_ACT_SHOT */
	return retval == (__u32)-1;
}

bool run_passes(const struct hop *hop, const struct frame *frame)
{
	return passed(hop, run(hop, frame, 1, NULL));
}

__u64 run_repeat(const struct hop *hop, const struct frame *frame, unsigned int n)
{
	__u32 duration;

	run(hop, frame, n, &duration);
	return duration;
}

__u32 run_answer(const struct frame *frame, struct frame *ret)
{
	struct xdp_md md = {.data_end = frame->len, .ingress_ifindex = world.nic};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame->byte, .data_size_in = frame->len,
		    .data_out = ret->byte, .data_size_out = sizeof(ret->byte), .ctx_in = &md,
		    .ctx_size_in = sizeof(md));

	assert_int_equal(bpf_prog_test_run_opts(program_of(WEIR_HOOK_XDP), &opts), 0);
	ret->len = opts.data_size_out;
	return opts.retval;
}

struct weir_cookie cookie_state(__u32 index)
{
	struct weir_cookie cookie;

	assert_int_equal(
	    bpf_map_lookup_elem(bpf_map__fd(world.xdp->maps.weir_cookie), &index, &cookie), 0);
	return cookie;
}

void cookies_forget(void)
{
	static const struct weir_cookie none;
	static const __u64 empty;

	for (__u32 i = 0; i < WEIR_NR_COOKIES; i++)
		bpf_map_update_elem(bpf_map__fd(world.xdp->maps.weir_cookie), &i, &none, 0);
	for (__u32 i = 0; i < WEIR_PROVED + WEIR_TRICKLES; i++)
		bpf_map_update_elem(bpf_map__fd(world.xdp->maps.weir_proved), &i, &empty, 0);
}

void set_mtu(__u32 ifindex, __u32 mtu)
{
	int fd = bpf_map__fd(world.xdp->maps.weir_iface);
	struct weir_iface iface;

	assert_int_equal(bpf_map_lookup_elem(fd, &ifindex, &iface), 0);
	iface.mtu = mtu;
	assert_int_equal(bpf_map_update_elem(fd, &ifindex, &iface, 0), 0);
}

int run_mark(const struct frame *frame, __u32 *ret)
{
	__u8 out[FRAME_MAX + 512];
	struct xdp_md md = {.data_end = frame->len, .ingress_ifindex = world.nic}, after = {};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame->byte, .data_size_in = frame->len,
		    .data_out = out, .data_size_out = sizeof(out), .ctx_in = &md,
		    .ctx_size_in = sizeof(md), .ctx_out = &after, .ctx_size_out = sizeof(after));

	assert_int_equal(bpf_prog_test_run_opts(program_of(WEIR_HOOK_XDP), &opts), 0);
	if (after.data - after.data_meta != WEIR_MARK_WORDS * sizeof(*ret))
		return -ENOENT;
	memcpy(ret, out, sizeof(*ret));
	return 0;
}

struct counted {
	__u64 reason[WEIR_NR_REASONS];
	__u64 home[WEIR_NR_HOMES];
};

static void read_counts(const char *name, size_t n, __u64 *ret)
{
	static struct weir_count values[WEIR_NR_REASONS * MAX_CPUS];
	static __u32 keys[WEIR_NR_REASONS];
	__u32 count = n, next = 0;

	if (bpf_map_lookup_batch(map_fd(name), NULL, &next, keys, values, &count, NULL) &&
	    errno != ENOENT)
		fail_msg("%s: %s", name, strerror(errno));
	assert_int_equal(count, n);
	for (size_t i = 0; i < n; i++) {
		ret[keys[i]] = 0;
		for (int cpu = 0; cpu < cpus(); cpu++)
			ret[keys[i]] += values[i * cpus() + cpu].passed_packets +
					values[i * cpus() + cpu].dropped_packets;
	}
}

static void read_all(struct counted *ret)
{
	read_counts("weir_rsncnt", WEIR_NR_REASONS, ret->reason);
	read_counts("weir_homecnt", WEIR_NR_HOMES, ret->home);
}

struct outcome run_frame(const struct hop *hop, const struct frame *frame)
{
	struct outcome outcome = {.reason = WEIR_NR_REASONS};
	struct counted before, after;

	read_all(&before);
	outcome.pass = run_passes(hop, frame);
	read_all(&after);
	for (int i = 0; i < WEIR_NR_REASONS; i++)
		if (after.reason[i] != before.reason[i]) {
			assert_int_equal(outcome.reason, WEIR_NR_REASONS);
			outcome.reason = i;
		}
	for (int i = 0; i < WEIR_NR_HOMES; i++)
		if (after.home[i] != before.home[i]) {
			outcome.homes |= 1U << i;
			outcome.home_packets += after.home[i] - before.home[i];
		}
	return outcome;
}

void assert_outcome(const struct hop *hop, const struct frame *frame, enum weir_reason wanted,
		    const char *file, int line)
{
	struct outcome found = run_frame(hop, frame);

	if (found.reason == wanted && found.pass == (wanted == WEIR_OK))
		return;
	print_error("wanted %s, found %s (%s)\n", reason_name(wanted), reason_name(found.reason),
		    found.pass ? "passed" : "dropped");
	_fail(file, line);
}

/* ---- sockets ---- */

static socklen_t sockaddr_of(const char *text, __u16 port, struct sockaddr_storage *ret)
{
	struct sockaddr_in *v4 = (void *)ret;
	struct sockaddr_in6 *v6 = (void *)ret;

	memset(ret, 0, sizeof(*ret));
	if (strchr(text, ':')) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		assert_int_equal(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
		return sizeof(*v6);
	}
	v4->sin_family = AF_INET;
	v4->sin_port = htons(port);
	assert_int_equal(inet_pton(AF_INET, text, &v4->sin_addr), 1);
	return sizeof(*v4);
}

static __u16 port_of(int fd)
{
	struct sockaddr_storage at;
	socklen_t len = sizeof(at);

	assert_int_equal(getsockname(fd, (void *)&at, &len), 0);
	return ntohs(at.ss_family == AF_INET ? ((struct sockaddr_in *)&at)->sin_port
					     : ((struct sockaddr_in6 *)&at)->sin6_port);
}

static int bound_socket(int ns, int type, const char *address, __u16 port)
{
	struct sockaddr_storage at;
	socklen_t len = sockaddr_of(address, port, &at);
	int fd;

	enter(ns);
	fd = socket(at.ss_family, type | SOCK_CLOEXEC, 0);
	enter(world.node_ns);
	assert_true(fd >= 0);
	if (bind(fd, (void *)&at, len))
		fail_msg("bind %s: %s", address, strerror(errno));
	return fd;
}

int tcp_listen(int ns, const char *address, __u16 *port)
{
	int fd = bound_socket(ns, SOCK_STREAM, address, *port);

	assert_int_equal(listen(fd, 8), 0);
	*port = port_of(fd);
	return fd;
}

int udp_socket(int ns, const char *address, __u16 *port, const char *peer, __u16 peer_port)
{
	int fd = bound_socket(ns, SOCK_DGRAM, address, *port);
	struct sockaddr_storage to;

	*port = port_of(fd);
	if (peer) {
		socklen_t len = sockaddr_of(peer, peer_port, &to);

		if (connect(fd, (void *)&to, len))
			fail_msg("connect to %s: %s", peer, strerror(errno));
	}
	return fd;
}

int tcp_open(int ns, const char *client, const char *to, __u16 to_port, __u16 *ret_port)
{
	int fd = bound_socket(ns, SOCK_STREAM, client, 0);
	struct sockaddr_storage at;
	socklen_t len = sockaddr_of(to, to_port, &at);

	if (connect(fd, (void *)&at, len))
		fail_msg("connect to %s: %s", to, strerror(errno));
	*ret_port = port_of(fd);
	return fd;
}

void tcp_connect(int server_ns, const char *server, int client_ns, const char *client,
		 struct pair *ret)
{
	ret->server_port = 0;
	ret->listener = tcp_listen(server_ns, server, &ret->server_port);
	ret->client = tcp_open(client_ns, client, server, ret->server_port, &ret->client_port);
	ret->server = accept4(ret->listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(ret->server >= 0);
}

void pair_close(struct pair *pair)
{
	close(pair->client);
	close(pair->server);
	if (pair->listener >= 0)
		close(pair->listener);
}

/* ---- events ---- */

static void on_event(void *arg, int cpu, void *data, __u32 size)
{
	struct events *events = arg;

	assert_true(size >= sizeof(struct weir_event));
	if (events->n < sizeof(events->event) / sizeof(events->event[0]))
		memcpy(&events->event[events->n], data, sizeof(struct weir_event));
	events->n++;
}

static void on_lost(void *arg, int cpu, __u64 n)
{
	struct events *events = arg;

	events->lost += n;
}

void events_open(struct events *events)
{
	memset(events, 0, sizeof(*events));
	events->ring = perf_buffer__new(map_fd("weir_events"), 8, on_event, on_lost, events, NULL);
	assert_non_null(events->ring);
}

void events_drain(struct events *events)
{
	assert_true(perf_buffer__consume(events->ring) >= 0);
}

void events_close(struct events *events)
{
	perf_buffer__free(events->ring);
	events->ring = NULL;
}
