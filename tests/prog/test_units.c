// SPDX-License-Identifier: GPL-2.0-only
/* Units: what the sockets of one service may send and receive, by the cgroup that they were made in. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>

#define BASE "interfaces: [nic, nic2]\nworkloads: [wl, wl2]\n"
#define DENY "default: deny\nfailsafe: []\n"
#define WEB  "{unit: web.service}"
#define DNS  "{unit: dns.service}"

static char home[256], web[320], dns[320], was[256];

/* Where the unified hierarchy is, and where this process is in it. */
static bool find_cgroups(void)
{
	FILE *file = setmntent("/proc/self/mounts", "r");
	struct mntent *entry;
	char line[256];

	while (file && (entry = getmntent(file)) && !home[0])
		if (!strcmp(entry->mnt_type, "cgroup2"))
			snprintf(home, sizeof(home), "%s", entry->mnt_dir);
	endmntent(file);
	file = fopen("/proc/self/cgroup", "r");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "0::%255s", was) == 1)
			break;
	fclose(file);
	return home[0] && was[0];
}

static void move_to(const char *cgroup)
{
	char path[400], pid[16];
	int fd, n = snprintf(pid, sizeof(pid), "%d", getpid());

	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, pid, n) != n)
		fail_msg("%s: %s", path, strerror(errno));
	close(fd);
}

static void back(void)
{
	char path[600];

	snprintf(path, sizeof(path), "%s%s", home, was);
	move_to(path);
}

static void make_unit(char *path, size_t size, const char *name, __u32 unit)
{
	struct stat info;

	snprintf(path, size, "%s/weir-test-%s-%d", home, name, getpid());
	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(stat(path, &info), 0);
	own_unit(info.st_ino, unit);
}

static int setup(void **state)
{
	if (!find_cgroups()) {
		puts("no unified cgroup hierarchy");
		exit(77);
	}
	world_setup(state);
	make_unit(web, sizeof(web), "web", 1);
	make_unit(dns, sizeof(dns), "dns", 2);
	return 0;
}

static int teardown(void **state)
{
	back();
	rmdir(web);
	rmdir(dns);
	return world_teardown(state);
}

/* ---- helpers ---- */

static struct layer ip(int family, const char *v4, const char *v6)
{
	return (struct layer){.kind = family == 4 ? LAYER_IP4 : LAYER_IP6,
			      .dst = family == 4 ? v4 : v6};
}

#define EACH_FAMILY(family) for (int family = 4; family <= 6; family += 2)

static const struct hop ARRIVES = {.hook = WEIR_HOOK_NIC_IN};
static const struct hop LEAVES = {.hook = WEIR_HOOK_NIC_OUT, .arrived = -1U};

static const struct frame *to_self(int family, int proto, __u16 port)
{
	struct layer l4 = proto == 6 ? (struct layer)TCP(.flags = F_SYN, .dport = port)
				     : (struct layer)UDP(.dport = port);

	return FRAME(ends_of(WEIR_HOOK_NIC_IN), ip(family, SELF4, SELF6), l4);
}

static const struct frame *to_peer(int family, __u16 port)
{
	return FRAME(ends_of(WEIR_HOOK_NIC_OUT), ip(family, PEER4, PEER6), UDP(.dport = port));
}

/* The kernel gives test runs a socket of the process's cgroup. */
static void sends(const char *unit, const struct hop *hop, const struct frame *frame,
		  enum weir_reason why)
{
	if (unit)
		move_to(unit);
	assert_outcome(hop, frame, why, __FILE__, __LINE__);
	back();
}

static int listener_of(const char *unit, int family, int proto, __u16 *port)
{
	const char *address = family == 4 ? SELF4 : SELF6;
	int fd;

	*port = 0;
	if (unit)
		move_to(unit);
	fd = proto == 6 ? tcp_listen(world.node_ns, address, port)
			: udp_socket(world.node_ns, address, port, NULL, 0);
	back();
	return fd;
}

/* ---- tests ---- */

static void a_unit_is_reached_at_its_own_sockets(void **state)
{
	EACH_FAMILY(family)
	for (int proto = 6; proto <= 17; proto += 11) {
		__u16 web_port, dns_port, port;
		int fds[] = {listener_of(web, family, proto, &web_port),
			     listener_of(dns, family, proto, &dns_port),
			     listener_of(NULL, family, proto, &port)};

		policy(BASE DENY "allow: [{to: " WEB ", port: [tcp/1-65535, udp/1-65535]}]\n");
		assert_passes(&ARRIVES, to_self(family, proto, web_port));
		assert_drops(&ARRIVES, to_self(family, proto, dns_port), WEIR_DEFAULT);
		assert_drops(&ARRIVES, to_self(family, proto, port), WEIR_DEFAULT);
		policy(BASE DENY "allow: [{to: self, port: [tcp/1-65535, udp/1-65535]}]\n"
				 "deny: [{to: " WEB "}]\n");
		assert_drops(&ARRIVES, to_self(family, proto, web_port), WEIR_DENY);
		assert_passes(&ARRIVES, to_self(family, proto, dns_port));
		assert_passes(&ARRIVES, to_self(family, proto, port));
		policy(BASE DENY "allow: [{to: " WEB "}, {to: " DNS
				 "}]\ndeny: [{from: [198.51.100.0/24, \"2001:db8:51::/64\"], to: "
				 "self, port: [tcp/1-65535, udp/1-65535]}]\n");
		assert_drops(&ARRIVES, to_self(family, proto, web_port), WEIR_DENY);
		for (int i = 0; i < 3; i++)
			close(fds[i]);
	}
}

static void a_unit_sends_what_its_rules_say(void **state)
{
	EACH_FAMILY(family)
	{
		policy(BASE DENY "allow: [{from: " WEB ", to: any, port: udp/53}]\n");
		sends(web, &LEAVES, to_peer(family, 53), WEIR_OK);
		sends(web, &LEAVES, to_peer(family, 54), WEIR_DEFAULT);
		sends(dns, &LEAVES, to_peer(family, 53), WEIR_DEFAULT);
		sends(NULL, &LEAVES, to_peer(family, 53), WEIR_DEFAULT);
		policy(BASE DENY "allow: [{from: self, to: any, port: udp/53}]\n"
				 "deny: [{from: " WEB ", to: any}]\n");
		sends(web, &LEAVES, to_peer(family, 53), WEIR_DENY);
		sends(dns, &LEAVES, to_peer(family, 53), WEIR_OK);
		sends(NULL, &LEAVES, to_peer(family, 53), WEIR_OK);
		policy(BASE DENY "allow: [{from: " WEB ", to: any}]\ndeny: [{from: self, to: any, "
				 "port: udp/53}]\n");
		sends(web, &LEAVES, to_peer(family, 53), WEIR_DENY);
		sends(web, &LEAVES, to_peer(family, 54), WEIR_OK);
	}
}

static void where_no_rule_decides_the_nodes_default_does(void **state)
{
	policy(BASE "default: allow\nsegments: {t: [" SELF4
		    "]}\ndefaults: {t: {egress: deny}}\nallow: [{from: " WEB
		    ", to: any, port: udp/54}]\n");
	sends(web, &LEAVES, to_peer(4, 53), WEIR_DEFAULT);
	sends(web, &LEAVES, to_peer(4, 54), WEIR_OK);
	sends(web, &LEAVES, to_peer(6, 53), WEIR_OK);
}

static void answers_follow_the_unit_that_asked(void **state)
{
	struct pair pair;
	const struct frame *answer;

	move_to(web);
	tcp_connect(world.outside_ns, OUTSIDE4, world.node_ns, SELF4, &pair);
	back();
	answer = FRAME(ends_of(WEIR_HOOK_NIC_IN), IP4(.src = OUTSIDE4),
		       TCP(.flags = F_ACK, .sport = pair.server_port, .dport = pair.client_port));
	policy(BASE DENY "allow: [{from: " WEB ", to: any, port: tcp/1-65535}]\n");
	assert_passes(&ARRIVES, answer);
	policy(BASE DENY "allow: [{from: " DNS ", to: any, port: tcp/1-65535}]\n");
	assert_drops(&ARRIVES, answer, WEIR_DEFAULT);
	pair_close(&pair);
	/* What a unit's port answers is by the rule that opens it. */
	policy(BASE DENY "allow: [{to: " WEB ", port: udp/1-65535}]\n");
	sends(web, &LEAVES,
	      FRAME(ends_of(WEIR_HOOK_NIC_OUT), IP4(), UDP(.sport = 53, .dport = 999)), WEIR_OK);
	sends(dns, &LEAVES,
	      FRAME(ends_of(WEIR_HOOK_NIC_OUT), IP4(), UDP(.sport = 53, .dport = 999)),
	      WEIR_DEFAULT);
}

static void units_and_workloads(void **state)
{
	const struct hop in = {.hook = WEIR_HOOK_WL_IN, .arrived = -1U};
	const struct hop out = {.hook = WEIR_HOOK_WL_OUT};
	const struct frame *to_pod =
	    FRAME(ends_of(WEIR_HOOK_WL_IN), IP4(.src = "203.0.113.1"), UDP(.dport = 53));
	__u16 port, other;
	int fd = listener_of(web, 4, 17, &port), fd2 = listener_of(dns, 4, 17, &other);

	policy(BASE DENY "allow: [{from: " WEB ", to: workloads, port: udp/53}, {from: workloads, "
			 "to: " WEB ", port: udp/1-65535}]\n");
	sends(web, &in, to_pod, WEIR_OK);
	sends(dns, &in, to_pod, WEIR_DEFAULT);
	assert_passes(&out,
		      FRAME(ends_of(WEIR_HOOK_WL_OUT), IP4(.dst = SELF4), UDP(.dport = port)));
	assert_drops(&out, FRAME(ends_of(WEIR_HOOK_WL_OUT), IP4(.dst = SELF4), UDP(.dport = other)),
		     WEIR_DEFAULT);
	close(fd);
	close(fd2);
}

static void limits_of_a_unit_and_of_the_node_both_hold(void **state)
{
	__u16 port, other;
	int fd = listener_of(web, 4, 17, &port), fd2 = listener_of(dns, 4, 17, &other);

	policy(BASE "default: allow\nlimits: [{name: unit, to: " WEB
		    ", count: packets, rate: 1/hour, burst: 1}]\n");
	assert_passes(&ARRIVES, to_self(4, 17, port));
	assert_passes(&ARRIVES, to_self(4, 17, port));
	assert_drops(&ARRIVES, to_self(4, 17, port), WEIR_LIMIT);
	assert_passes(&ARRIVES, to_self(4, 17, other));
	world.control->fake_ns += 86400 * S_NS;
	policy(BASE DENY "allow: [{to: " WEB ", port: udp/1-65535}]\nlimits: [{name: node, to: "
			 "self, count: packets, rate: 1/hour, burst: 0}]\n");
	assert_passes(&ARRIVES, to_self(4, 17, port));
	assert_drops(&ARRIVES, to_self(4, 17, port), WEIR_LIMIT);
	close(fd);
	close(fd2);
}

static void without_a_socket_there_is_no_unit(void **state)
{
	policy(BASE DENY "allow: [{to: " WEB "}, {from: " WEB ", to: any}]\n");
	assert_drops(&ARRIVES, to_self(4, 17, 7), WEIR_DEFAULT);
	assert_drops(&ARRIVES, FRAME(ends_of(WEIR_HOOK_NIC_IN), IP4(), ICMP(.type = 8)),
		     WEIR_DEFAULT);
	/* The address that stands for a unit is nobody's on the wire. */
	assert_drops(&ARRIVES, FRAME(ends_of(WEIR_HOOK_NIC_IN), IP4(.dst = "127.255.0.1"), UDP()),
		     WEIR_MARTIAN_DEST);
	assert_drops(&LEAVES, FRAME(ends_of(WEIR_HOOK_NIC_OUT), IP4(.src = "127.255.0.1"), UDP()),
		     WEIR_MARTIAN_SOURCE);
}

#define TEST(f) cmocka_unit_test_setup(f, world_reset)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_unit_is_reached_at_its_own_sockets),
	    TEST(a_unit_sends_what_its_rules_say),
	    TEST(where_no_rule_decides_the_nodes_default_does),
	    TEST(answers_follow_the_unit_that_asked),
	    TEST(units_and_workloads),
	    TEST(limits_of_a_unit_and_of_the_node_both_hold),
	    TEST(without_a_socket_there_is_no_unit),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
