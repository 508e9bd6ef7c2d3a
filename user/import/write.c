// SPDX-License-Identifier: GPL-2.0-only
/* A project as policy text. */
#include "import/compose.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/mem.h"

#define NAME_MAX_LEN 63 /* of a segment or rule */

/**
 * struct writer - the text while it grows.
 * @segments, @rules: names that are taken
 * @failed: memory ran out
 */
struct writer {
	struct import *im;
	const struct project *project;
	FILE *out;
	struct taken {
		const char **name;
		size_t n, room;
	} segments, rules;
	bool failed;
};

/* Text of others, in a comment: it cannot end the line. */
static void put_safe(struct writer *w, const char *text)
{
	for (; *text; text++)
		fputc((unsigned char)*text < 0x20 || (unsigned char)*text >= 0x7f ? '?' : *text,
		      w->out);
}

/* What stands behind a line: where it comes from. */
static void __attribute__((format(printf, 3, 4)))
because(struct writer *w, const struct position *at, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fputs("  # ", w->out);
	if (at && at->line) {
		put_safe(w, at->file);
		fprintf(w->out, ":%u ", at->line);
	}
	put_safe(w, text);
	fputc('\n', w->out);
}

static bool is_taken(const struct taken *taken, const char *name)
{
	for (size_t i = 0; i < taken->n; i++)
		if (!strcmp(taken->name[i], name))
			return true;
	return false;
}

static const char *take(struct writer *w, struct taken *taken, const char *name)
{
	const char **slot =
	    import_append(w->im, &taken->name, &taken->n, &taken->room, sizeof(*slot));

	name = import_text(w->im, name, strlen(name));
	if (!slot || !name) {
		w->failed = true;
		return "?";
	}
	*slot = name;
	return name;
}

/* A name that the policy language takes, like @text, and not yet taken. */
static const char *unique(struct writer *w, struct taken *taken, const char *text)
{
	char name[NAME_MAX_LEN + 16];
	size_t n = 0;

	if (!isalpha((unsigned char)text[0]))
		n = (size_t)snprintf(name, sizeof(name), "s-");
	for (; *text && n < NAME_MAX_LEN - 6; text++) {
		char c = (char)tolower((unsigned char)*text);

		name[n++] =
		    islower((unsigned char)c) || isdigit((unsigned char)c) || c == '-' ? c : '_';
	}
	name[n] = '\0';
	for (unsigned int i = 2; is_taken(taken, name); i++)
		snprintf(name + n, sizeof(name) - n, "-%u", i);
	return take(w, taken, name);
}

static const char *__attribute__((format(printf, 2, 3)))
rule_name(struct writer *w, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return unique(w, &w->rules, text);
}

/* "tcp/80" or "tcp/80-90" */
static void put_ports(struct writer *w, int proto, unsigned int first, unsigned int last)
{
	fprintf(w->out, "%s/%u", proto_name(proto), first);
	if (last != first)
		fprintf(w->out, "-%u", last);
}

static void put_head(struct writer *w, const char *const *paths, size_t n)
{
	const struct import_options *options = w->im->options;

	fprintf(w->out, "# The compose project %s: its containers reach what ", w->project->name);
	fputs(options->tight ? "depends_on and links name" : "its file says", w->out);
	fputs(",\n# and nothing else reaches them. Made by `weir import compose", w->out);
	if (options->tight)
		fputs(" --tight", w->out);
	for (size_t i = 0; i < n; i++) {
		fputc(' ', w->out);
		put_safe(w, paths[i]);
	}
	fputs(
	    "`.\n#\n"
	    "# SSH to this host stays open while no rule names tcp/22 to self; its other ports are closed, and it reaches\n"
	    "# containers only where their ports are published. Add rules for what else it serves.\n\n",
	    w->out);
}

static void put_interfaces(struct writer *w)
{
	const char *list = w->im->options->interfaces;
	const char *p = list ? list : "eth0";

	fputs("interfaces: [", w->out);
	while (*p) {
		size_t n = strcspn(p, ",");
		bool quotes =
		    strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") <
		    n;

		fprintf(w->out, quotes ? "\"%.*s\"" : "%.*s", (int)n, p);
		p += n;
		if (*p == ',') {
			p++;
			fputs(", ", w->out);
		}
	}
	fputs(list ? "]  # NICs to the outside\n"
		   : "]  # the NIC to the outside: change it here where it has another name\n",
	      w->out);
	fputs("workloads: [\"veth*\"]  # the engine's ends of its containers' interfaces\n"
	      "default: {ingress: deny, egress: deny, forward: deny}\n\n",
	      w->out);
}

/*
 * Segments
 */

static void put_network(struct writer *w, struct network *network)
{
	char name[256];

	if (!network->used || network->hidden)
		return;
	snprintf(name, sizeof(name), "net-%s", network->key);
	network->segment = unique(w, &w->segments, name);
	fprintf(w->out, "  %s: [{network: %s}]", network->segment, network->engine);
	because(w, &network->at, "network %s%s%s%s%s", network->key,
		network->at.line || network->external
		    ? ""
		    : ", which compose makes for services without one",
		network->internal ? ", internal" : "", network->ipv6 ? ", with IPv6" : "",
		network->detail);
}

/* Is there any network of @service whose packets are seen here? */
static bool visible(const struct writer *w, const struct service *service)
{
	const struct service *home = project_home(w->project, service);

	if (home->mode == MODE_CONTAINER)
		return true;
	for (size_t i = 0; home->mode == MODE_NETWORKS && i < home->nr_networks; i++)
		if (!w->project->network[home->network[i]].hidden)
			return true;
	return false;
}

static void put_service(struct writer *w, struct service *service)
{
	if (!visible(w, service))
		return;
	if (!isalnum((unsigned char)service->key[0])) {
		diag_warn(
		    w->im->diag, &service->at,
		    "service %.64s: a policy cannot name it; only its networks are carried over",
		    service->key);
		return;
	}
	service->segment = unique(w, &w->segments, service->key);
	if (service->mode == MODE_CONTAINER)
		fprintf(w->out, "  %s: [{container: %s}]", service->segment, service->container);
	else
		fprintf(w->out, "  %s: [{compose: %s/%s}]", service->segment, w->project->name,
			service->key);
	if (service->mode == MODE_SERVICE)
		because(w, &service->at, "service %s, with the networks of %s%s", service->key,
			w->project->service[service->shares].key, service->detail);
	else
		because(w, &service->at, "service %s%s", service->key, service->detail);
}

static bool publishes_by(const struct writer *w, const struct service *service, size_t i)
{
	const struct network *network = &w->project->network[service->network[i]];

	return network->segment && !network->internal;
}

static bool has_way_out(const struct writer *w, const struct service *service)
{
	for (size_t i = 0; i < service->nr_networks; i++)
		if (publishes_by(w, service, i))
			return true;
	return false;
}

/* No port is published by an internal network: its addresses are left out. */
static void put_published_segment(struct writer *w, struct service *service)
{
	const char *before = "except: [";
	char name[256];

	if (!service->segment || !service->published.n || !has_way_out(w, service))
		return;
	for (size_t i = 0; i < service->nr_networks; i++) {
		const struct network *network = &w->project->network[service->network[i]];

		if (!network->internal || !network->segment)
			continue;
		if (!service->published_segment) {
			snprintf(name, sizeof(name), "%s-published", service->segment);
			service->published_segment = unique(w, &w->segments, name);
			fprintf(w->out, "  %s: {members: [%s], ", service->published_segment,
				service->segment);
		}
		fprintf(w->out, "%s%s", before, network->segment);
		before = ", ";
	}
	if (!service->published_segment)
		return;
	fputs("]}", w->out);
	because(w, &service->at, "service %s, where its ports are published", service->key);
}

static bool binds_to(const struct project *project, const char *ip)
{
	for (size_t i = 0; i < project->nr_services; i++)
		for (size_t j = 0; j < project->service[i].published.n; j++) {
			const char *host_ip = project->service[i].published.port[j].host_ip;

			if (host_ip && !strcmp(host_ip, ip))
				return true;
		}
	return false;
}

static void put_segments(struct writer *w)
{
	static const char *const built_in[] = {"any",	  "self",	  "workloads",
					       "outside", "outside-ipv4", "outside-ipv6"};

	for (size_t i = 0; i < ARRAY_SIZE(built_in); i++)
		take(w, &w->segments, built_in[i]);
	fputs("segments:\n"
	      "  # Whoever is neither this host nor a container on it.\n"
	      "  outside: {members: [\"0.0.0.0/0\", \"::/0\"], except: [self, workloads]}\n",
	      w->out);
	if (binds_to(w->project, "0.0.0.0"))
		fputs("  outside-ipv4: {members: [\"0.0.0.0/0\"], except: [self, workloads]}\n",
		      w->out);
	if (binds_to(w->project, "::"))
		fputs("  outside-ipv6: {members: [\"::/0\"], except: [self, workloads]}\n", w->out);
	fputs("\n  # Networks: the addresses that containers have on them.\n", w->out);
	for (size_t i = 0; i < w->project->nr_networks; i++)
		put_network(w, &w->project->network[i]);
	fputs("\n  # Services: the addresses of their containers, on all networks.\n", w->out);
	for (size_t i = 0; i < w->project->nr_services; i++)
		put_service(w, &w->project->service[i]);
	for (size_t i = 0; i < w->project->nr_services; i++)
		put_published_segment(w, &w->project->service[i]);
}

/*
 * Rules
 */

static void put_within(struct writer *w, const struct network *network)
{
	if (!network->segment || network->isolated)
		return;
	fprintf(w->out, "  - {name: %s, from: %s, to: %s}", rule_name(w, "within-%s", network->key),
		network->segment, network->segment);
	because(w, &network->at, "network %s: who is on it reaches whoever is on it", network->key);
}

static void put_out(struct writer *w, const struct network *network)
{
	bool tight = w->im->options->tight;

	if (!network->segment || network->internal)
		return;
	if (tight) {
		fprintf(w->out, "  - {name: %s, from: %s, to: outside, port: [udp/53, tcp/53]}",
			rule_name(w, "dns-from-%s", network->key), network->segment);
		because(w, &network->at,
			"network %s: the engine's resolver asks from inside the containers",
			network->key);
		fputs(
		    "  # The network is not internal; with this rule it may go anywhere outside:\n  #",
		    w->out);
	} else {
		fputs(" ", w->out);
	}
	fprintf(w->out, " - {name: %s, from: %s, to: outside}",
		rule_name(w, "out-%s", network->key), network->segment);
	because(w, &network->at, "network %s is not internal: name service and all else outside",
		network->key);
}

/*
 * Containers on the networks by which a port is published come to it by this host's address, too, where the engine's proxy
 * takes them on; those on other networks are kept apart by the engine. Nothing where the policy is to be tight.
 */
static bool put_neighbours(struct writer *w, const struct service *service, const char *before)
{
	bool any = false;

	for (size_t i = 0; !w->im->options->tight && i < service->nr_networks; i++)
		if (publishes_by(w, service, i)) {
			fprintf(w->out, "%s%s", any ? ", " : before,
				w->project->network[service->network[i]].segment);
			any = true;
		}
	return any;
}

static void put_to(struct writer *w, const struct service *service, const struct port *port)
{
	fprintf(w->out, ", to: %s, port: ",
		service->published_segment ? service->published_segment : service->segment);
	put_ports(w, port->proto, port->first, port->last);
}

static const char *port_rule_name(struct writer *w, const struct service *service,
				  const struct port *port)
{
	char last[16] = "";

	if (port->host_first != port->host_last)
		snprintf(last, sizeof(last), "-%u", port->host_last);
	return rule_name(w, "%s-published-%s-%u%s", service->segment, proto_name(port->proto),
			 port->host_first, last);
}

static bool is_loopback(const char *ip)
{
	return !strcmp(ip, "::1") || !strncmp(ip, "127.", 4);
}

static void port_because(struct writer *w, const struct service *service, const struct port *port,
			 const char *more)
{
	because(w, &port->at, "service %s, ports \"%s\"%s", service->key, port->text, more);
}

/* This host's own port, at @to; from the neighbours alone where @outside is NULL. */
static void put_own_port(struct writer *w, const struct service *service, const struct port *port,
			 const char *name, const char *outside, const char *to)
{
	if (!outside && w->im->options->tight)
		return;
	fprintf(w->out, "  - {name: %s, from: [%s", name, outside ? outside : "");
	put_neighbours(w, service, outside ? ", " : "");
	fprintf(w->out, "], to: %s, port: ", to);
	put_ports(w, port->proto, port->host_first, port->host_last);
	fputs("}", w->out);
	port_because(w, service, port,
		     outside ? ": at this address only" : ": its neighbours come by this host");
}

/* Bound to one address of this host: that address is opened, in place of all of them. */
static void put_bound(struct writer *w, const struct service *service, const struct port *port)
{
	const char *name = port_rule_name(w, service, port);
	char to[ADDR_TEXT_LEN + 2];

	fprintf(w->out, "  - {name: %s, from: [outside, self]", name);
	put_to(w, service, port);
	fputs("}", w->out);
	port_because(w, service, port, "");
	snprintf(to, sizeof(to), "\"%s\"", port->host_ip);
	put_own_port(w, service, port, rule_name(w, "%s-address", name), "outside", to);
}

static void put_published(struct writer *w, const struct service *service, const struct port *port)
{
	const char *outside = "outside", *name;

	if (port->host_ip && is_loopback(port->host_ip)) {
		fprintf(w->out, "  - {name: %s, from: self", port_rule_name(w, service, port));
		put_to(w, service, port);
		fputs("}", w->out);
		port_because(w, service, port, ": from this host only");
		return;
	}
	if (port->host_ip && !strcmp(port->host_ip, "0.0.0.0")) {
		outside = "outside-ipv4";
	} else if (port->host_ip && !strcmp(port->host_ip, "::")) {
		outside = "outside-ipv6";
	} else if (port->host_ip) {
		put_bound(w, service, port);
		return;
	}
	name = port_rule_name(w, service, port);
	fprintf(w->out, "  - {name: %s, from: [%s, self]", name, outside);
	put_to(w, service, port);
	fputs(", published: ", w->out);
	put_ports(w, port->proto, port->host_first, port->host_last);
	fputs("}", w->out);
	port_because(w, service, port, "");
	put_own_port(w, service, port, rule_name(w, "%s-inside", name), NULL, "self");
}

/* Why nothing of `ports:` can be opened; NULL: it can. */
static const char *why_closed(const struct writer *w, const struct service *service)
{
	switch (service->mode) {
	case MODE_HOST:
		return "network_mode host: they are this host's own ports: allow {to: self, port: ...} opens one";
	case MODE_NONE:
		return "network_mode none: it has no network";
	case MODE_SERVICE:
	case MODE_CONTAINER:
		return "its networks are another's, which has to publish them";
	case MODE_NETWORKS:
		break;
	}
	if (!visible(w, service))
		return "its traffic does not pass a bridge of this host";
	if (!service->segment)
		return "a policy cannot name it";
	return has_way_out(w, service)
		   ? NULL
		   : "it is on internal networks only: the engine publishes none";
}

static void put_service_ports(struct writer *w, const struct service *service)
{
	const char *why = why_closed(w, service);
	const struct position *at = service->published.n ? &service->published.port[0].at : NULL;

	if (service->mode == MODE_HOST)
		at = &service->mode_at;
	if (why && at) {
		diag_warn(w->im->diag, at, "service %.64s: ports are not opened: %s", service->key,
			  why);
		return;
	}
	for (size_t i = 0; i < service->published.n; i++) {
		const struct port *port = &service->published.port[i];

		if (port->host_first)
			put_published(w, service, port);
		else
			diag_warn(
			    w->im->diag, &port->at,
			    "service %.64s: ports \"%.64s\": the engine chooses the host's port at each start: not opened to the outside",
			    service->key, port->text);
	}
}

/*
 * Between services, --tight
 */

static bool on_one_network(const struct writer *w, const struct service *a, const struct service *b)
{
	if (a->mode == MODE_CONTAINER || b->mode == MODE_CONTAINER)
		return true; /* nobody knows, and the file says that one needs the other */
	for (size_t i = 0; i < a->nr_networks; i++)
		for (size_t j = 0; j < b->nr_networks; j++)
			if (a->network[i] == b->network[j] &&
			    w->project->network[a->network[i]].segment &&
			    !w->project->network[a->network[i]].isolated)
				return true;
	return false;
}

static bool listed(const struct ports *ports, size_t n, const struct port *port)
{
	for (size_t i = 0; i < n; i++)
		if (ports->port[i].proto == port->proto && ports->port[i].first == port->first &&
		    ports->port[i].last == port->last)
			return true;
	return false;
}

/* ", port: [tcp/1, tcp/2]" of what @service exposes or publishes; nothing where it names none. */
static void put_service_list(struct writer *w, const struct service *service)
{
	const struct ports *exposed = &service->exposed, *published = &service->published;
	const char *before = ", port: [";

	for (size_t i = 0; i < exposed->n + published->n; i++) {
		size_t j = i - exposed->n;
		const struct port *port = i < exposed->n ? &exposed->port[i] : &published->port[j];

		if (i < exposed->n
			? listed(exposed, i, port)
			: listed(exposed, exposed->n, port) || listed(published, j, port))
			continue;
		fputs(before, w->out);
		put_ports(w, port->proto, port->first, port->last);
		before = ", ";
	}
	if (exposed->n || published->n)
		fputs("]", w->out);
}

static void put_dependency(struct writer *w, const struct service *service,
			   const struct dependency *dependency)
{
	const struct service *on = &w->project->service[dependency->service];
	const struct service *from_home = project_home(w->project, service);
	const struct service *to_home = project_home(w->project, on);

	if (from_home == to_home)
		return; /* they meet on their loopback */
	if (!service->segment || !on->segment || !on_one_network(w, from_home, to_home)) {
		diag_warn(w->im->diag, &dependency->at,
			  "service %.64s: %s %.64s: no network of this host is common to both",
			  service->key, dependency->how, on->key);
		return;
	}
	if (!w->im->options->tight)
		return;
	if (!on->exposed.n && !on->published.n)
		diag_warn(
		    w->im->diag, &dependency->at,
		    "service %.64s: %s %.64s, which names no ports (expose, ports): it may reach all of them",
		    service->key, dependency->how, on->key);
	fprintf(w->out, "  - {name: %s, from: %s, to: %s",
		rule_name(w, "%s-to-%s", service->segment, on->segment), service->segment,
		on->segment);
	put_service_list(w, on);
	fputs("}", w->out);
	because(w, &dependency->at, "service %s, %s %s", service->key, dependency->how, on->key);
}

static void put_rules(struct writer *w)
{
	const struct project *project = w->project;

	fputs(
	    "\nallow:\n"
	    "  # What this host itself opens: the file does not speak of it, and the engine leaves it alone.\n"
	    "  - {name: host-out, from: self, to: outside}\n\n",
	    w->out);
	take(w, &w->rules, "host-out");
	for (size_t i = 0; !w->im->options->tight && i < project->nr_networks; i++)
		put_within(w, &project->network[i]);
	for (size_t i = 0; i < project->nr_services; i++)
		for (size_t j = 0; j < project->service[i].nr_dependencies; j++)
			put_dependency(w, &project->service[i], &project->service[i].dependency[j]);
	for (size_t i = 0; i < project->nr_networks; i++)
		put_out(w, &project->network[i]);
	for (size_t i = 0; i < project->nr_services; i++)
		put_service_ports(w, &project->service[i]);
}

static void put_report(struct writer *w)
{
	const struct diag *diag = w->im->diag;

	if (!diag->nr_warnings)
		return;
	fputs("\n# Not carried over, or to be looked at:\n", w->out);
	for (size_t i = 0; i < diag->nr_warnings; i++) {
		fputs("# ", w->out);
		put_safe(w, diag->warnings[i]);
		fputc('\n', w->out);
	}
}

int policy_write(struct import *im, const struct project *project, const char *const *paths,
		 size_t nr_paths, char **ret)
{
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	struct writer w = {.im = im, .project = project, .out = open_memstream(&text, &len)};

	if (!w.out)
		return -ENOMEM;
	put_head(&w, paths, nr_paths);
	put_interfaces(&w);
	put_segments(&w);
	put_rules(&w);
	put_report(&w);
	if (fclose(w.out) || w.failed)
		return -ENOMEM;
	*ret = TAKE_PTR(text);
	return 0;
}
