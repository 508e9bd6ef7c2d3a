// SPDX-License-Identifier: GPL-2.0-only
/* What NAT makes of addresses and ports: published ports, and service addresses with their endpoints. */
#include "policy/reader.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/units.h"
#include "policy/service.h"

static bool has_port(const struct service *service)
{
	return (service->proto == IPPROTO_TCP || service->proto == IPPROTO_UDP ||
		service->proto == IPPROTO_SCTP) &&
	       service->first != PORT_ANY;
}

/* ---- published ---- */

static int one_published(struct reader *reader, const struct node *key, const struct node *value,
			 void *into)
{
	struct services *services = into;
	struct service service, *slot;
	int err = service_read_one(reader, value, &service);

	if (err)
		return err;
	if (!has_port(&service))
		return reject(
		    reader, &value->at,
		    "published \"%.64s\": a protocol and its port are wanted, like tcp/443",
		    value->text);
	slot = mem_append(&services->service, &services->n, sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	*slot = service;
	return 0;
}

int rule_published(struct reader *reader, const struct node *key, const struct node *value,
		   void *into)
{
	if (value->kind == NODE_LIST && !value->n)
		return reject(
		    reader, &value->at,
		    "published: the list is empty; leave the key out where nothing is published");
	return read_each(reader, key, value, one_published, &((struct rule *)into)->published);
}

/* NAT keeps the protocol: what is published with one that the rule does not open would lead nowhere. */
static bool has_protocol(const struct services *port, int proto)
{
	for (size_t i = 0; i < port->n; i++)
		if (port->service[i].proto == PORT_ANY || port->service[i].proto == proto)
			return true;
	return !port->n;
}

int check_published(struct reader *reader, const struct rule *rule)
{
	char text[SERVICE_TEXT_LEN];

	for (size_t i = 0; i < rule->published.n; i++) {
		const struct service *service = &rule->published.service[i];

		if (!rule->to.n)
			return reject(
			    reader, &service->at,
			    "published: to is missing; it says who gets what arrives at that port");
		if (!has_protocol(&rule->port, service->proto))
			return reject(
			    reader, &service->at,
			    "published: %s has another protocol than the rule's port, and NAT keeps it",
			    service_format(service, text));
	}
	return 0;
}

/* ---- services ---- */

/** struct service_draft - a service address while it is read. */
struct service_draft {
	struct service_rule *rule;
	bool has_address;
	const struct node *endpoints;
};

/* Full length, and an address that a packet can be sent to. */
static int usable_address(struct reader *reader, const struct position *at, const char *text,
			  struct prefix *ret)
{
	static const struct weir_addr unspecified6 = {{0}}, loopback6 = {{[15] = 1}};
	const char *why = "";
	struct prefix prefix;
	const __u8 *byte = prefix.address.byte;

	if (prefix_parse(text, &prefix, &why))
		return address_reject(reader, at, text, why);
	if (prefix.length != (prefix.v6 ? 128 : 32))
		return reject(reader, at, "\"%.64s\": wanted one address, found a prefix", text);
	if (prefix.v6 ? byte[0] == 0xff || !memcmp(byte, &unspecified6, 16) ||
			    !memcmp(byte, &loopback6, 16)
		      : byte[12] == 0 || byte[12] == 127 || byte[12] >= 224)
		return reject(reader, at, "\"%.64s\" is no address that NAT leads to or from",
			      text);
	*ret = prefix;
	return 0;
}

static int service_address(struct reader *reader, const struct node *key, const struct node *value,
			   void *into)
{
	struct service_draft *draft = into;
	int err = scalar(reader, value, "address", "one address");

	if (err)
		return err;
	draft->has_address = true;
	return usable_address(reader, &value->at, value->text, &draft->rule->address);
}

static int service_port(struct reader *reader, const struct node *key, const struct node *value,
			void *into)
{
	struct service *port = &((struct service_draft *)into)->rule->port;
	int err = service_read_one(reader, value, port);

	if (err)
		return err;
	if (!has_port(port) || port->first != port->last)
		return reject(
		    reader, &value->at,
		    "port \"%.64s\": a service address has one protocol and one port, like tcp/443",
		    value->text);
	return 0;
}

static int service_endpoints(struct reader *reader, const struct node *key,
			     const struct node *value, void *into)
{
	((struct service_draft *)into)->endpoints = value;
	return 0;
}

static const struct key service_keys[] = {
    {"address", service_address},
    {"port", service_port},
    {"endpoints", service_endpoints},
    {},
};
const struct scope scope_service = {"service", service_keys};

/* "ADDR:PORT" or "[ADDR6]:PORT" in two. */
static int split_endpoint(struct reader *reader, const struct node *node, char *address,
			  size_t size, const char **ret_port)
{
	const char *text = node->text, *colon = strrchr(text, ':'), *end = colon;
	bool bracket = text[0] == '[';

	if (bracket && colon && colon > text && colon[-1] == ']')
		end = colon - 1;
	else if (bracket || !colon || memchr(text, ':', (size_t)(colon - text)))
		end = NULL;
	if (!end || (size_t)(end - text) >= size)
		return reject(
		    reader, &node->at,
		    "endpoint \"%.64s\" is not like 192.0.2.1:8080 or \"[2001:db8::1]:8080\"",
		    text);
	snprintf(address, size, "%.*s", (int)(end - text - bracket), text + bracket);
	*ret_port = colon + 1;
	return 0;
}

static bool same_endpoint(const struct endpoint *a, const struct endpoint *b)
{
	return a->port == b->port && !memcmp(&a->address.address, &b->address.address, 16);
}

static int add_endpoint(struct reader *reader, const struct node *node, struct service_rule *rule,
			const struct endpoint *endpoint)
{
	struct endpoint *slot;

	if (endpoint->address.v6 != rule->address.v6)
		return reject(reader, &node->at,
			      "endpoint \"%.64s\" is of another address family than its service",
			      node->text);
	for (size_t i = 0; i < rule->nr_endpoints; i++)
		if (same_endpoint(&rule->endpoint[i], endpoint))
			return reject(reader, &node->at,
				      "endpoint \"%.64s\" is given twice; first at %s:%u:%u",
				      node->text, rule->endpoint[i].at.file,
				      rule->endpoint[i].at.line, rule->endpoint[i].at.column);
	slot = mem_append(&rule->endpoint, &rule->nr_endpoints, sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	*slot = *endpoint;
	return 0;
}

static int one_endpoint(struct reader *reader, const struct node *key, const struct node *value,
			void *into)
{
	struct endpoint endpoint = {.at = value->at};
	char address[INET6_ADDRSTRLEN + 4];
	const char *port = "";
	__u64 number;
	int err = scalar(reader, value, "endpoint", "ADDR:PORT or \"[ADDR]:PORT\" in quotes");

	if (!err)
		err = split_endpoint(reader, value, address, sizeof(address), &port);
	if (!err)
		err = usable_address(reader, &value->at, address, &endpoint.address);
	if (err)
		return err;
	if (units_parse_number(port, &number, NULL) || !number || number > 65535)
		return reject(reader, &value->at,
			      "endpoint \"%.64s\": port \"%.16s\" is not in 1..65535", value->text,
			      port);
	endpoint.port = (__u16)number;
	return add_endpoint(reader, value, into, &endpoint);
}

static int one_service(struct reader *reader, const struct node *key, const struct node *value,
		       void *into)
{
	struct policy *policy = reader->policy;
	struct service_draft draft = {};
	const char *missing;
	int err;

	draft.rule = mem_append(&policy->service, &policy->nr_services, sizeof(*draft.rule));
	if (!draft.rule)
		return -ENOMEM;
	draft.rule->at = value->at;
	err = read_map(reader, value, &scope_service, &draft);
	if (err)
		return err;
	missing = !draft.has_address	      ? "address"
		  : !draft.rule->port.at.line ? "port"
		  : !draft.endpoints	      ? "endpoints"
					      : NULL;
	if (missing)
		return reject(reader, &value->at, "service: %s is missing", missing);
	if (draft.endpoints->kind == NODE_LIST && !draft.endpoints->n)
		return reject(
		    reader, &draft.endpoints->at,
		    "endpoints: the list is empty; without any, the address is like all others");
	return read_each(reader, NULL, draft.endpoints, one_endpoint, draft.rule);
}

int read_service_rules(struct reader *reader, const struct node *key, const struct node *value,
		       void *into)
{
	return read_list(reader, key, value, one_service, NULL);
}

static int compare_services(const void *a, const void *b)
{
	const struct service_rule *x = *(const struct service_rule *const *)a,
				  *y = *(const struct service_rule *const *)b;
	int order = memcmp(&x->address.address, &y->address.address, 16);

	order = order ? order : x->port.proto - y->port.proto;
	return order ? order : x->port.first - y->port.first;
}

static int compare_places(const void *a, const void *b)
{
	const struct service_rule *x = *(const struct service_rule *const *)a,
				  *y = *(const struct service_rule *const *)b;
	int order = compare_services(a, b);

	return order ? order : x < y ? -1 : x > y;
}

/* NAT happens once: what it leads to is no service address. */
static int check_endpoints(struct diag *diag, const struct service_rule *service,
			   const struct service_rule **sorted, size_t n)
{
	for (size_t i = 0; i < service->nr_endpoints; i++) {
		const struct endpoint *endpoint = &service->endpoint[i];
		const struct service_rule wanted = {
		    .address = endpoint->address,
		    .port = {.proto = service->port.proto, .first = endpoint->port},
		};
		const struct service_rule *key = &wanted;

		if (bsearch(&key, sorted, n, sizeof(*sorted), compare_services))
			return diag_fail(diag, -EINVAL, &endpoint->at,
					 "the endpoint is itself an address in services");
	}
	return 0;
}

int check_service_rules(const struct policy *policy, struct diag *diag)
{
	size_t n = policy->nr_services;
	_cleanup_free_ const struct service_rule **sorted = calloc(n + 1, sizeof(*sorted));
	int err = 0;

	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		sorted[i] = &policy->service[i];
	qsort(sorted, n, sizeof(*sorted), compare_places);
	for (size_t i = 1; i < n; i++) {
		const struct position *first = &sorted[i - 1]->at;

		if (!compare_services(&sorted[i - 1], &sorted[i]))
			return diag_fail(
			    diag, -EINVAL, &sorted[i]->at,
			    "service: its address and port are given twice; first at %s:%u:%u",
			    first->file, first->line, first->column);
	}
	for (size_t i = 0; i < n && !err; i++)
		err = check_endpoints(diag, &policy->service[i], sorted, n);
	return err;
}
