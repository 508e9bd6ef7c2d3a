// SPDX-License-Identifier: GPL-2.0-only
#include "names/loop.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/units.h"

static __u64 clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * UNITS_NS_PER_S + now.tv_nsec;
}

__u64 loop_now_ns(void)
{
	return clock_ns(CLOCK_BOOTTIME);
}

__u64 loop_realtime_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

int loop_open(struct loop *loop)
{
	memset(loop, 0, sizeof(*loop));
	loop->timer_fd = -1;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		return -errno;
	loop->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (loop->timer_fd < 0)
		return -errno;
	return loop_watch(loop, LOOP_TIMER, loop->timer_fd, EPOLLIN);
}

void loop_close(struct loop *loop)
{
	if (loop->timer_fd >= 0)
		close(loop->timer_fd);
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	loop->timer_fd = loop->epoll_fd = -1;
}

void loop_handler(struct loop *loop, enum loop_kind kind,
		  void (*ready)(void *arg, int fd, uint32_t events), void *arg)
{
	loop->handler[kind].ready = ready;
	loop->handler[kind].arg = arg;
}

int loop_watch(struct loop *loop, enum loop_kind kind, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.u64 = (__u64)kind << 32 | (__u32)fd};

	if (!events)
		return epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL) < 0 ? -errno : 0;
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0)
		return 0;
	if (errno != ENOENT)
		return -errno;
	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

/* The one descriptor rings for the timer that is due first. */
static void arm(struct loop *loop)
{
	struct itimerspec when = {0};
	__u64 first = 0;

	for (const struct loop_timer *timer = loop->timer; timer; timer = timer->next) {
		if (timer->due_ns && (!first || timer->due_ns < first))
			first = timer->due_ns;
	}
	when.it_value.tv_sec = first / UNITS_NS_PER_S;
	when.it_value.tv_nsec = first % UNITS_NS_PER_S;
	timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

void loop_timer_add(struct loop *loop, struct loop_timer *timer, void (*fire)(void *arg), void *arg)
{
	*timer = (struct loop_timer){.fire = fire, .arg = arg, .next = loop->timer};
	loop->timer = timer;
}

void loop_timer_in(struct loop *loop, struct loop_timer *timer, __u64 ns)
{
	timer->due_ns = loop_now_ns() + ns;
	arm(loop);
}

void loop_timer_off(struct loop *loop, struct loop_timer *timer)
{
	if (!timer->due_ns)
		return;
	timer->due_ns = 0;
	arm(loop);
}

void loop_timer_remove(struct loop *loop, struct loop_timer *timer)
{
	struct loop_timer **link = &loop->timer;

	while (*link && *link != timer)
		link = &(*link)->next;
	if (*link)
		*link = timer->next;
	arm(loop);
}

static void run_timers(struct loop *loop)
{
	__u64 rings, now = loop_now_ns();

	while (read(loop->timer_fd, &rings, sizeof(rings)) < 0 && errno == EINTR)
		;
	for (struct loop_timer *timer = loop->timer; timer; timer = timer->next) {
		if (!timer->due_ns || timer->due_ns > now)
			continue;
		timer->due_ns = 0;
		timer->fire(timer->arg);
	}
	arm(loop);
}

int loop_run(struct loop *loop, __u64 budget_ns)
{
	__u64 until = loop_now_ns() + budget_ns;

	/* One at a time: a handler may close the descriptor of the next event, and another may get its number. */
	do {
		struct epoll_event event;
		int n = epoll_wait(loop->epoll_fd, &event, 1, 0);
		enum loop_kind kind;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		kind = event.data.u64 >> 32;
		if (kind == LOOP_TIMER)
			run_timers(loop);
		else
			loop->handler[kind].ready(loop->handler[kind].arg, (int)event.data.u64,
						  event.events);
	} while (loop_now_ns() < until);
	return 0;
}
