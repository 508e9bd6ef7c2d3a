// SPDX-License-Identifier: GPL-2.0-only
/* What this host is: interfaces, addresses, forwarding, the tick. */
#include <errno.h>
#include <glob.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "compile/compile.h"

static struct env_interface *find_interface(struct environment *env, const char *name)
{
	for (size_t i = 0; i < env->nr_interfaces; i++)
		if (strcmp(env->interface[i].name, name) == 0)
			return &env->interface[i];
	return NULL;
}

static int read_names(struct environment *env)
{
	struct if_nameindex *names = if_nameindex();
	size_t n = 0;

	if (!names)
		return -errno;
	while (names[n].if_index)
		n++;
	env->interface = calloc(n + 1, sizeof(*env->interface));
	for (size_t i = 0; env->interface && i < n; i++) {
		struct env_interface *interface = &env->interface[env->nr_interfaces++];

		snprintf(interface->name, sizeof(interface->name), "%s", names[i].if_name);
		interface->ifindex = names[i].if_index;
	}
	if_freenameindex(names);
	return env->interface ? 0 : -ENOMEM;
}

static bool read_prefix(const struct sockaddr *address, struct prefix *ret)
{
	*ret = (struct prefix){.v6 = address->sa_family == AF_INET6};
	if (ret->v6) {
		memcpy(ret->address.byte, &((const struct sockaddr_in6 *)address)->sin6_addr, 16);
		ret->length = 128;
		return true;
	}
	ret->address.byte[10] = ret->address.byte[11] = 0xff;
	memcpy(&ret->address.byte[12], &((const struct sockaddr_in *)address)->sin_addr, 4);
	ret->length = 32;
	return address->sa_family == AF_INET;
}

static int read_addresses(struct environment *env)
{
	struct ifaddrs *all;
	int err = 0;

	if (getifaddrs(&all))
		return -errno;
	for (const struct ifaddrs *a = all; a && !err; a = a->ifa_next) {
		struct env_interface *interface;
		struct prefix prefix, *grown;

		if (!a->ifa_addr || !read_prefix(a->ifa_addr, &prefix))
			continue;
		/* An alias such as eth0:1 is an address of eth0. */
		interface = find_interface(env, a->ifa_name);
		if (!interface && strchr(a->ifa_name, ':')) {
			char name[IF_NAMESIZE];

			snprintf(name, sizeof(name), "%.*s", (int)strcspn(a->ifa_name, ":"),
				 a->ifa_name);
			interface = find_interface(env, name);
		}
		if (!interface)
			continue;
		grown =
		    reallocarray(interface->address, interface->nr_addresses + 1, sizeof(*grown));
		if (!grown) {
			err = -ENOMEM;
			break;
		}
		interface->address = grown;
		grown[interface->nr_addresses++] = prefix;
	}
	freeifaddrs(all);
	return err;
}

static bool is_on(const char *path)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	int value = 0;

	return file && fscanf(file, "%d", &value) == 1 && value != 0;
}

/* One interface that forwards is enough: then a destination that arrives need not be this node. */
static bool forwards(const char *pattern, struct diag *diag)
{
	glob_t found = {0};
	bool on = false;

	if (glob(pattern, 0, NULL, &found))
		diag_warn(diag, NULL, "cannot read %s: taken as not forwarding", pattern);
	for (size_t i = 0; i < found.gl_pathc; i++)
		on |= is_on(found.gl_pathv[i]);
	globfree(&found);
	return on;
}

/* The coarse clock advances by ticks, and says by how much. HZ is 100 to 1,000 in practice; anything else is no tick. */
static __u32 tick_ns(void)
{
	struct timespec tick;

	if (clock_getres(CLOCK_MONOTONIC_COARSE, &tick) || tick.tv_sec)
		return 0;
	return tick.tv_nsec >= 900000 && tick.tv_nsec <= 10100000 ? tick.tv_nsec : 0;
}

int environment_read(struct environment *ret, struct diag *diag)
{
	struct environment env = {0};
	int err = read_names(&env);

	if (!err)
		err = read_addresses(&env);
	if (err) {
		environment_free(&env);
		return diag_fail(diag, err, NULL, "cannot list the network interfaces: %s",
				 strerror(-err));
	}
	env.forwarding4 = forwards("/proc/sys/net/ipv4/conf/*/forwarding", diag);
	/* A host without IPv6 has no such files, and forwards none. */
	if (access("/proc/sys/net/ipv6", F_OK) == 0)
		env.forwarding6 = forwards("/proc/sys/net/ipv6/conf/*/forwarding", diag);
	env.tick_ns = tick_ns();
	*ret = env;
	return 0;
}

void environment_free(struct environment *env)
{
	for (size_t i = 0; i < env->nr_interfaces; i++)
		free(env->interface[i].address);
	free(env->interface);
	memset(env, 0, sizeof(*env));
}
