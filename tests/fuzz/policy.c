// SPDX-License-Identifier: GPL-2.0-only
/*
 * Policy text: read or refused with a place inside it; what is read prints as text that says the same, and compiles to
 * tables that say what a walk over its rules says.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "compile/builder.h"
#include "compile_policy.h"
#include "fuzz.h"
#include "naive.h"
#include "weir/hash.h"

#define TEXT_MAX 8192
#define PACKETS	 12
#define POOL_MAX 64

/** struct aim - what packets are made of: what the policy speaks of, and its edges. */
struct aim {
	const struct policy *policy;
	const struct environment *env;
	struct weir_addr address[POOL_MAX];
	size_t nr_addresses;
	struct service service[POOL_MAX];
	size_t nr_services;
	bool units;
	__u64 random;
};

FUZZ_LIBRARY_LEAKS

static __u32 pick(struct aim *aim, __u32 below)
{
	aim->random += 0x9e3779b97f4a7c15ULL;
	return (weir_mix(aim->random, 1) >> 16) % below;
}

/* Numbers of units stand in addresses that nobody has. */
static bool is_unit(const struct weir_addr *a)
{
	return addr_is_v4(a) && a->byte[12] == 127 && a->byte[13] == 255 && a->byte[14] < 32;
}

static void aim_at(struct aim *aim, const struct prefix *prefix)
{
	struct weir_addr last = prefix->address;

	for (int bit = (prefix->v6 ? 0 : 96) + prefix->length; bit < 128; bit++)
		last.byte[bit / 8] |= 0x80 >> bit % 8;
	if (aim->nr_addresses + 2 > POOL_MAX)
		return;
	aim->address[aim->nr_addresses++] = prefix->address;
	aim->address[aim->nr_addresses++] = last;
}

static int aim_at_item(void *arg, struct item *item)
{
	struct prefix first = {.address = item->first, .v6 = !addr_is_v4(&item->first)};
	struct prefix last = {.address = item->last, .v6 = first.v6};

	if (item->kind == ITEM_PREFIX)
		aim_at(arg, &item->prefix);
	for (size_t i = 0; i < item->nr_list && i < 4; i++)
		aim_at(arg, &item->list[i]);
	first.length = last.length = first.v6 ? 128 : 32;
	if (item->kind == ITEM_RANGE) {
		aim_at(arg, &first);
		aim_at(arg, &last);
	}
	if (item->kind == ITEM_UNIT)
		((struct aim *)arg)->units = true;
	return 0;
}

static void aim_at_services(struct aim *aim, const struct services *services)
{
	for (size_t i = 0; i < services->n && aim->nr_services < POOL_MAX; i++)
		aim->service[aim->nr_services++] = services->service[i];
}

static void take_aim(struct aim *aim)
{
	const struct policy *policy = aim->policy;

	policy_each_item(policy, aim_at_item, aim);
	for (size_t i = 0; i < aim->env->nr_names; i++)
		for (size_t j = 0; j < aim->env->name[i].n && j < 2; j++)
			aim_at(aim, &aim->env->name[i].address[j]);
	for (size_t i = 0; i < aim->env->nr_interfaces; i++)
		for (size_t j = 0; j < aim->env->interface[i].nr_addresses; j++)
			aim_at(aim, &aim->env->interface[i].address[j]);
	for (size_t i = 0; i < policy->nr_services; i++) {
		aim_at(aim, &policy->service[i].address);
		aim_at_services(aim, &(struct services){&policy->service[i].port, 1});
	}
	for (size_t i = 0; i < policy->nr_rules; i++) {
		aim_at_services(aim, &policy->rule[i].port);
		aim_at_services(aim, &policy->rule[i].published);
	}
	for (size_t i = 0; i < policy->nr_limits; i++)
		aim_at_services(aim, &policy->limit[i].port);
	for (size_t i = 0; i < policy->nr_failsafe; i++)
		aim_at_services(aim, &policy->failsafe[i].port);
}

static struct weir_addr some_address(struct aim *aim, bool v6)
{
	struct weir_addr address = address_of(v6 ? "2001:db8:7::7" : "198.51.100.77");
	int step = pick(aim, 6);

	for (int tries = 0; tries < 12; tries++) {
		const struct weir_addr *a = &aim->address[pick(aim, aim->nr_addresses)];

		if (addr_is_v4(a) == v6)
			continue;
		address = *a;
		break;
	}
	/* Now and then the one before or behind it. */
	for (int i = 15; step < 2 && i >= (v6 ? 0 : 12); i--) {
		address.byte[i] += step ? 1 : -1;
		if (address.byte[i] != (step ? 0 : 0xff))
			break;
	}
	return address;
}

static void some_service(struct aim *aim, struct naive_packet *packet)
{
	static const __u8 protos[] = {6, 17, 132, 1, 58, 47, 2};
	const struct service *service;

	packet->proto = protos[pick(aim, sizeof(protos))];
	packet->port = pick(aim, 65536);
	if (aim->nr_services && pick(aim, 5)) {
		service = &aim->service[pick(aim, aim->nr_services)];
		if (service->proto != PORT_ANY)
			packet->proto = service->proto;
		if (service->first != PORT_ANY)
			packet->port =
			    (pick(aim, 2) ? service->first : service->last) + pick(aim, 3) - 1;
	}
	if (packet->proto == 1 || packet->proto == 58)
		packet->port &= 255;
	else if (packet->proto != 6 && packet->proto != 17 && packet->proto != 132)
		packet->port = 0;
}

/* Returns whether it is one that tables are asked about: numbers of units are of this node, where there are units. */
static bool some_packet(struct aim *aim, struct naive_packet *packet)
{
	bool v6 = pick(aim, 3) == 0;

	memset(packet, 0, sizeof(*packet));
	packet->source = some_address(aim, v6);
	packet->destination = some_address(aim, v6);
	packet->source_kind = pick(aim, 3);
	packet->destination_kind = pick(aim, 3);
	some_service(aim, packet);
	if (is_unit(&packet->source) && is_unit(&packet->destination))
		return false;
	if (is_unit(&packet->source))
		packet->source_kind = WEIR_SELF;
	if (is_unit(&packet->destination))
		packet->destination_kind = WEIR_SELF;
	return aim->units || (!is_unit(&packet->source) && !is_unit(&packet->destination));
}

static bool same_answer(const struct naive_answer *naive, const struct answer *answer)
{
	const struct weir_verdict *verdict = &answer->verdict;

	return naive->allow == answer->allow && naive->ingress_allow == answer->ingress_allow &&
	       naive->egress_allow == answer->egress_allow && naive->later == answer->later &&
	       naive->rule == answer->rule && naive->action == verdict->action &&
	       naive->named == !!(verdict->flags & WEIR_VERDICT_NAMED) &&
	       naive->log == !!(verdict->flags & WEIR_VERDICT_LOG) &&
	       naive->protect == verdict->protect && naive->nr_limits == verdict->nr_limits &&
	       !memcmp(naive->limit, verdict->limit, naive->nr_limits * sizeof(naive->limit[0]));
}

static void check_packet(struct aim *aim, const struct tables *tables)
{
	__u32 interface = pick(aim, aim->env->nr_interfaces + 1);
	char from[ADDR_TEXT_LEN], to[ADDR_TEXT_LEN];
	struct question question = {};
	struct naive_packet packet;
	struct naive_answer naive;
	struct answer answer = {};

	if (!some_packet(aim, &packet))
		return;
	if (interface < aim->env->nr_interfaces) {
		packet.interface = aim->env->interface[interface].name;
		question.zone = tables->zone[interface];
	}
	question.source = packet.source;
	question.destination = packet.destination;
	question.source_kind = packet.source_kind;
	question.destination_kind = packet.destination_kind;
	question.proto = packet.proto;
	question.port = packet.port;
	naive_eval(aim->policy, aim->env, &packet, &naive);
	FUZZ_CHECK(tables_eval(tables, &question, &answer) == 0);
	if (!same_answer(&naive, &answer))
		FUZZ_FAIL("%s (%d) to %s (%d), protocol %u port %u, interface %s: rules say action "
			  "%d rule %d allow %d named %d limits %zu, tables %d, %d, %d, %d, %d",
			  addr_format(&packet.source, from), packet.source_kind,
			  addr_format(&packet.destination, to), packet.destination_kind,
			  packet.proto, packet.port, packet.interface ? packet.interface : "none",
			  naive.action, naive.rule, naive.allow, naive.named, naive.nr_limits,
			  answer.verdict.action, answer.rule, answer.allow,
			  !!(answer.verdict.flags & WEIR_VERDICT_NAMED), answer.verdict.nr_limits);
}

/* A folder of its own, with one list of addresses that `{file: list}` finds. */
static char directory[] = "/tmp/weir-fuzz-XXXXXX";
static char text_name[64], list_name[64];

/* ---- what is refused: where ---- */

/* The place is one of the text: a line that it has, at most one behind that line's end. */
static void check_place(const struct diag *diag, const char *text, size_t len)
{
	unsigned int line = 1;
	size_t begin = 0;

	FUZZ_CHECK(diag->error[0]);
	for (const char *p = diag->error; *p; p++)
		FUZZ_CHECK((unsigned char)*p >= 0x20 && *p != 0x7f);
	FUZZ_CHECK(diag->at.file && diag->at.line > 0 && diag->at.column > 0);
	if (strcmp(diag->at.file, text_name) != 0)
		return; /* a list of addresses that it names */
	for (size_t i = 0; i <= len && line <= diag->at.line; i++) {
		if (i < len && text[i] != '\n' && text[i] != '\r')
			continue;
		if (line == diag->at.line && diag->at.column <= i - begin + 1)
			return;
		if (i + 1 < len && text[i] == '\r' && text[i + 1] == '\n')
			i++;
		line++;
		begin = i + 1;
	}
	FUZZ_FAIL("%u:%u is no place in the text: %s", diag->at.line, diag->at.column, diag->error);
}

static void check_refusal(int err, const struct diag *diag, const char *text, size_t len)
{
	FUZZ_CHECK(err == -EINVAL || err == -ENOENT || err == -EACCES || err == -ENOTDIR ||
		   err == -EISDIR || err == -ENAMETOOLONG || err == -ELOOP || err == -ENXIO ||
		   err == -EIO || err == -EPERM || err == -EAGAIN || err == -EFBIG);
	check_place(diag, text, len);
}

/* ---- what is read ---- */

static struct policy *read_again(const struct policy *policy)
{
	char *canonical = NULL, *again = NULL;
	struct policy *second = NULL;
	struct diag diag = {};

	FUZZ_CHECK(policy_print(policy, &canonical) == 0);
	if (policy_parse_text(canonical, strlen(canonical), text_name, &second, &diag))
		FUZZ_FAIL("its canonical text is refused, %u:%u: %s\n%s", diag.at.line,
			  diag.at.column, diag.error, canonical);
	FUZZ_CHECK(policy_print(second, &again) == 0);
	if (strcmp(canonical, again) != 0)
		FUZZ_FAIL("canonical text reads as something else:\n%s\n---\n%s", canonical, again);
	diag_reset(&diag);
	free(canonical);
	free(again);
	return second;
}

static void check_tests(const struct policy *policy, const struct tables *tables,
			const struct environment *env)
{
	struct test_result *result = NULL;
	int failed = tests_run(policy, tables, env, &result);

	FUZZ_CHECK(failed >= 0 && (size_t)failed <= policy->nr_tests);
	for (size_t i = 0; i < policy->nr_tests; i++)
		FUZZ_CHECK(result[i].test == &policy->test[i] &&
			   result[i].passed == !result[i].text[0]);
	free(result);
}

/* Tables of the text as it was printed and read again say what the rules of the first reading say. */
static void check_tables(const struct policy *policy, const struct policy *second, __u64 random,
			 const char *text, size_t len)
{
	struct build_options options = {.dense_max = random & 1 ? 0 : BUILD_DENSE_MAX,
					.max_bytes = 64 << 20};
	struct tables *tables = NULL;
	struct diag diag = {};
	struct made made;
	int err;

	made_init(&made, 0);
	add_interface(&made, "lo", "127.0.0.1 ::1");
	add_interface(&made, "eth0", "192.0.2.1 2001:db8::1");
	add_interface(&made, "eth1", "198.51.100.1");
	FUZZ_CHECK(environment_stand_in(&made.env, policy) == 0);
	err = tables_build_with(random & 2 ? second : policy, &made.env, &options, &tables, &diag);
	if (err) {
		FUZZ_CHECK(!tables && (err == -EINVAL || err == -E2BIG));
		if (err == -EINVAL && !(random & 2))
			check_place(&diag, text, len);
	} else {
		struct aim aim = {.policy = policy, .env = &made.env, .random = random};

		take_aim(&aim);
		for (int i = 0; i < PACKETS; i++)
			check_packet(&aim, tables);
		check_tests(policy, tables, &made.env);
	}
	tables_free(tables);
	environment_forget_names(&made.env);
	made_free(&made);
	diag_reset(&diag);
}

static void leave(void)
{
	unlink(list_name);
	rmdir(directory);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	FILE *list;

	FUZZ_CHECK(mkdtemp(directory));
	snprintf(text_name, sizeof(text_name), "%s/fuzz", directory);
	snprintf(list_name, sizeof(list_name), "%s/list", directory);
	list = fopen(list_name, "w");
	FUZZ_CHECK(list &&
		   fputs("192.0.2.0/28\n2001:db8:5::/48 # six\n10.1.2.3-10.1.2.9\n", list) > 0);
	FUZZ_CHECK(fclose(list) == 0);
	atexit(leave);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct policy *policy = NULL, *second;
	struct diag diag = {};
	__u64 random = size;
	char *text;
	int err;

	if (size > TEXT_MAX)
		return -1;
	for (size_t i = 0; i < size; i++)
		random = weir_mix(random ^ data[i], i);
	text = malloc(size ? size : 1); /* as long as it is: what is read behind it is seen */
	FUZZ_CHECK(text);
	memcpy(text, data, size);
	err = policy_parse_text(text, size, text_name, &policy, &diag);
	if (err) {
		FUZZ_CHECK(!policy);
		check_refusal(err, &diag, text, size);
	} else {
		second = read_again(policy);
		check_tables(policy, second, random, text, size);
		policy_free(second);
		policy_free(policy);
	}
	diag_reset(&diag);
	free(text);
	return 0;
}
