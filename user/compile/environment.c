// SPDX-License-Identifier: GPL-2.0-only
/* What this host is: interfaces, addresses, forwarding, the tick; and who followed names are, stand-ins included. */
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

/*
 * One interface that forwards is enough: then a destination that arrives need not be this node. Nothing arrives at
 * loopback, and its setting may be of weir's own making (antispoof).
 */
static bool forwards(const char *pattern, struct diag *diag)
{
	glob_t found = {0};
	bool on = false;

	if (glob(pattern, 0, NULL, &found))
		diag_warn(diag, NULL, "cannot read %s: taken as not forwarding", pattern);
	for (size_t i = 0; i < found.gl_pathc; i++)
		on |= !strstr(found.gl_pathv[i], "/lo/") && is_on(found.gl_pathv[i]);
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

void environment_forget_names(struct environment *env)
{
	for (size_t i = 0; i < env->nr_names; i++) {
		free(env->name[i].name);
		free(env->name[i].address);
	}
	free(env->name);
	free(env->engine_subnet);
	free(env->engine_address);
	env->name = NULL;
	env->engine_subnet = env->engine_address = NULL;
	env->nr_names = env->nr_engine_subnets = env->nr_engine_addresses = 0;
}

void environment_free(struct environment *env)
{
	for (size_t i = 0; i < env->nr_interfaces; i++)
		free(env->interface[i].address);
	free(env->interface);
	environment_forget_names(env);
	memset(env, 0, sizeof(*env));
}

/* ---- followed names ---- */

static struct env_name *find_name(const struct environment *env, enum item_kind kind,
				  const char *name)
{
	for (size_t i = 0; env && i < env->nr_names; i++)
		if (env->name[i].kind == kind && strcmp(env->name[i].name, name) == 0)
			return &env->name[i];
	return NULL;
}

const struct env_name *environment_name(const struct environment *env, enum item_kind kind,
					const char *name)
{
	return find_name(env, kind, name);
}

/* Where stand-ins may come from: nobody has these addresses, or at least no policy speaks of them on purpose. */
static const struct prefix stand_in_ranges[] = {
#define V4(a, b)                                                                                 \
	{                                                                                        \
		.address.byte = {[10] = 0xff, [11] = 0xff, [12] = (a), [13] = (b)}, .length = 16 \
	}
    V4(240, 18), V4(251, 77), V4(0, 18),   V4(198, 18), V4(100, 127),
    V4(25, 255), V4(53, 255), V4(11, 255), V4(22, 255),
#undef V4
};
static const struct prefix stand_in_range6 = {
    .address.byte = {0x01, 0x00}, .v6 = 1, .length = 64}; /* discard only, RFC 6666 */

struct touched {
	bool range[ARRAY_SIZE(stand_in_ranges)];
};

/* A prefix that holds all of IPv4, or nearly, holds a stand-in as it would hold the real address. */
#define NEARLY_ALL 2

static void touch(struct touched *touched, const struct prefix *prefix)
{
	for (size_t i = 0; !prefix->v6 && i < ARRAY_SIZE(stand_in_ranges); i++)
		touched->range[i] |= prefix_contains(&stand_in_ranges[i], &prefix->address) ||
				     (prefix->length > NEARLY_ALL &&
				      prefix_contains(prefix, &stand_in_ranges[i].address));
}

static int touch_item(void *arg, struct item *item)
{
	struct prefix prefix[256];
	int n;

	if (item->kind == ITEM_PREFIX)
		touch(arg, &item->prefix);
	for (size_t i = 0; item->kind == ITEM_FILE && i < item->nr_list; i++)
		touch(arg, &item->list[i]);
	n = item->kind == ITEM_RANGE ? addr_range_to_prefixes(&item->first, &item->last, prefix)
				     : 0;
	for (int i = 0; i < n; i++)
		touch(arg, &prefix[i]);
	return 0;
}

struct standing {
	struct environment *env;
	const struct prefix *range; /* not looked for before one is needed */
	const struct policy *policy;
	__u32 units, others; /* numbers given so far */
};

static const struct prefix *stand_in_range(struct standing *standing)
{
	struct touched touched = {};
	size_t i = 0;

	if (standing->range)
		return standing->range;
	policy_each_item(standing->policy, touch_item, &touched);
	while (i < ARRAY_SIZE(stand_in_ranges) && touched.range[i])
		i++;
	standing->range = &stand_in_ranges[i % ARRAY_SIZE(stand_in_ranges)];
	return standing->range;
}

static struct prefix numbered(const struct prefix *range, __u32 number)
{
	struct prefix prefix = *range;

	prefix.length = prefix.v6 ? 128 : 32;
	prefix.address.byte[14] = (__u8)(number >> 8);
	prefix.address.byte[15] = (__u8)number;
	return prefix;
}

struct prefix environment_unit(__u32 number)
{
	__u32 address = WEIR_UNIT_ADDRESS + number;
	struct prefix prefix = {.length = 32};

	prefix.address.byte[10] = prefix.address.byte[11] = 0xff;
	for (int i = 0; i < 4; i++)
		prefix.address.byte[12 + i] = (__u8)(address >> (24 - 8 * i));
	return prefix;
}

static int add_name(struct standing *standing, const struct item *item, struct env_name **ret)
{
	struct environment *env = standing->env;
	struct env_name *grown;

	grown = reallocarray(env->name, env->nr_names + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	env->name = grown;
	*ret = &grown[env->nr_names];
	**ret = (struct env_name){.kind = item->kind, .name = strdup(item->name)};
	if (!(*ret)->name)
		return -ENOMEM;
	env->nr_names++;
	return 0;
}

static int stand_in(void *arg, const struct item *item)
{
	struct standing *standing = arg;
	struct env_name *name = find_name(standing->env, item->kind, item->name);
	int err = name ? 0 : add_name(standing, item, &name);
	bool unit = item->kind == ITEM_UNIT;
	__u32 number;

	if (err || name->known)
		return err;
	number = unit ? ++standing->units : ++standing->others;
	if (number > (unit ? WEIR_MAX_UNITS : 65535))
		return -E2BIG;
	free(name->address);
	name->n = 0;
	name->address = calloc(2, sizeof(*name->address));
	if (!name->address)
		return -ENOMEM;
	if (unit) {
		name->address[name->n++] = environment_unit(number);
	} else {
		name->address[name->n++] = numbered(stand_in_range(standing), number);
		name->address[name->n++] = numbered(&stand_in_range6, number);
	}
	name->known = name->made_up = true;
	return 0;
}

/* Units that are known keep their numbers: those that stand in begin behind them. */
static __u32 last_unit(const struct environment *env)
{
	__u32 last = 0;

	for (size_t i = 0; i < env->nr_names; i++)
		for (size_t j = 0; env->name[i].kind == ITEM_UNIT && j < env->name[i].n; j++) {
			const __u8 *byte = env->name[i].address[j].address.byte;
			__u32 number = (__u32)byte[14] << 8 | byte[15];

			last = number > last ? number : last;
		}
	return last;
}

int environment_stand_in(struct environment *env, const struct policy *policy)
{
	struct standing standing = {.env = env, .policy = policy, .units = last_unit(env)};

	return policy_each_followed(policy, stand_in, &standing);
}

bool environment_told(const struct environment *env, const struct weir_addr *address)
{
	struct prefix full = {.address = *address, .v6 = !addr_is_v4(address)};

	full.length = full.v6 ? 128 : 32;
	return env->nr_engine_addresses &&
	       bsearch(&full, env->engine_address, env->nr_engine_addresses, sizeof(full),
		       prefix_compare);
}

bool environment_engine_net(const struct environment *env, const struct weir_addr *address)
{
	for (size_t i = 0; i < env->nr_engine_subnets; i++)
		if (prefix_contains(&env->engine_subnet[i], address))
			return true;
	return false;
}

bool environment_may_bind(const struct environment *env, const struct weir_addr *address)
{
	if (env->engine_unknown)
		return false;
	return environment_told(env, address) || !environment_engine_net(env, address);
}
