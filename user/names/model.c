// SPDX-License-Identifier: GPL-2.0-only
#include "names/model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define LABEL_PROJECT "com.docker.compose.project"
#define LABEL_SERVICE "com.docker.compose.service"
#define LABEL_NETWORK "com.docker.compose.network"

#define SHARE_PREFIX "container:"
#define SHARE_DEPTH  8
#define TEXT_MAX     4096 /* of a name or label; longer ones are none */

/* ---- JSON that may be anything ---- */

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text && *text && strlen(text) <= TEXT_MAX ? text : NULL;
}

/* Replace *@slot by a copy of @text (NULL: nothing). Returns whether that is something else. */
static bool replace(char **slot, const char *text)
{
	char *copy = NULL;

	if (*slot == text || (*slot && text && strcmp(*slot, text) == 0))
		return false;
	if (text) {
		copy = strdup(text);
		if (!copy)
			return false;
	}
	free(*slot);
	*slot = copy;
	return true;
}

static void touch(struct model *model, bool changed)
{
	if (changed)
		model->revision++;
}

/* "192.0.2.2/24" or "192.0.2.2" to a full-length prefix. */
static bool address_of(const char *text, struct prefix *ret)
{
	char buffer[ADDR_TEXT_LEN];
	const char *why;
	size_t len = text ? strcspn(text, "/") : 0;

	if (!len || len >= sizeof(buffer))
		return false;
	memcpy(buffer, text, len);
	buffer[len] = '\0';
	memset(ret, 0, sizeof(*ret));
	if (addr_parse(buffer, &ret->address, &why))
		return false;
	ret->v6 = !addr_is_v4(&ret->address);
	ret->length = ret->v6 ? 128 : 32;
	return true;
}

/* ---- objects by id ---- */

/* Both kinds begin with their id, and are kept as sorted arrays of pointers. */
static size_t place_of(void *const *array, size_t n, const char *id, bool *found)
{
	size_t low = 0, high = n;

	*found = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(*(char *const *)array[middle], id);

		if (order == 0) {
			*found = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void *find(void *const *array, size_t n, const char *id)
{
	bool found;
	size_t at = place_of(array, n, id, &found);

	return found ? array[at] : NULL;
}

/* A new object of @size bytes with its id, in its place. */
static void *add(void ***array, size_t *n, const char *id, size_t size)
{
	char **object;
	bool found;
	size_t at = place_of(*array, *n, id, &found);

	if (*n >= MODEL_MAX_OBJECTS)
		return NULL;
	object = calloc(1, size);
	if (!object)
		return NULL;
	*object = strdup(id);
	if (!*object || !mem_append(array, n, sizeof(**array))) {
		free(*object);
		free(object);
		return NULL;
	}
	memmove(*array + at + 1, *array + at, (*n - 1 - at) * sizeof(**array));
	(*array)[at] = object;
	return object;
}

static void take_out(void **array, size_t *n, size_t at)
{
	memmove(array + at, array + at + 1, (*n - 1 - at) * sizeof(*array));
	--*n;
}

struct container *model_container(const struct model *model, const char *id)
{
	return find((void **)model->container, model->nr_containers, id);
}

struct network *model_network(const struct model *model, const char *id)
{
	return find((void **)model->network, model->nr_networks, id);
}

static struct container *container_add(struct model *model, const char *id)
{
	struct container *container = model_container(model, id);

	if (container)
		return container;
	container = add((void ***)&model->container, &model->nr_containers, id, sizeof(*container));
	if (!container)
		return NULL;
	container->running = true;
	container->own_network = true;
	model->revision++;
	return container;
}

static struct network *network_add(struct model *model, const char *id)
{
	struct network *network = model_network(model, id);

	if (network)
		return network;
	network = add((void ***)&model->network, &model->nr_networks, id, sizeof(*network));
	if (network)
		model->revision++;
	return network;
}

static void container_free(struct container *container)
{
	free(container->id);
	free(container->name);
	free(container->project);
	free(container->service);
	free(container->shares);
	free(container->endpoint);
	free(container);
}

static void container_remove(struct model *model, const char *id)
{
	bool found;
	size_t at = place_of((void **)model->container, model->nr_containers, id, &found);
	struct container *container;

	if (!found)
		return;
	container = model->container[at];
	take_out((void **)model->container, &model->nr_containers, at);
	container_free(container);
	model->revision++;
}

static void network_free(struct network *network)
{
	free(network->id);
	free(network->name);
	free(network->label);
	free(network->driver);
	free(network->subnet);
	free(network);
}

static void endpoint_remove(struct model *model, struct container *container,
			    const struct network *network)
{
	for (size_t i = 0; i < container->nr_endpoints; i++) {
		if (container->endpoint[i].network != network)
			continue;
		container->endpoint[i] = container->endpoint[--container->nr_endpoints];
		model->revision++;
		return;
	}
}

static void network_remove(struct model *model, const char *id)
{
	bool found;
	size_t at = place_of((void **)model->network, model->nr_networks, id, &found);
	struct network *network;

	if (!found)
		return;
	network = model->network[at];
	for (size_t i = 0; i < model->nr_containers; i++)
		endpoint_remove(model, model->container[i], network);
	take_out((void **)model->network, &model->nr_networks, at);
	network_free(network);
	model->revision++;
}

static void destroyed(struct model *model, const char *id)
{
	unsigned int at = model->next_destroyed++ % MODEL_DESTROYED;
	char *copy = strdup(id);

	free(model->destroyed[at].id);
	model->destroyed[at].id = copy;
	model->destroyed[at].moment = model->moment;
}

/* Does an answer speak of what was destroyed since? Nobody knows (*@again) where too many were. */
static bool is_late(const struct model *model, const char *id, __u64 asked, bool *again)
{
	unsigned int oldest = model->next_destroyed % MODEL_DESTROYED;

	for (size_t i = 0; i < MODEL_DESTROYED; i++) {
		const char *known = model->destroyed[i].id;

		if (known && model->destroyed[i].moment > asked && strcmp(known, id) == 0)
			return true;
	}
	if (!model->destroyed[oldest].id || model->destroyed[oldest].moment <= asked)
		return false;
	*again = true;
	return true;
}

void model_clear(struct model *model)
{
	for (size_t i = 0; i < MODEL_DESTROYED; i++)
		free(model->destroyed[i].id);
	for (size_t i = 0; i < model->nr_containers; i++)
		container_free(model->container[i]);
	for (size_t i = 0; i < model->nr_networks; i++)
		network_free(model->network[i]);
	free(model->container);
	free(model->network);
	*model = (struct model){.moment = model->moment, .revision = model->revision + 1};
}

static int endpoint_set(struct model *model, struct container *container, struct network *network,
			const struct prefix *address, size_t n)
{
	struct attachment *endpoint = NULL, *grown;

	for (size_t i = 0; i < container->nr_endpoints; i++) {
		if (container->endpoint[i].network == network)
			endpoint = &container->endpoint[i];
	}
	if (!endpoint) {
		grown =
		    reallocarray(container->endpoint, container->nr_endpoints + 1, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		container->endpoint = grown;
		endpoint = &grown[container->nr_endpoints++];
		*endpoint = (struct attachment){.network = network};
		model->revision++;
	}
	endpoint->listed = true;
	if (endpoint->n == n && memcmp(endpoint->address, address, n * sizeof(*address)) == 0)
		return 0;
	memcpy(endpoint->address, address, n * sizeof(*address));
	endpoint->n = n;
	model->revision++;
	return 0;
}

/* ---- labels, in events and answers ---- */

static void labels(struct model *model, struct container *container, const json_t *from)
{
	const char *project = text_of(from, LABEL_PROJECT);
	const char *service = text_of(from, LABEL_SERVICE);

	/* A container's labels never change: an event that leaves them out says nothing. */
	if (project)
		touch(model, replace(&container->project, project));
	if (service)
		touch(model, replace(&container->service, service));
}

static void container_name(struct model *model, struct container *container, const char *name)
{
	if (name && *name == '/')
		name++;
	if (name && *name)
		touch(model, replace(&container->name, name));
}

/* ---- events ---- */

static bool is(const char *action, const char *one, const char *other)
{
	return strcmp(action, one) == 0 || (other && strcmp(action, other) == 0);
}

static void container_died(struct model *model, struct container *container)
{
	touch(model, container->nr_endpoints || container->running);
	container->nr_endpoints = 0;
	container->dead = true;
	container->running = false;
	container->event = model->moment;
}

static enum model_need container_event(struct model *model, const char *action, const char *id,
				       const json_t *attributes, const char **ret_id)
{
	struct container *container;

	if (is(action, "destroy", "remove")) {
		container_remove(model, id);
		destroyed(model, id);
		return MODEL_NOTHING;
	}
	if (strncmp(action, "exec_", 5) == 0)
		return MODEL_NOTHING;
	container = container_add(model, id);
	if (!container)
		return MODEL_NOTHING;
	*ret_id = container->id;
	labels(model, container, attributes);
	if (!container->name || is(action, "rename", "create")) {
		container->renamed = model->moment;
		container_name(model, container, text_of(attributes, "name"));
	}
	if (is(action, "create", NULL)) {
		container->event = model->moment;
		return MODEL_CONTAINER; /* whose network it will use */
	}
	if (is(action, "die", "died")) {
		container_died(model, container);
		return MODEL_NOTHING;
	}
	if (is(action, "start", "init")) {
		touch(model, !container->running);
		container->running = true;
		container->dead = false;
		if (!container->nr_endpoints && container->own_network)
			return MODEL_CONTAINER;
	}
	return MODEL_NOTHING;
}

static enum model_need network_event(struct model *model, const char *action, const char *id,
				     const json_t *attributes, const char **ret_id)
{
	const char *who = text_of(attributes, "container");
	struct container *container;
	struct network *network;

	if (is(action, "destroy", "remove")) {
		network_remove(model, id);
		destroyed(model, id);
		return MODEL_NOTHING;
	}
	network = network_add(model, id);
	if (!network)
		return MODEL_NOTHING;
	*ret_id = network->id;
	if (!network->name)
		touch(model, replace(&network->name, text_of(attributes, "name")));
	network->event = model->moment;
	if (is(action, "disconnect", NULL)) {
		container = who ? model_container(model, who) : NULL;
		if (!container)
			return who ? MODEL_NOTHING : MODEL_NETWORK;
		endpoint_remove(model, container, network);
		container->event = model->moment;
		return MODEL_NOTHING;
	}
	if (is(action, "connect", NULL) && who) {
		container = container_add(model, who);
		if (!container)
			return MODEL_NOTHING;
		container->dead = false;
		container->event = model->moment;
	}
	return is(action, "connect", "create") || is(action, "update", NULL) ? MODEL_NETWORK
									     : MODEL_NOTHING;
}

enum model_need model_event(struct model *model, const json_t *event, const char **ret_id)
{
	const json_t *actor = json_object_get(event, "Actor");
	const json_t *attributes = json_object_get(actor, "Attributes");
	const char *type = text_of(event, "Type"), *action = text_of(event, "Action");
	const char *id = text_of(actor, "ID");
	bool network = type && strcmp(type, "network") == 0;

	if (!network && (!type || strcmp(type, "container") != 0))
		return MODEL_NOTHING;
	model->moment++;
	if (!action || !id)
		return MODEL_CONTAINERS;
	if (network)
		return network_event(model, action, id, attributes, ret_id);
	return container_event(model, action, id, attributes, ret_id);
}

void model_begin(struct model *model)
{
	model->moment++;
	for (size_t i = 0; i < model->nr_containers; i++) {
		struct container *container = model->container[i];

		container->dead = container->queued = container->asked = container->again = false;
	}
	for (size_t i = 0; i < model->nr_networks; i++) {
		struct network *network = model->network[i];

		network->queued = network->asked = network->again = false;
		network->sync = network->failed = false;
	}
}

/* ---- networks ---- */

static int subnets(struct model *model, struct network *network, const json_t *answer)
{
	const json_t *config = json_object_get(json_object_get(answer, "IPAM"), "Config");
	_cleanup_free_ struct prefix *list = NULL;
	size_t n = 0;

	for (size_t i = 0; i < json_array_size(config); i++) {
		const char *text = text_of(json_array_get(config, i), "Subnet"), *why;
		struct prefix prefix = {0}, *slot;

		/* Host bits in a subnet are no error here: what counts is what it covers. */
		if (!text)
			continue;
		if (prefix_parse(text, &prefix, &why)) {
			const char *slash = strchr(text, '/');

			if (why != PREFIX_WHY_HOST_BITS || !slash || !address_of(text, &prefix))
				continue;
			prefix.length = (__u8)strtoul(slash + 1, NULL, 10);
			prefix.address = addr_mask(&prefix.address, prefix.length);
		}
		slot = mem_append(&list, &n, sizeof(*list));
		if (!slot)
			return -ENOMEM;
		*slot = prefix;
	}
	if (n == network->nr_subnets &&
	    (n == 0 || memcmp(list, network->subnet, n * sizeof(*list)) == 0))
		return 0;
	free(network->subnet);
	network->subnet = TAKE_PTR(list);
	network->nr_subnets = n;
	model->revision++;
	return 0;
}

static int network_facts(struct model *model, struct network *network, const json_t *answer)
{
	touch(model, replace(&network->name, text_of(answer, "Name")));
	touch(model, replace(&network->driver, text_of(answer, "Driver")));
	touch(model,
	      replace(&network->label, text_of(json_object_get(answer, "Labels"), LABEL_NETWORK)));
	return subnets(model, network, answer);
}

int model_networks(struct model *model, const json_t *answer, __u64 asked, bool *ret_again)
{
	*ret_again = false;
	if (!json_is_array(answer))
		return -EPROTO;
	for (size_t i = 0; i < model->nr_networks; i++)
		model->network[i]->listed = false;
	for (size_t i = 0; i < json_array_size(answer); i++) {
		const json_t *item = json_array_get(answer, i);
		const char *id = text_of(item, "Id");
		struct network *network;
		int err;

		if (!id || !text_of(item, "Name"))
			return -EPROTO;
		if (!model_network(model, id) && is_late(model, id, asked, ret_again))
			continue;
		network = network_add(model, id);
		if (!network)
			return -ENOMEM;
		network->listed = true;
		err = network_facts(model, network, item);
		if (err)
			return err;
	}
	for (size_t i = model->nr_networks; i-- > 0;) {
		struct network *network = model->network[i];

		if (!network->listed && network->event <= asked)
			network_remove(model, network->id);
	}
	return 0;
}

/* One entry of "Containers" of a network. Remote ends of an overlay ("ep-…", "lb-…") are nobody here. */
static int attached_one(struct model *model, struct network *network, const char *id,
			const json_t *item, __u64 asked, bool *again)
{
	struct container *container = model_container(model, id);
	struct prefix address[2];
	size_t n = 0;

	if (strspn(id, "0123456789abcdef") != strlen(id))
		return 0;
	if (!container && is_late(model, id, asked, again))
		return 0;
	if (!container) {
		container = container_add(model, id);
		if (!container)
			return -ENOMEM;
		container_name(model, container, text_of(item, "Name"));
	}
	if (container->event > asked) {
		*again = true;
		return 0;
	}
	if (container->dead)
		return 0;
	n += address_of(text_of(item, "IPv4Address"), &address[n]);
	n += address_of(text_of(item, "IPv6Address"), &address[n]);
	return endpoint_set(model, container, network, address, n);
}

int model_attached(struct model *model, const json_t *answer, __u64 asked, bool *ret_again)
{
	const char *id = text_of(answer, "Id");
	struct network *network = id ? model_network(model, id) : NULL;
	json_t *containers = json_object_get(answer, "Containers");
	json_t *item;
	const char *who;
	int err;

	*ret_again = false;
	if (!id || (containers && !json_is_object(containers) && !json_is_null(containers)))
		return -EPROTO;
	if (!network)
		return 0; /* destroyed meanwhile */
	err = network_facts(model, network, answer);
	if (err)
		return err;
	network->failed = false;
	for (size_t i = 0; i < model->nr_containers; i++) {
		struct container *container = model->container[i];

		for (size_t j = 0; j < container->nr_endpoints; j++)
			container->endpoint[j].listed = false;
	}
	json_object_foreach(containers, who, item)
	{
		err = attached_one(model, network, who, item, asked, ret_again);
		if (err)
			return err;
	}
	for (size_t i = 0; i < model->nr_containers; i++) {
		struct container *container = model->container[i];

		for (size_t j = container->nr_endpoints; j-- > 0;) {
			const struct attachment *endpoint = &container->endpoint[j];

			if (endpoint->network != network || endpoint->listed)
				continue;
			if (container->event <= asked)
				endpoint_remove(model, container, network);
			else
				*ret_again = true;
		}
	}
	if (network->event > asked)
		*ret_again = true;
	return 0;
}

void model_network_gone(struct model *model, const char *id, __u64 asked)
{
	const struct network *network = model_network(model, id);

	if (network && network->event <= asked)
		network_remove(model, id);
}

/* ---- containers ---- */

/* Where no network tells who is attached: the container's own entry does, once it runs. */
static int own_addresses(struct model *model, struct container *container, const json_t *item,
			 bool any_network)
{
	json_t *networks = json_object_get(json_object_get(item, "NetworkSettings"), "Networks");
	const char *name;
	json_t *settings;

	json_object_foreach(networks, name, settings)
	{
		const char *id = text_of(settings, "NetworkID");
		struct network *network = id ? model_network(model, id) : NULL;
		struct prefix address[2];
		size_t n = 0;
		int err;

		for (size_t i = 0; i < model->nr_networks && !network; i++) {
			const char *known = model->network[i]->name;

			if (known && strcmp(known, name) == 0)
				network = model->network[i];
		}
		if (!network || (!any_network && !network->failed))
			continue;
		n += address_of(text_of(settings, "IPAddress"), &address[n]);
		n += address_of(text_of(settings, "GlobalIPv6Address"), &address[n]);
		if (!n)
			continue;
		err = endpoint_set(model, container, network, address, n);
		if (err)
			return err;
	}
	return 0;
}

static bool runs(const char *state)
{
	return !state || (strcmp(state, "exited") != 0 && strcmp(state, "dead") != 0 &&
			  strcmp(state, "removing") != 0 && strcmp(state, "stopped") != 0);
}

static void network_mode(struct model *model, struct container *container, const json_t *item)
{
	const char *mode = text_of(json_object_get(item, "HostConfig"), "NetworkMode");
	const char *shares = NULL;

	if (!mode)
		return;
	if (strncmp(mode, SHARE_PREFIX, strlen(SHARE_PREFIX)) == 0)
		shares = mode + strlen(SHARE_PREFIX);
	container->own_network = !shares && strcmp(mode, "host") != 0 && strcmp(mode, "none") != 0;
	touch(model, replace(&container->shares, shares));
}

static int container_item(struct model *model, const json_t *item, bool alone, __u64 asked,
			  bool *again)
{
	const char *id = text_of(item, "Id"), *state = text_of(item, "State");
	const char *name = json_string_value(json_array_get(json_object_get(item, "Names"), 0));
	struct container *container;

	if (!id)
		return -EPROTO;
	if (!model_container(model, id) && is_late(model, id, asked, again))
		return 0;
	container = container_add(model, id);
	if (!container)
		return -ENOMEM;
	container->listed = true;
	if (container->renamed <= asked && name && strlen(name) <= TEXT_MAX)
		container_name(model, container, name);
	labels(model, container, json_object_get(item, "Labels"));
	network_mode(model, container, item);
	if (container->event <= asked && container->running != runs(state)) {
		container->running = !container->running;
		model->revision++;
	}
	if (container->nr_endpoints || !container->own_network || container->dead || !state ||
	    strcmp(state, "running") != 0)
		return 0;
	if (container->event <= asked)
		return own_addresses(model, container, item, alone);
	if (alone)
		*again = true;
	return 0;
}

int model_containers(struct model *model, const json_t *answer, const char *only, __u64 asked,
		     bool *ret_again)
{
	*ret_again = false;
	if (!json_is_array(answer))
		return -EPROTO;
	for (size_t i = 0; i < model->nr_containers; i++)
		model->container[i]->listed = false;
	for (size_t i = 0; i < json_array_size(answer); i++) {
		int err = container_item(model, json_array_get(answer, i), only, asked, ret_again);

		if (err)
			return err;
	}
	for (size_t i = model->nr_containers; i-- > 0;) {
		struct container *container = model->container[i];

		if (container->listed || container->event > asked)
			continue;
		if (!only || strcmp(container->id, only) == 0)
			container_remove(model, container->id);
	}
	return 0;
}

static const struct container *shared_by(const struct model *model,
					 const struct container *container)
{
	const struct container *other = model_container(model, container->shares);

	for (size_t i = 0; i < model->nr_containers && !other; i++) {
		const char *name = model->container[i]->name;

		if (name && strcmp(name, container->shares) == 0)
			other = model->container[i];
	}
	return other;
}

int model_addresses(const struct model *model, const struct container *container,
		    struct prefix **list, size_t *n)
{
	for (int depth = 0; container->shares; depth++) {
		if (!container->running || depth == SHARE_DEPTH)
			return 0;
		container = shared_by(model, container);
		if (!container)
			return 0;
	}
	for (size_t i = 0; i < container->nr_endpoints; i++) {
		const struct attachment *endpoint = &container->endpoint[i];

		for (size_t j = 0; j < endpoint->n; j++) {
			struct prefix *slot = mem_append(list, n, sizeof(*slot));

			if (!slot)
				return -ENOMEM;
			*slot = endpoint->address[j];
		}
	}
	return 0;
}

/* ---- for the next process ---- */

static json_t *save_addresses(const struct prefix *list, size_t n)
{
	json_t *array = json_array();
	char text[ADDR_TEXT_LEN];

	for (size_t i = 0; i < n; i++)
		json_array_append_new(array, json_string(prefix_format(&list[i], text)));
	return array;
}

static json_t *save_container(const struct container *container)
{
	json_t *on = json_array();

	for (size_t i = 0; i < container->nr_endpoints; i++) {
		const struct attachment *endpoint = &container->endpoint[i];

		json_array_append_new(
		    on, json_pack("{s:s, s:o}", "network", endpoint->network->id, "addresses",
				  save_addresses(endpoint->address, endpoint->n)));
	}
	return json_pack("{s:s, s:s*, s:s*, s:s*, s:s*, s:b, s:b, s:o}", "id", container->id,
			 "name", container->name, "project", container->project, "service",
			 container->service, "shares", container->shares, "running",
			 container->running, "own_network", container->own_network, "on", on);
}

json_t *model_save(const struct model *model)
{
	json_t *networks = json_array(), *containers = json_array();

	for (size_t i = 0; i < model->nr_networks; i++) {
		const struct network *network = model->network[i];

		json_array_append_new(
		    networks,
		    json_pack("{s:s, s:s*, s:s*, s:s*, s:o}", "id", network->id, "name",
			      network->name, "label", network->label, "driver", network->driver,
			      "subnets", save_addresses(network->subnet, network->nr_subnets)));
	}
	for (size_t i = 0; i < model->nr_containers; i++)
		json_array_append_new(containers, save_container(model->container[i]));
	return json_pack("{s:o, s:o}", "networks", networks, "containers", containers);
}

static int load_network(struct model *model, const json_t *saved)
{
	const json_t *list = json_object_get(saved, "subnets");
	const char *id = text_of(saved, "id"), *why;
	struct network *network = id ? network_add(model, id) : NULL;

	if (!network)
		return -EPROTO;
	replace(&network->name, text_of(saved, "name"));
	replace(&network->label, text_of(saved, "label"));
	replace(&network->driver, text_of(saved, "driver"));
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *text = json_string_value(json_array_get(list, i));
		struct prefix *slot =
		    mem_append(&network->subnet, &network->nr_subnets, sizeof(*slot));

		if (!slot || !text || prefix_parse(text, slot, &why))
			return -EPROTO;
	}
	return 0;
}

static int load_container(struct model *model, const json_t *saved)
{
	const json_t *on = json_object_get(saved, "on");
	const char *id = text_of(saved, "id");
	struct container *container = id ? container_add(model, id) : NULL;

	if (!container)
		return -EPROTO;
	replace(&container->name, text_of(saved, "name"));
	replace(&container->project, text_of(saved, "project"));
	replace(&container->service, text_of(saved, "service"));
	replace(&container->shares, text_of(saved, "shares"));
	container->running = json_is_true(json_object_get(saved, "running"));
	container->own_network = json_is_true(json_object_get(saved, "own_network"));
	for (size_t i = 0; i < json_array_size(on); i++) {
		const json_t *item = json_array_get(on, i);
		const json_t *list = json_object_get(item, "addresses");
		const char *where = text_of(item, "network");
		struct network *network = where ? model_network(model, where) : NULL;
		struct prefix address[2];
		size_t n = json_array_size(list);

		if (!network || n > ARRAY_SIZE(address))
			return -EPROTO;
		for (size_t j = 0; j < n; j++) {
			if (!address_of(json_string_value(json_array_get(list, j)), &address[j]))
				return -EPROTO;
		}
		if (endpoint_set(model, container, network, address, n))
			return -EPROTO;
	}
	return 0;
}

int model_load(struct model *model, const json_t *saved)
{
	const json_t *networks = json_object_get(saved, "networks");
	const json_t *containers = json_object_get(saved, "containers");
	int err = json_is_array(networks) && json_is_array(containers) ? 0 : -EPROTO;

	model_clear(model);
	for (size_t i = 0; i < json_array_size(networks) && !err; i++)
		err = load_network(model, json_array_get(networks, i));
	for (size_t i = 0; i < json_array_size(containers) && !err; i++)
		err = load_container(model, json_array_get(containers, i));
	if (err)
		model_clear(model);
	return err;
}
