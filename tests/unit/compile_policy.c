// SPDX-License-Identifier: GPL-2.0-only
#include "compile_policy.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weir/hash.h"

void made_init(struct made *made, __u64 seed)
{
	memset(made, 0, sizeof(*made));
	made->random = seed;
}

void made_free(struct made *made)
{
	for (size_t i = 0; i < made->nr_parts; i++)
		free(made->part[i]);
	free(made->part);
	memset(made, 0, sizeof(*made));
}

void *made_part(struct made *made, size_t size)
{
	void *part = calloc(1, size ? size : 1);

	if (!(made->nr_parts & (made->nr_parts - 1)))
		made->part =
		    realloc(made->part, (made->nr_parts ? made->nr_parts * 2 : 1) * sizeof(void *));
	if (!part || !made->part)
		abort();
	made->part[made->nr_parts++] = part;
	return part;
}

char *made_text(struct made *made, const char *format, ...)
{
	char text[256], *copy;
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	copy = made_part(made, strlen(text) + 1);
	strcpy(copy, text);
	return copy;
}

__u32 made_random(struct made *made, __u32 below)
{
	made->random += 0x9e3779b97f4a7c15ULL;
	return (weir_mix(made->random, 1) >> 16) % below;
}

struct weir_addr address_of(const char *text)
{
	struct weir_addr address = {{0}};

	if (inet_pton(AF_INET6, text, address.byte) == 1)
		return address;
	memset(address.byte, 0, 10);
	address.byte[10] = address.byte[11] = 0xff;
	if (inet_pton(AF_INET, text, &address.byte[12]) != 1) {
		fprintf(stderr, "no address: %s\n", text);
		abort();
	}
	return address;
}

struct prefix prefix_of(const char *text)
{
	char copy[ADDR_TEXT_LEN];
	struct prefix prefix = {.v6 = strchr(text, ':') != NULL};
	char *slash;

	snprintf(copy, sizeof(copy), "%s", text);
	slash = strchr(copy, '/');
	prefix.length = slash ? atoi(slash + 1) : prefix.v6 ? 128 : 32;
	if (slash)
		*slash = '\0';
	prefix.address = address_of(copy);
	return prefix;
}

static bool followed_of(struct made *made, const char *text, struct item *ret)
{
	const char *equals = strchr(text, '=');

	for (int kind = ITEM_CONTAINER; equals && kind <= ITEM_UNIT; kind++) {
		const char *key = item_key(kind);

		if (strncmp(text, key, equals - text) != 0 || key[equals - text])
			continue;
		ret->kind = kind;
		ret->name = made_text(made, "%s", equals + 1);
		return true;
	}
	return false;
}

struct item item_of(struct made *made, const char *text)
{
	struct item item = {.kind = ITEM_SEGMENT};
	const char *dash = strchr(text, '-');

	if (strcmp(text, "any") == 0)
		item.kind = ITEM_ANY;
	else if (strcmp(text, "self") == 0)
		item.kind = ITEM_SELF;
	else if (strcmp(text, "workloads") == 0)
		item.kind = ITEM_WORKLOADS;
	else if (text[0] == '@') {
		item.kind = ITEM_INTERFACE;
		item.name = made_text(made, "%s", text + 1);
	} else if (followed_of(made, text, &item)) {
		return item;
	} else if (dash && strpbrk(text, ".:")) {
		item.kind = ITEM_RANGE;
		item.first = address_of(made_text(made, "%.*s", (int)(dash - text), text));
		item.last = address_of(dash + 1);
	} else if (strpbrk(text, ".:")) {
		item.kind = ITEM_PREFIX;
		item.prefix = prefix_of(text);
	} else {
		item.name = made_text(made, "%s", text);
	}
	return item;
}

struct items items_of(struct made *made, const char *text)
{
	struct items items = {0};
	char *copy = made_text(made, "%s", text ? text : ""), *save;

	items.item = made_part(made, (strlen(copy) / 2 + 1) * sizeof(struct item));
	for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
		items.item[items.n++] = item_of(made, word);
	return items;
}

static struct service service_of(const char *text)
{
	static const struct {
		const char *name;
		int proto;
	} names[] = {{"tcp", 6}, {"udp", 17}, {"sctp", 132}, {"icmp", 1}, {"icmpv6", 58}};
	struct service service = {.proto = PORT_ANY, .first = PORT_ANY, .last = PORT_ANY};
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t)(slash - text) : strlen(text);

	if (strcmp(text, "any") == 0)
		return service;
	if (strncmp(text, "proto/", 6) == 0) {
		service.proto = atoi(text + 6);
		return service;
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strlen(names[i].name) == len && strncmp(names[i].name, text, len) == 0)
			service.proto = names[i].proto;
	if (slash && sscanf(slash + 1, "%d-%d", &service.first, &service.last) == 1)
		service.last = service.first;
	return service;
}

struct services services_of(struct made *made, const char *text)
{
	struct services services = {0};
	char *copy = made_text(made, "%s", text ? text : ""), *save;

	services.service = made_part(made, (strlen(copy) / 2 + 1) * sizeof(struct service));
	for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
		services.service[services.n++] = service_of(word);
	return services;
}

struct names names_of(struct made *made, const char *text)
{
	struct names names = {0};
	char *copy = made_text(made, "%s", text ? text : ""), *save;

	names.name = made_part(made, (strlen(copy) / 2 + 1) * sizeof(char *));
	names.at = made_part(made, (strlen(copy) / 2 + 1) * sizeof(struct position));
	for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
		names.name[names.n++] = word;
	return names;
}

/* One more element; arrays grow by copying, what they were lives on with the rest. */
static void *append(struct made *made, void *array, size_t *n, size_t size)
{
	void **slot = array;

	if (!(*n & (*n - 1))) {
		void *grown = made_part(made, (*n ? *n * 2 : 1) * size);

		if (*n)
			memcpy(grown, *slot, *n * size);
		*slot = grown;
	}
	return (char *)*slot + (*n)++ * size;
}

struct segment *add_segment(struct made *made, const char *name, const char *members,
			    const char *except)
{
	struct segment *segment =
	    append(made, &made->policy.segment, &made->policy.nr_segments, sizeof(*segment));

	segment->name = made_text(made, "%s", name);
	segment->members = items_of(made, members);
	segment->except = items_of(made, except);
	return segment;
}

struct rule *add_rule(struct made *made, enum rule_action action, const char *from, const char *to,
		      const char *port)
{
	struct rule *rule = append(made, &made->policy.rule, &made->policy.nr_rules, sizeof(*rule));

	rule->action = action;
	rule->from = items_of(made, from);
	rule->to = items_of(made, to);
	rule->port = services_of(made, port);
	rule->at = (struct position){"made.yaml", made->policy.nr_rules, 3};
	return rule;
}

struct limit_rule *add_limit(struct made *made, const char *name, const char *from, const char *to,
			     const char *port)
{
	struct limit_rule *limit =
	    append(made, &made->policy.limit, &made->policy.nr_limits, sizeof(*limit));

	limit->name = name ? made_text(made, "%s", name) : NULL;
	limit->has_from = from != NULL;
	limit->has_to = to != NULL;
	limit->from = items_of(made, from);
	limit->to = items_of(made, to);
	limit->port = services_of(made, port);
	limit->at = (struct position){"made.yaml", 1000 + made->policy.nr_limits, 5};
	limit->rate = 100;
	limit->period_ns = 60000000000ULL;
	limit->burst = 20;
	limit->key4 = 32;
	limit->key6 = 64;
	limit->entries = 1024;
	return limit;
}

struct protect_rule *add_protect(struct made *made, const char *to, const char *port)
{
	struct protect_rule *rule =
	    append(made, &made->policy.protect, &made->policy.nr_protects, sizeof(*rule));

	rule->to = items_of(made, to);
	rule->port = services_of(made, port);
	rule->rate = 10000;
	rule->period_ns = 1000000000ULL;
	return rule;
}

struct test_case *add_test(struct made *made, const char *from, const char *to, const char *port,
			   bool allow)
{
	struct test_case *test =
	    append(made, &made->policy.test, &made->policy.nr_tests, sizeof(*test));

	test->from = item_of(made, from);
	test->to = item_of(made, to);
	test->port = service_of(port);
	test->expect_allow = allow;
	return test;
}

void add_interface(struct made *made, const char *name, const char *addresses)
{
	struct env_interface *interface =
	    append(made, &made->env.interface, &made->env.nr_interfaces, sizeof(*interface));
	struct items items = items_of(made, addresses);

	snprintf(interface->name, sizeof(interface->name), "%s", name);
	interface->ifindex = made->env.nr_interfaces;
	interface->address = made_part(made, (items.n + 1) * sizeof(struct prefix));
	for (size_t i = 0; i < items.n; i++)
		interface->address[interface->nr_addresses++] = items.item[i].prefix;
}

static struct prefix unit_number(int number)
{
	char text[32];

	snprintf(text, sizeof(text), "127.255.%d.%d", number >> 8, number & 255);
	return prefix_of(text);
}

void add_name(struct made *made, const char *name, const char *addresses)
{
	struct item item = item_of(made, name);
	struct items items = {0};
	struct env_name *entry = NULL;

	for (size_t i = 0; i < made->env.nr_names; i++)
		if (made->env.name[i].kind == item.kind &&
		    strcmp(made->env.name[i].name, item.name) == 0)
			entry = &made->env.name[i];
	if (!entry)
		entry = append(made, &made->env.name, &made->env.nr_names, sizeof(*entry));
	*entry = (struct env_name){.kind = item.kind, .name = item.name, .known = true};
	if (item.kind != ITEM_UNIT)
		items = items_of(made, addresses);
	entry->address = made_part(made, (items.n + 1) * sizeof(struct prefix));
	for (size_t i = 0; i < items.n; i++)
		entry->address[entry->n++] = items.item[i].prefix;
	if (item.kind == ITEM_UNIT && addresses[0])
		entry->address[entry->n++] = unit_number(atoi(addresses));
}

struct service_rule *add_service(struct made *made, const char *address, const char *port,
				 const char *endpoints)
{
	struct service_rule *service =
	    append(made, &made->policy.service, &made->policy.nr_services, sizeof(*service));
	char *copy = made_text(made, "%s", endpoints), *save, *word;

	service->address = prefix_of(address);
	service->port = service_of(port);
	service->at = (struct position){"made.yaml", 2000 + made->policy.nr_services, 5};
	for (word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		struct endpoint *endpoint =
		    append(made, &service->endpoint, &service->nr_endpoints, sizeof(*endpoint));

		endpoint->address = prefix_of(word);
		endpoint->port = atoi(strtok_r(NULL, " ", &save));
	}
	return service;
}

/* ---- at random ---- */

static bool chance(struct made *made, __u32 percent)
{
	return made_random(made, 100) < percent;
}

static void mask_prefix(struct prefix *prefix)
{
	for (int bit = (prefix->v6 ? 0 : 96) + prefix->length; bit < 128; bit++)
		prefix->address.byte[bit / 8] &= ~(0x80 >> bit % 8);
}

/* Few values a byte, so that prefixes nest and meet; lengths around the strides of the trie and at random. */
static struct prefix random_prefix(struct made *made)
{
	static const __u8 lengths4[] = {0, 1, 8, 15, 16, 17, 20, 22, 23, 24, 28, 31, 32};
	static const __u8 lengths6[] = {0, 3, 16, 17, 22, 32, 40, 48, 64, 65, 96, 124, 127, 128};
	static const __u8 bytes[] = {0, 1, 128, 255};
	struct prefix prefix = {.v6 = chance(made, 40)};

	if (made->nr_pool && chance(made, 25))
		return made->pool[made_random(made, made->nr_pool)];
	if (prefix.v6) {
		prefix.address = address_of("2001:db8::");
		for (int i = 4; i < 16; i++)
			if (chance(made, 30))
				prefix.address.byte[i] = bytes[made_random(made, 4)];
		prefix.length = chance(made, 70) ? lengths6[made_random(made, sizeof(lengths6))]
						 : made_random(made, 129);
	} else {
		prefix.address = address_of("10.0.0.0");
		for (int i = 13; i < 16; i++)
			if (chance(made, 50))
				prefix.address.byte[i] = bytes[made_random(made, 4)];
		prefix.length = chance(made, 70) ? lengths4[made_random(made, sizeof(lengths4))]
						 : made_random(made, 33);
	}
	mask_prefix(&prefix);
	if (made->nr_pool < sizeof(made->pool) / sizeof(*made->pool))
		made->pool[made->nr_pool++] = prefix;
	return prefix;
}

static void random_range(struct made *made, struct item *item)
{
	struct prefix a = random_prefix(made), b = random_prefix(made);

	item->kind = ITEM_RANGE;
	if (a.v6 != b.v6)
		b = a;
	if (memcmp(&a.address, &b.address, 16) > 0) {
		item->first = b.address;
		item->last = a.address;
	} else {
		item->first = a.address;
		item->last = b.address;
	}
}

static struct item random_item(struct made *made, size_t segments)
{
	static const char *const interfaces[] = {"eth0", "eth1", "veth0", "gone0"};
	struct item item = {.kind = ITEM_PREFIX};
	__u32 dice = made_random(made, 100);

	if (dice < 30 && segments) {
		item.kind = ITEM_SEGMENT;
		item.name = made->policy.segment[made_random(made, segments)].name;
	} else if (dice < 34) {
		item.kind = ITEM_CONTAINER + made_random(made, 4);
		item.name = made_text(made, "n%u", made_random(made, 6));
	} else if (dice < 42) {
		random_range(made, &item);
	} else if (dice < 47) {
		item.kind = ITEM_INTERFACE;
		item.name = made_text(made, "%s", interfaces[made_random(made, 4)]);
	} else if (dice < 53) {
		item.kind = ITEM_FILE;
		item.name = made_text(made, "list.txt");
		item.nr_list = made_random(made, 5);
		item.list = made_part(made, item.nr_list * sizeof(struct prefix));
		for (size_t i = 0; i < item.nr_list; i++)
			item.list[i] = random_prefix(made);
	} else if (dice < 58) {
		item.kind = ITEM_SELF;
	} else if (dice < 62) {
		item.kind = ITEM_WORKLOADS;
	} else if (dice < 65) {
		item.kind = ITEM_ANY;
	} else {
		item.prefix = random_prefix(made);
	}
	return item;
}

/* Followed names: some without addresses, some that nobody has heard of (n5). Units keep to rules and limits. */
static void random_names(struct made *made)
{
	for (int kind = ITEM_CONTAINER; kind < ITEM_UNIT; kind++)
		for (int i = 0; i < 5; i++) {
			struct env_name *name =
			    append(made, &made->env.name, &made->env.nr_names, sizeof(*name));

			*name = (struct env_name){.kind = kind, .known = true};
			name->name = made_text(made, "n%d", i);
			name->n = chance(made, 70) ? made_random(made, 4) : 0;
			name->address = made_part(made, name->n * sizeof(struct prefix));
			for (size_t j = 0; j < name->n; j++) {
				name->address[j] = random_prefix(made);
				name->address[j].length = name->address[j].v6 ? 128 : 32;
			}
		}
}

/* Now and then a unit among them: four have numbers, one is not known. */
static void maybe_unit(struct made *made, struct items *items)
{
	struct item *item;

	if (!items->n || !chance(made, 8))
		return;
	item = &items->item[made_random(made, items->n)];
	*item = (struct item){.kind = ITEM_UNIT};
	item->name = made_text(made, "u%u.service", made_random(made, 5));
	made->units = true;
}

static struct items random_items(struct made *made, size_t segments, __u32 most)
{
	struct items items = {.n = made_random(made, most + 1)};

	items.item = made_part(made, items.n * sizeof(struct item));
	for (size_t i = 0; i < items.n; i++)
		items.item[i] = random_item(made, segments);
	return items;
}

static int random_port(struct made *made, int most)
{
	int port = made_random(made, most + 1);

	if (chance(made, 50))
		port = (int[]){0, 1, 22, 53, 80, 443}[made_random(made, 6)] % (most + 1);
	if (made->nr_ports < sizeof(made->ports) / sizeof(*made->ports))
		made->ports[made->nr_ports++] = port;
	return port;
}

static struct service random_service(struct made *made)
{
	static const int protos[] = {6, 6, 6, 17, 17, 132, 1, 58, 47, 50, PORT_ANY};
	struct service service = {
	    .proto = protos[made_random(made, 11)], .first = PORT_ANY, .last = PORT_ANY};
	bool types = service.proto == 1 || service.proto == 58;

	if (service.proto == PORT_ANY || service.proto == 47 || service.proto == 50 ||
	    chance(made, 10))
		return service;
	service.first = random_port(made, types ? 255 : 65535);
	service.last = service.first;
	if (chance(made, 30))
		service.last = random_port(made, types ? 255 : 65535);
	if (service.last < service.first) {
		int swap = service.last;

		service.last = service.first;
		service.first = swap;
	}
	return service;
}

static struct services random_services(struct made *made)
{
	struct services services = {.n = chance(made, 25) ? 0 : 1 + made_random(made, 3)};

	services.service = made_part(made, services.n * sizeof(struct service));
	for (size_t i = 0; i < services.n; i++)
		services.service[i] = random_service(made);
	return services;
}

static struct names random_on(struct made *made)
{
	static const char *const lists[] = {"eth0",	 "eth1",      "eth*",
					    "eth0 eth1", "eth1 eth0", "gone0"};

	return names_of(made, chance(made, 80) ? "" : lists[made_random(made, 6)]);
}

static enum policy_default random_default(struct made *made)
{
	return (enum policy_default[]){DEFAULT_UNSAID, DEFAULT_DENY,
				       DEFAULT_ALLOW}[made_random(made, 3)];
}

static void random_limit(struct made *made, size_t segments)
{
	struct limit_rule *limit = add_limit(made, NULL, NULL, NULL, NULL);

	limit->name = made_text(made, "limit%zu", made->policy.nr_limits);
	limit->from = random_items(made, segments, 2);
	maybe_unit(made, &limit->from);
	limit->has_from = limit->from.n;
	limit->to = random_items(made, segments, 2);
	limit->has_to = limit->to.n;
	limit->port = random_services(made);
	limit->on = random_on(made);
	limit->count = made_random(made, 3);
	limit->rate = 100000;
}

static void random_rules(struct made *made, size_t segments, __u32 size)
{
	for (__u32 n = made_random(made, 9 * size); n > 0; n--) {
		struct rule *rule =
		    add_rule(made, chance(made, 30) ? RULE_DENY : RULE_ALLOW, "", "", "");

		rule->from = random_items(made, segments, 2);
		rule->to = random_items(made, segments, 2);
		maybe_unit(made, &rule->from);
		maybe_unit(made, &rule->to);
		rule->port = random_services(made);
		rule->on = random_on(made);
		rule->log = chance(made, 20);
		if (rule->to.n && chance(made, 15)) {
			rule->published.n = 1;
			rule->published.service = made_part(made, sizeof(struct service));
			*rule->published.service =
			    (struct service){.proto = chance(made, 70) ? 6 : 17};
			rule->published.service->first = rule->published.service->last =
			    random_port(made, 65535);
		}
		if (chance(made, 50))
			rule->name = made_text(made, "rule%zu", made->policy.nr_rules);
	}
	for (__u32 n = chance(made, 50) ? made_random(made, 7) : 0; n > 0; n--)
		random_limit(made, segments);
}

static struct prefix random_address(struct made *made, bool v6)
{
	struct prefix prefix = {0};

	do
		prefix = random_prefix(made);
	while ((bool)prefix.v6 != v6);
	prefix.length = v6 ? 128 : 32;
	return prefix;
}

static bool doubles(const struct policy *policy)
{
	const struct service_rule *last = &policy->service[policy->nr_services - 1];

	for (const struct service_rule *s = policy->service; s < last; s++)
		if (s->port.proto == last->port.proto && s->port.first == last->port.first &&
		    memcmp(&s->address, &last->address, sizeof(s->address)) == 0)
			return true;
	return false;
}

static void random_services_of_nat(struct made *made)
{
	struct policy *policy = &made->policy;

	for (__u32 n = chance(made, 40) ? 1 + made_random(made, 3) : 0; n > 0; n--) {
		bool v6 = chance(made, 30);
		struct service_rule *service =
		    append(made, &policy->service, &policy->nr_services, sizeof(*service));

		*service = (struct service_rule){.address = random_address(made, v6)};
		service->port.proto = (int[]){6, 6, 17, 132}[made_random(made, 4)];
		service->port.first = service->port.last = random_port(made, 65535);
		service->nr_endpoints = 1 + made_random(made, 3);
		service->endpoint =
		    made_part(made, service->nr_endpoints * sizeof(*service->endpoint));
		for (size_t i = 0; i < service->nr_endpoints; i++) {
			struct endpoint *endpoint = &service->endpoint[i];

			endpoint->address = random_address(made, v6);
			endpoint->port =
			    chance(made, 60) ? service->port.first : random_port(made, 65535);
			/* Now and then this node's own. */
			if (!v6 && chance(made, 10))
				endpoint->address = prefix_of("10.0.0.1");
		}
		if (doubles(policy))
			policy->nr_services--;
	}
}

static void random_lists(struct made *made, size_t segments)
{
	struct policy *policy = &made->policy;

	if (chance(made, 30))
		policy->block = random_items(made, segments, 2);
	if (chance(made, 30))
		policy->never_block = random_items(made, segments, 2);
	policy->has_failsafe = chance(made, 40);
	for (__u32 n = policy->has_failsafe ? made_random(made, 3) : 0; n > 0; n--) {
		struct failsafe_rule *rule =
		    append(made, &policy->failsafe, &policy->nr_failsafe, sizeof(*rule));

		rule->port = random_services(made);
		rule->from = random_items(made, segments, 2);
	}
	for (__u32 n = segments ? made_random(made, 4) : 0; n > 0; n--) {
		struct segment_defaults *d = append(made, &policy->segment_defaults,
						    &policy->nr_segment_defaults, sizeof(*d));

		d->segment = policy->segment[made_random(made, segments)].name;
		d->defaults.ingress = random_default(made);
		d->defaults.egress = random_default(made);
	}
}

static void random_guards(struct made *made)
{
	struct policy *policy = &made->policy;

	for (__u32 n = chance(made, 40) ? 1 + made_random(made, 3) : 0; n > 0; n--) {
		struct protect_rule *rule = add_protect(
		    made, (const char *[]){"self", "@eth0", "self @eth1"}[made_random(made, 3)],
		    "");

		rule->port.n = 1;
		rule->port.service = made_part(made, sizeof(struct service));
		rule->port.service->proto = 6;
		rule->port.service->first = random_port(made, 65535);
		rule->port.service->last = chance(made, 50) ? rule->port.service->first : 65535;
	}
	for (size_t i = 0; i < policy->nr_segments; i++)
		policy->segment[i].proxy = chance(made, 20);
}

void made_randomly(struct made *made, __u64 seed, __u32 size)
{
	struct policy *policy = &made->policy;

	made_init(made, seed);
	add_interface(made, "eth0", "10.0.0.1 2001:db8::1");
	add_interface(made, "eth1", "10.1.1.1");
	add_interface(made, "veth0", "");
	random_names(made);
	for (int i = 0; i < 4; i++)
		add_name(made, made_text(made, "unit=u%d.service", i),
			 (const char *[]){"1", "2", "256", "4096"}[i]);
	for (__u32 n = made_random(made, 7 * size); n > 0; n--) {
		size_t before = policy->nr_segments;
		struct segment *segment =
		    add_segment(made, made_text(made, "s%zu", before), "", "");

		segment->members = random_items(made, before, 4);
		if (chance(made, 30))
			segment->except = random_items(made, before, 2);
	}
	random_rules(made, policy->nr_segments, size);
	random_services_of_nat(made);
	random_lists(made, policy->nr_segments);
	policy->defaults.ingress = random_default(made);
	policy->defaults.egress = random_default(made);
	policy->defaults.forward = random_default(made);
	if (chance(made, 20))
		policy->audit.pass = names_of(made, "rule1 rule3");
	random_guards(made);
}
