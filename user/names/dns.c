// SPDX-License-Identifier: GPL-2.0-only
#include "names/dns.h"

#include <ares.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include "base/mem.h"

#define TRY_MS 2000 /* c-ares lengthens it from try to try */
#define TRIES  3

/* One family of one host: its last answer, and how the question under way ends. */
struct family {
	struct dns_host *host;
	int family;
	struct prefix *address; /* sorted */
	size_t n;
	bool asking;
	int status; /* of c-ares */
	__u32 ttl_s;
	struct prefix *fresh;
	size_t nr_fresh;
};

struct dns_host {
	struct dns *dns;
	char *name;
	struct family family[2];
	struct prefix *address; /* both */
	size_t n;
	bool known, tried, removed;
	__u64 since_ns, expires_ns; /* CLOCK_REALTIME */
	__u64 due_ns;		    /* CLOCK_BOOTTIME */
	__u64 retry_ns;
	char error[128];
	struct dns_host *next;
};

struct dns {
	struct loop *loop;
	ares_channel channel;
	char *servers;
	struct stat resolv; /* resolv.conf as it was when the channel was made */
	struct dns_host *host;
	struct loop_timer due, timeout;
	__u64 revision, said;
	size_t asking;
	bool inside; /* c-ares is calling us */
};

/* ---- c-ares in our loop ---- */

static void time_out_later(struct dns *dns)
{
	struct timeval tv, *next = ares_timeout(dns->channel, NULL, &tv);

	if (next)
		loop_timer_in(dns->loop, &dns->timeout,
			      next->tv_sec * UNITS_NS_PER_S + next->tv_usec * 1000ULL);
	else
		loop_timer_off(dns->loop, &dns->timeout);
}

static void on_socket(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct dns *dns = arg;

	loop_watch(dns->loop, LOOP_DNS, fd, (readable ? EPOLLIN : 0) | (writable ? EPOLLOUT : 0));
}

static void reap(struct dns *dns);

static void process(struct dns *dns, ares_socket_t readable, ares_socket_t writable)
{
	dns->inside = true;
	ares_process_fd(dns->channel, readable, writable);
	dns->inside = false;
	reap(dns);
	time_out_later(dns);
}

static void ready(void *arg, int fd, uint32_t events)
{
	process(arg, events & (EPOLLIN | EPOLLERR | EPOLLHUP) ? fd : ARES_SOCKET_BAD,
		events & EPOLLOUT ? fd : ARES_SOCKET_BAD);
}

static void timed_out(void *arg)
{
	process(arg, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

static int channel_open(struct dns *dns)
{
	struct ares_options options = {
	    .flags = ARES_FLAG_NOSEARCH,
	    .timeout = TRY_MS,
	    .tries = TRIES,
	    .sock_state_cb = on_socket,
	    .sock_state_cb_data = dns,
	};
	int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
	int status;

#ifdef ARES_OPT_QUERY_CACHE
	/* A cache below us would give answers whose age nobody knows. */
	options.qcache_max_ttl = 0;
	mask |= ARES_OPT_QUERY_CACHE;
#endif
	memset(&dns->resolv, 0, sizeof(dns->resolv));
	stat("/etc/resolv.conf", &dns->resolv);
	status = ares_init_options(&dns->channel, &options, mask);
	if (status != ARES_SUCCESS) {
		dns->channel = NULL;
		return status == ARES_ENOMEM ? -ENOMEM : -EIO;
	}
	if (dns->servers && ares_set_servers_ports_csv(dns->channel, dns->servers) != ARES_SUCCESS)
		return -EINVAL;
	return 0;
}

static void channel_close(struct dns *dns)
{
	if (!dns->channel)
		return;
	dns->inside = true;
	ares_destroy(dns->channel);
	dns->inside = false;
	dns->channel = NULL;
}

/* Servers change with the network; c-ares reads them once a channel. */
static int channel_fresh(struct dns *dns)
{
	struct stat now = {0};

	stat("/etc/resolv.conf", &now);
	if (dns->channel &&
	    (dns->asking || (now.st_ino == dns->resolv.st_ino && now.st_dev == dns->resolv.st_dev &&
			     now.st_size == dns->resolv.st_size &&
			     now.st_mtim.tv_sec == dns->resolv.st_mtim.tv_sec &&
			     now.st_mtim.tv_nsec == dns->resolv.st_mtim.tv_nsec)))
		return 0;
	channel_close(dns);
	return channel_open(dns);
}

/* ---- answers ---- */

static void host_free(struct dns_host *host)
{
	for (int i = 0; i < 2; i++) {
		free(host->family[i].address);
		free(host->family[i].fresh);
	}
	free(host->address);
	free(host->name);
	free(host);
}

/* Hosts that were removed while c-ares still had a question of theirs. */
static void reap(struct dns *dns)
{
	for (struct dns_host **link = &dns->host; *link;) {
		struct dns_host *host = *link;

		if (!host->removed || host->family[0].asking || host->family[1].asking) {
			link = &host->next;
			continue;
		}
		*link = host->next;
		host_free(host);
	}
}

static void wake_later(struct dns *dns)
{
	__u64 first = 0, now = loop_now_ns();

	for (const struct dns_host *host = dns->host; host; host = host->next) {
		if (host->due_ns && !host->removed && (!first || host->due_ns < first))
			first = host->due_ns;
	}
	if (first)
		loop_timer_in(dns->loop, &dns->due, first > now ? first - now : 0);
	else
		loop_timer_off(dns->loop, &dns->due);
}

static void say(struct dns_host *host, const char *text)
{
	if (strcmp(host->error, text) == 0)
		return;
	snprintf(host->error, sizeof(host->error), "%s", text);
	host->dns->said++;
	host->dns->revision++;
}

static bool is_nobody(int status)
{
	return status == ARES_ENOTFOUND || status == ARES_ENODATA || status == ARES_ENONAME;
}

static void join_families(struct dns_host *host)
{
	size_t n = host->family[0].n + host->family[1].n;
	struct prefix *list = calloc(n + 1, sizeof(*list));

	if (!list)
		return;
	for (size_t i = 0, at = 0; i < 2; at += host->family[i++].n) {
		if (host->family[i].n)
			memcpy(list + at, host->family[i].address,
			       host->family[i].n * sizeof(*list));
	}
	n = prefix_sort(list, n);
	if (n != host->n || (n && memcmp(list, host->address, n * sizeof(*list))))
		host->dns->revision++;
	free(host->address);
	host->address = list;
	host->n = n;
}

static void take_family(struct family *family)
{
	free(family->address);
	family->address = TAKE_PTR(family->fresh);
	family->n = family->nr_fresh;
	family->nr_fresh = 0;
}

static void again_in(struct dns_host *host, __u64 ns)
{
	host->due_ns = loop_now_ns() + ns;
	host->expires_ns = loop_realtime_ns() + ns;
	host->dns->revision++;
}

/* Neither family has an address: is that so, or is it only not known? The last answer stays either way. */
static void failed(struct dns_host *host)
{
	const struct family *family = host->family;
	bool nobody = is_nobody(family[0].status) && is_nobody(family[1].status);
	int status = is_nobody(family[0].status) ? family[1].status : family[0].status;

	if (!nobody)
		say(host, ares_strerror(status));
	else if (family[0].status == ARES_ENODATA || family[1].status == ARES_ENODATA)
		say(host, "the host has no address");
	else
		say(host, "no such host (NXDOMAIN)");
	again_in(host, host->retry_ns);
	host->retry_ns *= 2;
	if (host->retry_ns > DNS_RETRY_MAX_NS)
		host->retry_ns = DNS_RETRY_MAX_NS;
}

static void resolved(struct dns_host *host)
{
	struct family *family = host->family;
	__u64 ttl_ns = DNS_MAX_NS;
	char text[96] = "";

	for (int i = 0; i < 2; i++) {
		if (family[i].status == ARES_SUCCESS) {
			__u64 own_ns = family[i].ttl_s * UNITS_NS_PER_S;

			ttl_ns = own_ns < ttl_ns ? own_ns : ttl_ns;
			take_family(&family[i]);
		} else if (is_nobody(family[i].status)) {
			take_family(&family[i]); /* of nothing */
		} else {
			ttl_ns = host->retry_ns < ttl_ns ? host->retry_ns : ttl_ns;
			snprintf(text, sizeof(text), "IPv%d: %s",
				 family[i].family == AF_INET6 ? 6 : 4,
				 ares_strerror(family[i].status));
		}
	}
	host->known = true;
	host->retry_ns = DNS_RETRY_NS;
	host->since_ns = loop_realtime_ns();
	say(host, text);
	join_families(host);
	again_in(host, ttl_ns > DNS_MIN_NS ? ttl_ns : DNS_MIN_NS);
}

static void take_nodes(struct family *family, const struct ares_addrinfo *info)
{
	family->ttl_s = DNS_MAX_NS / UNITS_NS_PER_S;
	for (const struct ares_addrinfo_cname *alias = info->cnames; alias; alias = alias->next) {
		if (alias->ttl >= 0 && (__u32)alias->ttl < family->ttl_s)
			family->ttl_s = alias->ttl;
	}
	for (const struct ares_addrinfo_node *node = info->nodes; node; node = node->ai_next) {
		struct prefix *slot;

		if (node->ai_family != family->family || family->nr_fresh >= DNS_HOST_MAX)
			continue;
		slot = mem_append(&family->fresh, &family->nr_fresh, sizeof(*slot));
		if (!slot)
			return;
		if (node->ai_ttl >= 0 && (__u32)node->ai_ttl < family->ttl_s)
			family->ttl_s = node->ai_ttl;
		if (node->ai_family == AF_INET) {
			const struct sockaddr_in *in = (const void *)node->ai_addr;

			slot->address.byte[10] = slot->address.byte[11] = 0xff;
			memcpy(&slot->address.byte[12], &in->sin_addr, 4);
			slot->length = 32;
		} else {
			const struct sockaddr_in6 *in6 = (const void *)node->ai_addr;

			memcpy(&slot->address, &in6->sin6_addr, 16);
			slot->v6 = 1;
			slot->length = 128;
		}
	}
	family->nr_fresh = prefix_sort(family->fresh, family->nr_fresh);
}

static void answered(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
	struct family *family = arg;
	struct dns_host *host = family->host;

	family->asking = false;
	host->dns->asking--;
	family->status = status;
	if (status == ARES_SUCCESS && info && !host->removed) {
		take_nodes(family, info);
		if (!family->nr_fresh)
			family->status = ARES_ENODATA;
	}
	if (info)
		ares_freeaddrinfo(info);
	if (host->removed || host->family[0].asking || host->family[1].asking)
		return;
	host->tried = true;
	if (status == ARES_EDESTRUCTION || status == ARES_ECANCELLED)
		return;
	if (host->family[0].status == ARES_SUCCESS || host->family[1].status == ARES_SUCCESS)
		resolved(host);
	else
		failed(host);
	wake_later(host->dns);
}

static void ask(struct dns_host *host)
{
	static const int families[] = {AF_INET, AF_INET6};
	struct dns *dns = host->dns;

	host->due_ns = 0;
	/* Both count as under way before either can be answered, which may happen at once. */
	for (int i = 0; i < 2; i++) {
		struct family *family = &host->family[i];

		free(family->fresh);
		family->fresh = NULL;
		family->nr_fresh = 0;
		family->asking = true;
	}
	dns->asking += 2;
	for (int i = 0; i < 2; i++) {
		struct ares_addrinfo_hints hints = {
		    .ai_flags = ARES_AI_NOSORT,
		    .ai_family = families[i],
		    .ai_socktype = SOCK_STREAM,
		};

		ares_getaddrinfo(dns->channel, host->name, NULL, &hints, answered,
				 &host->family[i]);
	}
}

static void due(void *arg)
{
	struct dns *dns = arg;
	__u64 now = loop_now_ns();

	if (channel_fresh(dns)) {
		loop_timer_in(dns->loop, &dns->due, DNS_RETRY_NS);
		return;
	}
	dns->inside = true;
	for (struct dns_host *host = dns->host; host; host = host->next) {
		if (host->due_ns && host->due_ns <= now && !host->removed)
			ask(host);
	}
	dns->inside = false;
	reap(dns);
	wake_later(dns);
	time_out_later(dns);
}

/* ---- outside ---- */

int dns_open(struct loop *loop, struct dns **ret)
{
	struct dns *dns;

	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
		return -ENOMEM;
	dns = calloc(1, sizeof(*dns));
	if (!dns)
		return -ENOMEM;
	dns->loop = loop;
	loop_handler(loop, LOOP_DNS, ready, dns);
	loop_timer_add(loop, &dns->due, due, dns);
	loop_timer_add(loop, &dns->timeout, timed_out, dns);
	*ret = dns;
	return 0;
}

void dns_close(struct dns *dns)
{
	if (!dns)
		return;
	for (struct dns_host *host = dns->host; host; host = host->next)
		host->removed = true;
	channel_close(dns);
	reap(dns);
	loop_timer_remove(dns->loop, &dns->due);
	loop_timer_remove(dns->loop, &dns->timeout);
	free(dns->servers);
	free(dns);
	ares_library_cleanup();
}

int dns_servers(struct dns *dns, const char *servers)
{
	char *copy = strdup(servers);

	if (!copy)
		return -ENOMEM;
	free(dns->servers);
	dns->servers = copy;
	channel_close(dns);
	return 0;
}

static void recall(struct dns_host *host, const json_t *saved)
{
	const json_t *list = json_object_get(saved, "addresses");
	const char *error = json_string_value(json_object_get(saved, "error"));

	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *text = json_string_value(json_array_get(list, i)), *why;
		struct family *family;
		struct prefix prefix, *slot;

		if (!text || prefix_parse(text, &prefix, &why))
			continue;
		family = &host->family[prefix.v6];
		slot = mem_append(&family->address, &family->n, sizeof(*slot));
		if (slot)
			*slot = prefix;
	}
	join_families(host);
	host->known = true;
	host->since_ns = json_integer_value(json_object_get(saved, "since_ns"));
	host->expires_ns = json_integer_value(json_object_get(saved, "expires_ns"));
	if (error)
		snprintf(host->error, sizeof(host->error), "%s", error);
}

int dns_add(struct dns *dns, const char *name, const json_t *saved, struct dns_host **ret)
{
	struct dns_host *host = calloc(1, sizeof(*host));

	if (!host)
		return -ENOMEM;
	host->name = strdup(name);
	if (!host->name) {
		free(host);
		return -ENOMEM;
	}
	host->dns = dns;
	host->retry_ns = DNS_RETRY_NS;
	for (int i = 0; i < 2; i++) {
		host->family[i].host = host;
		host->family[i].family = i ? AF_INET6 : AF_INET;
	}
	if (saved)
		recall(host, saved);
	host->due_ns = loop_now_ns();
	host->next = dns->host;
	dns->host = host;
	dns->revision++;
	wake_later(dns);
	*ret = host;
	return 0;
}

void dns_remove(struct dns *dns, struct dns_host *host)
{
	host->removed = true;
	if (!dns->inside)
		reap(dns);
	wake_later(dns);
}

json_t *dns_save(const struct dns_host *host)
{
	json_t *list = json_array();
	char text[ADDR_TEXT_LEN];

	for (size_t i = 0; i < host->n; i++)
		json_array_append_new(list, json_string(prefix_format(&host->address[i], text)));
	return json_pack("{s:s, s:I, s:I, s:s*, s:o}", "name", host->name, "since_ns",
			 (json_int_t)host->since_ns, "expires_ns", (json_int_t)host->expires_ns,
			 "error", *host->error ? host->error : NULL, "addresses", list);
}

void dns_view(const struct dns_host *host, struct dns_view *ret)
{
	*ret = (struct dns_view){
	    .address = host->address,
	    .n = host->n,
	    .known = host->known,
	    .tried = host->tried,
	    .since_ns = host->since_ns,
	    .expires_ns = host->expires_ns,
	    .error = *host->error ? host->error : NULL,
	};
}

__u64 dns_revision(const struct dns *dns)
{
	return dns->revision;
}

__u64 dns_said(const struct dns *dns)
{
	return dns->said;
}
