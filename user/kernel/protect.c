// SPDX-License-Identifier: GPL-2.0-only
/* Services that SYN cookies protect: which state in weir_cookie belongs to which entry, and what cookies announce. */
#include "kernel/internal.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

size_t protects_used(const struct weir_protect *prot, size_t n)
{
	size_t used = 0;

	while (used < n && prot[used].interval)
		used++;
	return used;
}

int slot_protects(const struct kernel *kernel, unsigned int slot, struct weir_protect *ret,
		  size_t *ret_n)
{
	_cleanup_free_ struct weir_protect *prot = NULL;
	struct weir_config config;
	int err = slot_config(kernel, slot, &config);

	if (!err)
		err = slot_table(kernel, slot, TABLE_weir_prot, WEIR_MAX_PROTECTS, (void **)&prot);
	if (err)
		return err;
	*ret_n = config.generation ? protects_used(prot, WEIR_MAX_PROTECTS) : 0;
	memcpy(ret, prot, *ret_n * sizeof(*prot));
	return 0;
}

/* States of both slots, those of the one that judges first. */
static int old_states(const struct kernel *kernel, unsigned int running, __u64 *id, __u32 *state,
		      size_t *ret_n, size_t *ret_running)
{
	struct weir_protect prot[WEIR_MAX_PROTECTS];

	*ret_n = *ret_running = 0;
	for (unsigned int i = 0; kernel->loaded && i < WEIR_NR_SLOTS; i++) {
		size_t n;
		int err = slot_protects(kernel, i ? !running : running, prot, &n);

		if (err)
			return err;
		for (size_t j = 0; j < n; j++) {
			id[*ret_n] = prot[j].id;
			state[(*ret_n)++] = prot[j].state;
		}
		if (!i)
			*ret_running = *ret_n;
	}
	return 0;
}

int protects_plan(struct kernel *kernel, unsigned int running, struct weir_protect *prot, size_t n,
		  struct protects_plan *ret)
{
	__u64 old_id[WEIR_NR_COOKIES], id[WEIR_MAX_PROTECTS];
	__u32 old_state[WEIR_NR_COOKIES], state[WEIR_MAX_PROTECTS], entries;
	bool fresh[WEIR_MAX_PROTECTS];
	size_t nr_old, nr_running;
	int err = old_states(kernel, running, old_id, old_state, &nr_old, &nr_running);

	memset(ret, 0, sizeof(*ret));
	n = protects_used(prot, n);
	if (!err && n > WEIR_MAX_PROTECTS)
		err = -E2BIG;
	for (size_t i = 0; i < n && !err; i++)
		id[i] = prot[i].id;
	if (!err)
		err = counters_assign(id, n, old_id, old_state, nr_old, nr_running, 0, state, fresh,
				      &entries);
	if (!err && entries > WEIR_NR_COOKIES)
		err = -E2BIG;
	for (size_t i = 0; i < n && !err; i++) {
		prot[i].state = state[i];
		ret->fresh[state[i]] = fresh[i];
	}
	return err;
}

int protects_begin(struct kernel *kernel, const struct protects_plan *plan, struct diag *diag)
{
	static const struct weir_cookie none;
	int err = 0;

	kernel->control->cookie_wscale = cookie_options();
	for (__u32 i = 0; i < WEIR_NR_COOKIES && !err; i++)
		if (plan->fresh[i])
			err =
			    map_write(kernel->maps.fd[MAP_weir_cookie], i, 1, &none, sizeof(none));
	return err ? diag_fail(diag, err, NULL, "cannot clear weir_cookie: %s", strerror(-err)) : 0;
}

/* ---- the window scale ---- */

unsigned int window_scale_of(__u64 tcp_rmem_max, __u64 rmem_max)
{
	__u64 space = tcp_rmem_max > rmem_max ? tcp_rmem_max : rmem_max;
	unsigned int scale = 0;

	if (space > 65535ULL << 14)
		space = 65535ULL << 14;
	while (scale < 14 && space >> (scale + 16))
		scale++;
	return scale;
}

/* tcp_rmem is the namespace's own. */
static __u64 read_tcp_rmem_max(void)
{
	_cleanup_fclose_ FILE *file = fopen("/proc/sys/net/ipv4/tcp_rmem", "re");
	unsigned long long max = 0;

	return file && fscanf(file, "%*u %*u %llu", &max) == 1 ? max : 0;
}

/* rmem_max is the host's, and not to be seen in other namespaces than its own: but a socket gets no larger buffer. */
static __u64 read_rmem_max(void)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int bytes = INT_MAX;
	socklen_t len = sizeof(bytes);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, &len) < 0 || bytes < 0)
		return 0;
	return bytes / 2;
}

unsigned int window_scale(void)
{
	return window_scale_of(read_tcp_rmem_max(), read_rmem_max());
}

static bool switched_off(const char *setting)
{
	_cleanup_fclose_ FILE *file = fopen(setting, "re");

	return file && fgetc(file) == '0';
}

unsigned int cookie_options(void)
{
	return window_scale() |
	       (switched_off("/proc/sys/net/ipv4/tcp_window_scaling") ? WEIR_COOKIE_NO_WSCALE : 0) |
	       (switched_off("/proc/sys/net/ipv4/tcp_sack") ? WEIR_COOKIE_NO_SACK : 0);
}
