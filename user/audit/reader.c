// SPDX-License-Identifier: GPL-2.0-only
#include "audit/reader.h"

#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "audit/format.h"
#include "audit/paths.h"
#include "audit/socket.h"
#include "base/mem.h"
#include "kernel/kernel.h"

#define NS	       1000000000ULL
#define RING_BYTES     (1024 * 1024) /* a CPU: some 8,000 records */
#define NR_GENERATIONS 4
#define NR_INTERFACES  256
#define INTERFACE_NS   NS /* a name is asked for again after this: interfaces are renamed */
#define SYNC_S	       5
#define RETRY_NS       NS

struct interface {
	__u32 ifindex;
	char name[IF_NAMESIZE];
	__u64 asked_ns;
};

struct audit_reader {
	struct audit_reader_options options;
	char *pin_dir;
	struct kernel *kernel; /* of the ring */
	struct kernel *slots;  /* for names, kept from one generation to the next */
	struct ring *ring;
	struct audit_names names[NR_GENERATIONS];
	unsigned int next_names;
	__u32 unknown_generation; /* asked for at @unknown_ns, without success */
	__u64 unknown_ns;
	struct interface interface[NR_INTERFACES];
	struct follow_server *server;
	struct audit_reader_stats stats;
	__u64 refusing_since_ns;
	__u64 given_up_before; /* when the sink began to refuse */

	pthread_mutex_t lock; /* what follows may be touched by other threads */
	bool refresh;
	bool reopen;
	struct audit_sink_options wanted;
	char *wanted_path;
	struct audit_mask mask;
	struct audit_sink *sink; /* NULL: could not be opened yet */
	bool open_failed;
	__u64 retry_ns;
};

static __u64 clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * NS + ts.tv_nsec;
}

static void report(struct audit_reader *reader, int priority, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void report(struct audit_reader *reader, int priority, const char *format, ...)
{
	char text[1200];
	va_list args;

	if (!reader->options.report)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	reader->options.report(reader->options.arg, priority, text);
}

/* ---- names ---- */

static int read_slot(struct kernel *kernel, unsigned int slot, struct audit_names *ret)
{
	struct diag diag = {0};
	int err;

	err = kernel_rules(kernel, slot, &ret->rule, &ret->nr_rules, &diag);
	if (!err)
		err = kernel_files(kernel, slot, &ret->file, &ret->nr_files, &diag);
	if (!err)
		err = audit_names_index(ret);
	diag_reset(&diag);
	return err;
}

/* Which slot holds @generation (0: the one in force), or -1. */
static int slot_of(struct kernel *kernel, __u32 *generation)
{
	struct kernel_status status = {0};
	struct diag diag = {0};
	int slot = -1;

	if (kernel_glance(kernel, &status, &diag) == 0) {
		if (*generation == 0)
			*generation = status.generation;
		if (*generation == status.generation)
			slot = status.slot;
		else if (*generation == status.previous_generation)
			slot = !status.slot;
	}
	diag_reset(&diag);
	return *generation ? slot : -1;
}

static int read_names(struct audit_reader *reader, __u32 generation, struct audit_names *ret)
{
	struct diag diag = {0};
	int slot, err;

	/* An apply may have replaced the slots' maps by larger ones. */
	err = kernel_resume(reader->pin_dir, false, &reader->slots, &diag);
	diag_reset(&diag);
	if (err)
		return err;
	slot = kernel_loaded(reader->slots) ? slot_of(reader->slots, &generation) : -1;
	err = slot < 0 ? -ENOENT : read_slot(reader->slots, slot, ret);
	/* An apply while we were reading may have filled that slot anew. */
	if (!err && slot_of(reader->slots, &generation) != slot)
		err = -ESTALE;
	kernel_suspend(&reader->slots);
	if (err)
		audit_names_clear(ret);
	else
		ret->generation = generation;
	return err;
}

static const struct audit_names *known_names(struct audit_reader *reader, __u32 generation)
{
	for (unsigned int i = 0; i < NR_GENERATIONS; i++)
		if (reader->names[i].rule && reader->names[i].generation == generation)
			return &reader->names[i];
	return NULL;
}

static const struct audit_names *names_of(struct audit_reader *reader, __u32 generation,
					  __u64 now_ns)
{
	const struct audit_names *names = generation ? known_names(reader, generation) : NULL;
	struct audit_names fresh = {0};

	if (names)
		return names;
	if (generation && generation == reader->unknown_generation &&
	    now_ns - reader->unknown_ns < RETRY_NS)
		return NULL;
	if (read_names(reader, generation, &fresh)) {
		reader->unknown_generation = generation;
		reader->unknown_ns = now_ns;
		return NULL;
	}
	names = known_names(reader, fresh.generation);
	if (names) { /* asked for "the one in force", which we have */
		audit_names_clear(&fresh);
		return names;
	}
	names = &reader->names[reader->next_names];
	audit_names_clear(&reader->names[reader->next_names]);
	reader->names[reader->next_names] = fresh;
	reader->next_names = (reader->next_names + 1) % NR_GENERATIONS;
	return names;
}

/* An interface that is gone by now keeps the name that it had. */
static const char *interface_name(struct audit_reader *reader, __u32 ifindex, __u64 now_ns)
{
	struct interface *entry = &reader->interface[ifindex % NR_INTERFACES];
	char name[IF_NAMESIZE];

	if (entry->ifindex == ifindex && entry->name[0] && now_ns - entry->asked_ns < INTERFACE_NS)
		return entry->name;
	if (if_indextoname(ifindex, name)) {
		entry->ifindex = ifindex;
		memcpy(entry->name, name, sizeof(name));
	} else if (entry->ifindex != ifindex) {
		return NULL;
	}
	entry->asked_ns = now_ns;
	return entry->name;
}

/* ---- sink ---- */

int audit_sink_gate(__u64 *since_ns, int err, __u64 now_ns)
{
	if (!err) {
		*since_ns = 0;
		return 0;
	}
	if (!*since_ns)
		*since_ns = now_ns;
	return now_ns - *since_ns < AUDIT_STALL_NS ? -EAGAIN : err == -EAGAIN ? -EIO : err;
}

static const char *sink_name(const struct audit_reader *reader)
{
	return reader->wanted_path ? reader->wanted_path : "standard output";
}

static void open_sink(struct audit_reader *reader, __u64 now_ns)
{
	struct diag diag = {0};
	int err;

	reader->retry_ns = now_ns + RETRY_NS;
	if (!reader->wanted.path && reader->wanted.fd < 0)
		return;
	err = audit_sink_open(&reader->wanted, clock_ns(CLOCK_REALTIME), &reader->sink, &diag);
	if (err && !reader->open_failed)
		report(reader, LOG_ERR, "%s; events wait for it, enforcement goes on", diag.error);
	if (!err && reader->open_failed)
		report(reader, LOG_NOTICE, "audit file %s: open", sink_name(reader));
	reader->open_failed = err;
	diag_reset(&diag);
}

static int to_sink(struct audit_reader *reader, const char *line, size_t len, __u64 now_ns)
{
	if (reader->sink)
		return audit_sink_write(reader->sink, line, len, clock_ns(CLOCK_REALTIME));
	return reader->wanted.path || reader->wanted.fd >= 0 ? -EIO : 0;
}

static void say_sink_state(struct audit_reader *reader, __u64 before_ns, int err)
{
	if (!before_ns && err && !reader->open_failed)
		report(reader, LOG_ERR,
		       "audit to %s: %s; events wait, later ones may be lost, enforcement goes on",
		       sink_name(reader), strerror(-err));
	if (!before_ns && err)
		reader->given_up_before = reader->stats.given_up;
	if (before_ns && !err)
		report(reader, LOG_NOTICE, "audit to %s: writing again, %llu events were lost",
		       sink_name(reader),
		       (unsigned long long)(reader->stats.given_up - reader->given_up_before));
}

static void to_followers(struct audit_reader *reader, const char *line, size_t len, __u64 now_ns)
{
	if (reader->server)
		follow_send(reader->server, line, len, now_ns);
	if (reader->options.line)
		reader->options.line(reader->options.arg, line, len);
}

static int each_event(void *arg, const struct weir_event *event)
{
	struct audit_reader *reader = arg;
	__u64 now_ns = clock_ns(CLOCK_MONOTONIC), before_ns = reader->refusing_since_ns;
	__s64 real_minus_mono = clock_ns(CLOCK_REALTIME) - now_ns;
	struct audit_record record;
	char line[AUDIT_LINE_MAX];
	int len, err, gate;

	err = audit_decode(event, sizeof(*event), names_of(reader, event->generation, now_ns),
			   interface_name(reader, event->ifindex, now_ns), real_minus_mono,
			   &reader->mask, &record);
	len = err ? err : audit_format_json(&record, line, sizeof(line));
	if (len < 0) {
		reader->stats.given_up++;
		return len;
	}
	err = to_sink(reader, line, len, now_ns);
	gate = audit_sink_gate(&reader->refusing_since_ns, err, now_ns);
	say_sink_state(reader, before_ns, err);
	if (gate == -EAGAIN)
		return gate;
	if (gate)
		reader->stats.given_up++;
	else
		reader->stats.delivered++;
	to_followers(reader, line, len, now_ns);
	return gate;
}

/* ---- life ---- */

static void close_all(struct audit_reader *reader)
{
	if (reader->ring)
		kernel_ring_close(reader->ring);
	if (reader->kernel)
		kernel_close(reader->kernel);
	kernel_close(reader->slots);
	audit_sink_close(reader->sink);
	follow_close(reader->server);
	for (unsigned int i = 0; i < NR_GENERATIONS; i++)
		audit_names_clear(&reader->names[i]);
	pthread_mutex_destroy(&reader->lock);
	free(reader->wanted_path);
	free(reader->pin_dir);
	free(reader);
}

static int open_ring(struct audit_reader *reader, struct diag *diag)
{
	int err = kernel_open(reader->pin_dir, false, &reader->kernel, diag);

	if (err)
		return err;
	if (!kernel_loaded(reader->kernel))
		return diag_fail(diag, -ENOENT, NULL, "no policy is loaded");
	return kernel_ring_open(reader->kernel, RING_BYTES, each_event, reader, &reader->ring,
				diag);
}

static void serve(struct audit_reader *reader)
{
	struct diag diag = {0};
	char path[108];
	int err = path_run(reader->pin_dir, "sock", path, sizeof(path));

	if (!err)
		err = follow_listen(path, &reader->server, &diag);
	if (err)
		report(reader, LOG_WARNING, "%s; `weir audit -f` cannot follow",
		       diag.error[0] ? diag.error : "no path for the socket of followers");
	diag_reset(&diag);
}

int audit_reader_open(const struct audit_reader_options *options, struct audit_reader **ret,
		      struct diag *diag)
{
	struct audit_reader *reader = calloc(1, sizeof(*reader));
	int err;

	if (!reader)
		return diag_fail(diag, -ENOMEM, NULL, "out of memory");
	pthread_mutex_init(&reader->lock, NULL);
	reader->options = *options;
	reader->pin_dir = strdup(options->pin_dir);
	reader->mask = (struct audit_mask){-1, -1};
	reader->wanted.fd = options->fd;
	err = reader->pin_dir ? open_ring(reader, diag) : -ENOMEM;
	if (err) {
		close_all(reader);
		return err;
	}
	if (options->serve)
		serve(reader);
	open_sink(reader, clock_ns(CLOCK_MONOTONIC));
	*ret = reader;
	return 0;
}

static bool same_sink(const struct audit_sink_options *a, const struct audit_sink_options *b)
{
	if (!a->path != !b->path || (a->path && strcmp(a->path, b->path) != 0))
		return false;
	return a->fd == b->fd && a->rotate_bytes == b->rotate_bytes && a->rotate_s == b->rotate_s &&
	       a->retention_s == b->retention_s;
}

void audit_reader_configure(struct audit_reader *reader, const struct audit_config *config)
{
	struct audit_sink_options wanted = {
	    .path = config->file && strcmp(config->file, "-") != 0 ? config->file : NULL,
	    .fd = reader->options.fd,
	    .rotate_bytes = config->rotate_bytes,
	    .rotate_s = config->rotate_s,
	    .retention_s = config->retention_s,
	    .sync_s = SYNC_S,
	};

	pthread_mutex_lock(&reader->lock);
	reader->mask = (struct audit_mask){config->mask4, config->mask6};
	if (!same_sink(&wanted, &reader->wanted)) {
		audit_sink_close(TAKE_PTR(reader->sink));
		free(reader->wanted_path);
		reader->wanted_path = wanted.path ? strdup(wanted.path) : NULL;
		wanted.path = reader->wanted_path;
		reader->wanted = wanted;
		reader->open_failed = false;
		open_sink(reader, clock_ns(CLOCK_MONOTONIC));
	}
	pthread_mutex_unlock(&reader->lock);
}

void audit_reader_refresh(struct audit_reader *reader)
{
	pthread_mutex_lock(&reader->lock);
	reader->refresh = true;
	pthread_mutex_unlock(&reader->lock);
}

void audit_reader_reopen(struct audit_reader *reader)
{
	pthread_mutex_lock(&reader->lock);
	reader->reopen = true;
	pthread_mutex_unlock(&reader->lock);
}

static void tend(struct audit_reader *reader, __u64 now_ns)
{
	__u64 real_ns = clock_ns(CLOCK_REALTIME);
	struct diag diag = {0};

	if (reader->refresh)
		names_of(reader, 0, now_ns);
	if (reader->sink && reader->reopen && audit_sink_reopen(reader->sink, real_ns, &diag))
		report(reader, LOG_ERR, "%s; the old file stays open", diag.error);
	else if (reader->sink)
		audit_sink_tick(reader->sink, real_ns);
	if (!reader->sink && now_ns >= reader->retry_ns)
		open_sink(reader, now_ns);
	if (reader->server)
		follow_poll(reader->server, now_ns);
	reader->refresh = reader->reopen = false;
	diag_reset(&diag);
}

int audit_reader_poll(struct audit_reader *reader, int timeout_ms)
{
	struct pollfd ready = {.fd = kernel_ring_fd(reader->ring), .events = POLLIN};
	int n;

	/* A sink that refuses leaves the ring readable: wait, do not spin. */
	poll(&ready, reader->refusing_since_ns ? 0 : 1, timeout_ms);
	pthread_mutex_lock(&reader->lock);
	n = kernel_ring_poll(reader->ring, 0);
	tend(reader, clock_ns(CLOCK_MONOTONIC));
	pthread_mutex_unlock(&reader->lock);
	return n == -EAGAIN || n == -EINTR ? 0 : n;
}

void audit_reader_stats(struct audit_reader *reader, struct audit_reader_stats *ret)
{
	pthread_mutex_lock(&reader->lock);
	*ret = reader->stats;
	if (reader->sink)
		ret->sink = *audit_sink_stats(reader->sink);
	if (reader->server) {
		ret->followers = follow_count(reader->server);
		ret->followers_dropped = follow_dropped(reader->server);
	}
	pthread_mutex_unlock(&reader->lock);
}

void audit_reader_close(struct audit_reader *reader)
{
	if (!reader)
		return;
	kernel_ring_poll(reader->ring, 0);
	if (reader->server)
		follow_poll(reader->server, clock_ns(CLOCK_MONOTONIC));
	close_all(reader);
}
