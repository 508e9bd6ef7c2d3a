// SPDX-License-Identifier: GPL-2.0-only
/*
 * Service addresses. NAT leads a packet for one to an endpoint, so what rules say of the endpoints is said of the
 * address: for each rule that holds an endpoint and its port, the address gets a voice, from the same sources. Endpoints
 * that the same rules hold are one facet; cells.c sums up the voices of all facets.
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "base/mem.h"
#include "compile/builder.h"

static __u32 service_index(int proto, int port)
{
	return (proto == IPPROTO_TCP   ? WEIR_SVC_TCP
		: proto == IPPROTO_UDP ? WEIR_SVC_UDP
				       : WEIR_SVC_SCTP) +
	       port;
}

static int open_vip(struct builder *b, size_t index)
{
	const struct service_rule *rule = &b->policy->service[index];
	struct service port = rule->port;
	const struct services ports = {&port, 1};
	struct vip *vip = &b->vip[index];
	struct match match = {
	    .index = index, .kind = MATCH_VIP, .on = WEIR_NONE, .next = WEIR_NONE};
	int err;

	vip->item = (struct item){.kind = ITEM_PREFIX, .prefix = rule->address, .at = rule->at};
	err = sets_vip(b, vip);
	match.to = vip->set;
	if (!err)
		err = sets_list(b, &items_any, &match.from);
	if (!err)
		err = services_list(b, &ports, false, &vip->ports);
	match.ports = vip->ports;
	if (!err)
		err = matches_append(b, &match);
	vip->first_probe = b->sets.nr_probes;
	for (size_t i = 0; !err && i < rule->nr_endpoints; i++) {
		size_t probe;

		err = sets_probe(b, &rule->endpoint[i].address, &probe);
	}
	return err;
}

int vips_open(struct builder *b)
{
	int err = 0;

	b->vip = calloc(b->policy->nr_services + 1, sizeof(*b->vip));
	if (!b->vip)
		return -ENOMEM;
	for (size_t i = 0; !err && i < b->policy->nr_services; i++)
		err = open_vip(b, i);
	return err;
}

/* What a rule holds of one endpoint. */
struct point {
	size_t first, n; /* in weighing.held */
	bool here;
};

struct held {
	__u32 match;
	bool named;
};

struct weighing {
	struct builder *b;
	size_t nr_matches; /* before any voice was added */
	struct intern intern;
	struct point *point; /* by (class, kind, port) */
	size_t point_capacity;
	struct held *held;
	size_t nr_held, held_capacity;
	__u8 *mask; /* of each set, in the class that is looked at */
};

static bool in_spans(const struct ports *ports, size_t first, size_t n, __u32 service)
{
	for (size_t i = first; i < first + n; i++)
		if (ports->span[i].first <= service && service <= ports->span[i].last)
			return true;
	return false;
}

static bool is_rule(const struct match *match)
{
	return match->kind == MATCH_ALLOW || match->kind == MATCH_DENY;
}

static int hold(struct weighing *w, __u32 n, __u32 service)
{
	const struct ports *ports = &w->b->ports;
	const struct port_set *set = &ports->set[w->b->match[n].ports];

	if (!set->any && !in_spans(ports, set->first_span, set->nr_spans, service))
		return 0;
	if (mem_grow(&w->held, w->nr_held, &w->held_capacity, sizeof(*w->held)))
		return -ENOMEM;
	w->held[w->nr_held++] =
	    (struct held){n, in_spans(ports, set->first_named, set->nr_named, service)};
	return 0;
}

/* The rules that hold (class, kind) and @service, looked up once for all endpoints that are alike. */
static int weigh(struct weighing *w, __u32 class, int kind, __u32 service, __u32 *ret)
{
	const struct classes *classes = &w->b->classes;
	struct sets *sets = &w->b->sets;
	bool fresh;
	int err = 0;

	if (intern_get(&w->intern, sig_of((__u64) class << 2 | kind, service), ret, &fresh))
		return -ENOMEM;
	if (!fresh)
		return 0;
	if (mem_grow(&w->point, *ret, &w->point_capacity, sizeof(*w->point)))
		return -ENOMEM;
	w->point[*ret] = (struct point){.first = w->nr_held, .here = kind == WEIR_SELF};
	for (size_t i = 0; i < sets->n; i++)
		w->mask[i] = sets->set[i].base;
	for (size_t i = classes->first[class]; i < classes->first[class + 1]; i++)
		w->mask[classes->member[i].set] = classes->member[i].mask;
	for (__u32 m = 0; !err && m < w->nr_matches; m++)
		if (is_rule(&w->b->match[m]) && w->mask[w->b->match[m].to] >> kind & 1)
			err = hold(w, m, service);
	w->point[*ret].n = w->nr_held - w->point[*ret].first;
	return err;
}

static int add_voices(struct weighing *w, const struct vip *vip, __u32 facet,
		      const struct point *point)
{
	struct builder *b = w->b;
	int err = 0;

	for (size_t i = point->first; !err && i < point->first + point->n; i++) {
		const struct match *rule = &b->match[w->held[i].match];
		struct match voice = {.from = rule->from,
				      .to = vip->set,
				      .ports = vip->ports,
				      .on = rule->on,
				      .index = rule->index,
				      .next = WEIR_NONE,
				      .facet = facet,
				      .kind = MATCH_VOICE,
				      .deny = rule->kind == MATCH_DENY,
				      .named = w->held[i].named};

		err = matches_append(b, &voice);
	}
	return err;
}

/* A segment's own default may close this node's ingress, and it is not known here for which of its addresses. */
static bool ingress_may_be_closed(const struct policy *policy)
{
	for (size_t i = 0; i < policy->nr_segment_defaults; i++)
		if (policy->segment_defaults[i].defaults.ingress == DEFAULT_DENY)
			return true;
	return policy->defaults.ingress != DEFAULT_ALLOW;
}

static int add_facet(struct weighing *w, struct vip *vip, struct intern *seen,
		     const struct point *point)
{
	struct builder *b = w->b;
	struct sig sig = sig_of(point->n, 80 + point->here);
	bool fresh;
	__u32 n;

	for (size_t i = point->first; i < point->first + point->n; i++)
		sig = sig_add(sig, sig_of((__u64)w->held[i].match << 1 | w->held[i].named, 82));
	if (intern_get(seen, sig, &n, &fresh))
		return -ENOMEM;
	if (!fresh)
		return 0;
	if (mem_grow(&b->facet, b->nr_facets, &b->facet_capacity, sizeof(*b->facet)))
		return -ENOMEM;
	b->facet[b->nr_facets] = (struct facet){
	    .here = point->here, .closed = point->here && ingress_may_be_closed(b->policy)};
	vip->nr_facets++;
	return add_voices(w, vip, b->nr_facets++, point);
}

static bool is_here(const struct environment *env, const struct prefix *address)
{
	for (size_t i = 0; env && i < env->nr_interfaces; i++)
		for (size_t j = 0; j < env->interface[i].nr_addresses; j++)
			if (!prefix_compare(&env->interface[i].address[j], address))
				return true;
	return false;
}

static int build_vip(struct weighing *w, size_t index)
{
	struct builder *b = w->b;
	const struct service_rule *rule = &b->policy->service[index];
	struct vip *vip = &b->vip[index];
	struct intern seen = {0};
	int err = 0;

	vip->first_facet = b->nr_facets;
	for (size_t i = 0; !err && i < rule->nr_endpoints; i++) {
		const struct endpoint *endpoint = &rule->endpoint[i];
		__u32 class = b->classes.probe[vip->first_probe + i];
		__u32 service = service_index(rule->port.proto, endpoint->port), point;
		bool here = is_here(b->env, &endpoint->address);

		/* Whether it is a workload of this node is known when the packet is there. */
		for (int kind = here ? WEIR_SELF : WEIR_WORKLOAD;
		     !err && kind <= (here ? WEIR_SELF : WEIR_OTHER); kind++) {
			err = weigh(w, class, kind, service, &point);
			if (!err)
				err = add_facet(w, vip, &seen, &w->point[point]);
		}
	}
	intern_clear(&seen);
	return err;
}

int vips_build(struct builder *b)
{
	struct weighing w = {.b = b, .nr_matches = b->nr_matches};
	int err = 0;

	if (!b->policy->nr_services)
		return 0;
	w.mask = malloc(b->sets.n + 1);
	if (!w.mask)
		return -ENOMEM;
	for (size_t i = 0; !err && i < b->policy->nr_services; i++)
		err = build_vip(&w, i);
	intern_clear(&w.intern);
	free(w.point);
	free(w.held);
	free(w.mask);
	return err;
}

void vips_clear(struct builder *b)
{
	free(b->vip);
	free(b->facet);
}
