/* SPDX-License-Identifier: GPL-2.0-only */
/* HTTP GET over a unix socket, several at a time, without waiting for any (libcurl's multi interface). */
#ifndef WEIR_NAMES_HTTP_H
#define WEIR_NAMES_HTTP_H

#include "names/loop.h"

#define HTTP_ANSWER_MAX (16 << 20) /* more is refused: -EFBIG */

struct http;
struct http_request;

/** struct http_handler - what a request leads to. None is called from within http_get() or http_cancel(). */
struct http_handler {
	/*
	 * @done: the answer is complete, or @err says why there is none: -ECONNREFUSED, -ENOENT, -EACCES, -ENOTSOCK
	 * (no connection), -ETIMEDOUT,
	 * -EFBIG, -ECONNRESET (cut short), -EPROTO (no HTTP), -ENOMEM. The request is gone when it returns.
	 */
	void (*done)(void *arg, int err, long status, const char *body, size_t len);
	/* Streams: the head of the answer is there; more of the body is there, never empty. NULL: no stream. */
	void (*opened)(void *arg, long status);
	void (*data)(void *arg, const char *data, size_t len);
	void *arg;
};

int http_open(struct loop *loop, const char *socket, struct http **ret);
void http_close(struct http *http); /* cancels what is under way */

/**
 * http_get() - ask for @path (begins with '/', already escaped).
 * @timeout_ms: for the whole answer; 0: none, for streams
 */
int http_get(struct http *http, const char *path, unsigned int timeout_ms,
	     const struct http_handler *handler, struct http_request **ret);

/** http_cancel() - no more is heard of it. May be called from any handler, also its own. */
void http_cancel(struct http_request *request);

#endif
