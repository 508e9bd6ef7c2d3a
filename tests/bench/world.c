// SPDX-License-Identifier: GPL-2.0-only
/* The programs in the kernel, and runs through them. */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/bpf.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "compile/compile.h"
#include "kernel/kernel.h"
#include "policy/model.h"

#include "bench.h"
#include "drive.h"
#include "policy.h"
#include "textbook.h"

#define FRAME_LEN 60
#define PATH_LEN  512

struct world {
	char pin_dir[256];
	struct kernel *kernel;
	struct bpf_object *xdp, *tc, *textbook;
	int target[NR_TARGETS];
	struct driver {
		int program, targets, settings;
	} driver[2]; /* XDP, TC */
	__u32 ifindex;
};

void die(int err, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "bench: ");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, err ? ": %s\n" : "\n", strerror(-err));
	exit(1);
}

static void die_diag(const struct diag *diag, const char *what)
{
	char text[2048];

	die(0, "%s: %s", what, diag_text(diag, text, sizeof(text)));
}

/* ---- weir itself: the compiler and the loader that `weir apply` uses ---- */

static void apply(struct world *world, unsigned int rules, bool forwards, struct apply_times *ret)
{
	const struct apply_options options = {};
	struct apply_result result = {};
	struct environment env = {};
	struct tables *tables = NULL;
	struct policy *policy = NULL;
	char *text = bench_policy(rules);
	struct diag diag = {};

	if (policy_parse_text(text, strlen(text), "bench", &policy, &diag))
		die_diag(&diag, "the policy");
	if (environment_read(&env, &diag))
		die_diag(&diag, "the environment");
	env.forwarding4 = forwards;
	if (tables_build(policy, &env, &tables, &diag))
		die_diag(&diag, "the tables");
	if (kernel_open(world->pin_dir, true, &world->kernel, &diag) ||
	    kernel_apply(world->kernel, policy, tables, &env, &options, &result, &diag))
		die_diag(&diag, "apply");
	*ret = (struct apply_times){result.compile_ns, result.fill_ns, result.total_ns};
	tables_free(tables);
	environment_free(&env);
	policy_free(policy);
	free(text);
	diag_reset(&diag);
}

static int pinned(const struct world *world, const char *kind, const char *name)
{
	char path[PATH_LEN];
	int fd;

	snprintf(path, sizeof(path), "%s/%s/%s", world->pin_dir, kind, name);
	fd = bpf_obj_get(path);
	if (fd < 0)
		die(-errno, "%s", path);
	return fd;
}

/* ---- what is measured beside it ---- */

/* Maps of weir that the object names are those of the policy in force. */
static void share_maps(struct world *world, struct bpf_object *object)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, object)
	{
		char path[PATH_LEN];
		int fd;

		if (strncmp(bpf_map__name(map), "weir_", 5) || bpf_map__is_internal(map))
			continue;
		snprintf(path, sizeof(path), "%s/maps/%s", world->pin_dir, bpf_map__name(map));
		fd = bpf_obj_get(path);
		if (fd < 0)
			continue; /* scratch memory of its own */
		if (bpf_map__reuse_fd(map, fd))
			die(-errno, "map %s", bpf_map__name(map));
		close(fd);
	}
}

static struct bpf_object *object_open(const char *name)
{
	const char *dir = getenv("WEIR_BENCH_OBJECTS");
	struct bpf_object *object;
	char path[PATH_LEN];

	snprintf(path, sizeof(path), "%s/%s.bpf.o", dir ? dir : ".", name);
	object = bpf_object__open_file(path, NULL);
	if (!object)
		die(-errno, "%s", path);
	return object;
}

static int program_fd(struct bpf_object *object, const char *name)
{
	struct bpf_program *program = bpf_object__find_program_by_name(object, name);

	if (!program)
		die(0, "no program %s", name);
	return bpf_program__fd(program);
}

static void driver_of(struct bpf_object *object, struct driver *ret)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, object)
	{
		if (strstr(bpf_map__name(map), ".bss"))
			break;
	}
	ret->program = program_fd(object, "bench_drive");
	ret->targets = bpf_object__find_map_fd_by_name(object, "bench_target");
	ret->settings = map ? bpf_map__fd(map) : -1;
	if (ret->targets < 0 || ret->settings < 0)
		die(0, "the driver has no settings");
}

static void load_parts(struct world *world)
{
	struct bpf_program *program;

	world->xdp = object_open("bench_xdp");
	program = bpf_object__find_program_by_name(world->xdp, "weir_xdp");
	if (program)
		bpf_program__set_autoload(program, false);
	share_maps(world, world->xdp);
	if (bpf_object__load(world->xdp))
		die(-errno, "loading the parts");
	world->tc = object_open("bench_tc");
	if (bpf_object__load(world->tc))
		die(-errno, "loading the driver for TC");
	driver_of(world->xdp, &world->driver[0]);
	driver_of(world->tc, &world->driver[1]);
	world->target[XDP_EMPTY] = program_fd(world->xdp, "bench_empty");
	world->target[XDP_PARSE] = program_fd(world->xdp, "bench_parse");
	world->target[XDP_ADDRESS] = program_fd(world->xdp, "bench_address");
	world->target[XDP_VERDICT] = program_fd(world->xdp, "bench_verdict");
	world->target[XDP_LIMIT] = program_fd(world->xdp, "bench_limit");
	world->target[XDP_WHOLE] = pinned(world, "progs", "weir_xdp");
	world->target[TC_EMPTY] = program_fd(world->tc, "bench_empty");
	world->target[TC_IN] = pinned(world, "progs", "weir_nic_in");
	world->target[TC_OUT] = pinned(world, "progs", "weir_nic_out");
}

static void textbook_rule(int policy, __u32 from, __u16 port, bool limited)
{
	const struct textbook_key key = {from, TEXTBOOK_SELF, port};
	const struct textbook_rule rule = {limited ? BENCH_INTERVAL : 0,
					   limited ? BENCH_INTERVAL * BENCH_BURST : 0};

	if (bpf_map_update_elem(policy, &key, &rule, BPF_ANY))
		die(-errno, "a rule of the textbook design");
}

static void textbook_segment(int segments, __u32 network, __u32 length, __u32 segment)
{
	const struct textbook_prefix prefix = {length, htonl(network)};

	if (bpf_map_update_elem(segments, &prefix, &segment, BPF_ANY))
		die(-errno, "a segment of the textbook design");
}

static void load_textbook(struct world *world, unsigned int rules)
{
	int segments, policy;

	world->textbook = object_open("textbook");
	bpf_map__set_max_entries(bpf_object__find_map_by_name(world->textbook, "segments"),
				 rules + 1);
	bpf_map__set_max_entries(bpf_object__find_map_by_name(world->textbook, "policy"), rules);
	if (bpf_object__load(world->textbook))
		die(-errno, "loading the textbook design");
	segments = bpf_object__find_map_fd_by_name(world->textbook, "segments");
	policy = bpf_object__find_map_fd_by_name(world->textbook, "policy");
	textbook_segment(segments, BENCH_SELF, 32, TEXTBOOK_SELF);
	textbook_rule(policy, TEXTBOOK_ANY, BENCH_LIMITED, true);
	textbook_rule(policy, TEXTBOOK_ANY, BENCH_FREE, false);
	for (unsigned int i = 0; i + 2 < rules; i++) {
		textbook_segment(segments, rule_prefix(i), 28, 2 + i);
		textbook_rule(policy, 2 + i, rule_port(i), false);
	}
	world->target[XDP_TEXTBOOK] = program_fd(world->textbook, "textbook");
}

struct world *world_open(const char *pin_dir, unsigned int rules, bool forwards,
			 struct apply_times *ret)
{
	struct world *world = calloc(1, sizeof(*world));

	if (!world)
		die(-ENOMEM, "world");
	libbpf_set_print(NULL);
	snprintf(world->pin_dir, sizeof(world->pin_dir), "%s", pin_dir);
	world->ifindex = if_nametoindex(BENCH_NIC);
	if (!world->ifindex)
		die(-errno, "interface " BENCH_NIC);
	apply(world, rules, forwards, ret);
	load_parts(world);
	load_textbook(world, rules);
	return world;
}

void world_close(struct world *world)
{
	struct diag diag = {};

	close(world->target[XDP_WHOLE]);
	close(world->target[TC_IN]);
	close(world->target[TC_OUT]);
	bpf_object__close(world->textbook);
	bpf_object__close(world->tc);
	bpf_object__close(world->xdp);
	if (kernel_detach(world->kernel, &diag))
		die_diag(&diag, "detach");
	kernel_close(world->kernel);
	diag_reset(&diag);
	free(world);
}

void world_judged(struct world *world, __u64 *ret_passed, __u64 *ret_dropped)
{
	struct kernel_status status = {};
	struct diag diag = {};

	if (kernel_status(world->kernel, &status, &diag))
		die_diag(&diag, "status");
	*ret_passed = *ret_dropped = 0;
	for (int i = 0; i < WEIR_NR_REASONS; i++) {
		*ret_passed += status.reason[i].passed_packets;
		*ret_dropped += status.reason[i].dropped_packets;
	}
	kernel_status_clear(&status);
	diag_reset(&diag);
}

/* ---- packets ---- */

static void put16(__u8 *at, __u16 value)
{
	at[0] = value >> 8;
	at[1] = value;
}

static void put32(__u8 *at, __u32 value)
{
	put16(at, value >> 16);
	put16(at + 2, value);
}

/* Checksums are left out: no filter looks at them. */
static void frame_of(const struct stream *stream, __u8 *frame)
{
	__u8 *ip = frame + 14, *l4 = ip + 20;

	memset(frame, 0, FRAME_LEN);
	frame[0] = frame[6] = 2;
	frame[5] = 1;
	frame[11] = 2;
	put16(frame + 12, 0x0800);
	ip[0] = 0x45;
	put16(ip + 2, FRAME_LEN - 14);
	ip[8] = 64;
	ip[9] = stream->proto;
	put32(ip + 12, stream->outbound ? BENCH_SELF : BENCH_PEERS);
	put32(ip + 16, stream->outbound ? BENCH_PEERS : BENCH_SELF);
	put16(l4, stream->outbound ? stream->local_port : stream->peer_port);
	put16(l4 + 2, stream->outbound ? stream->peer_port : stream->local_port);
	if (stream->proto == 6) {
		l4[12] = 0x50;
		l4[13] = stream->tcp_flags;
	} else {
		put16(l4 + 4, FRAME_LEN - 34);
	}
}

static void point(const struct driver *driver, int target, const struct stream *stream,
		  bool in_order)
{
	const struct drive drive = {.base = BENCH_PEERS,
				    .number = stream->number,
				    .offset = stream->outbound ? 30 : 26,
				    .in_order = in_order};
	__u32 zero = 0;

	if (bpf_map_update_elem(driver->targets, &zero, &target, BPF_ANY) ||
	    bpf_map_update_elem(driver->settings, &zero, &drive, BPF_ANY))
		die(-errno, "the driver's settings");
}

__u64 world_run(struct world *world, enum target target, const struct stream *stream,
		unsigned int repeat, bool in_order)
{
	bool tc = target >= FIRST_TC;
	struct driver *driver = &world->driver[tc];
	__u8 frame[FRAME_LEN], out[FRAME_LEN + 256];
	struct __sk_buff skb = {.ifindex = world->ifindex,
				.ingress_ifindex = target == TC_OUT ? 0 : world->ifindex};
	struct xdp_md md = {.data_end = FRAME_LEN, .ingress_ifindex = world->ifindex};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = FRAME_LEN,
		    .data_out = out, .data_size_out = sizeof(out), .repeat = repeat, .ctx_in = &md,
		    .ctx_size_in = sizeof(md));
	__u32 passes = XDP_PASS;

	if (tc) {
		opts.ctx_in = &skb;
		opts.ctx_size_in = sizeof(skb);
		passes = -1; /* TC_ACT_UNSPEC */
	}
	frame_of(stream, frame);
	point(driver, world->target[target], stream, in_order);
	if (bpf_prog_test_run_opts(driver->program, &opts))
		die(-errno, "test run of target %d", target);
	if (opts.retval != passes)
		die(0, "target %d did not pass its packet (verdict %u)", target, opts.retval);
	return opts.duration;
}
