// SPDX-License-Identifier: GPL-2.0-only
/* Port lists -> spans of weir_svc -> service classes, and the fragment services that stand for whole protocols. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "compile/builder.h"

#define NR_PORTS 65536
#define NR_TYPES 256

struct span_list {
	struct span *at;
	size_t n, capacity;
};

static int spans_add(struct span_list *list, __u32 first, __u32 last)
{
	if (mem_grow(&list->at, list->n, &list->capacity, sizeof(struct span)))
		return -ENOMEM;
	list->at[list->n++] = (struct span){first, last};
	return 0;
}

static int compare_spans(const void *x, const void *y)
{
	const struct span *a = x, *b = y;

	return a->first < b->first ? -1 : a->first > b->first;
}

/* Sorted, and what overlaps or touches made one: lists that cover the same are the same. */
static void spans_normalise(struct span_list *list)
{
	size_t n = 0;

	if (!list->n)
		return;
	qsort(list->at, list->n, sizeof(*list->at), compare_spans);
	for (size_t i = 1; i < list->n; i++) {
		if (list->at[i].first > list->at[n].last + 1)
			list->at[++n] = list->at[i];
		else if (list->at[i].last > list->at[n].last)
			list->at[n].last = list->at[i].last;
	}
	list->n = n + 1;
}

/* All services of a protocol in weir_svc. */
static struct span protocol_span(int proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return (struct span){WEIR_SVC_TCP, WEIR_SVC_TCP + NR_PORTS - 1};
	case IPPROTO_UDP:
		return (struct span){WEIR_SVC_UDP, WEIR_SVC_UDP + NR_PORTS - 1};
	case IPPROTO_SCTP:
		return (struct span){WEIR_SVC_SCTP, WEIR_SVC_SCTP + NR_PORTS - 1};
	case IPPROTO_ICMP:
		return (struct span){WEIR_SVC_ICMP, WEIR_SVC_ICMP + NR_TYPES - 1};
	case IPPROTO_ICMPV6:
		return (struct span){WEIR_SVC_ICMPV6, WEIR_SVC_ICMPV6 + NR_TYPES - 1};
	default:
		return (struct span){WEIR_SVC_PROTO + (proto & 255),
				     WEIR_SVC_PROTO + (proto & 255)};
	}
}

static bool has_ports(int proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP;
}

static struct span service_span(const struct service *service)
{
	struct span span = protocol_span(service->proto);

	if (service->first == PORT_ANY || span.first == span.last)
		return span;
	return (struct span){span.first + service->first, span.first + service->last};
}

bool services_includes(const struct services *list, __u32 service)
{
	for (size_t i = 0; i < list->n; i++) {
		struct span span;

		if (list->service[i].proto == PORT_ANY)
			continue;
		span = service_span(&list->service[i]);
		if (span.first <= service && service <= span.last)
			return true;
	}
	return false;
}

/*
 * What the list covers, and what it names: a whole protocol that has ports names none of them, or every UDP packet
 * that leaves would count as an answer.
 */
static int list_spans(const struct services *list, bool tcp_only, bool *any,
		      struct span_list *spans, struct span_list *named)
{
	const struct span tcp = protocol_span(IPPROTO_TCP);
	bool all = list->n == 0;

	for (size_t i = 0; i < list->n; i++) {
		const struct service *service = &list->service[i];
		struct span span;

		if (service->proto == PORT_ANY) {
			all = true;
			continue;
		}
		if (tcp_only && service->proto != IPPROTO_TCP)
			continue;
		span = service_span(service);
		if (spans_add(spans, span.first, span.last))
			return -ENOMEM;
		if (service->first == PORT_ANY && has_ports(service->proto))
			continue;
		if (spans_add(named, span.first, span.last))
			return -ENOMEM;
	}
	if (all && tcp_only && spans_add(spans, tcp.first, tcp.last))
		return -ENOMEM;
	*any = all && !tcp_only;
	if (*any)
		spans->n = 0;
	spans_normalise(spans);
	spans_normalise(named);
	return 0;
}

static int keep_spans(struct ports *ports, const struct span_list *list, size_t *first, size_t *n)
{
	*first = ports->nr_spans;
	*n = list->n;
	for (size_t i = 0; i < list->n; i++) {
		if (mem_grow(&ports->span, ports->nr_spans, &ports->span_capacity,
			     sizeof(struct span)))
			return -ENOMEM;
		ports->span[ports->nr_spans++] = list->at[i];
	}
	return 0;
}

static int keep_list(struct ports *ports, bool any, const struct span_list *spans,
		     const struct span_list *named, __u32 *ret)
{
	struct sig sig = sig_bytes(spans->at, spans->n * sizeof(struct span));
	struct sig names = sig_bytes(named->at, named->n * sizeof(struct span));
	struct port_set *set;
	bool fresh;

	sig = sig_add(sig, sig_of(names.a ^ any, names.b));
	if (intern_get(&ports->intern, sig, ret, &fresh))
		return -ENOMEM;
	if (!fresh)
		return 0;
	if (mem_grow(&ports->set, *ret, &ports->set_capacity, sizeof(*set)))
		return -ENOMEM;
	set = &ports->set[*ret];
	*set = (struct port_set){.any = any};
	if (keep_spans(ports, spans, &set->first_span, &set->nr_spans))
		return -ENOMEM;
	return keep_spans(ports, named, &set->first_named, &set->nr_named);
}

int services_list(struct builder *b, const struct services *list, bool tcp_only, __u32 *ret)
{
	struct span_list spans = {0}, named = {0};
	bool any;
	int err = list_spans(list, tcp_only, &any, &spans, &named);

	if (!err)
		err = keep_list(&b->ports, any, &spans, &named, ret);
	free(spans.at);
	free(named.at);
	return err;
}

/* ---- classes ---- */

struct edge { /* from @at on, @delta more port lists cover a service */
	__u32 at;
	struct sig delta;
};

struct stretch { /* services from @at on to the next one are of one class */
	__u32 at, class;
};

struct sweep {
	struct ports *ports;
	struct edge *edge;
	size_t nr_edges;
	struct stretch *stretch;
	size_t nr_stretches;
	struct intern intern;
};

static int compare_edges(const void *x, const void *y)
{
	const struct edge *a = x, *b = y;

	return a->at < b->at ? -1 : a->at > b->at;
}

static void add_edges(struct sweep *sweep, size_t first, size_t n, struct sig sig)
{
	for (size_t i = first; i < first + n; i++) {
		const struct span *span = &sweep->ports->span[i];

		sweep->edge[sweep->nr_edges++] = (struct edge){span->first, sig};
		sweep->edge[sweep->nr_edges++] =
		    (struct edge){span->last + 1, sig_sub((struct sig){0, 0}, sig)};
	}
}

/* Services -> classes: two are alike when the same port lists cover and name them. */
static int sweep_edges(struct sweep *sweep)
{
	struct ports *ports = sweep->ports;
	struct sig sum = {0, 0};
	size_t i = 0;

	for (__u32 at = 0; at < WEIR_SVC_FRAG4;) {
		__u32 next, class;

		for (; i < sweep->nr_edges && sweep->edge[i].at <= at; i++)
			sum = sig_add(sum, sweep->edge[i].delta);
		next = i < sweep->nr_edges && sweep->edge[i].at < WEIR_SVC_FRAG4 ? sweep->edge[i].at
										 : WEIR_SVC_FRAG4;
		if (intern_get(&sweep->intern, sum, &class, NULL))
			return -ENOMEM;
		if (class > 0xffff)
			return -E2BIG;
		sweep->stretch[sweep->nr_stretches++] = (struct stretch){at, class};
		for (; at < next; at++)
			ports->class[at] = class;
	}
	sweep->stretch[sweep->nr_stretches] = (struct stretch){WEIR_SVC_FRAG4, 0};
	ports->nr_real = sweep->intern.n;
	return 0;
}

static int find_classes(struct sweep *sweep)
{
	struct ports *ports = sweep->ports;
	size_t most = 2 * ports->nr_spans;

	sweep->edge = calloc(most + 1, sizeof(*sweep->edge));
	sweep->stretch = calloc(most + 3, sizeof(*sweep->stretch));
	ports->class = calloc(WEIR_NR_SERVICES, sizeof(*ports->class));
	if (!sweep->edge || !sweep->stretch || !ports->class)
		return -ENOMEM;
	for (size_t i = 0; i < ports->intern.n; i++) {
		const struct port_set *set = &ports->set[i];

		add_edges(sweep, set->first_span, set->nr_spans, sig_of(i, 10));
		add_edges(sweep, set->first_named, set->nr_named, sig_of(i, 11));
	}
	qsort(sweep->edge, sweep->nr_edges, sizeof(*sweep->edge), compare_edges);
	return sweep_edges(sweep);
}

static const struct stretch *stretch_of(const struct sweep *sweep, __u32 service)
{
	size_t low = 0, high = sweep->nr_stretches;

	while (high - low > 1) {
		size_t middle = (low + high) / 2;

		if (sweep->stretch[middle].at <= service)
			low = middle;
		else
			high = middle;
	}
	return &sweep->stretch[low];
}

/* The classes that some spans cover, each once, as class * 2 + @named. Spans begin and end where classes do. */
static int list_classes(struct sweep *sweep, size_t first, size_t n, __u32 named, __u32 *stamp,
			__u32 mark)
{
	struct ports *ports = sweep->ports;

	for (size_t i = first; i < first + n; i++) {
		const struct stretch *s = stretch_of(sweep, ports->span[i].first);

		for (; s->at <= ports->span[i].last; s++) {
			if (stamp[s->class] == mark)
				continue;
			stamp[s->class] = mark;
			if (u32s_add(&ports->class_of, s->class * 2 + named))
				return -ENOMEM;
		}
	}
	return 0;
}

static int find_members(struct sweep *sweep)
{
	struct ports *ports = sweep->ports;
	_cleanup_free_ __u32 *stamp = calloc(ports->nr_real, sizeof(*stamp));

	ports->example = calloc(ports->nr_real, sizeof(*ports->example));
	if (!stamp || !ports->example)
		return -ENOMEM;
	for (size_t i = sweep->nr_stretches; i-- > 0;)
		ports->example[sweep->stretch[i].class] = sweep->stretch[i].at;
	for (size_t i = 0; i < ports->intern.n; i++) {
		struct port_set *set = &ports->set[i];

		set->first_class = ports->class_of.n;
		if (list_classes(sweep, set->first_named, set->nr_named, 1, stamp, i + 1) ||
		    list_classes(sweep, set->first_span, set->nr_spans, 0, stamp, i + 1))
			return -ENOMEM;
		set->nr_classes = ports->class_of.n - set->first_class;
	}
	return 0;
}

/* ---- fragments ---- */

static void hold_span(const struct sweep *sweep, struct span span, __u64 *holds)
{
	const struct stretch *s = stretch_of(sweep, span.first);

	for (; s->at <= span.last; s++)
		holds[s->class / 64] |= 1ULL << s->class % 64;
}

static int add_fragment(struct ports *ports, struct intern *intern, const __u64 *holds,
			size_t *capacity, __u16 *ret)
{
	size_t words = (ports->nr_real + 63) / 64;
	struct fragment_class *fragment;
	bool fresh;
	__u32 n;

	if (intern_get(intern, sig_bytes(holds, words * sizeof(*holds)), &n, &fresh))
		return -ENOMEM;
	if (ports->nr_real + n > 0xffff)
		return -E2BIG;
	*ret = ports->nr_real + n;
	if (!fresh)
		return 0;
	if (mem_grow(&ports->fragment, n, capacity, sizeof(*fragment)))
		return -ENOMEM;
	ports->nr_fragments = n + 1;
	fragment = &ports->fragment[n];
	fragment->nr = 0;
	fragment->holds = malloc(words * sizeof(*holds));
	if (!fragment->holds)
		return -ENOMEM;
	memcpy(fragment->holds, holds, words * sizeof(*holds));
	for (size_t i = 0; i < words; i++)
		fragment->nr += __builtin_popcountll(holds[i]);
	return 0;
}

/* Fragments of two protocols are alike when the protocols hold the same classes. */
static int find_fragments(struct sweep *sweep)
{
	struct ports *ports = sweep->ports;
	size_t words = (ports->nr_real + 63) / 64, capacity = 0;
	_cleanup_free_ __u64 *holds = calloc(words, sizeof(*holds));
	_cleanup_free_ __u64 *all = calloc(words, sizeof(*all));
	struct intern intern = {0};
	int err = holds && all ? 0 : -ENOMEM;

	for (int proto = 0; !err && proto < 256; proto++) {
		memset(holds, 0, words * sizeof(*holds));
		hold_span(sweep, protocol_span(proto), holds);
		for (size_t i = 0; i < words; i++)
			all[i] |= holds[i];
		err = add_fragment(ports, &intern, holds, &capacity,
				   &ports->class[WEIR_SVC_FRAG4 + proto]);
	}
	if (!err)
		err = add_fragment(ports, &intern, all, &capacity, &ports->class[WEIR_SVC_FRAG6]);
	intern_clear(&intern);
	return err;
}

static int write_table(struct builder *b)
{
	struct tables *tables = b->tables;

	tables->weir_svc = calloc(WEIR_SVC_ENTRIES, sizeof(*tables->weir_svc));
	if (!tables->weir_svc)
		return -ENOMEM;
	tables->nr_weir_svc = WEIR_SVC_ENTRIES;
	memcpy(tables->weir_svc, b->ports.class, WEIR_NR_SERVICES * sizeof(__u16));
	return 0;
}

int services_build(struct builder *b)
{
	struct sweep sweep = {.ports = &b->ports};
	int err = find_classes(&sweep);

	if (!err)
		err = find_members(&sweep);
	if (!err)
		err = find_fragments(&sweep);
	if (!err)
		err = write_table(b);
	if (err == -E2BIG)
		diag_fail(b->diag, err, NULL,
			  "more than 65536 service classes: too many different ports");
	free(sweep.edge);
	free(sweep.stretch);
	intern_clear(&sweep.intern);
	return err;
}

const char *services_text(__u32 service, char *buffer, size_t size)
{
	if (service >= WEIR_SVC_FRAG6)
		snprintf(buffer, size, "a later IPv6 fragment");
	else if (service >= WEIR_SVC_FRAG4)
		snprintf(buffer, size, "a later fragment of proto/%u", service - WEIR_SVC_FRAG4);
	else if (service >= WEIR_SVC_PROTO)
		snprintf(buffer, size, "proto/%u", service - WEIR_SVC_PROTO);
	else if (service >= WEIR_SVC_ICMPV6)
		snprintf(buffer, size, "icmpv6/%u", service - WEIR_SVC_ICMPV6);
	else if (service >= WEIR_SVC_ICMP)
		snprintf(buffer, size, "icmp/%u", service - WEIR_SVC_ICMP);
	else
		snprintf(buffer, size, "%s/%u",
			 service >= WEIR_SVC_SCTP  ? "sctp"
			 : service >= WEIR_SVC_UDP ? "udp"
						   : "tcp",
			 service & 0xffff);
	return buffer;
}

void services_clear(struct ports *ports)
{
	for (size_t i = 0; i < ports->nr_fragments; i++)
		free(ports->fragment[i].holds);
	free(ports->fragment);
	free(ports->set);
	free(ports->span);
	free(ports->class_of.at);
	free(ports->example);
	free(ports->class);
	intern_clear(&ports->intern);
	memset(ports, 0, sizeof(*ports));
}
