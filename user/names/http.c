// SPDX-License-Identifier: GPL-2.0-only
#include "names/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/mem.h"
#include "base/units.h"

#define BUFFER_BYTES \
	(256 << 10) /* of libcurl, per read: an answer about 1,000 containers is one or two */
#define CONNECT_TIMEOUT_MS 2000

struct http_request {
	struct http *http;
	CURL *easy;
	struct http_handler handler;
	char *body;
	size_t len, capacity;
	int err; /* of our own making */
	bool head, opened;
	bool ended, cancelled;
	CURLcode result;
	struct http_request *next;
};

struct http {
	struct loop *loop;
	CURLM *multi;
	char *socket;
	struct loop_timer timer, soon;
	struct http_request *request;
	bool serving;
};

static void serve(struct http *http);

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *of_socket)
{
	struct http *http = arg;
	uint32_t events = 0;

	if (what & CURL_POLL_IN)
		events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		events |= EPOLLOUT;
	if (what == CURL_POLL_REMOVE)
		events = 0;
	loop_watch(http->loop, LOOP_HTTP, fd, events);
	return 0;
}

static int on_timer(CURLM *multi, long ms, void *arg)
{
	struct http *http = arg;

	if (ms < 0)
		loop_timer_off(http->loop, &http->timer);
	else
		loop_timer_in(http->loop, &http->timer, ms * UNITS_NS_PER_MS);
	return 0;
}

static void ready(void *arg, int fd, uint32_t events)
{
	struct http *http = arg;
	int what = 0, running;

	if (events & EPOLLIN)
		what |= CURL_CSELECT_IN;
	if (events & EPOLLOUT)
		what |= CURL_CSELECT_OUT;
	if (events & (EPOLLERR | EPOLLHUP))
		what |= CURL_CSELECT_ERR | CURL_CSELECT_IN;
	curl_multi_socket_action(http->multi, fd, what, &running);
	serve(http);
}

static void timed_out(void *arg)
{
	struct http *http = arg;
	int running;

	curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	serve(http);
}

static void serve_soon(void *arg)
{
	serve(arg);
}

int http_open(struct loop *loop, const char *socket, struct http **ret)
{
	struct http *http = calloc(1, sizeof(*http));

	if (!http)
		return -ENOMEM;
	http->loop = loop;
	http->socket = strdup(socket);
	http->multi = curl_multi_init();
	if (!http->socket || !http->multi) {
		http_close(http);
		return -ENOMEM;
	}
	loop_handler(loop, LOOP_HTTP, ready, http);
	loop_timer_add(loop, &http->timer, timed_out, http);
	loop_timer_add(loop, &http->soon, serve_soon, http);
	curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
	*ret = http;
	return 0;
}

static void release(struct http_request *request)
{
	if (request->easy) {
		curl_multi_remove_handle(request->http->multi, request->easy);
		curl_easy_cleanup(request->easy);
	}
	free(request->body);
	free(request);
}

void http_close(struct http *http)
{
	if (!http)
		return;
	while (http->request) {
		struct http_request *request = http->request;

		http->request = request->next;
		release(request);
	}
	if (http->multi)
		curl_multi_cleanup(http->multi);
	if (http->loop) {
		loop_timer_remove(http->loop, &http->timer);
		loop_timer_remove(http->loop, &http->soon);
	}
	free(http->socket);
	free(http);
}

static bool append(struct http_request *request, const char *data, size_t len)
{
	size_t want = request->capacity ? request->capacity : 16384;
	char *grown;

	if (len > HTTP_ANSWER_MAX - request->len) {
		request->err = -EFBIG;
		return false;
	}
	while (want < request->len + len + 1)
		want *= 2;
	if (want != request->capacity) {
		grown = realloc(request->body, want);
		if (!grown) {
			request->err = -ENOMEM;
			return false;
		}
		request->body = grown;
		request->capacity = want;
	}
	memcpy(request->body + request->len, data, len);
	request->len += len;
	request->body[request->len] = '\0';
	return true;
}

/* Within libcurl no other request may be begun or ended: what arrives is handed on by serve(). */
static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	return append(arg, data, size * n) ? size * n : 0;
}

static size_t on_head(char *line, size_t size, size_t n, void *arg)
{
	struct http_request *request = arg;
	size_t len = size * n;

	if (len <= 2 && (len == 0 || line[0] == '\r' || line[0] == '\n'))
		request->head = true;
	return len;
}

static int prepare(struct http_request *request, const char *path, unsigned int timeout_ms)
{
	static const char host[] = "http://engine";
	_cleanup_free_ char *url = malloc(sizeof(host) + strlen(path));
	CURL *easy = curl_easy_init();

	request->easy = easy;
	if (!easy || !url)
		return -ENOMEM;
	strcpy(url, host);
	strcat(url, path);
	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, request->http->socket);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http");
	curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* whatever http_proxy says */
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "weir/" WEIR_VERSION);
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)BUFFER_BYTES);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, request);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_head);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, request);
	curl_easy_setopt(easy, CURLOPT_PRIVATE, request);
	return curl_multi_add_handle(request->http->multi, easy) == CURLM_OK ? 0 : -ENOMEM;
}

int http_get(struct http *http, const char *path, unsigned int timeout_ms,
	     const struct http_handler *handler, struct http_request **ret)
{
	struct http_request *request = calloc(1, sizeof(*request));
	int err;

	if (!request)
		return -ENOMEM;
	request->http = http;
	request->handler = *handler;
	err = prepare(request, path, timeout_ms);
	if (err) {
		release(request);
		return err;
	}
	request->next = http->request;
	http->request = request;
	*ret = request;
	return 0;
}

void http_cancel(struct http_request *request)
{
	request->cancelled = true;
	loop_timer_in(request->http->loop, &request->http->soon, 0);
}

static int error_of(const struct http_request *request)
{
	long error = 0;

	if (request->err)
		return request->err;
	switch (request->result) {
	case CURLE_OK:
		return 0;
	case CURLE_COULDNT_CONNECT:
		curl_easy_getinfo(request->easy, CURLINFO_OS_ERRNO, &error);
		return error == ENOENT || error == EACCES || error == ENOTSOCK ? -(int)error
									       : -ECONNREFUSED;
	case CURLE_OPERATION_TIMEDOUT:
		return -ETIMEDOUT;
	case CURLE_OUT_OF_MEMORY:
		return -ENOMEM;
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_GOT_NOTHING:
	case CURLE_PARTIAL_FILE:
		return -ECONNRESET;
	default:
		return -EPROTO;
	}
}

/* Hand on what libcurl has left for one request. Its handler may cancel any, and begin others. */
static void hand_on(struct http_request *request)
{
	const struct http_handler *handler = &request->handler;
	long status = 0;

	curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
	if (handler->opened && request->head && !request->opened) {
		request->opened = true;
		handler->opened(handler->arg, status);
	}
	if (handler->data && request->len && !request->cancelled) {
		size_t len = request->len;

		request->len = 0;
		handler->data(handler->arg, request->body, len);
	}
	if (request->ended && !request->cancelled) {
		request->cancelled = true;
		handler->done(handler->arg, error_of(request), status,
			      request->body ? request->body : "", request->len);
	}
}

static void serve(struct http *http)
{
	CURLMsg *message;
	int left;

	if (http->serving)
		return;
	http->serving = true;
	while ((message = curl_multi_info_read(http->multi, &left))) {
		struct http_request *request;
		char *private = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
		request = (struct http_request *)private;
		request->result = message->data.result;
		request->ended = true;
	}
	for (struct http_request *request = http->request; request; request = request->next) {
		if (!request->cancelled)
			hand_on(request);
	}
	for (struct http_request **link = &http->request; *link;) {
		struct http_request *request = *link;

		if (request->cancelled) {
			*link = request->next;
			release(request);
		} else {
			link = &request->next;
		}
	}
	http->serving = false;
}
