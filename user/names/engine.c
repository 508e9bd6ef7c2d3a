// SPDX-License-Identifier: GPL-2.0-only
#include "names/engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/units.h"

#define LINE_MAX_BYTES (1 << 20)	    /* of one event */
#define OPEN_NS	       (5 * UNITS_NS_PER_S) /* for the head of the stream's answer */

enum ask_kind { ASK_EVENTS, ASK_NETWORKS, ASK_CONTAINERS, ASK_NETWORK, ASK_CONTAINER, ASK_PING };

struct ask {
	struct engine *engine;
	enum ask_kind kind;
	char *id;     /* ASK_NETWORK, ASK_CONTAINER */
	__u64 moment; /* model.moment when it was sent */
	bool of_sync;
	struct http_request *request;
	struct ask *next;
};

enum engine_phase { ENGINE_OFF, ENGINE_AWAY, ENGINE_SUBSCRIBING, ENGINE_FOLLOWING };

struct engine {
	struct loop *loop;
	struct http *http;
	char *socket;
	struct engine_pace pace;
	struct model model;
	enum engine_phase phase;
	struct ask *ask; /* sent */
	size_t nr_network_asks, nr_container_asks;
	size_t queued;	  /* objects that wait for their turn */
	size_t sync_left; /* answers that the picture still lacks */
	bool syncing, resync;
	bool known, tried;
	bool fresh;		    /* the present connection has given a full picture */
	__u64 since_ns, contact_ns; /* CLOCK_REALTIME */
	__u64 retry_ns;
	__u64 asked, changes;
	struct loop_timer retry, open, ping, sync;
	char *line; /* of the stream, not yet ended */
	size_t len;
	char error[256];
};

static void next_asks(struct engine *engine);

static void say(struct engine *engine, const char *text)
{
	if (strcmp(engine->error, text) == 0)
		return;
	snprintf(engine->error, sizeof(engine->error), "%s", text);
	for (char *c = engine->error; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = ' ';
	}
	engine->changes++;
}

/* ---- losing it ---- */

static void forget_asks(struct engine *engine)
{
	while (engine->ask) {
		struct ask *ask = engine->ask;

		engine->ask = ask->next;
		if (ask->request)
			http_cancel(ask->request);
		free(ask->id);
		free(ask);
	}
	engine->nr_network_asks = engine->nr_container_asks = 0;
	engine->queued = engine->sync_left = 0;
	engine->syncing = engine->resync = false;
	engine->len = 0;
	model_begin(&engine->model);
}

static void away(struct engine *engine, const char *why)
{
	if (engine->fresh) {
		engine->since_ns = engine->contact_ns;
		engine->changes++;
	}
	engine->fresh = false;
	engine->tried = true;
	engine->phase = ENGINE_AWAY;
	say(engine, why);
	forget_asks(engine);
	loop_timer_off(engine->loop, &engine->open);
	loop_timer_off(engine->loop, &engine->ping);
	loop_timer_off(engine->loop, &engine->sync);
	loop_timer_in(engine->loop, &engine->retry, engine->retry_ns);
	engine->retry_ns *= 2;
	if (engine->retry_ns > ENGINE_RETRY_MAX_NS)
		engine->retry_ns = ENGINE_RETRY_MAX_NS;
}

static void away_because(struct engine *engine, const char *what, int err, long status)
{
	char text[200];

	if (err != -ETIMEDOUT) /* until now it was there */
		engine->contact_ns = loop_realtime_ns();
	if (err == -ECONNREFUSED || err == -ENOENT || err == -EACCES || err == -ENOTSOCK)
		snprintf(text, sizeof(text), "no connection to %.120s: %s", engine->socket,
			 strerror(-err));
	else if (err == -ECONNRESET)
		snprintf(text, sizeof(text), "%s: the engine closed the connection", what);
	else if (err == -ETIMEDOUT)
		snprintf(text, sizeof(text), "%s: no answer in time", what);
	else if (err == -EFBIG)
		snprintf(text, sizeof(text), "%s: more than %d MiB", what, HTTP_ANSWER_MAX >> 20);
	else if (err == -ENOMEM)
		snprintf(text, sizeof(text), "%s: no memory for it, or more than %d objects", what,
			 MODEL_MAX_OBJECTS);
	else if (err && err != -EPROTO)
		snprintf(text, sizeof(text), "%s: the connection broke", what);
	else if (!err && status != 200)
		snprintf(text, sizeof(text), "%s: HTTP status %ld", what, status);
	else
		snprintf(text, sizeof(text), "%s: the answer makes no sense", what);
	away(engine, text);
}

/* ---- asking ---- */

static const char *what_of(enum ask_kind kind)
{
	switch (kind) {
	case ASK_EVENTS:
		return "GET /events";
	case ASK_NETWORKS:
		return "GET /networks";
	case ASK_NETWORK:
		return "GET /networks/ID";
	case ASK_PING:
		return "GET /_ping";
	default:
		return "GET /containers/json";
	}
}

static void answered(void *arg, int err, long status, const char *body, size_t len);
static void stream_opened(void *arg, long status);
static void stream_data(void *arg, const char *data, size_t len);

static bool send_ask(struct engine *engine, enum ask_kind kind, const char *id, const char *path,
		     bool of_sync)
{
	struct ask *ask = calloc(1, sizeof(*ask));
	struct http_handler handler = {.done = answered, .arg = ask};
	unsigned int timeout_ms = kind == ASK_EVENTS ? 0 : engine->pace.timeout_ms;

	if (kind == ASK_EVENTS) {
		handler.opened = stream_opened;
		handler.data = stream_data;
	}
	if (ask)
		ask->id = id ? strdup(id) : NULL;
	if (!ask || (id && !ask->id) ||
	    http_get(engine->http, path, timeout_ms, &handler, &ask->request)) {
		if (ask)
			free(ask->id);
		free(ask);
		away(engine, "out of memory");
		return false;
	}
	ask->engine = engine;
	ask->kind = kind;
	ask->moment = engine->model.moment;
	ask->of_sync = of_sync;
	ask->next = engine->ask;
	engine->ask = ask;
	engine->nr_network_asks += kind == ASK_NETWORK;
	engine->nr_container_asks += kind == ASK_CONTAINER;
	engine->asked++;
	return true;
}

/* Ids come from the engine and go back to it in a path. */
static bool plain(const char *id)
{
	return strspn(id, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-.") ==
		   strlen(id) &&
	       strlen(id) <= 255;
}

static void ask_network(struct engine *engine, struct network *network)
{
	if (network->asked) {
		network->again = true;
	} else if (!network->queued && plain(network->id)) {
		network->queued = true;
		engine->queued++;
	}
}

static void ask_container(struct engine *engine, struct container *container)
{
	if (container->asked) {
		container->again = true;
	} else if (!container->queued && plain(container->id)) {
		container->queued = true;
		engine->queued++;
	}
}

static bool send_network(struct engine *engine, struct network *network)
{
	char path[300];

	network->queued = false;
	network->asked = true;
	snprintf(path, sizeof(path), "/networks/%s", network->id);
	return send_ask(engine, ASK_NETWORK, network->id, path, false);
}

static bool send_container(struct engine *engine, struct container *container)
{
	char path[400];

	container->queued = false;
	container->asked = true;
	snprintf(path, sizeof(path),
		 "/containers/json?all=1&filters=%%7B%%22id%%22%%3A%%5B%%22%s%%22%%5D%%7D",
		 container->id);
	return send_ask(engine, ASK_CONTAINER, container->id, path, false);
}

/* What waits, as far as there is room; what is gone by now waits no longer. */
static void next_asks(struct engine *engine)
{
	struct model *model = &engine->model;

	if (!engine->queued)
		return;
	engine->queued = 0;
	for (size_t i = 0; i < model->nr_networks; i++) {
		if (!model->network[i]->queued)
			continue;
		if (engine->nr_network_asks >= ENGINE_ASKS)
			engine->queued++;
		else if (!send_network(engine, model->network[i]))
			return;
	}
	for (size_t i = 0; i < model->nr_containers; i++) {
		if (!model->container[i]->queued)
			continue;
		if (engine->nr_container_asks >= ENGINE_ASKS)
			engine->queued++;
		else if (!send_container(engine, model->container[i]))
			return;
	}
}

/* ---- the full picture ---- */

static void sync_begin(struct engine *engine)
{
	if (engine->syncing) {
		engine->resync = true;
		return;
	}
	engine->syncing = true;
	engine->resync = false;
	engine->sync_left = 2;
	if (send_ask(engine, ASK_NETWORKS, NULL, "/networks", true))
		send_ask(engine, ASK_CONTAINERS, NULL, "/containers/json?all=1", true);
}

static void sync_ended(struct engine *engine)
{
	char text[200];

	engine->syncing = false;
	engine->retry_ns = engine->pace.retry_ns;
	if (!engine->fresh)
		engine->changes++;
	engine->fresh = engine->known = engine->tried = true;
	engine->model.revision++;
	*text = '\0';
	for (size_t i = 0; i < engine->model.nr_networks; i++) {
		const struct network *network = engine->model.network[i];

		if (network->failed)
			snprintf(text, sizeof(text),
				 "network %.100s: the engine cannot say who is attached",
				 network->name ? network->name : network->id);
	}
	say(engine, text);
	loop_timer_in(engine->loop, &engine->sync,
		      engine->resync ? engine->pace.retry_ns : engine->pace.sync_ns);
}

static void sync_check(struct engine *engine)
{
	const struct model *model = &engine->model;

	if (!engine->syncing || engine->sync_left)
		return;
	/* The networks that the list named are a part of it. */
	for (size_t i = 0; i < model->nr_networks; i++) {
		if (model->network[i]->sync)
			return;
	}
	sync_ended(engine);
}

static bool has_containers(const struct network *network)
{
	return !network->driver ||
	       (strcmp(network->driver, "host") != 0 && strcmp(network->driver, "null") != 0);
}

/* ---- answers ---- */

static int take_networks(struct engine *engine, const struct ask *ask, const json_t *answer)
{
	bool again;
	int err = model_networks(&engine->model, answer, ask->moment, &again);

	for (size_t i = 0; i < engine->model.nr_networks && !err; i++) {
		if (!has_containers(engine->model.network[i]))
			continue;
		ask_network(engine, engine->model.network[i]);
		engine->model.network[i]->sync = true;
	}
	if (again)
		engine->resync = true;
	return err;
}

static int take_containers(struct engine *engine, const struct ask *ask, const json_t *answer)
{
	struct container *container;
	bool again;
	int err = model_containers(&engine->model, answer, ask->id, ask->moment, &again);

	if (err || !again)
		return err;
	if (!ask->id) {
		engine->resync = true;
		return 0;
	}
	container = model_container(&engine->model, ask->id);
	if (container)
		container->again = true;
	return 0;
}

static int take_network(struct engine *engine, const struct ask *ask, const json_t *answer)
{
	struct network *network;
	const char *id = json_string_value(json_object_get(answer, "Id"));
	bool again;
	int err = -EPROTO;

	if (id && strcmp(id, ask->id) == 0)
		err = model_attached(&engine->model, answer, ask->moment, &again);
	network = err ? NULL : model_network(&engine->model, ask->id);
	if (network && again)
		network->again = true;
	return err;
}

static int take(struct engine *engine, const struct ask *ask, const char *body, size_t len)
{
	json_t *answer;
	int err;

	if (ask->kind == ASK_PING)
		return 0;
	answer = json_loadb(body, len, 0, NULL);
	if (!answer)
		return -EPROTO;
	if (ask->kind == ASK_NETWORKS)
		err = take_networks(engine, ask, answer);
	else if (ask->kind == ASK_NETWORK)
		err = take_network(engine, ask, answer);
	else
		err = take_containers(engine, ask, answer);
	json_decref(answer);
	return err;
}

/* The question about one object is over; there may have been another while it was under way. */
static void ask_over(struct engine *engine, const struct ask *ask)
{
	if (ask->kind == ASK_NETWORK) {
		struct network *network = model_network(&engine->model, ask->id);

		engine->nr_network_asks--;
		if (!network)
			return;
		network->asked = false;
		if (network->again)
			ask_network(engine, network);
		else
			network->sync = false;
		network->again = false;
	}
	if (ask->kind == ASK_CONTAINER) {
		struct container *container = model_container(&engine->model, ask->id);

		engine->nr_container_asks--;
		if (!container)
			return;
		container->asked = false;
		if (container->again)
			ask_container(engine, container);
		container->again = false;
	}
}

/* One network that its driver cannot tell about is no reason to do without all the others. */
static bool excused(struct engine *engine, const struct ask *ask, long status)
{
	struct network *network;

	if (ask->kind != ASK_NETWORK || status < 400)
		return false;
	if (status == 404) {
		model_network_gone(&engine->model, ask->id, ask->moment);
		return true;
	}
	network = model_network(&engine->model, ask->id);
	if (network)
		network->failed = true;
	return true;
}

static void unlink_ask(struct engine *engine, struct ask *ask)
{
	struct ask **link = &engine->ask;

	while (*link && *link != ask)
		link = &(*link)->next;
	if (*link)
		*link = ask->next;
}

static void answered(void *arg, int err, long status, const char *body, size_t len)
{
	struct ask *ask = arg;
	struct engine *engine = ask->engine;
	const char *what = what_of(ask->kind);
	bool stream = ask->kind == ASK_EVENTS;

	unlink_ask(engine, ask);
	if (!err)
		engine->contact_ns = loop_realtime_ns();
	if (stream) /* it never ends well */
		err = err ? err : -ECONNRESET;
	if (!err && status == 200)
		err = take(engine, ask, body, len);
	else if (!err)
		err = excused(engine, ask, status) ? 0 : -EBADMSG;
	ask_over(engine, ask);
	if (!err && ask->of_sync)
		engine->sync_left--;
	free(ask->id);
	free(ask);
	if (err) {
		away_because(engine, what, err == -EBADMSG ? 0 : err, status);
		return;
	}
	next_asks(engine);
	sync_check(engine);
}

/* ---- the stream ---- */

static void take_event(struct engine *engine, const char *line, size_t len)
{
	json_t *event = json_loadb(line, len, 0, NULL);
	const char *id = NULL;
	enum model_need need;

	if (!event) {
		away(engine, "GET /events: the stream makes no sense");
		return;
	}
	need = model_event(&engine->model, event, &id);
	if (need == MODEL_CONTAINERS)
		sync_begin(engine);
	else if (need == MODEL_NETWORK)
		ask_network(engine, model_network(&engine->model, id));
	else if (need == MODEL_CONTAINER)
		ask_container(engine, model_container(&engine->model, id));
	json_decref(event);
}

static bool keep(struct engine *engine, const char *data, size_t len)
{
	char *grown;

	if (len > LINE_MAX_BYTES - engine->len)
		return false;
	grown = realloc(engine->line, engine->len + len + 1);
	if (!grown)
		return false;
	memcpy(grown + engine->len, data, len);
	engine->line = grown;
	engine->len += len;
	return true;
}

static void stream_data(void *arg, const char *data, size_t len)
{
	const struct ask *ask = arg;
	struct engine *engine = ask->engine;

	while (len && engine->phase == ENGINE_FOLLOWING) {
		const char *end = memchr(data, '\n', len);
		size_t part = end ? (size_t)(end - data) : len;

		if (!keep(engine, data, part)) {
			away(engine, "GET /events: an event that never ends");
			return;
		}
		if (!end)
			return;
		data += part + 1;
		len -= part + 1;
		part = engine->len;
		engine->len = 0;
		if (strspn(engine->line, " \t\r") < part)
			take_event(engine, engine->line, part);
	}
	if (engine->phase == ENGINE_FOLLOWING)
		next_asks(engine);
}

static void stream_opened(void *arg, long status)
{
	const struct ask *ask = arg;
	struct engine *engine = ask->engine;

	if (status != 200) {
		away_because(engine, what_of(ASK_EVENTS), 0, status);
		return;
	}
	engine->phase = ENGINE_FOLLOWING;
	loop_timer_off(engine->loop, &engine->open);
	loop_timer_in(engine->loop, &engine->ping, engine->pace.ping_ns);
	sync_begin(engine);
}

/*
 * The engine sends the head of its answer before it subscribes us: what happens between the two is sent for `since`,
 * from the last few hundred events that it keeps. Its clock is ours.
 */
static void subscribe(void *arg)
{
	struct engine *engine = arg;
	__u64 now = loop_realtime_ns();
	char path[200];

	engine->phase = ENGINE_SUBSCRIBING;
	engine->len = 0;
	model_begin(&engine->model);
	snprintf(
	    path, sizeof(path),
	    "/events?since=%llu.%09llu&filters=%%7B%%22type%%22%%3A%%5B%%22container%%22%%2C%%22network%%22%%5D%%7D",
	    (unsigned long long)(now / UNITS_NS_PER_S), (unsigned long long)(now % UNITS_NS_PER_S));
	loop_timer_in(engine->loop, &engine->open, engine->pace.open_ns);
	send_ask(engine, ASK_EVENTS, NULL, path, false);
}

static void open_late(void *arg)
{
	away_because(arg, what_of(ASK_EVENTS), -ETIMEDOUT, 0);
}

static void ping(void *arg)
{
	struct engine *engine = arg;

	loop_timer_in(engine->loop, &engine->ping, engine->pace.ping_ns);
	for (const struct ask *ask = engine->ask; ask; ask = ask->next) {
		if (ask->kind == ASK_PING)
			return; /* it has its own time limit */
	}
	send_ask(engine, ASK_PING, NULL, "/_ping", false);
}

static void sync_due(void *arg)
{
	sync_begin(arg);
}

/* ---- outside ---- */

int engine_open(struct loop *loop, const char *socket, struct engine **ret)
{
	struct engine *engine = calloc(1, sizeof(*engine));
	int err;

	if (!engine)
		return -ENOMEM;
	engine->loop = loop;
	engine->pace = (struct engine_pace){ENGINE_PING_NS, ENGINE_SYNC_NS, ENGINE_RETRY_NS,
					    OPEN_NS, ENGINE_TIMEOUT_MS};
	engine->socket = strdup(socket);
	err = engine->socket ? http_open(loop, socket, &engine->http) : -ENOMEM;
	if (err) {
		free(engine->socket);
		free(engine);
		return err;
	}
	loop_timer_add(loop, &engine->retry, subscribe, engine);
	loop_timer_add(loop, &engine->open, open_late, engine);
	loop_timer_add(loop, &engine->ping, ping, engine);
	loop_timer_add(loop, &engine->sync, sync_due, engine);
	*ret = engine;
	return 0;
}

void engine_close(struct engine *engine)
{
	if (!engine)
		return;
	engine_stop(engine);
	http_close(engine->http);
	loop_timer_remove(engine->loop, &engine->retry);
	loop_timer_remove(engine->loop, &engine->open);
	loop_timer_remove(engine->loop, &engine->ping);
	loop_timer_remove(engine->loop, &engine->sync);
	free(engine->line);
	free(engine->socket);
	free(engine);
}

struct engine_pace *engine_pace(struct engine *engine)
{
	return &engine->pace;
}

void engine_start(struct engine *engine)
{
	if (engine->phase != ENGINE_OFF)
		return;
	engine->phase = ENGINE_AWAY;
	engine->retry_ns = engine->pace.retry_ns;
	loop_timer_in(engine->loop, &engine->retry, 0);
}

void engine_stop(struct engine *engine)
{
	forget_asks(engine);
	model_clear(&engine->model);
	loop_timer_off(engine->loop, &engine->retry);
	loop_timer_off(engine->loop, &engine->open);
	loop_timer_off(engine->loop, &engine->ping);
	loop_timer_off(engine->loop, &engine->sync);
	engine->phase = ENGINE_OFF;
	engine->known = engine->tried = engine->fresh = false;
	engine->since_ns = 0;
	say(engine, "");
}

void engine_remember(struct engine *engine, struct model *model, __u64 since_ns)
{
	model_clear(&engine->model);
	engine->model = *model;
	engine->known = true;
	engine->since_ns = since_ns;
}

void engine_view(const struct engine *engine, struct engine_view *ret)
{
	*ret = (struct engine_view){
	    .model = (struct model *)&engine->model,
	    .known = engine->known,
	    .connected = engine->fresh,
	    .syncing = engine->syncing && !engine->fresh,
	    .tried = engine->tried,
	    .since_ns = engine->fresh ? loop_realtime_ns() : engine->since_ns,
	    .error = *engine->error ? engine->error : NULL,
	    .asked = engine->asked,
	    .asking = engine->queued || engine->nr_network_asks || engine->nr_container_asks,
	    .changes = engine->changes,
	};
}
