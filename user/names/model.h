/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the engine has said: containers, networks, who is attached where. No input or output here: answers and events go
 * in with the moment at which they were asked for, and come out as one consistent picture.
 *
 * How Docker goes about it (20.10, seen by asking at every event; 26 has the same order):
 *
 *	network connect		the endpoint has its address; the veth pair exists, its outer end is up and a port of the
 *				bridge, its inner end still lies in the host's namespace. The first process runs some
 *				200 ms later: this is the event to bind by.
 *	container start		the process runs already
 *	container die		the process is gone, its veth lives for another 20 to 50 ms
 *	network disconnect	the veth is gone (twice, where a running container is disconnected by hand)
 *	container stop, destroy
 *
 * What answers meanwhile:
 *
 *	GET /networks/ID	lists the endpoint from `connect` on and until after `die`: the truth, but for dead containers
 *	GET /containers/json	knows no address before `start`, and keeps the old ones until after `disconnect`
 *	GET /containers/ID/json	waits for the container's lock, which a start holds until its process runs: never asked
 *
 * So names and labels come from events and lists of containers, addresses from networks; lists of containers give
 * addresses only of a running container that no network told of (engines without events of networks).
 *
 * An answer that was asked for before an event came says nothing about that event's container: it is skipped, and the
 * caller is told to ask again.
 */
#ifndef WEIR_NAMES_MODEL_H
#define WEIR_NAMES_MODEL_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "base/addr.h"

#define MODEL_DESTROYED 256
#define MODEL_MAX_OBJECTS \
	65536 /* containers, and networks; an engine that has more is not believed */

/**
 * struct network - @label: of compose, com.docker.compose.network; NULL: none
 *
 * @event:  model.moment of the last event about it
 * @failed: the engine could not say who is attached
 * @queued, @asked, @again: for the caller: to be asked for; being asked for; needs another question after that
 * @sync:   for the caller: a full picture lacks it
 */
struct network {
	char *id, *name, *label, *driver;
	struct prefix *subnet;
	size_t nr_subnets;
	__u64 event;
	bool listed, failed;
	bool queued, asked, again, sync;
};

/** struct attachment - @n 0: attached without an address (the network "host"). */
struct attachment {
	struct network *network;
	struct prefix address[2];
	size_t n;
	bool listed;
};

/**
 * struct container - @project, @service: labels of compose; NULL: none
 *
 * @shares:      ID or name of the container whose network it uses; NULL: none
 * @own_network: networks tell of its endpoints; false: host, none, or another's
 * @running:     as far as known; a new one counts as running
 * @dead:        it died: an endpoint that is still listed does not count
 * @event:       model.moment of the last event that concerns its endpoints, or made it known
 * @renamed:     likewise its name
 * @queued, @asked, @again: as in struct network
 */
struct container {
	char *id, *name, *project, *service, *shares;
	bool own_network, running, dead, listed;
	bool queued, asked, again;
	__u64 event, renamed;
	struct attachment *endpoint;
	size_t nr_endpoints;
};

/**
 * struct model - containers and networks, each sorted by id.
 * @moment:    counts events
 * @revision:  changes whenever what follows from it might
 * @destroyed: the last objects that were destroyed, in a ring: older answers do not bring them back
 */
struct model {
	struct container **container;
	size_t nr_containers;
	struct network **network;
	size_t nr_networks;
	__u64 moment, revision;
	struct {
		char *id;
		__u64 moment;
	} destroyed[MODEL_DESTROYED];
	unsigned int next_destroyed;
};

void model_clear(struct model *model);
struct container *model_container(const struct model *model, const char *id);
struct network *model_network(const struct model *model, const char *id);

/** enum model_need - what to ask next because of an event, or because an answer came too early. */
enum model_need {
	MODEL_NOTHING,
	MODEL_NETWORK,	  /* GET /networks/ID */
	MODEL_CONTAINER,  /* GET /containers/json, of this one */
	MODEL_CONTAINERS, /* everything: something cannot be understood */
};

/**
 * model_event() - take over an event (one object of GET /events).
 * @ret_id: of the object to ask for, borrowed from the model
 */
enum model_need model_event(struct model *model, const json_t *event, const char **ret_id);

/* Answers; @asked is model.moment as it was when the question was sent. 0; -EPROTO: it is no such answer; -ENOMEM. */

/** model_networks() - GET /networks: all of them. Networks that it does not name are gone. */
int model_networks(struct model *model, const json_t *answer, __u64 asked, bool *ret_again);

/** model_attached() - GET /networks/ID. @ret_again: events came meanwhile, ask once more. */
int model_attached(struct model *model, const json_t *answer, __u64 asked, bool *ret_again);

/**
 * model_containers() - GET /containers/json?all=1, of all (@only NULL) or of one ID; who is not named is gone.
 * @ret_again: events came meanwhile
 */
int model_containers(struct model *model, const json_t *answer, const char *only, __u64 asked,
		     bool *ret_again);

/** model_network_gone() - the engine knows no such network (any more), unless an event said otherwise since @asked. */
void model_network_gone(struct model *model, const char *id, __u64 asked);

/** model_begin() - a new connection: what was said about deaths before is no longer relevant. */
void model_begin(struct model *model);

/** model_addresses() - append those of @container, or of the one whose network it shares, to @list (by mem_append()). */
int model_addresses(const struct model *model, const struct container *container,
		    struct prefix **list, size_t *n);

/** model_save(), model_load() - for the next process. model_load() returns -EPROTO and leaves an empty model. */
json_t *model_save(const struct model *model);
int model_load(struct model *model, const json_t *saved);

#endif
