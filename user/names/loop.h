/* SPDX-License-Identifier: GPL-2.0-only */
/* One epoll descriptor for sockets of several libraries and for timers; the caller's loop polls it. */
#ifndef WEIR_NAMES_LOOP_H
#define WEIR_NAMES_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/types.h>

/** enum loop_kind - whose descriptor is ready; the loop has one handler for each kind, so nothing dangles in epoll. */
enum loop_kind { LOOP_TIMER, LOOP_HTTP, LOOP_DNS, LOOP_UNITS, LOOP_NR_KINDS };

struct loop_timer {
	void (*fire)(void *arg);
	void *arg;
	__u64 due_ns; /* CLOCK_BOOTTIME; 0: off */
	struct loop_timer *next;
};

struct loop {
	int epoll_fd, timer_fd;
	struct loop_timer *timer;
	struct {
		void (*ready)(void *arg, int fd, uint32_t events);
		void *arg;
	} handler[LOOP_NR_KINDS];
};

int loop_open(struct loop *loop);
void loop_close(struct loop *loop);
void loop_handler(struct loop *loop, enum loop_kind kind,
		  void (*ready)(void *arg, int fd, uint32_t events), void *arg);

/** loop_watch() - be told of @events (EPOLL*) at @fd; 0: no longer. A descriptor not watched before is added. */
int loop_watch(struct loop *loop, enum loop_kind kind, int fd, uint32_t events);

/** loop_timer_add() - @timer belongs to the caller, is off, and is known to the loop until it is removed. */
void loop_timer_add(struct loop *loop, struct loop_timer *timer, void (*fire)(void *arg),
		    void *arg);
/** loop_timer_in() - fire once, @ns from now, instead of when it was due before. */
void loop_timer_in(struct loop *loop, struct loop_timer *timer, __u64 ns);
void loop_timer_off(struct loop *loop, struct loop_timer *timer);

/** loop_timer_remove() - not from a timer's own fire(). */
void loop_timer_remove(struct loop *loop, struct loop_timer *timer);

/** loop_run() - serve what is ready, for at most @budget_ns: what floods us does not hold the caller up. */
int loop_run(struct loop *loop, __u64 budget_ns);

__u64 loop_now_ns(void);      /* CLOCK_BOOTTIME */
__u64 loop_realtime_ns(void); /* CLOCK_REALTIME */

#endif
