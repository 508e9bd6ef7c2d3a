// SPDX-License-Identifier: GPL-2.0-only
#include "policy/service.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/units.h"
#include "policy/reader.h"

static const struct {
	const char *name;
	int proto;
	int max; /* of what stands behind the slash */
} protocols[] = {
    {"tcp", IPPROTO_TCP, 65535}, {"udp", IPPROTO_UDP, 65535},	  {"sctp", IPPROTO_SCTP, 65535},
    {"icmp", IPPROTO_ICMP, 255}, {"icmpv6", IPPROTO_ICMPV6, 255},
};

/* The names that nft(8) gives to ICMP types; where two stand for one number, the first is the one that is printed. */
static const struct icmp_type {
	int proto;
	const char *name;
	int type;
} icmp_types[] = {
    {IPPROTO_ICMP, "echo-reply", 0},
    {IPPROTO_ICMP, "destination-unreachable", 3},
    {IPPROTO_ICMP, "source-quench", 4},
    {IPPROTO_ICMP, "redirect", 5},
    {IPPROTO_ICMP, "echo-request", 8},
    {IPPROTO_ICMP, "router-advertisement", 9},
    {IPPROTO_ICMP, "router-solicitation", 10},
    {IPPROTO_ICMP, "time-exceeded", 11},
    {IPPROTO_ICMP, "parameter-problem", 12},
    {IPPROTO_ICMP, "timestamp-request", 13},
    {IPPROTO_ICMP, "timestamp-reply", 14},
    {IPPROTO_ICMP, "info-request", 15},
    {IPPROTO_ICMP, "info-reply", 16},
    {IPPROTO_ICMP, "address-mask-request", 17},
    {IPPROTO_ICMP, "address-mask-reply", 18},
    {IPPROTO_ICMPV6, "destination-unreachable", 1},
    {IPPROTO_ICMPV6, "packet-too-big", 2},
    {IPPROTO_ICMPV6, "time-exceeded", 3},
    {IPPROTO_ICMPV6, "parameter-problem", 4},
    {IPPROTO_ICMPV6, "echo-request", 128},
    {IPPROTO_ICMPV6, "echo-reply", 129},
    {IPPROTO_ICMPV6, "mld-listener-query", 130},
    {IPPROTO_ICMPV6, "mld-listener-report", 131},
    {IPPROTO_ICMPV6, "mld-listener-done", 132},
    {IPPROTO_ICMPV6, "mld-listener-reduction", 132},
    {IPPROTO_ICMPV6, "nd-router-solicit", 133},
    {IPPROTO_ICMPV6, "nd-router-advert", 134},
    {IPPROTO_ICMPV6, "nd-neighbor-solicit", 135},
    {IPPROTO_ICMPV6, "nd-neighbor-advert", 136},
    {IPPROTO_ICMPV6, "nd-redirect", 137},
    {IPPROTO_ICMPV6, "router-renumbering", 138},
    {IPPROTO_ICMPV6, "ind-neighbor-solicit", 141},
    {IPPROTO_ICMPV6, "ind-neighbor-advert", 142},
    {IPPROTO_ICMPV6, "mld2-listener-report", 143},
};

static bool icmp(int proto)
{
	return proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6;
}

bool service_lacks_port(const struct service *service)
{
	if (service->first != PORT_ANY)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
		if (protocols[i].proto == service->proto)
			return true;
	return false;
}

const char *service_format(const struct service *service, char *buffer)
{
	const char *name = NULL;

	if (service->proto == PORT_ANY)
		return strcpy(buffer, "any");
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
		if (protocols[i].proto == service->proto)
			name = protocols[i].name;
	if (!name)
		snprintf(buffer, SERVICE_TEXT_LEN, "proto/%d", service->proto);
	else if (service->first == PORT_ANY)
		snprintf(buffer, SERVICE_TEXT_LEN, "%s", name);
	else if (service->first != service->last)
		snprintf(buffer, SERVICE_TEXT_LEN, "%s/%d-%d", name, service->first, service->last);
	else
		snprintf(buffer, SERVICE_TEXT_LEN, "%s/%d", name, service->first);
	if (!icmp(service->proto) || service->first == PORT_ANY || service->first != service->last)
		return buffer;
	for (size_t i = 0; i < ARRAY_SIZE(icmp_types); i++)
		if (icmp_types[i].proto == service->proto && icmp_types[i].type == service->first) {
			snprintf(buffer, SERVICE_TEXT_LEN, "%s/%s", name, icmp_types[i].name);
			break;
		}
	return buffer;
}

/* The type named @text; where there is none, the error names what was probably meant. */
static int parse_type_name(struct reader *reader, const struct node *node, const char *text,
			   struct service *service)
{
	const char *names[ARRAY_SIZE(icmp_types) + 1] = {};
	const char *family = service->proto == IPPROTO_ICMP ? "icmp" : "icmpv6";
	const char *meant;
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(icmp_types); i++) {
		if (icmp_types[i].proto != service->proto)
			continue;
		names[n++] = icmp_types[i].name;
		if (!strcmp(icmp_types[i].name, text)) {
			service->first = service->last = icmp_types[i].type;
			return 0;
		}
	}
	meant = closest(text, names);
	if (meant)
		return reject(reader, &node->at,
			      "port \"%.64s\": %s has no such type; did you mean \"%s/%s\"?",
			      node->text, family, family, meant);
	return reject(
	    reader, &node->at,
	    "port \"%.64s\": %s has no such type; a number 0..255 or a name as in nft is wanted",
	    node->text, family);
}

static int parse_number(struct reader *reader, const struct node *node, const char *text, int max,
			int *ret)
{
	__u64 value;

	if (units_parse_number(text, &value, NULL) || value > (__u64)max)
		return reject(reader, &node->at, "port \"%.64s\": \"%.16s\" is not in 0..%d",
			      node->text, text, max);
	*ret = value;
	return 0;
}

static int parse_range(struct reader *reader, const struct node *node, char *text, int max,
		       struct service *service)
{
	char *dash = strchr(text, '-');
	int err;

	if (dash)
		*dash = '\0';
	err = parse_number(reader, node, text, max, &service->first);
	if (err)
		return err;
	if (!dash) {
		service->last = service->first;
		return 0;
	}
	err = parse_number(reader, node, dash + 1, max, &service->last);
	if (err)
		return err;
	if (service->last < service->first)
		return reject(reader, &node->at,
			      "port \"%.64s\": %d comes before %d; write the smaller first",
			      node->text, service->last, service->first);
	return 0;
}

/* What stands behind the slash. */
static int parse_rest(struct reader *reader, const struct node *node, char *text, int max,
		      struct service *service)
{
	if (icmp(service->proto) && text[0] >= 'a' && text[0] <= 'z')
		return parse_type_name(reader, node, text, service);
	return parse_range(reader, node, text, max, service);
}

static int parse_proto(struct reader *reader, const struct node *node, const char *text,
		       struct service *service)
{
	return parse_number(reader, node, text, 255, &service->proto);
}

int service_read_one(struct reader *reader, const struct node *node, struct service *ret)
{
	struct service service = {.proto = PORT_ANY, .first = PORT_ANY, .last = PORT_ANY};
	char text[64];
	char *slash;
	int err;

	err = scalar(reader, node, "port", "something like tcp/443, udp/5000-5100, icmp or any");
	if (err)
		return err;
	service.at = node->at;
	snprintf(text, sizeof(text), "%s", node->text);
	slash = strchr(text, '/');
	if (slash)
		*slash = '\0';
	if (!slash && !strcmp(text, "any")) {
		*ret = service;
		return 0;
	}
	if (slash && !strcmp(text, "proto")) {
		err = parse_proto(reader, node, slash + 1, &service);
		*ret = service;
		return err;
	}
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
		if (strcmp(protocols[i].name, text))
			continue;
		service.proto = protocols[i].proto;
		err = slash ? parse_rest(reader, node, slash + 1, protocols[i].max, &service) : 0;
		*ret = service;
		return err;
	}
	return reject(
	    reader, &node->at,
	    "port \"%.64s\" is not like tcp/443, udp/5000-5100, sctp/N, icmp/TYPE, icmpv6/TYPE, proto/N or any",
	    node->text);
}

/* Source quench, redirect; timestamp, information, address mask (RFC 6918, 6633); the redirect of IPv6. */
static bool type_never(int proto, int type)
{
	if (proto == IPPROTO_ICMPV6)
		return type == 137;
	return type == 4 || type == 5 || (type >= 13 && type <= 18);
}

bool service_never(const struct service *service)
{
	if (!icmp(service->proto) || service->first == PORT_ANY)
		return false;
	for (int type = service->first; type <= service->last; type++)
		if (!type_never(service->proto, type))
			return false;
	return true;
}

static int read_one(struct reader *reader, const struct node *key, const struct node *value,
		    void *into)
{
	struct services *services = into;
	struct service service;
	struct service *slot;
	int err;

	err = service_read_one(reader, value, &service);
	if (err)
		return err;
	if (service_never(&service))
		return reject(
		    reader, &value->at,
		    "port \"%.64s\": this type never passes, whatever rules say; leave it out",
		    value->text);
	slot = mem_append(&services->service, &services->n, sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	*slot = service;
	return 0;
}

int read_services(struct reader *reader, const struct node *key, const struct node *value,
		  void *into)
{
	if (value->kind == NODE_LIST && !value->n)
		return reject(reader, &value->at,
			      "port: the list is empty; leave the key out where any port is meant");
	return read_each(reader, key, value, read_one, into);
}
