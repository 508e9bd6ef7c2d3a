// SPDX-License-Identifier: GPL-2.0-only
/* `ports:` and `expose:`, in both syntaxes. */
#include "import/compose.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/addr.h"
#include "base/mem.h"

static const struct {
	const char *name;
	int number;
} protocols[] = {{"tcp", IPPROTO_TCP}, {"udp", IPPROTO_UDP}, {"sctp", IPPROTO_SCTP}};

const char *proto_name(int proto)
{
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
		if (protocols[i].number == proto)
			return protocols[i].name;
	return "?";
}

static int read_proto(struct import *im, const struct position *at, const char *text, int *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
		if (!strcasecmp(text, protocols[i].name)) {
			*ret = protocols[i].number;
			return 0;
		}
	return import_fail(im, at, "wanted the protocol tcp, udp or sctp, found \"%.64s\"", text);
}

static int read_number(struct import *im, const struct position *at, const char *text, size_t len,
		       unsigned int *ret)
{
	char digits[8] = "";

	if (len && len < sizeof(digits) && strspn(text, "0123456789") >= len) {
		memcpy(digits, text, len);
		*ret = (unsigned int)strtoul(digits, NULL, 10);
		if (*ret >= 1 && *ret <= 65535)
			return 0;
	}
	return import_fail(im, at, "wanted a port from 1 to 65535, found \"%.*s\"",
			   (int)(len > 64 ? 64 : len), text);
}

/* "80" or "80-90". */
static int read_range(struct import *im, const struct position *at, const char *text,
		      unsigned int *first, unsigned int *last)
{
	const char *dash = strchr(text, '-');
	int err = read_number(im, at, text, dash ? (size_t)(dash - text) : strlen(text), first);

	*last = *first;
	if (!err && dash)
		err = read_number(im, at, dash + 1, strlen(dash + 1), last);
	if (!err && *last < *first)
		return import_fail(im, at, "range of ports \"%.64s\" ends before it begins", text);
	return err;
}

/* Ports of this host for as many of the container; one port of the container may take any of several. */
static int read_host(struct import *im, struct port *port, const char *text)
{
	int err;

	if (!*text)
		return 0;
	err = read_range(im, &port->at, text, &port->host_first, &port->host_last);
	if (err || port->first == port->last ||
	    port->host_last - port->host_first == port->last - port->first)
		return err;
	return import_fail(
	    im, &port->at, "\"%.64s\": %u ports of the host for %u ports of the container",
	    port->text, port->host_last - port->host_first + 1, port->last - port->first + 1);
}

static int read_host_ip(struct import *im, struct port *port, const char *text)
{
	struct weir_addr address;
	char canonical[ADDR_TEXT_LEN];
	const char *why;
	size_t n = strlen(text);

	if (n > 2 && text[0] == '[' && text[n - 1] == ']')
		text = import_text(im, text + 1, n - 2);
	if (!text)
		return -ENOMEM;
	if (addr_parse(text, &address, &why))
		return import_fail(im, &port->at, "host address \"%.64s\" is no address: %s", text,
				   why);
	addr_format(&address, canonical);
	port->host_ip = import_text(im, canonical, strlen(canonical));
	return port->host_ip ? 0 : -ENOMEM;
}

/* [[HOST_IP:]HOST:]CONTAINER[/PROTOCOL]; the address may itself hold colons. */
static int read_short(struct import *im, struct port *port, bool published)
{
	char *text = import_text(im, port->text, strlen(port->text)), *slash, *colon, *host = NULL;
	int err = 0;

	if (!text)
		return -ENOMEM;
	port->proto = IPPROTO_TCP;
	slash = strrchr(text, '/');
	if (slash) {
		*slash = '\0';
		err = read_proto(im, &port->at, slash + 1, &port->proto);
	}
	colon = strrchr(text, ':');
	if (colon && !published)
		return import_fail(im, &port->at,
				   "expose: wanted PORT[-PORT][/PROTOCOL], found \"%.64s\"",
				   port->text);
	if (!err)
		err =
		    read_range(im, &port->at, colon ? colon + 1 : text, &port->first, &port->last);
	if (err || !colon)
		return err;
	*colon = '\0';
	host = strrchr(text, ':');
	if (host) {
		*host = '\0';
		err = read_host_ip(im, port, text);
	}
	return err ? err : read_host(im, port, host ? host + 1 : text);
}

static bool same(const struct port *a, const struct port *b)
{
	return a->proto == b->proto && a->first == b->first && a->last == b->last &&
	       a->host_first == b->host_first && a->host_last == b->host_last &&
	       !strcmp(a->host_ip ? a->host_ip : "", b->host_ip ? b->host_ip : "");
}

/* What several files say is said once. */
static int add(struct import *im, struct ports *ports, const struct port *port)
{
	struct port *slot;

	for (size_t i = 0; i < ports->n; i++)
		if (same(&ports->port[i], port))
			return 0;
	slot = import_append(im, &ports->port, &ports->n, &ports->room, sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	*slot = *port;
	return 0;
}

static int long_key(struct import *im, const char *service, struct port *port, const char *key,
		    struct ynode *value, const char **host)
{
	static const char *const silent[] = {"name", "app_protocol", "mode", "x-", NULL};
	const char *text;
	int err;

	for (size_t i = 0; silent[i]; i++)
		if (!strncmp(key, silent[i], strlen(silent[i])))
			return 0;
	err = ytext(im, value, key, &text);
	if (err)
		return err;
	if (!strcmp(key, "target"))
		return read_range(im, &value->at, text, &port->first, &port->last);
	if (!strcmp(key, "published"))
		*host = text;
	else if (!strcmp(key, "protocol"))
		return read_proto(im, &value->at, text, &port->proto);
	else if (!strcmp(key, "host_ip"))
		return *text ? read_host_ip(im, port, text) : 0;
	else
		diag_warn(im->diag, &value->at, "service %.64s, ports: key \"%.64s\" is not known",
			  service, key);
	return 0;
}

static int read_long(struct import *im, const char *service, struct ynode *node, struct port *port)
{
	const char *host = "";
	int err = 0;

	port->proto = IPPROTO_TCP;
	for (size_t i = 0; i < node->n && !err; i++)
		err = long_key(im, service, port, node->key[i]->text, node->value[i], &host);
	if (err)
		return err;
	if (!port->first)
		return import_fail(im, &node->at, "ports: target is missing");
	port->text =
	    import_format(im, "%s%s%s:%u/%s", port->host_ip ? port->host_ip : "",
			  port->host_ip ? ":" : "", host, port->first, proto_name(port->proto));
	return port->text ? read_host(im, port, host) : -ENOMEM;
}

int ports_read(struct import *im, const char *service, struct ynode *node, struct ports *ports)
{
	struct port port = {.at = node->at};
	int err;

	if (node->kind == Y_MAP) {
		err = read_long(im, service, node, &port);
	} else {
		err = ytext(im, node, "ports", &port.text);
		if (!err)
			err = read_short(im, &port, true);
	}
	return err ? err : add(im, ports, &port);
}

int expose_read(struct import *im, const char *service, struct ynode *node, struct ports *ports)
{
	struct port port = {.at = node->at};
	int err = ytext(im, node, "expose", &port.text);

	if (!err)
		err = read_short(im, &port, false);
	return err ? err : add(im, ports, &port);
}
