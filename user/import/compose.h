/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside the import of compose files: text to nodes, nodes of several files to one, that to a project. */
#ifndef WEIR_IMPORT_COMPOSE_H
#define WEIR_IMPORT_COMPOSE_H

#include <linux/types.h>

#include "base/arena.h"
#include "import/import.h"

#define YAML_MAX_DEPTH 64
#define YAML_MAX_NODES (1 << 17) /* counting what merge keys repeat */

enum ykind { Y_SCALAR, Y_LIST, Y_MAP };

/**
 * struct ynode - a scalar, a list or a mapping. Aliases are pointers to one node, so nodes do not change once read.
 * @text:     of a scalar, as written; ytext() puts variables in
 * @expanded: what ytext() made of it, NULL: nobody asked
 * @key:      of a mapping: n scalars, n values
 * @value:    entries of a list, values of a mapping
 * @replace:  tag !override: is not merged with what an earlier file says
 * @reset:    tag !reset: what an earlier file says goes
 */
struct ynode {
	enum ykind kind;
	bool quoted, replace, reset;
	struct position at;
	const char *text;
	const char *expanded;
	struct ynode **key;
	struct ynode **value;
	size_t n, room;
};

/** struct variable - from the environment file; the process's environment comes first. */
struct variable {
	const char *name, *value;
};

/**
 * struct import - what is known while files are read; all memory is in @arena and goes at once.
 * @directory: of the project, where .env is and whose name it may have
 * @reported:  names of variables that were found unset, each said once
 */
struct import {
	const struct import_options *options;
	struct diag *diag;
	struct arena arena;
	const char *directory;
	size_t nr_nodes;
	struct variable *variable;
	size_t nr_variables, variable_room;
	const char **reported;
	size_t nr_reported, reported_room;
};

/* import_fail() - `return import_fail(im, &node->at, "…")`: note the error, return -EINVAL. */
#define import_fail(im, at, ...) diag_fail((im)->diag, -EINVAL, at, __VA_ARGS__)

/* Memory that lives as long as the import; zeroed. NULL: none left. */
void *import_alloc(struct import *im, size_t size);
char *import_text(struct import *im, const char *text, size_t len);
char *import_format(struct import *im, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/** import_append() - one more element, zeroed, at the end of @array (address of the pointer), or NULL. */
void *import_append(struct import *im, void *array, size_t *n, size_t *room, size_t size);

/** file_read() - a whole file, at most IMPORT_MAX_BYTES; "-" is standard input. -errno with @diag. */
int file_read(struct import *im, const char *path, char **ret, size_t *ret_len);

/** yaml_read() - one document with anchors, aliases and merge keys; *@ret NULL: the file is empty. */
int yaml_read(struct import *im, const char *text, size_t len, const char *file,
	      struct ynode **ret);
bool ynode_is_null(const struct ynode *node);
struct ynode *ynode_get(const struct ynode *map, const char *key);
struct ynode *ynode_new(struct import *im, enum ykind kind, const struct position *at);
/** ynode_put() - add (or replace) a key; ynode_add(): an entry to a list. 0 or -ENOMEM. */
int ynode_put(struct import *im, struct ynode *map, struct ynode *key, struct ynode *value);
int ynode_add(struct import *im, struct ynode *list, struct ynode *entry);
/** ynode_kind() - "a list", … for messages. */
const char *ynode_kind(const struct ynode *node);

/** variables_read() - the environment file, where there is one. */
int variables_read(struct import *im);
/** variable_get() - its value, or NULL. */
const char *variable_get(const struct import *im, const char *name);
/** ytext() - a scalar's text with variables put in; *@ret lives as long as the import. */
int ytext(struct import *im, struct ynode *node, const char *what, const char **ret);
/** ybool() - true, false and their kin. */
int ybool(struct import *im, struct ynode *node, const char *what, bool *ret);

/** merge() - @base overridden by @over, as compose merges files: mappings by key, lists added up, scalars replaced. */
int merge(struct import *im, struct ynode *base, struct ynode *over, struct ynode **ret);
/** document_read() - the files, includes and extended services read, all as one mapping. */
int document_read(struct import *im, const char *const *paths, size_t n, struct ynode **ret);

/**
 * struct port - an entry of `ports:` or `expose:`.
 * @first, @last:           ports of the container
 * @host_first, @host_last: of this host; 0: not published, or at a port that nobody knows before it starts
 * @host_ip:                NULL: all addresses of this host
 */
struct port {
	struct position at;
	const char *text;
	int proto; /* IPPROTO_TCP, UDP, SCTP */
	unsigned int first, last;
	unsigned int host_first, host_last;
	const char *host_ip;
};
struct ports {
	struct port *port;
	size_t n, room;
};

/** ports_read() - an entry of `ports:`, in either syntax; expose_read() one of `expose:`. Added to @ports. */
int ports_read(struct import *im, const char *service, struct ynode *node, struct ports *ports);
int expose_read(struct import *im, const char *service, struct ynode *node, struct ports *ports);
const char *proto_name(int proto);

/**
 * struct network - one that services may be on.
 * @key:     its name in the file; "default" may be implied
 * @engine:  its name at the engine
 * @at:      no line: implied
 * @hidden:  its traffic does not come by veths of this host (macvlan, overlay, …)
 * @isolated: its containers do not reach each other (enable_icc is false)
 * @used:    some service is on it
 * @segment: its name in the policy
 */
struct network {
	const char *key, *engine, *driver, *detail, *segment;
	struct position at;
	bool internal, external, ipv6, hidden, isolated, used;
};

enum service_mode {
	MODE_NETWORKS,
	MODE_HOST,	/* it is this host */
	MODE_NONE,	/* no network */
	MODE_SERVICE,	/* shares another's */
	MODE_CONTAINER, /* shares that of a container that is not of this project */
};

/** struct dependency - @how: "depends_on", "links" */
struct dependency {
	struct position at;
	const char *how, *on;
	size_t service;
};

/**
 * struct service - one of the project's.
 * @segment:           its name in the policy; NULL: it has no traffic that is seen here
 * @published_segment: its addresses without those on internal networks; NULL: the same
 */
struct service {
	const char *key, *detail, *segment, *published_segment;
	struct position at, mode_at;
	enum service_mode mode;
	size_t shares;	       /* MODE_SERVICE: which service */
	const char *container; /* MODE_CONTAINER */
	size_t *network;       /* indices */
	size_t nr_networks, networks_room;
	struct ports published, exposed;
	struct dependency *dependency;
	size_t nr_dependencies, dependencies_room;
};

struct project {
	const char *name;
	struct network *network;
	size_t nr_networks, networks_room;
	struct service *service;
	size_t nr_services, services_room;
};

/** project_read() - what a merged document says. */
int project_read(struct import *im, struct ynode *root, struct project *ret);
/** project_home() - the service whose networks @service is on: itself, unless it shares another's. */
const struct service *project_home(const struct project *project, const struct service *service);

/** policy_write() - the policy as text, malloc'ed. 0 or -ENOMEM. */
int policy_write(struct import *im, const struct project *project, const char *const *paths,
		 size_t nr_paths, char **ret);

#endif
