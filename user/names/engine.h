/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The container engine behind its socket (Docker's API, which Podman speaks too): subscribe first, then ask for
 * everything, then one small question per event that needs one.
 *
 * A half-dead engine: its stream of events is silent when nothing happens, so it tells nothing. Every ENGINE_PING_NS the
 * engine is asked something small; no answer in time means that it is gone, as does the end of the stream. Everything
 * is asked for anew every ENGINE_SYNC_NS, since an engine throws events away when its reader is slow.
 */
#ifndef WEIR_NAMES_ENGINE_H
#define WEIR_NAMES_ENGINE_H

#include "names/http.h"
#include "names/model.h"

#define ENGINE_PING_NS	    (10 * UNITS_NS_PER_S)
#define ENGINE_SYNC_NS	    (300 * UNITS_NS_PER_S)
#define ENGINE_RETRY_NS	    (100 * UNITS_NS_PER_MS) /* then twice as long each time, up to */
#define ENGINE_RETRY_MAX_NS (5 * UNITS_NS_PER_S)
#define ENGINE_TIMEOUT_MS   10000 /* of an answer */
#define ENGINE_ASKS \
	4 /* questions about networks under way at the same time; as many about containers */

struct engine;

/** engine_open() - nothing happens before engine_start(). @socket: a path. */
int engine_open(struct loop *loop, const char *socket, struct engine **ret);
void engine_close(struct engine *engine);

/** struct engine_pace - how long things take; tests are in a hurry. */
struct engine_pace {
	__u64 ping_ns, sync_ns, retry_ns, open_ns;
	unsigned int timeout_ms;
};
struct engine_pace *engine_pace(struct engine *engine);

void engine_start(struct engine *engine);
void engine_stop(struct engine *engine); /* forgets everything */

/** struct engine_view - what is known; borrowed. */
struct engine_view {
	struct model *model;
	bool known;	/* the model was complete once */
	bool connected; /* it is followed */
	bool syncing;	/* after a new connection: the model is half old, half new */
	bool tried;	/* the first attempt succeeded or failed */
	bool asking;	/* questions after single events are under way */
	__u64
	    since_ns; /* CLOCK_REALTIME of the last moment at which it was known to be current; 0: never */
	const char *error;
	__u64 asked;   /* questions in all, for tests and measurements */
	__u64 changes; /* counts changes of connected and error */
};
void engine_view(const struct engine *engine, struct engine_view *ret);

/** engine_remember() - @model (taken over) is what a predecessor knew at @since_ns. */
void engine_remember(struct engine *engine, struct model *model, __u64 since_ns);

#endif
