// SPDX-License-Identifier: GPL-2.0-only
/*
 * The audit ring: perf buffers set up by libbpf, drained here, because a record must leave the buffer only after the
 * sink has it.
 *
 * Books: a record leaves written - delivered - lost_reader ("in flight") when delivered or lost_reader is advanced,
 * and that comes before the buffer's tail is moved: a reader that is killed in between has delivered a record that the
 * next one never sees, as the buffer dies with it.
 */
#include "kernel/internal.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>

struct ring {
	struct perf_buffer *buffer;
	int map_fd; /* entries of weir_events live as long as this descriptor */
	int lock_fd;
	int (*each)(void *arg, const struct weir_event *event);
	void *arg;
	struct weir_reader *reader; /* mapped */
	char *scratch;		    /* a record that wraps around the end of its buffer */
	size_t scratch_size;
};

/* ---- becoming the reader ---- */

static void advance(__u64 *count, __u64 n)
{
	__atomic_fetch_add(count, n, __ATOMIC_SEQ_CST);
}

/* What the predecessor's buffers still held is gone with them. */
static int book_predecessor(struct kernel *kernel, struct weir_reader *reader)
{
	struct weir_books books;
	int err = grace(); /* a program may have written and not counted yet */

	if (!err)
		err = counters_sum(kernel->maps.fd[MAP_weir_books], 0, &books,
				   sizeof(books) / sizeof(__u64));
	if (!err && books.written > reader->delivered + reader->lost_reader)
		advance(&reader->lost_reader,
			books.written - reader->delivered - reader->lost_reader);
	return err;
}

/* libbpf wants one; drain() does its work. */
static enum bpf_perf_event_ret not_called(void *ctx, int cpu, struct perf_event_header *header)
{
	return LIBBPF_PERF_EVENT_ERROR;
}

static size_t pages_of(size_t bytes)
{
	size_t page = sysconf(_SC_PAGESIZE), pages = 1;

	while (pages * page < bytes)
		pages *= 2;
	return pages;
}

static int open_buffers(struct ring *ring, size_t bytes_per_cpu)
{
	size_t pages = pages_of(bytes_per_cpu);
	struct perf_event_attr attr = {
	    .size = sizeof(attr),
	    .type = PERF_TYPE_SOFTWARE,
	    .config = PERF_COUNT_SW_BPF_OUTPUT,
	    .sample_type = PERF_SAMPLE_RAW,
	    .sample_period = 1,
	    .watermark = 1,
	    .wakeup_watermark = pages * sysconf(_SC_PAGESIZE) / 4,
	};

	libbpf_quiet();
	ring->buffer = perf_buffer__new_raw(ring->map_fd, pages, &attr, not_called, NULL, NULL);
	return ring->buffer ? 0 : -errno;
}

static int open_failed(int err, struct diag *diag)
{
	const char *hint = err == -EPERM || err == -EACCES ? " (needs CAP_PERFMON)" : "";

	return diag_fail(diag, err == -EACCES ? -EPERM : err, NULL,
			 "cannot open the event buffers: %s%s%s%s", strerror(-err),
			 libbpf_said()[0] ? ": " : "", libbpf_said(), hint);
}

static int ring_begin(struct kernel *kernel, struct ring *ring, size_t bytes_per_cpu,
		      struct diag *diag)
{
	int err;

	ring->lock_fd = lock_take(kernel->dir, "reader", 0);
	if (ring->lock_fd == -EBUSY)
		return diag_fail(diag, -EBUSY, NULL, "another process reads the events of %s",
				 kernel->dir);
	if (ring->lock_fd < 0)
		return diag_fail(diag, ring->lock_fd, NULL, "cannot lock the events of %s: %s",
				 kernel->dir, strerror(-ring->lock_fd));
	ring->reader = map_mmap(kernel->maps.fd[MAP_weir_reader], sizeof(*ring->reader));
	ring->map_fd = pin_get(kernel, "maps", "weir_events");
	if (!ring->reader || ring->map_fd < 0)
		return diag_fail(diag, -EIO, NULL, "cannot open the event maps of %s", kernel->dir);
	err = book_predecessor(kernel, ring->reader);
	if (err)
		return diag_fail(diag, err, NULL, "cannot balance the books: %s", strerror(-err));
	__atomic_store_n(&ring->reader->pid, getpid(), __ATOMIC_SEQ_CST);
	err = open_buffers(ring, bytes_per_cpu);
	return err ? open_failed(err, diag) : 0;
}

int kernel_ring_open(struct kernel *kernel, size_t bytes_per_cpu,
		     int (*each)(void *arg, const struct weir_event *event), void *arg,
		     struct ring **ret, struct diag *diag)
{
	struct ring *ring;
	int err;

	if (!kernel->loaded)
		return diag_fail(diag, -ENOENT, NULL, "no policy is loaded: there are no events");
	ring = calloc(1, sizeof(*ring));
	if (!ring)
		return -ENOMEM;
	ring->map_fd = ring->lock_fd = -1;
	ring->each = each;
	ring->arg = arg;
	err = ring_begin(kernel, ring, bytes_per_cpu, diag);
	if (err) {
		kernel_ring_close(ring);
		return err;
	}
	*ret = ring;
	return 0;
}

int kernel_ring_fd(const struct ring *ring)
{
	return perf_buffer__epoll_fd(ring->buffer);
}

/* ---- draining ---- */

struct span {
	char *base;
	size_t size; /* a power of two */
};

/* @n bytes at @at, in one piece. */
static const void *piece(struct ring *ring, const struct span *span, __u64 at, size_t n)
{
	size_t from = at & (span->size - 1), first = span->size - from;

	if (n <= first)
		return span->base + from;
	if (ring->scratch_size < n) {
		char *grown = realloc(ring->scratch, n);

		if (!grown)
			return NULL;
		ring->scratch = grown;
		ring->scratch_size = n;
	}
	memcpy(ring->scratch, span->base + from, first);
	memcpy(ring->scratch + first, span->base, n - first);
	return ring->scratch;
}

/* 1: handed over; 0: no record of ours, or given up; -EAGAIN: to be offered again. */
static int deliver(struct ring *ring, const struct perf_event_header *header)
{
	const struct {
		struct perf_event_header header;
		__u32 size;
		char data[];
	} *sample = (const void *)header;
	struct weir_event event;
	int err;

	/* PERF_RECORD_LOST repeats what bpf_perf_event_output() said: the program has booked it as lost_full. */
	if (header->type != PERF_RECORD_SAMPLE)
		return 0;
	if (header->size < sizeof(*sample) + sizeof(event) || sample->size < sizeof(event)) {
		advance(&ring->reader->lost_reader, 1);
		return 0;
	}
	memcpy(&event, sample->data, sizeof(event));
	err = ring->each(ring->arg, &event);
	if (err == -EAGAIN)
		return err;
	advance(err < 0 ? &ring->reader->lost_reader : &ring->reader->delivered, 1);
	return err < 0 ? 0 : 1;
}

static int drain(struct ring *ring, int index, int *count)
{
	size_t page = sysconf(_SC_PAGESIZE), size;
	struct perf_event_mmap_page *header;
	struct span span;
	void *memory;
	__u64 head, tail;
	int err = perf_buffer__buffer(ring->buffer, index, &memory, &size);

	if (err)
		return 0; /* no such CPU */
	header = memory;
	span = (struct span){(char *)memory + page, size}; /* libbpf's size leaves the header out */
	head = __atomic_load_n(&header->data_head, __ATOMIC_ACQUIRE);
	tail = header->data_tail;
	while (tail != head && err >= 0) {
		const struct perf_event_header *record =
		    piece(ring, &span, tail, sizeof(struct perf_event_header));
		__u16 length = record ? record->size : 0;

		record = length ? piece(ring, &span, tail, length) : NULL;
		if (!record)
			return -ENOMEM;
		err = deliver(ring, record);
		if (err < 0)
			break;
		*count += err;
		tail += length;
		__atomic_store_n(&header->data_tail, tail, __ATOMIC_RELEASE);
	}
	return err < 0 ? err : 0;
}

static int drain_all(struct ring *ring)
{
	size_t n = perf_buffer__buffer_cnt(ring->buffer);
	int count = 0, err = 0;

	for (size_t i = 0; i < n && !err; i++)
		err = drain(ring, i, &count);
	return err ? err : count;
}

int kernel_ring_poll(struct ring *ring, int timeout_ms)
{
	struct epoll_event events[64];
	int n = drain_all(ring);

	if (n || !timeout_ms)
		return n;
	/* The watermark wakes us for many; a few wait for the time-out. */
	if (epoll_wait(kernel_ring_fd(ring), events, ARRAY_SIZE(events), timeout_ms) < 0)
		return -errno;
	return drain_all(ring);
}

/* No more into the buffers, then what is in them: a reader that ends in peace loses nothing. */
static void hang_up(struct ring *ring)
{
	int cpus = libbpf_num_possible_cpus();

	for (__u32 cpu = 0; cpu < (__u32)(cpus > 0 ? cpus : 0); cpu++)
		bpf_map_delete_elem(ring->map_fd, &cpu);
	if (grace() == 0)
		drain_all(ring);
	__atomic_store_n(&ring->reader->pid, 0, __ATOMIC_SEQ_CST);
}

void kernel_ring_close(struct ring *ring)
{
	if (!ring)
		return;
	if (ring->buffer)
		hang_up(ring);
	perf_buffer__free(ring->buffer);
	map_munmap(ring->reader, sizeof(*ring->reader));
	mem_close_p(&ring->map_fd);
	mem_close_p(&ring->lock_fd);
	free(ring->scratch);
	free(ring);
}
