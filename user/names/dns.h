/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Hosts by DNS (and /etc/hosts), followed: asked again when the shortest TTL of the answer and of the aliases that led
 * to it is over. A name is taken as it is, without the search domains of resolv.conf: what a policy says must not
 * depend on them. Addresses of both families are asked for, each for itself: one that fails keeps its last answer.
 */
#ifndef WEIR_NAMES_DNS_H
#define WEIR_NAMES_DNS_H

#include <jansson.h>

#include "base/addr.h"
#include "base/units.h"
#include "names/loop.h"

#define DNS_MIN_NS	 UNITS_NS_PER_S /* whatever the TTL */
#define DNS_MAX_NS	 UNITS_NS_PER_DAY
#define DNS_RETRY_NS	 (2 * UNITS_NS_PER_S) /* after a failure, then twice as long each time, up to */
#define DNS_RETRY_MAX_NS (60 * UNITS_NS_PER_S)
#define DNS_HOST_MAX	 1024 /* addresses kept of one host and family */

struct dns;
struct dns_host;

int dns_open(struct loop *loop, struct dns **ret);
void dns_close(struct dns *dns);

/** dns_servers() - ask these instead of resolv.conf's: "127.0.0.1:5353,…". For tests. */
int dns_servers(struct dns *dns, const char *servers);

/** dns_add() - follow a host. @saved: what dns_save() gave in an earlier process, or NULL. */
int dns_add(struct dns *dns, const char *name, const json_t *saved, struct dns_host **ret);
void dns_remove(struct dns *dns, struct dns_host *host);
json_t *dns_save(const struct dns_host *host);

/**
 * struct dns_view - what is known of a host.
 * @address:    both families, sorted by prefix_compare(); borrowed
 * @known:      it was resolved once
 * @tried:      it was asked for in this process, with whatever success
 * @since_ns:   CLOCK_REALTIME of the last answer; @expires_ns: when it is asked again
 * @error:      why the last question failed, NULL: it did not
 */
struct dns_view {
	const struct prefix *address;
	size_t n;
	bool known, tried;
	__u64 since_ns, expires_ns;
	const char *error;
};
void dns_view(const struct dns_host *host, struct dns_view *ret);

/** dns_revision() - changes when a view does; dns_said() when an error comes, goes, or is another. */
__u64 dns_revision(const struct dns *dns);
__u64 dns_said(const struct dns *dns);

#endif
