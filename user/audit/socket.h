/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Followers: the reader serves its lines on a unix socket to `weir audit -f`.
 *
 * A stream of JSON lines, from the moment of connecting on. Besides audit lines it carries {"note": TEXT}: why a
 * follower is turned away. What a follower sends is read and thrown away. The server never waits for anybody.
 */
#ifndef WEIR_AUDIT_SOCKET_H
#define WEIR_AUDIT_SOCKET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/diag.h"
#include "weir/tables.h"

#define FOLLOWERS_MAX	    16
#define FOLLOWER_QUEUE_MAX  (256 * 1024) /* bytes that wait for one follower before it is dropped */
#define FOLLOWER_GOODBYE_NS 5000000000ULL /* for a follower to read why it is dropped */

struct follow_server;

/**
 * follow_listen() - serve at @path (mode 0600); its directory is made (0750) when missing.
 * A socket there on which nobody listens any more is replaced; one that is served is -EADDRINUSE. Only peers with our
 * own user id or root's are let in (SO_PEERCRED), whatever the mode of the file has become.
 */
int follow_listen(const char *path, struct follow_server **ret, struct diag *diag);

/**
 * follow_poll() - accept, send what waits, drop who is gone. Never blocks.
 * @now_ns: CLOCK_MONOTONIC
 */
void follow_poll(struct follow_server *server, __u64 now_ns);

/** follow_send() - queue one line, newline included, for every follower; who is too slow for it is dropped. */
void follow_send(struct follow_server *server, const char *line, size_t len, __u64 now_ns);

/** follow_count() - followers connected. follow_dropped() - who was too slow or too many, ever. */
size_t follow_count(const struct follow_server *server);
__u64 follow_dropped(const struct follow_server *server);

/** follow_close() - end all connections and remove the socket, unless another server has taken its place. */
void follow_close(struct follow_server *server);

/** follow_connect() - be a follower of the server at @path. Returns a descriptor; -ENOENT, -ECONNREFUSED: none there. */
int follow_connect(const char *path);

#endif
