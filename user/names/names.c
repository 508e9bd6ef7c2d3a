// SPDX-License-Identifier: GPL-2.0-only
#include "names/names.h"

#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/units.h"
#include "names/dns.h"
#include "names/engine.h"
#include "names/internal.h"
#include "names/memory.h"
#include "names/units.h"

#define DISPATCH_NS (20 * UNITS_NS_PER_MS)  /* a flood of events leaves the caller his turn */
#define SAVE_NS	    (200 * UNITS_NS_PER_MS) /* after a change: several come together */
#define SAVE_AGE_NS \
	(60 * UNITS_NS_PER_S) /* the file is never older than that while the engine is there */

/* One followed name: its answer now, and the one that names_fill() gave last. */
struct wanted {
	enum item_kind kind;
	char *name;
	struct prefix *address, *given;
	size_t n, nr_given;
	bool known, given_known;
	__u64 since_ns, expires_ns;
	char error[160];
	__u32 unit;
	struct dns_host *host;
	bool kept; /* by the policy that names_want() reads */
};

/* The engine's part of an environment. */
struct engine_part {
	struct prefix *subnet, *address;
	size_t nr_subnets, nr_addresses;
	bool unknown;
};

struct followed {
	struct loop loop;
	struct engine *engine;
	struct dns *dns;
	struct units *units;
	char *socket, *memory;
	bool wants_engine;
	struct wanted *wanted; /* sorted by kind, name */
	size_t nr_wanted;
	struct engine_part now, given;
	struct prefix *gone;
	size_t nr_gone;
	/* What was seen of the parts when the answers were last made. */
	__u64 model_seen, dns_seen, engine_said, dns_said, units_given;
	bool remake, changed, said;
	bool asks;     /* somebody waits or dispatches: not only what the file says is looked at */
	json_t *hosts; /* of an earlier process, by name */
	/* What the file said of the engine, until this process has tried it itself. */
	struct {
		bool connected;
		char error[256];
	} then;
	bool unsaved;
	struct loop_timer save, kick;
	char no_engine[200]; /* why DOCKER_HOST cannot be used */
};

/* ---- lists ---- */

static bool same_list(const struct prefix *a, size_t n, const struct prefix *b, size_t m)
{
	return n == m && (!n || memcmp(a, b, n * sizeof(*a)) == 0);
}

static int copy_list(const struct prefix *list, size_t n, struct prefix **ret)
{
	struct prefix *copy = calloc(n + 1, sizeof(*copy));

	if (!copy)
		return -ENOMEM;
	if (n)
		memcpy(copy, list, n * sizeof(*copy));
	*ret = copy;
	return 0;
}

static void part_free(struct engine_part *part)
{
	free(part->subnet);
	free(part->address);
	*part = (struct engine_part){0};
}

static bool same_part(const struct engine_part *a, const struct engine_part *b)
{
	return a->unknown == b->unknown &&
	       same_list(a->subnet, a->nr_subnets, b->subnet, b->nr_subnets) &&
	       same_list(a->address, a->nr_addresses, b->address, b->nr_addresses);
}

/* ---- followed names by (kind, name) ---- */

static int by_name(const void *a, const void *b)
{
	const struct wanted *left = a, *right = b;

	if (left->kind != right->kind)
		return left->kind < right->kind ? -1 : 1;
	return strcmp(left->name, right->name);
}

static struct wanted *find(const struct followed *names, enum item_kind kind, const char *name)
{
	const struct wanted key = {.kind = kind, .name = (char *)name};

	if (!names->nr_wanted || !name)
		return NULL;
	return bsearch(&key, names->wanted, names->nr_wanted, sizeof(key), by_name);
}

static bool is_engines(enum item_kind kind)
{
	return kind == ITEM_CONTAINER || kind == ITEM_NETWORK || kind == ITEM_COMPOSE;
}

/* ---- answers ---- */

/* Lists that grow, one for each followed name, before they become its answer. */
struct answers {
	struct followed *names;
	struct list {
		struct prefix *address;
		size_t n;
		bool exists;
		const struct network *network; /* ITEM_NETWORK: the one that was found first */
		bool by_label, ambiguous;
	} * list;
	int err;
};

static struct list *list_of(struct answers *answers, const struct wanted *wanted)
{
	return wanted ? &answers->list[wanted - answers->names->wanted] : NULL;
}

static void give(struct answers *answers, struct list *list, const struct prefix *address, size_t n)
{
	for (size_t i = 0; list && i < n && !answers->err; i++) {
		struct prefix *slot = mem_append(&list->address, &list->n, sizeof(*slot));

		if (slot)
			*slot = address[i];
		else
			answers->err = -ENOMEM;
	}
}

/* An engine's own name for a network goes before the one that compose files use. */
static void find_networks(struct answers *answers, const struct model *model)
{
	for (int by_label = 0; by_label < 2; by_label++) {
		for (size_t i = 0; i < model->nr_networks; i++) {
			const struct network *network = model->network[i];
			const char *name = by_label ? network->label : network->name;
			struct list *list =
			    list_of(answers, find(answers->names, ITEM_NETWORK, name));

			if (!list || (by_label && list->exists && !list->by_label))
				continue;
			list->ambiguous = list->ambiguous || list->exists;
			list->exists = true;
			list->by_label = by_label;
			list->network = network;
		}
	}
}

static struct list *list_of_network(struct answers *answers, const struct network *network)
{
	struct list *list = list_of(answers, find(answers->names, ITEM_NETWORK, network->name));

	return list;
}

static struct list *list_of_label(struct answers *answers, const struct network *network)
{
	struct list *list = list_of(answers, find(answers->names, ITEM_NETWORK, network->label));

	return list && list->by_label ? list : NULL;
}

static struct list *list_of_service(struct answers *answers, const struct container *container)
{
	char text[8300];

	if (!container->project || !container->service)
		return NULL;
	snprintf(text, sizeof(text), "%s/%s", container->project, container->service);
	return list_of(answers, find(answers->names, ITEM_COMPOSE, text));
}

static int add_attached(const struct container *container, struct engine_part *part)
{
	for (size_t i = 0; i < container->nr_endpoints; i++) {
		const struct attachment *endpoint = &container->endpoint[i];

		for (size_t j = 0; j < endpoint->n; j++) {
			struct prefix *slot =
			    mem_append(&part->address, &part->nr_addresses, sizeof(*slot));

			if (!slot)
				return -ENOMEM;
			*slot = endpoint->address[j];
		}
	}
	return 0;
}

static void add_container(struct answers *answers, const struct model *model,
			  const struct container *container, struct engine_part *part)
{
	struct list *own = list_of(answers, find(answers->names, ITEM_CONTAINER, container->name));
	struct list *service = list_of_service(answers, container);
	_cleanup_free_ struct prefix *address = NULL;
	size_t n = 0;

	for (size_t i = 0; i < container->nr_endpoints && !answers->err; i++) {
		const struct attachment *endpoint = &container->endpoint[i];
		struct list *label = list_of_label(answers, endpoint->network);

		give(answers, list_of_network(answers, endpoint->network), endpoint->address,
		     endpoint->n);
		give(answers, label, endpoint->address, endpoint->n);
	}
	if (!answers->err)
		answers->err = add_attached(container, part);
	if (own)
		own->exists = true;
	if (service)
		service->exists = true;
	if (!answers->err && (own || service))
		answers->err = model_addresses(model, container, &address, &n);
	give(answers, own, address, n);
	give(answers, service, address, n);
}

static int add_subnets(const struct model *model, struct engine_part *part)
{
	for (size_t i = 0; i < model->nr_networks; i++) {
		const struct network *network = model->network[i];

		for (size_t j = 0; j < network->nr_subnets; j++) {
			struct prefix *slot =
			    mem_append(&part->subnet, &part->nr_subnets, sizeof(*slot));

			if (!slot)
				return -ENOMEM;
			*slot = network->subnet[j];
		}
	}
	part->nr_subnets = prefix_sort(part->subnet, part->nr_subnets);
	return 0;
}

/* What was bound and is no longer there is to be withdrawn, whatever else an address is used for by now. */
static int note_gone(struct followed *names, const struct engine_part *fresh)
{
	for (size_t i = 0; i < names->now.nr_addresses; i++) {
		const struct prefix *was = &names->now.address[i];
		struct prefix *slot;

		if (fresh->nr_addresses &&
		    bsearch(was, fresh->address, fresh->nr_addresses, sizeof(*was), prefix_compare))
			continue;
		slot = mem_append(&names->gone, &names->nr_gone, sizeof(*slot));
		if (!slot)
			return -ENOMEM;
		*slot = *was;
	}
	return 0;
}

/*
 * While the picture of a new connection is not complete it is half old, half new: answers wait for the rest. Who has
 * gone has gone, though.
 */
static int only_gone(struct followed *names, const struct model *model)
{
	struct engine_part fresh = {0};
	int err = 0;

	for (size_t i = 0; i < model->nr_containers && !err; i++)
		err = add_attached(model->container[i], &fresh);
	fresh.nr_addresses = prefix_sort(fresh.address, fresh.nr_addresses);
	if (!err)
		err = note_gone(names, &fresh);
	part_free(&fresh);
	return err;
}

static void why_nobody(struct wanted *wanted, const struct list *list)
{
	const char *what = wanted->kind == ITEM_NETWORK	    ? "network of this name"
			   : wanted->kind == ITEM_CONTAINER ? "container of this name"
							    : "container of this service";

	*wanted->error = '\0';
	if (!list->exists)
		snprintf(wanted->error, sizeof(wanted->error), "the engine has no %s", what);
	else if (list->ambiguous)
		snprintf(wanted->error, sizeof(wanted->error),
			 "several networks have this name; all of them are meant");
}

static void take_lists(struct answers *answers, const struct engine_view *view)
{
	struct followed *names = answers->names;

	for (size_t i = 0; i < names->nr_wanted; i++) {
		struct wanted *wanted = &names->wanted[i];
		struct list *list = &answers->list[i];

		if (!is_engines(wanted->kind))
			continue;
		list->n = prefix_sort(list->address, list->n);
		free(wanted->address);
		wanted->address = TAKE_PTR(list->address);
		wanted->n = list->n;
		wanted->known = true;
		wanted->since_ns = view->since_ns;
		why_nobody(wanted, list);
	}
}

static int answer_engine(struct followed *names)
{
	struct answers answers = {.names = names};
	struct engine_part fresh = {0};
	struct engine_view view;

	engine_view(names->engine, &view);
	if (!view.known) {
		names->now.unknown = true;
		return 0;
	}
	if (view.syncing)
		return only_gone(names, view.model);
	answers.list = calloc(names->nr_wanted + 1, sizeof(*answers.list));
	if (!answers.list)
		return -ENOMEM;
	answers.err = add_subnets(view.model, &fresh);
	find_networks(&answers, view.model);
	for (size_t i = 0; i < view.model->nr_containers && !answers.err; i++)
		add_container(&answers, view.model, view.model->container[i], &fresh);
	fresh.nr_addresses = prefix_sort(fresh.address, fresh.nr_addresses);
	if (!answers.err)
		answers.err = note_gone(names, &fresh);
	if (!answers.err) {
		take_lists(&answers, &view);
		part_free(&names->now);
		names->now = fresh;
	} else {
		part_free(&fresh);
	}
	for (size_t i = 0; i < names->nr_wanted; i++)
		free(answers.list[i].address);
	free(answers.list);
	return answers.err;
}

static int answer_host(struct wanted *wanted)
{
	struct dns_view view;
	struct prefix *copy;

	dns_view(wanted->host, &view);
	if (copy_list(view.address, view.n, &copy))
		return -ENOMEM;
	free(wanted->address);
	wanted->address = copy;
	wanted->n = view.n;
	wanted->known = view.known;
	wanted->since_ns = view.since_ns;
	wanted->expires_ns = view.expires_ns;
	snprintf(wanted->error, sizeof(wanted->error), "%s", view.error ? view.error : "");
	return 0;
}

static void answer_unit(const struct followed *names, struct wanted *wanted)
{
	const char *why = units_error(names->units);

	if (!why && !units_running(names->units, wanted->unit))
		why = "it does not run";
	snprintf(wanted->error, sizeof(wanted->error), "%s", why ? why : "");
	wanted->since_ns = loop_realtime_ns();
}

static bool differs(const struct followed *names)
{
	for (size_t i = 0; i < names->nr_wanted; i++) {
		const struct wanted *wanted = &names->wanted[i];

		if (wanted->known != wanted->given_known ||
		    !same_list(wanted->address, wanted->n, wanted->given, wanted->nr_given))
			return true;
	}
	return !same_part(&names->now, &names->given);
}

/* Make the answers anew where their sources have changed. */
static int update(struct followed *names)
{
	struct engine_view view;
	int err = 0;

	engine_view(names->engine, &view);
	if (view.changes != names->engine_said || dns_said(names->dns) != names->dns_said) {
		names->engine_said = view.changes;
		names->dns_said = dns_said(names->dns);
		names->said = true;
		names->unsaved = names->asks;
	}
	if (names->wants_engine && (names->remake || view.model->revision != names->model_seen)) {
		err = answer_engine(names);
		names->model_seen = view.model->revision;
		names->unsaved = names->asks;
	}
	for (size_t i = 0; i < names->nr_wanted && !err; i++) {
		struct wanted *wanted = &names->wanted[i];

		if (wanted->kind == ITEM_NAME &&
		    (names->remake || dns_revision(names->dns) != names->dns_seen)) {
			err = answer_host(wanted);
			names->unsaved = names->asks;
		}
		if (wanted->kind == ITEM_UNIT)
			answer_unit(names, wanted);
	}
	names->dns_seen = dns_revision(names->dns);
	names->remake = err != 0;
	names->changed = differs(names);
	if (names->unsaved && names->memory &&
	    (!names->save.due_ns || names->save.due_ns > loop_now_ns() + SAVE_NS))
		loop_timer_in(&names->loop, &names->save, SAVE_NS);
	return err;
}

/* ---- the file ---- */

static void save(void *arg)
{
	struct followed *names = arg;
	json_t *engine = NULL, *hosts = json_array();
	struct engine_view view;

	engine_view(names->engine, &view);
	if (names->wants_engine && view.known) {
		engine = model_save(view.model);
		json_object_set_new(engine, "socket", json_string(names->socket));
		json_object_set_new(engine, "connected", json_boolean(view.connected));
		json_object_set_new(engine, "since_ns", json_integer((json_int_t)view.since_ns));
		if (view.error)
			json_object_set_new(engine, "error", json_string(view.error));
	}
	for (size_t i = 0; i < names->nr_wanted; i++) {
		if (names->wanted[i].host)
			json_array_append_new(hosts, dns_save(names->wanted[i].host));
	}
	/* A full disk or a lost directory takes the next process's start, nothing else. */
	memory_write(names->memory,
		     json_pack("{s:i, s:o*, s:o}", "version", 1, "engine", engine, "hosts", hosts));
	names->unsaved = false;
	if (view.connected)
		loop_timer_in(&names->loop, &names->save, SAVE_AGE_NS);
}

static void recall_engine(struct followed *names, const json_t *saved)
{
	const char *socket = json_string_value(json_object_get(saved, "socket"));
	const char *error = json_string_value(json_object_get(saved, "error"));
	json_int_t since_ns = json_integer_value(json_object_get(saved, "since_ns"));
	struct model model = {0};

	/* Another engine's containers are no answer about this one's. */
	if (!socket || strcmp(socket, names->socket) != 0 || model_load(&model, saved))
		return;
	engine_remember(names->engine, &model, since_ns > 0 ? since_ns : 0);
	names->then.connected = json_is_true(json_object_get(saved, "connected"));
	snprintf(names->then.error, sizeof(names->then.error), "%s", error ? error : "");
}

static void recall(struct followed *names)
{
	json_t *saved = NULL;

	if (!names->memory || memory_read(names->memory, &saved))
		return;
	recall_engine(names, json_object_get(saved, "engine"));
	names->hosts = json_incref(json_object_get(saved, "hosts"));
	json_decref(saved);
}

static const json_t *host_saved(const struct followed *names, const char *name)
{
	for (size_t i = 0; i < json_array_size(names->hosts); i++) {
		const json_t *host = json_array_get(names->hosts, i);
		const char *known = json_string_value(json_object_get(host, "name"));

		if (known && strcmp(known, name) == 0)
			return host;
	}
	return NULL;
}

/* ---- opening ---- */

static int engine_path(const char *engine, const char **ret, struct diag *diag)
{
	static const char scheme[] = "unix://";
	const char *path = engine;

	if (strncmp(engine, scheme, strlen(scheme)) == 0)
		path += strlen(scheme);
	if (*path != '/')
		return diag_fail(diag, -EINVAL, NULL,
				 "engine \"%.200s\": wanted a unix socket, unix:///PATH or /PATH",
				 engine);
	/* As long as fits into the address of a socket. */
	if (strlen(path) > 107)
		return diag_fail(diag, -EINVAL, NULL,
				 "engine \"%.200s\": a socket's path has at most 107 bytes",
				 engine);
	*ret = path;
	return 0;
}

static void kicked(void *arg)
{
}

static int choose_engine(struct followed *names, const char *engine, struct diag *diag)
{
	const char *from = getenv("DOCKER_HOST"), *path = NULL;
	struct diag aside = {0};
	int err;

	if (engine) {
		err = engine_path(engine, &path, diag);
		if (err)
			return err;
	} else if (from && *from && engine_path(from, &path, &aside)) {
		/* Only a policy that needs an engine minds. */
		snprintf(names->no_engine, sizeof(names->no_engine), "DOCKER_HOST: %.180s",
			 aside.error);
		diag_reset(&aside);
	}
	if (!path)
		path = strchr(NAMES_ENGINE, '/') + 2;
	names->socket = strdup(path);
	return names->socket ? 0 : -ENOMEM;
}

int names_open(const char *engine, const char *memory, struct followed **ret, struct diag *diag)
{
	struct followed *names = calloc(1, sizeof(*names));
	int err;

	if (!names)
		return diag_fail(diag, -ENOMEM, NULL, "out of memory");
	err = loop_open(&names->loop);
	if (!err)
		err = choose_engine(names, engine, diag);
	if (!err && curl_global_init(CURL_GLOBAL_DEFAULT))
		err = -ENOMEM;
	if (!err)
		err = engine_open(&names->loop, names->socket, &names->engine);
	if (!err)
		err = dns_open(&names->loop, &names->dns);
	if (!err)
		err = units_open(&names->loop, &names->units);
	if (!err && memory) {
		names->memory = strdup(memory);
		err = names->memory ? 0 : -ENOMEM;
	}
	if (err) {
		names_close(names);
		return diag_fail(diag, err, NULL, "names cannot be followed: %s", strerror(-err));
	}
	loop_timer_add(&names->loop, &names->save, save, names);
	loop_timer_add(&names->loop, &names->kick, kicked, names);
	recall(names);
	*ret = names;
	return 0;
}

int names_recall(const char *engine, const char *memory, struct followed **ret, struct diag *diag)
{
	const char *socket = NULL;
	json_t *saved = NULL;
	int err;

	if (memory && !memory_read(memory, &saved))
		socket =
		    json_string_value(json_object_get(json_object_get(saved, "engine"), "socket"));
	err = names_open(socket ?: engine, memory, ret, diag);
	json_decref(saved);
	return err;
}

static void wanted_free(struct followed *names, struct wanted *wanted)
{
	if (wanted->host)
		dns_remove(names->dns, wanted->host);
	free(wanted->name);
	free(wanted->address);
	free(wanted->given);
}

void names_close(struct followed *names)
{
	if (!names)
		return;
	if (names->memory && names->unsaved)
		save(names);
	for (size_t i = 0; i < names->nr_wanted; i++)
		wanted_free(names, &names->wanted[i]);
	free(names->wanted);
	units_close(names->units);
	dns_close(names->dns);
	engine_close(names->engine);
	loop_close(&names->loop);
	part_free(&names->now);
	part_free(&names->given);
	json_decref(names->hosts);
	free(names->gone);
	free(names->socket);
	free(names->memory);
	free(names);
}

/* ---- wanting ---- */

/* 0: all numbers are taken. */
static __u32 free_unit(const struct followed *names)
{
	bool used[WEIR_MAX_UNITS + 1] = {};

	for (size_t i = 0; i < names->nr_wanted; i++)
		used[names->wanted[i].unit] = true;
	for (__u32 number = 1; number <= WEIR_MAX_UNITS; number++)
		if (!used[number])
			return number;
	return 0;
}

/* A unit is known by its number from the start: tables do not depend on its cgroups. */
static int want_unit(struct followed *names, struct wanted *wanted)
{
	wanted->address = calloc(1, sizeof(*wanted->address));
	if (!wanted->address)
		return -ENOMEM;
	*wanted->address = environment_unit(wanted->unit);
	wanted->n = 1;
	wanted->known = true;
	return 0;
}

static int want_one(void *arg, const struct item *item)
{
	struct followed *names = arg;
	struct wanted *wanted = NULL;
	__u32 unit = 0;

	/* Not sorted yet: new ones are at the end. */
	for (size_t i = 0; i < names->nr_wanted && !wanted; i++) {
		if (names->wanted[i].kind == item->kind &&
		    strcmp(names->wanted[i].name, item->name) == 0)
			wanted = &names->wanted[i];
	}
	if (wanted) {
		wanted->kept = true;
		return 0;
	}
	if (item->kind == ITEM_UNIT) {
		unit = free_unit(names);
		if (!unit)
			return -E2BIG;
	}
	wanted = mem_append(&names->wanted, &names->nr_wanted, sizeof(*wanted));
	if (!wanted)
		return -ENOMEM;
	wanted->kind = item->kind;
	wanted->kept = true;
	wanted->unit = unit;
	wanted->name = strdup(item->name);
	if (!wanted->name)
		return -ENOMEM;
	if (item->kind == ITEM_NAME)
		return dns_add(names->dns, item->name, host_saved(names, item->name),
			       &wanted->host);
	return unit ? want_unit(names, wanted) : 0;
}

static void drop_unkept(struct followed *names)
{
	size_t kept = 0;

	for (size_t i = 0; i < names->nr_wanted; i++) {
		if (names->wanted[i].kept)
			names->wanted[kept++] = names->wanted[i];
		else
			wanted_free(names, &names->wanted[i]);
	}
	names->nr_wanted = kept;
	if (kept)
		qsort(names->wanted, kept, sizeof(*names->wanted), by_name);
}

static int follow_units(struct followed *names)
{
	_cleanup_free_ const char **name = calloc(names->nr_wanted + 1, sizeof(*name));
	_cleanup_free_ __u32 *number = calloc(names->nr_wanted + 1, sizeof(*number));
	size_t n = 0;

	if (!name || !number)
		return -ENOMEM;
	for (size_t i = 0; i < names->nr_wanted; i++) {
		if (names->wanted[i].kind != ITEM_UNIT)
			continue;
		name[n] = names->wanted[i].name;
		number[n++] = names->wanted[i].unit;
	}
	return units_set(names->units, name, number, n);
}

static void follow_engine(struct followed *names)
{
	bool wants = false;

	for (size_t i = 0; i < names->nr_wanted; i++)
		wants = wants || is_engines(names->wanted[i].kind);
	if (wants)
		engine_start(names->engine);
	else if (names->wants_engine)
		engine_stop(names->engine);
	if (!wants)
		part_free(&names->now);
	names->wants_engine = wants;
}

int names_want(struct followed *names, const struct policy *policy, struct diag *diag)
{
	int err;

	for (size_t i = 0; i < names->nr_wanted; i++)
		names->wanted[i].kept = false;
	err = policy_each_followed(policy, want_one, names);
	if (err == -E2BIG)
		return diag_fail(diag, err, NULL, "more than %d units are named", WEIR_MAX_UNITS);
	if (!err) {
		drop_unkept(names);
		err = follow_units(names);
	}
	if (err)
		return diag_fail(diag, err, NULL, "out of memory");
	follow_engine(names);
	if (names->wants_engine && *names->no_engine)
		return diag_fail(diag, -EINVAL, NULL, "%s", names->no_engine);
	names->remake = true;
	err = update(names);
	return err ? diag_fail(diag, err, NULL, "out of memory") : 0;
}

/* ---- following ---- */

static bool answered(const struct followed *names)
{
	struct engine_view view;

	engine_view(names->engine, &view);
	if (names->wants_engine && !view.tried)
		return false;
	for (size_t i = 0; i < names->nr_wanted; i++) {
		struct dns_view host;

		if (!names->wanted[i].host)
			continue;
		dns_view(names->wanted[i].host, &host);
		if (!host.tried)
			return false;
	}
	return true;
}

static int bits(const struct followed *names)
{
	return (names->changed ? NAMES_CHANGED : 0) | (names->nr_gone ? NAMES_GONE : 0) |
	       (names->said ? NAMES_SAID : 0) |
	       (units_revision(names->units) != names->units_given ? NAMES_UNITS : 0);
}

int names_wait(struct followed *names, unsigned int timeout_ms)
{
	__u64 until = loop_now_ns() + timeout_ms * UNITS_NS_PER_MS;
	int err = 0;

	names->asks = true;
	while (!err && !answered(names)) {
		struct pollfd ready = {.fd = names->loop.epoll_fd, .events = POLLIN};
		__u64 now = loop_now_ns();

		if (now >= until) {
			err = -ETIMEDOUT;
			break;
		}
		poll(&ready, 1, (int)((until - now) / UNITS_NS_PER_MS) + 1);
		err = loop_run(&names->loop, DISPATCH_NS);
	}
	if (!err || err == -ETIMEDOUT) {
		int failed = update(names);

		err = failed ? failed : err;
	}
	/* What came meanwhile is for names_dispatch() to say. */
	if (bits(names))
		loop_timer_in(&names->loop, &names->kick, 0);
	return err;
}

int names_fd(const struct followed *names)
{
	return names->loop.epoll_fd;
}

bool names_asking(const struct followed *names)
{
	struct engine_view view;

	engine_view(names->engine, &view);
	return view.asking;
}

void names_read_only(struct followed *names)
{
	free(TAKE_PTR(names->memory));
	names->save.due_ns = 0;
}

int names_dispatch(struct followed *names)
{
	int err, ret;

	names->asks = true;
	err = loop_run(&names->loop, DISPATCH_NS);
	if (!err)
		err = update(names);
	if (err)
		return err;
	ret = bits(names);
	names->said = false;
	return ret;
}

/* ---- answers for others ---- */

static int fill_names(const struct followed *names, struct environment *env)
{
	env->name = calloc(names->nr_wanted + 1, sizeof(*env->name));
	if (!env->name)
		return -ENOMEM;
	for (size_t i = 0; i < names->nr_wanted; i++) {
		const struct wanted *wanted = &names->wanted[i];
		struct env_name *name = &env->name[env->nr_names++];

		name->kind = wanted->kind;
		name->known = wanted->known;
		name->n = wanted->n;
		name->name = strdup(wanted->name);
		if (!name->name || copy_list(wanted->address, wanted->n, &name->address))
			return -ENOMEM;
	}
	return 0;
}

static int fill_engine(const struct followed *names, struct environment *env)
{
	const struct engine_part *now = &names->now;

	if (copy_list(now->subnet, now->nr_subnets, &env->engine_subnet) ||
	    copy_list(now->address, now->nr_addresses, &env->engine_address))
		return -ENOMEM;
	env->nr_engine_subnets = now->nr_subnets;
	env->nr_engine_addresses = now->nr_addresses;
	env->engine_unknown = now->unknown;
	return 0;
}

/* What was given is what the next NAMES_CHANGED is measured against. */
static int given(struct followed *names)
{
	for (size_t i = 0; i < names->nr_wanted; i++) {
		struct wanted *wanted = &names->wanted[i];
		struct prefix *copy;

		if (copy_list(wanted->address, wanted->n, &copy))
			return -ENOMEM;
		free(wanted->given);
		wanted->given = copy;
		wanted->nr_given = wanted->n;
		wanted->given_known = wanted->known;
	}
	part_free(&names->given);
	if (copy_list(names->now.subnet, names->now.nr_subnets, &names->given.subnet) ||
	    copy_list(names->now.address, names->now.nr_addresses, &names->given.address))
		return -ENOMEM;
	names->given.nr_subnets = names->now.nr_subnets;
	names->given.nr_addresses = names->now.nr_addresses;
	names->given.unknown = names->now.unknown;
	names->changed = false;
	return 0;
}

int names_fill(struct followed *names, struct environment *env)
{
	struct environment fresh = {0};
	int err = fill_names(names, &fresh);

	if (!err)
		err = fill_engine(names, &fresh);
	if (!err)
		err = given(names);
	if (err) {
		environment_free(&fresh);
		return err;
	}
	environment_forget_names(env);
	env->name = fresh.name;
	env->nr_names = fresh.nr_names;
	env->engine_subnet = fresh.engine_subnet;
	env->nr_engine_subnets = fresh.nr_engine_subnets;
	env->engine_address = fresh.engine_address;
	env->nr_engine_addresses = fresh.nr_engine_addresses;
	env->engine_unknown = fresh.engine_unknown;
	return 0;
}

int names_gone(struct followed *names, struct prefix **ret, size_t *ret_n)
{
	size_t n = 0;

	/* An address that somebody else got meanwhile is that one's. */
	for (size_t i = 0; i < names->nr_gone; i++) {
		const struct engine_part *now = &names->now;

		if (!now->nr_addresses || !bsearch(&names->gone[i], now->address, now->nr_addresses,
						   sizeof(*now->address), prefix_compare))
			names->gone[n++] = names->gone[i];
	}
	n = prefix_sort(names->gone, n);
	*ret = TAKE_PTR(names->gone);
	*ret_n = n;
	names->nr_gone = 0;
	return 0;
}

int names_units(struct followed *names, __u64 **ret_cgroup, __u32 **ret_unit, size_t *ret_n)
{
	const __u64 *cgroup;
	const __u32 *unit;
	size_t n;

	units_view(names->units, &cgroup, &unit, &n);
	*ret_cgroup = calloc(n + 1, sizeof(**ret_cgroup));
	*ret_unit = calloc(n + 1, sizeof(**ret_unit));
	if (!*ret_cgroup || !*ret_unit) {
		free(TAKE_PTR(*ret_cgroup));
		free(TAKE_PTR(*ret_unit));
		return -ENOMEM;
	}
	if (n) {
		memcpy(*ret_cgroup, cgroup, n * sizeof(*cgroup));
		memcpy(*ret_unit, unit, n * sizeof(*unit));
	}
	*ret_n = n;
	names->units_given = units_revision(names->units);
	return 0;
}

int names_each(const struct followed *names, int (*each)(void *arg, const struct name_state *state),
	       void *arg)
{
	struct engine_state engine;

	names_engine(names, &engine);
	for (size_t i = 0; i < names->nr_wanted; i++) {
		const struct wanted *wanted = &names->wanted[i];
		struct name_state state = {
		    .kind = wanted->kind,
		    .name = wanted->name,
		    .address = wanted->address,
		    .n = wanted->n,
		    .known = wanted->known,
		    .since_ns = wanted->since_ns,
		    .expires_ns = wanted->expires_ns,
		    .error = *wanted->error ? wanted->error : NULL,
		};
		int err;

		if (is_engines(wanted->kind)) {
			state.since_ns = engine.since_ns;
			if (!engine.connected && engine.error)
				state.error = engine.error;
		}
		err = each(arg, &state);
		if (err)
			return err;
	}
	return 0;
}

void names_engine(const struct followed *names, struct engine_state *ret)
{
	struct engine_view view;

	engine_view(names->engine, &view);
	*ret = (struct engine_state){
	    .wanted = names->wants_engine,
	    .connected = view.connected,
	    .socket = names->socket,
	    .since_ns = view.since_ns,
	    .error = view.error,
	};
	if (view.tried)
		return;
	ret->connected = names->then.connected;
	ret->error = *names->then.error ? names->then.error : NULL;
}

/* ---- for tests ---- */

int names_use(struct followed *names, const char *servers, const char *cgroup_root)
{
	int err = servers ? dns_servers(names->dns, servers) : 0;

	if (err || !cgroup_root)
		return err;
	return units_root(names->units, cgroup_root);
}

struct engine_pace *names_pace(struct followed *names)
{
	return engine_pace(names->engine);
}

__u64 names_asked(const struct followed *names)
{
	struct engine_view view;

	engine_view(names->engine, &view);
	return view.asked;
}
