// SPDX-License-Identifier: GPL-2.0-only
/* The policy's own `tests:`, asked of the compiled tables. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "compile/compile.h"
#include "policy/service.h"

#define MAX_DEPTH 256

/* One end of a test: an address, and the homes that it may have. */
struct end {
	struct weir_addr address;
	bool known; /* the address; self gets one of the other end's family */
	__u16 zone; /* of the interface that was named */
	bool has_zone;
	enum weir_kind kind[2]; /* deduced, and the other one that it might be */
	int nr_kinds;
	char text[280];
};

struct run {
	const struct policy *policy;
	const struct tables *tables;
	const struct environment *env;
};

static const char *const home_names[] = {"self", "a workload", "transit"};

static bool items_contain(const struct run *run, const struct items *items,
			  const struct weir_addr *address, int depth);

static const struct segment *find_segment(const struct run *run, const char *name)
{
	for (size_t i = 0; i < run->policy->nr_segments; i++)
		if (strcmp(run->policy->segment[i].name, name) == 0)
			return &run->policy->segment[i];
	return NULL;
}

static bool segment_contains(const struct run *run, const char *name,
			     const struct weir_addr *address, int depth)
{
	const struct segment *segment = find_segment(run, name);

	return segment && depth < MAX_DEPTH &&
	       items_contain(run, &segment->members, address, depth + 1) &&
	       !items_contain(run, &segment->except, address, depth + 1);
}

static const struct env_interface *interface_of(const struct run *run, const char *name)
{
	for (size_t i = 0; run->env && i < run->env->nr_interfaces; i++)
		if (strcmp(run->env->interface[i].name, name) == 0)
			return &run->env->interface[i];
	return NULL;
}

static bool list_contains(const struct prefix *list, size_t n, const struct weir_addr *address)
{
	for (size_t i = 0; i < n; i++)
		if (prefix_contains(&list[i], address))
			return true;
	return false;
}

static bool item_contains(const struct run *run, const struct item *item,
			  const struct weir_addr *address, int depth)
{
	const struct env_interface *interface;
	const struct env_name *name;

	switch (item->kind) {
	case ITEM_PREFIX:
		return prefix_contains(&item->prefix, address);
	case ITEM_RANGE:
		return addr_is_v4(&item->first) == addr_is_v4(address) &&
		       memcmp(&item->first, address, sizeof(*address)) <= 0 &&
		       memcmp(address, &item->last, sizeof(*address)) <= 0;
	case ITEM_SEGMENT:
		return segment_contains(run, item->name, address, depth);
	case ITEM_FILE:
		return list_contains(item->list, item->nr_list, address);
	case ITEM_INTERFACE:
		interface = interface_of(run, item->name);
		return interface &&
		       list_contains(interface->address, interface->nr_addresses, address);
	case ITEM_CONTAINER:
	case ITEM_NETWORK:
	case ITEM_COMPOSE:
	case ITEM_NAME:
	case ITEM_UNIT:
		name = environment_name(run->env, item->kind, item->name);
		return name && list_contains(name->address, name->n, address);
	case ITEM_ANY:
		return true;
	case ITEM_SELF:
	case ITEM_WORKLOADS:
		return false;
	}
	return false;
}

static bool items_contain(const struct run *run, const struct items *items,
			  const struct weir_addr *address, int depth)
{
	for (size_t i = 0; i < items->n; i++)
		if (item_contains(run, &items->item[i], address, depth))
			return true;
	return false;
}

/* `any` inside a segment names no address: a segment is where somebody wrote addresses down. */
static bool in_some_segment(const struct run *run, const struct weir_addr *address)
{
	for (size_t i = 0; i < run->policy->nr_segments; i++)
		if (segment_contains(run, run->policy->segment[i].name, address, 0))
			return true;
	return false;
}

static bool family_fits(const struct weir_addr *address, int family)
{
	return family == AF_UNSPEC || addr_is_v4(address) == (family == AF_INET);
}

static struct weir_addr last_of(const struct prefix *prefix)
{
	struct weir_addr last = prefix->address;

	for (unsigned int bit = (prefix->v6 ? 0 : 96) + prefix->length; bit < 128; bit++)
		last.byte[bit / 8] |= 0x80 >> bit % 8;
	return last;
}

static bool list_end(const struct prefix *list, size_t n, const struct weir_addr *address,
		     struct weir_addr *ret)
{
	for (size_t i = 0; i < n; i++)
		if (prefix_contains(&list[i], address)) {
			*ret = last_of(&list[i]);
			return true;
		}
	return false;
}

/* Where the piece of @items that holds @address ends. */
static bool piece_end(const struct run *run, const struct items *items,
		      const struct weir_addr *address, int depth, struct weir_addr *ret)
{
	for (size_t i = 0; i < items->n && depth < MAX_DEPTH; i++) {
		const struct item *item = &items->item[i];
		const struct segment *segment;

		if (!item_contains(run, item, address, depth))
			continue;
		*ret = *address;
		if (item->kind == ITEM_PREFIX)
			*ret = last_of(&item->prefix);
		else if (item->kind == ITEM_RANGE)
			*ret = item->last;
		else if (item->kind == ITEM_FILE)
			list_end(item->list, item->nr_list, address, ret);
		else if (item->kind == ITEM_SEGMENT && (segment = find_segment(run, item->name)))
			piece_end(run, &segment->members, address, depth + 1, ret);
		return true;
	}
	return false;
}

/* The address after @address, or false behind the last of all. */
static bool next_address(struct weir_addr *address)
{
	int i = 15;

	while (i >= 0 && ++address->byte[i] == 0)
		i--;
	return i >= 0;
}

#define MAX_PIECES 4096 /* of what segments take out again, one behind the other */

/* Segments from the innermost outwards: what any of them takes out is not in the outermost. */
struct scope {
	const struct segment *segment;
	const struct scope *outer;
};

/* First address of first .. last that no segment in scope takes out again. */
static bool first_left(const struct run *run, const struct scope *scope,
		       const struct weir_addr *first, const struct weir_addr *last,
		       struct weir_addr *ret)
{
	struct weir_addr address = *first;

	for (int i = 0; i < MAX_PIECES && memcmp(&address, last, sizeof(address)) <= 0; i++) {
		const struct scope *s = scope;

		while (s && !piece_end(run, &s->segment->except, &address, 0, ret))
			s = s->outer;
		if (!s) {
			*ret = address;
			return true;
		}
		address = *ret;
		if (!next_address(&address))
			break;
	}
	return false;
}

static bool first_of_list(const struct run *run, const struct scope *scope,
			  const struct prefix *list, size_t n, int family, struct weir_addr *ret)
{
	for (size_t i = 0; i < n; i++) {
		struct weir_addr last = last_of(&list[i]);

		if (family_fits(&last, family) &&
		    first_left(run, scope, &list[i].address, &last, ret))
			return true;
	}
	return false;
}

/* First address of @item that is in scope, of a family (AF_UNSPEC: either). */
static bool first_address(const struct run *run, const struct scope *scope, const struct item *item,
			  int family, int depth, struct weir_addr *ret)
{
	const struct env_interface *interface;
	const struct env_name *name;
	struct scope inner = {.outer = scope};

	switch (item->kind) {
	case ITEM_PREFIX:
		return first_of_list(run, scope, &item->prefix, 1, family, ret);
	case ITEM_RANGE:
		return family_fits(&item->first, family) &&
		       first_left(run, scope, &item->first, &item->last, ret);
	case ITEM_FILE:
		return first_of_list(run, scope, item->list, item->nr_list, family, ret);
	case ITEM_INTERFACE:
		interface = interface_of(run, item->name);
		return interface && first_of_list(run, scope, interface->address,
						  interface->nr_addresses, family, ret);
	case ITEM_UNIT:
		family = AF_UNSPEC; /* its number stands for sockets of both */
		__attribute__((fallthrough));
	case ITEM_CONTAINER:
	case ITEM_NETWORK:
	case ITEM_COMPOSE:
	case ITEM_NAME:
		name = environment_name(run->env, item->kind, item->name);
		return name && first_of_list(run, scope, name->address, name->n, family, ret);
	case ITEM_SEGMENT:
		inner.segment = find_segment(run, item->name);
		for (size_t i = 0;
		     inner.segment && depth < MAX_DEPTH && i < inner.segment->members.n; i++)
			if (first_address(run, &inner, &inner.segment->members.item[i], family,
					  depth + 1, ret))
				return true;
		return false;
	case ITEM_ANY:
	case ITEM_SELF:
	case ITEM_WORKLOADS:
		return false;
	}
	return false;
}

static bool is_scoped(const struct weir_addr *address)
{
	if (addr_is_v4(address))
		return address->byte[12] == 127 ||
		       (address->byte[12] == 169 && address->byte[13] == 254);
	return (address->byte[0] == 0xfe && (address->byte[1] & 0xc0) == 0x80) ||
	       memcmp(address, &in6addr_loopback, sizeof(*address)) == 0;
}

/* An address of this node as others see it; where the host tells of none, one that is in no segment will do. */
static void self_address(const struct run *run, int family, struct weir_addr *ret)
{
	for (size_t i = 0; run->env && i < run->env->nr_interfaces; i++) {
		const struct env_interface *interface = &run->env->interface[i];

		for (size_t j = 0; j < interface->nr_addresses; j++) {
			const struct weir_addr *address = &interface->address[j].address;

			if (!family_fits(address, family) || is_scoped(address))
				continue;
			*ret = *address;
			return;
		}
	}
	memset(ret, 0, sizeof(*ret));
	if (family != AF_INET6)
		ret->byte[10] = ret->byte[11] = 0xff;
}

/* The service address that this is; @port NULL: whatever its port. */
static const struct service_rule *service_of(const struct run *run, const struct weir_addr *address,
					     const struct service *port)
{
	for (size_t i = 0; i < run->policy->nr_services; i++) {
		const struct service_rule *service = &run->policy->service[i];

		if (!memcmp(&service->address.address, address, sizeof(*address)) &&
		    (!port ||
		     (service->port.proto == port->proto && service->port.first == port->first)))
			return service;
	}
	return NULL;
}

/* An address that the engine gave to a container: where workloads are watched, it is one. */
static bool is_container(const struct run *run, const struct weir_addr *address)
{
	for (size_t i = 0; run->env && i < run->env->nr_names; i++) {
		const struct env_name *name = &run->env->name[i];

		if ((name->kind == ITEM_CONTAINER || name->kind == ITEM_NETWORK ||
		     name->kind == ITEM_COMPOSE) &&
		    list_contains(name->address, name->n, address))
			return true;
	}
	return false;
}

/* Ends in messages: an address, or the name where that says more than the number of a unit or a stand-in's address. */
static void describe(const struct run *run, struct end *end)
{
	addr_format(&end->address, end->text);
	for (size_t i = 0; run->env && i < run->env->nr_names; i++) {
		const struct env_name *name = &run->env->name[i];

		if ((name->made_up || name->kind == ITEM_UNIT) &&
		    list_contains(name->address, name->n, &end->address))
			snprintf(end->text, sizeof(end->text), "{%s: %s}", item_key(name->kind),
				 name->name);
	}
}

/* The number of a unit: sockets of this node. */
static bool is_unit(const struct run *run, const struct weir_addr *address)
{
	for (size_t i = 0; run->env && i < run->env->nr_names; i++)
		if (run->env->name[i].kind == ITEM_UNIT &&
		    list_contains(run->env->name[i].address, run->env->name[i].n, address))
			return true;
	return false;
}

static void set_kinds(const struct run *run, const struct item *item, enum test_home home,
		      struct end *end)
{
	bool workloads = run->policy->nr_workloads > 0;

	end->nr_kinds = 1;
	if (home != HOME_UNSAID) {
		end->kind[0] = home == HOME_SELF       ? WEIR_SELF
			       : home == HOME_WORKLOAD ? WEIR_WORKLOAD
						       : WEIR_OTHER;
	} else if (item->kind == ITEM_SELF || item->kind == ITEM_INTERFACE ||
		   is_unit(run, &end->address)) {
		end->kind[0] = WEIR_SELF;
	} else if (service_of(run, &end->address, NULL)) {
		end->kind[0] = WEIR_OTHER; /* nobody has it */
	} else if (workloads && is_container(run, &end->address)) {
		end->kind[0] = WEIR_WORKLOAD;
	} else if (workloads && in_some_segment(run, &end->address)) {
		end->kind[0] = WEIR_WORKLOAD;
		end->kind[end->nr_kinds++] = WEIR_OTHER;
	} else {
		end->kind[0] = WEIR_OTHER;
		if (workloads)
			end->kind[end->nr_kinds++] = WEIR_WORKLOAD;
	}
}

static void set_zone(const struct run *run, const struct item *item, struct end *end)
{
	const struct env_interface *interface =
	    item->kind == ITEM_INTERFACE ? interface_of(run, item->name) : NULL;

	end->has_zone = interface != NULL;
	if (interface)
		end->zone = run->tables->zone[interface - run->env->interface];
}

static int other_family(const struct run *run, const struct end *end)
{
	if (!end->known || is_unit(run, &end->address))
		return AF_UNSPEC;
	return addr_is_v4(&end->address) ? AF_INET : AF_INET6;
}

/* Ends that say their family first, then those that follow the other's. */
static bool find_addresses(const struct run *run, const struct test_case *test, struct end *from,
			   struct end *to)
{
	const struct item *item[2] = {&test->from, &test->to};
	struct end *end[2] = {from, to};

	for (int i = 0; i < 2; i++)
		if (item[i]->kind == ITEM_PREFIX || item[i]->kind == ITEM_RANGE)
			end[i]->known =
			    first_address(run, NULL, item[i], AF_UNSPEC, 0, &end[i]->address);
	for (int i = 0; i < 2; i++)
		if (!end[i]->known && item[i]->kind != ITEM_SELF)
			end[i]->known = first_address(
			    run, NULL, item[i], other_family(run, end[1 - i]), 0, &end[i]->address);
	for (int i = 0; i < 2; i++)
		if (!end[i]->known && item[i]->kind == ITEM_SELF) {
			self_address(run, other_family(run, end[1 - i]), &end[i]->address);
			end[i]->known = true;
		}
	return from->known && to->known &&
	       (is_unit(run, &from->address) || is_unit(run, &to->address) ||
		addr_is_v4(&from->address) == addr_is_v4(&to->address));
}

enum outcome { OUT_DENY, OUT_ALLOW, OUT_DEPENDS, OUT_BROKEN };

static bool put_question(const struct run *run, const struct question *question, struct answer *ret)
{
	return !tables_eval(run->tables, question, ret);
}

/* ---- service addresses: the packet arrives at one of the endpoints ---- */

static bool is_own(const struct run *run, const struct prefix *address)
{
	for (size_t i = 0; run->env && i < run->env->nr_interfaces; i++)
		for (size_t j = 0; j < run->env->interface[i].nr_addresses; j++)
			if (!prefix_compare(&run->env->interface[i].address[j], address))
				return true;
	return false;
}

/* What becomes of it at an endpoint, once the sender's home let it pass: judged there, or where it leaves. */
static bool endpoint_allows(const struct run *run, const struct question *question,
			    const struct endpoint *endpoint, bool later, bool *ret)
{
	struct question there = *question;
	struct answer answer;
	bool workload =
	    run->policy->nr_workloads > 0 && (is_container(run, &endpoint->address.address) ||
					      in_some_segment(run, &endpoint->address.address));

	*ret = true;
	if (is_own(run, &endpoint->address))
		return true; /* the address's own cell has what this node's ingress says */
	there.destination = endpoint->address.address;
	there.destination_kind = workload ? WEIR_WORKLOAD : WEIR_OTHER;
	there.port = endpoint->port;
	if (!put_question(run, &there, &answer))
		return false;
	*ret = (!workload || answer.ingress_allow) && (!later || answer.egress_allow);
	return true;
}

static enum outcome ask_endpoints(const struct run *run, const struct question *question,
				  const struct service_rule *service, bool later)
{
	size_t allowed = 0;

	for (size_t i = 0; i < service->nr_endpoints; i++) {
		bool allow;

		if (!endpoint_allows(run, question, &service->endpoint[i], later, &allow))
			return OUT_BROKEN;
		allowed += allow;
	}
	return !allowed ? OUT_DENY : allowed < service->nr_endpoints ? OUT_DEPENDS : OUT_ALLOW;
}

static enum outcome ask(const struct run *run, const struct test_case *test, const struct end *from,
			enum weir_kind from_kind, const struct end *to, enum weir_kind to_kind)
{
	struct question question = {.source = from->address,
				    .destination = to->address,
				    .source_kind = from_kind,
				    .destination_kind = to_kind,
				    .proto = test->port.proto,
				    .port = test->port.first == PORT_ANY ? 0 : test->port.first};
	const struct service_rule *service =
	    to_kind == WEIR_SELF ? NULL : service_of(run, &to->address, &test->port);
	struct answer answer;

	if (service_never(&test->port)) /* before any rule */
		return OUT_DENY;
	/* The interface of arrival, or of departure for what this node sends. */
	question.zone = to->has_zone ? to->zone : from->has_zone ? from->zone : 0;
	if (!put_question(run, &question, &answer))
		return OUT_BROKEN;
	if (service && (answer.allow || answer.later))
		return ask_endpoints(run, &question, service, answer.later);
	return answer.allow ? OUT_ALLOW : OUT_DENY;
}

static const char *said(enum outcome outcome)
{
	return outcome == OUT_ALLOW ? "allow" : outcome == OUT_DENY ? "deny" : "either";
}

/* Every home that the ends may have is asked: where they disagree, the test must say which it means. */
static bool judge(const struct run *run, const struct test_case *test, const struct end *from,
		  const struct end *to, char *text, size_t size)
{
	enum outcome first = ask(run, test, from, from->kind[0], to, to->kind[0]), outcome;

	for (int n = 0; n < from->nr_kinds * to->nr_kinds; n++) {
		int i = n / to->nr_kinds, j = n % to->nr_kinds;

		outcome = ask(run, test, from, from->kind[i], to, to->kind[j]);
		if (first == OUT_BROKEN || outcome == OUT_BROKEN) {
			snprintf(text, size, "the tables are incomplete");
			return false;
		}
		if (outcome == first)
			continue;
		snprintf(
		    text, size,
		    "%s where %s is %s and %s is %s, %s where they are %s and %s: say which with home:",
		    said(first), from->text, home_names[from->kind[0]], to->text,
		    home_names[to->kind[0]], said(outcome), home_names[from->kind[i]],
		    home_names[to->kind[j]]);
		return false;
	}
	if (first == OUT_DEPENDS) {
		snprintf(text, size,
			 "expected %s, but from %s (%s) that depends on the endpoint of %s",
			 test->expect_allow ? "allow" : "deny", from->text,
			 home_names[from->kind[0]], to->text);
		return false;
	}
	if (test->expect_allow == (first == OUT_ALLOW))
		return true;
	snprintf(text, size, "expected %s, found %s, from %s (%s) to %s (%s)",
		 test->expect_allow ? "allow" : "deny", said(first), from->text,
		 home_names[from->kind[0]], to->text, home_names[to->kind[0]]);
	return false;
}

static void run_test(const struct run *run, const struct test_case *test, struct test_result *ret)
{
	struct end from = {0}, to = {0};

	ret->test = test;
	ret->passed = false;
	if (test->port.proto == PORT_ANY || (test->port.first != test->port.last) ||
	    (test->port.first == PORT_ANY &&
	     (test->port.proto == IPPROTO_TCP || test->port.proto == IPPROTO_UDP ||
	      test->port.proto == IPPROTO_SCTP))) {
		snprintf(ret->text, sizeof(ret->text), "a test names one protocol and one port");
		return;
	}
	if (!find_addresses(run, test, &from, &to)) {
		snprintf(ret->text, sizeof(ret->text), "%s",
			 from.known && to.known ? "from and to are of different families"
			 : from.known		? "to stands for no address"
						: "from stands for no address");
		return;
	}
	set_kinds(run, &test->from, test->home_from, &from);
	set_kinds(run, &test->to, test->home_to, &to);
	set_zone(run, &test->from, &from);
	set_zone(run, &test->to, &to);
	describe(run, &from);
	describe(run, &to);
	ret->passed = judge(run, test, &from, &to, ret->text, sizeof(ret->text));
}

int tests_run(const struct policy *policy, const struct tables *tables,
	      const struct environment *env, struct test_result **ret)
{
	const struct run run = {policy, tables, env};
	struct test_result *results = calloc(policy->nr_tests + 1, sizeof(*results));
	int failed = 0;

	if (!results)
		return -ENOMEM;
	for (size_t i = 0; i < policy->nr_tests; i++) {
		run_test(&run, &policy->test[i], &results[i]);
		failed += !results[i].passed;
	}
	*ret = results;
	return failed;
}
