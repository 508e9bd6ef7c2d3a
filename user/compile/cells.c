// SPDX-License-Identifier: GPL-2.0-only
/*
 * Row x column -> verdict; a column is (zone, service class).
 *
 * A row's rules for any port are summed up once; the others paint the service classes that they name. What is painted
 * and differs from the most common verdict of the row is listed, so a row costs what its rules name.
 */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "compile/builder.h"

#define KEPT (WEIR_MAX_LIMITS + 1) /* one more than fits: enough to say which */

/* What has been said about a service so far. */
struct said {
	__u32 deny, allow; /* first rule of each, WEIR_NONE */
	__u32 vip;	   /* it is the service of this service address, WEIR_NONE */
	__u32 protect;	   /* first entry of `protect:`, WEIR_NONE */
	bool named, failsafe;
	__u8 nr_limits; /* in file order, at most KEPT */
	__u16 limit[KEPT];
	__u8 nr_sent; /* those of them that are charged to what is sent, at the sender's home */
	__u16 sent[KEPT];
};

/* What a rule says of a facet of a service address. */
struct voice {
	__u32 class, facet;
	__u32 index;
	bool deny, named;
};

struct painter {
	struct builder *b;
	struct u32s matches; /* of the row */
	bool zoned;	     /* some match of the row has `on` */
	struct said any;
	struct said *said; /* by service class */
	__u32 *stamp;	   /* by service class: painted in this round */
	__u32 round;
	struct u32s painted;
	struct voice *voice;
	size_t nr_voices, voice_capacity;
	/* cells of the row, over all zones: painted and fragment classes; the rest of each zone is its plain verdict */
	struct cell *cell;
	size_t nr_cells, cell_capacity;
	__u32 *plain; /* by zone */
	size_t *nr_plain;
	__u32 *tally; /* by verdict */
	size_t tally_capacity;
};

static const struct said nothing = {
    .deny = WEIR_NONE, .allow = WEIR_NONE, .vip = WEIR_NONE, .protect = WEIR_NONE};

static __u32 min_u32(__u32 a, __u32 b)
{
	return a < b ? a : b;
}

/* Into a sorted list without doubles, cut at @most. */
static __u8 add_limit(__u16 *list, __u8 n, __u8 most, __u16 limit)
{
	__u8 at = 0;

	while (at < n && list[at] < limit)
		at++;
	if ((at < n && list[at] == limit) || at == most)
		return n;
	if (n == most)
		n--;
	memmove(&list[at + 1], &list[at], (n - at) * sizeof(*list));
	list[at] = limit;
	return n + 1;
}

static bool charged_at_sender(const struct limit_rule *limit)
{
	return limit->has_from && limit->from.n && !(limit->has_to && limit->to.n);
}

static void say(const struct builder *b, struct said *said, const struct match *match, bool named)
{
	switch (match->kind) {
	case MATCH_DENY:
		said->deny = min_u32(said->deny, match->index);
		break;
	case MATCH_ALLOW:
		said->allow = min_u32(said->allow, match->index);
		said->named |= named;
		break;
	case MATCH_FAILSAFE:
		said->failsafe = true;
		said->named |= named;
		break;
	case MATCH_LIMIT:
		said->nr_limits = add_limit(said->limit, said->nr_limits, KEPT, match->index);
		if (charged_at_sender(&b->policy->limit[match->index]))
			said->nr_sent = add_limit(said->sent, said->nr_sent, KEPT, match->index);
		break;
	case MATCH_PROTECT:
		said->protect = min_u32(said->protect, match->index);
		break;
	case MATCH_VIP:
		said->vip = match->index;
		break;
	}
}

static void join(struct said *said, const struct said *more)
{
	said->deny = min_u32(said->deny, more->deny);
	said->allow = min_u32(said->allow, more->allow);
	said->named |= more->named;
	said->failsafe |= more->failsafe;
	said->protect = min_u32(said->protect, more->protect);
	for (int i = 0; i < more->nr_limits; i++)
		said->nr_limits = add_limit(said->limit, said->nr_limits, KEPT, more->limit[i]);
	for (int i = 0; i < more->nr_sent; i++)
		said->nr_sent = add_limit(said->sent, said->nr_sent, KEPT, more->sent[i]);
}

/* "a", "b", …: at most @n limits by name or place. */
static void limit_names(const struct builder *b, const __u16 *limit, size_t n, char *buffer,
			size_t size)
{
	size_t len = 0;

	buffer[0] = '\0';
	for (size_t i = 0; i < n && len < size; i++) {
		const struct limit_rule *rule = &b->policy->limit[limit[i]];

		if (rule->name)
			len += snprintf(buffer + len, size - len, "%s\"%s\"", i ? ", " : "",
					rule->name);
		else
			len += snprintf(buffer + len, size - len, "%s%s:%u", i ? ", " : "",
					rule->at.file ? rule->at.file : "?", rule->at.line);
	}
}

static int too_many(struct painter *painter, __u32 service, const __u16 *limit, size_t n,
		    size_t most)
{
	struct builder *b = painter->b;
	char names[600], text[64];

	limit_names(b, limit, n, names, sizeof(names));
	return diag_fail(b->diag, -EINVAL, &b->policy->limit[limit[n - 1]].at,
			 "%s may meet more than %zu limits: %s",
			 services_text(service, text, sizeof(text)), most, names);
}

static int intern_verdict(struct painter *painter, const struct weir_verdict *verdict, __u32 *ret)
{
	struct cells *cells = &painter->b->cells;
	bool fresh;

	if (intern_get(&cells->verdicts, sig_bytes(verdict, sizeof(*verdict)), ret, &fresh))
		return -ENOMEM;
	if (!fresh)
		return 0;
	if (mem_grow(&cells->verdict, *ret, &cells->verdict_capacity, sizeof(*verdict)) ||
	    mem_grow(&painter->tally, *ret, &painter->tally_capacity, sizeof(__u32)))
		return -ENOMEM;
	cells->verdict[*ret] = *verdict;
	painter->tally[*ret] = 0;
	return 0;
}

/* ---- service addresses: what is said of the endpoints, summed up ---- */

struct facets {
	__u32 n, denied, allowed, named; /* how many, by rules */
	__u32 deny, allow;		 /* first rule of each, WEIR_NONE */
	/* Of this node's own, which are not judged once NAT has led there: one that a rule denies, one that none names,
	 * and of those one that the default closes. */
	bool here_denied, here_default, here_closed;
};

static void add_facet(const struct painter *painter, struct facets *sum, __u32 class, __u32 facet)
{
	const struct facet *f = &painter->b->facet[facet];
	__u32 deny = WEIR_NONE, allow = WEIR_NONE;
	bool named = false;

	for (size_t i = 0; i < painter->nr_voices; i++) {
		const struct voice *voice = &painter->voice[i];

		if (voice->class != class || voice->facet != facet)
			continue;
		if (voice->deny)
			deny = min_u32(deny, voice->index);
		else
			allow = min_u32(allow, voice->index);
		named |= !voice->deny && voice->named;
	}
	sum->n++;
	if (deny != WEIR_NONE) {
		sum->denied++;
		sum->deny = min_u32(sum->deny, deny);
		sum->here_denied |= f->here;
	} else if (allow != WEIR_NONE) {
		sum->allowed++;
		sum->named += named;
		sum->allow = min_u32(sum->allow, allow);
	} else {
		sum->here_default |= f->here;
		sum->here_closed |= f->closed;
	}
}

static void deny_verdict(struct weir_verdict *verdict, __u32 rule)
{
	verdict->action = WEIR_ACT_DENY;
	verdict->rule = rule == WEIR_NONE ? WEIR_RULE_DEFAULT_INGRESS : WEIR_RULE_FIRST + rule;
}

static void allow_verdict(const struct painter *painter, struct weir_verdict *verdict, __u32 rule,
			  bool named)
{
	verdict->action = WEIR_ACT_ALLOW;
	verdict->rule = WEIR_RULE_FIRST + rule;
	verdict->flags =
	    (painter->b->log[rule] ? WEIR_VERDICT_LOG : 0) | (named ? WEIR_VERDICT_NAMED : 0);
}

/*
 * Deny wins over allow here too: what no endpoint may be asked for is denied, and where that depends on the endpoint the
 * packet is judged when NAT has chosen one. A rule that allows the address itself leads to all other endpoints.
 */
static void decide_vip(const struct painter *painter, const struct said *said, __u32 class,
		       struct weir_verdict *verdict)
{
	const struct vip *vip = &painter->b->vip[said->vip];
	struct facets sum = {.deny = WEIR_NONE, .allow = WEIR_NONE};
	bool allow = said->allow != WEIR_NONE;

	for (__u32 i = 0; i < vip->nr_facets; i++)
		add_facet(painter, &sum, class, vip->first_facet + i);
	if (said->deny != WEIR_NONE)
		deny_verdict(verdict, said->deny);
	else if (sum.denied == sum.n || sum.here_denied ||
		 (sum.denied && sum.here_default && !allow))
		deny_verdict(verdict, sum.deny);
	else if (sum.denied)
		verdict->action = WEIR_ACT_LATER;
	else if (allow)
		allow_verdict(painter, verdict, said->allow, said->named);
	else if (sum.allowed == sum.n)
		allow_verdict(painter, verdict, sum.allow, sum.named == sum.n);
	else if (sum.here_closed)
		deny_verdict(verdict, WEIR_NONE);
	else if (sum.allowed && !sum.here_default)
		verdict->action = WEIR_ACT_LATER;
}

/* DESIGN 1.6: failsafe, then deny, allow, default. */
static void decide_plain(const struct painter *painter, const struct said *said,
			 struct weir_verdict *verdict)
{
	if (said->failsafe) {
		verdict->action = WEIR_ACT_FAILSAFE;
		verdict->rule = WEIR_RULE_BUILTIN_FAILSAFE;
	} else if (said->deny != WEIR_NONE) {
		deny_verdict(verdict, said->deny);
	} else if (said->allow != WEIR_NONE) {
		allow_verdict(painter, verdict, said->allow, false);
	}
	if (verdict->action != WEIR_ACT_DENY && said->named)
		verdict->flags |= WEIR_VERDICT_NAMED;
}

/* Who else is to be watched for cookies that come again: see struct weir_protect. */
static bool limits_connections(const struct builder *b, const struct weir_verdict *verdict)
{
	for (int i = 0; i < verdict->nr_limits && b->watch_cookies; i++)
		if (b->policy->limit[verdict->limit[i]].count == WEIR_COUNT_CONNECTIONS)
			return true;
	return false;
}

/* Limits apply to what is not denied. Who receives what goes to a service address is charged at the endpoint's home. */
static int decide(struct painter *painter, const struct said *said, __u32 class, __u32 *ret)
{
	struct weir_verdict verdict = {.action = WEIR_ACT_DEFAULT};
	bool vip = said->vip != WEIR_NONE;
	const __u16 *limit = vip ? said->sent : said->limit;
	__u8 n = vip ? said->nr_sent : said->nr_limits;

	if (vip)
		decide_vip(painter, said, class, &verdict);
	else
		decide_plain(painter, said, &verdict);
	if (verdict.action != WEIR_ACT_DENY && verdict.action != WEIR_ACT_FAILSAFE) {
		if (n > WEIR_MAX_LIMITS)
			return too_many(painter, painter->b->ports.example[class], limit, n,
					WEIR_MAX_LIMITS);
		verdict.nr_limits = n;
		memcpy(verdict.limit, limit, n * sizeof(*limit));
	}
	/* What goes to a service address ends at its endpoint, whose sockets take no cookies of ours. */
	if (verdict.action != WEIR_ACT_DENY && !vip && said->protect != WEIR_NONE)
		verdict.protect = said->protect + 1;
	else if (!vip && limits_connections(painter->b, &verdict))
		verdict.protect = painter->b->policy->nr_protects + 1;
	return intern_verdict(painter, &verdict, ret);
}

static int add_cell(struct painter *painter, __u32 column, __u32 verdict)
{
	if (mem_grow(&painter->cell, painter->nr_cells, &painter->cell_capacity,
		     sizeof(struct cell)))
		return -ENOMEM;
	painter->cell[painter->nr_cells++] = (struct cell){column, verdict};
	return 0;
}

/* A voice is about the one service of a service address, whose class its own match paints. */
static int add_voice(struct painter *painter, const struct match *match)
{
	const struct ports *ports = &painter->b->ports;

	if (mem_grow(&painter->voice, painter->nr_voices, &painter->voice_capacity,
		     sizeof(*painter->voice)))
		return -ENOMEM;
	painter->voice[painter->nr_voices++] =
	    (struct voice){.class = ports->class_of.at[ports->set[match->ports].first_class] >> 1,
			   .facet = match->facet,
			   .index = match->index,
			   .deny = match->deny,
			   .named = match->named};
	return 0;
}

static int paint(struct painter *painter, const struct match *match)
{
	const struct ports *ports = &painter->b->ports;
	const struct port_set *set = &ports->set[match->ports];

	if (match->kind == MATCH_VOICE)
		return add_voice(painter, match);
	if (set->any)
		say(painter->b, &painter->any, match, false);
	for (size_t i = set->first_class; i < set->first_class + set->nr_classes; i++) {
		__u32 class = ports->class_of.at[i] >> 1;

		if (painter->stamp[class] != painter->round) {
			painter->stamp[class] = painter->round;
			painter->said[class] = nothing;
			if (u32s_add(&painter->painted, class))
				return -ENOMEM;
		}
		say(painter->b, &painter->said[class], match, ports->class_of.at[i] & 1);
	}
	return 0;
}

/* ---- fragments: what the services that they may belong to add up to ---- */

struct sum {
	struct weir_verdict verdict;
	bool all_denied;
	__u32 deny, allow; /* as weir_verdict.rule */
	bool failsafe, later;
	__u16 limit[WEIR_MAX_FRAG_LIMITS + 1];
	__u8 nr_limits;
};

static void sum_add(const struct builder *b, struct sum *sum, const struct weir_verdict *verdict)
{
	sum->verdict.flags |= verdict->flags & WEIR_VERDICT_NAMED;
	if (verdict->action == WEIR_ACT_DENY) {
		sum->deny = min_u32(sum->deny, verdict->rule);
		return;
	}
	sum->all_denied = false;
	if (verdict->action == WEIR_ACT_ALLOW)
		sum->allow = min_u32(sum->allow, verdict->rule);
	if (verdict->action == WEIR_ACT_FAILSAFE)
		sum->failsafe = true;
	if (verdict->action == WEIR_ACT_LATER)
		sum->later = true;
	for (int i = 0; i < verdict->nr_limits; i++)
		if (b->policy->limit[verdict->limit[i]].count != WEIR_COUNT_CONNECTIONS)
			sum->nr_limits = add_limit(sum->limit, sum->nr_limits,
						   WEIR_MAX_FRAG_LIMITS + 1, verdict->limit[i]);
}

static __u32 fragment_service(const struct ports *ports, size_t fragment)
{
	for (__u32 service = WEIR_SVC_FRAG4; service < WEIR_NR_SERVICES; service++)
		if (ports->class[service] == ports->nr_real + fragment)
			return service;
	return WEIR_SVC_FRAG6;
}

static int sum_decide(struct painter *painter, struct sum *sum, size_t fragment, __u32 *ret)
{
	struct weir_verdict *verdict = &sum->verdict;

	if (sum->all_denied) {
		*verdict = (struct weir_verdict){.action = WEIR_ACT_DENY, .rule = sum->deny};
		return intern_verdict(painter, verdict, ret);
	}
	if (sum->allow != WEIR_NONE) {
		verdict->action = WEIR_ACT_ALLOW;
		verdict->rule = sum->allow;
		if (painter->b->log[sum->allow - WEIR_RULE_FIRST])
			verdict->flags |= WEIR_VERDICT_LOG;
	} else if (sum->failsafe) {
		/* Not FAILSAFE: fragments of a protocol that has one such service are no way around limits. */
		verdict->action = WEIR_ACT_ALLOW;
		verdict->rule = WEIR_RULE_BUILTIN_FAILSAFE;
	} else if (sum->later) {
		verdict->action = WEIR_ACT_LATER;
	}
	if (sum->nr_limits > WEIR_MAX_FRAG_LIMITS)
		return too_many(painter, fragment_service(&painter->b->ports, fragment), sum->limit,
				sum->nr_limits, WEIR_MAX_FRAG_LIMITS);
	verdict->nr_limits = sum->nr_limits;
	memcpy(verdict->limit, sum->limit, sum->nr_limits * sizeof(*sum->limit));
	return intern_verdict(painter, verdict, ret);
}

/* Cells first_cell .. are those of the zone's painted classes. */
static int paint_fragments(struct painter *painter, __u32 zone, size_t first_cell)
{
	struct builder *b = painter->b;
	const struct ports *ports = &b->ports;
	size_t width = ports->nr_real + ports->nr_fragments, last_cell = painter->nr_cells;
	int err = 0;

	for (size_t f = 0; !err && f < ports->nr_fragments; f++) {
		const struct fragment_class *fragment = &ports->fragment[f];
		struct sum sum = {.all_denied = true, .deny = WEIR_NONE, .allow = WEIR_NONE};
		size_t seen = 0;
		__u32 verdict;

		for (size_t i = first_cell; i < last_cell; i++) {
			__u32 class = painter->cell[i].column - zone * width;

			if (!(fragment->holds[class / 64] >> class % 64 & 1))
				continue;
			sum_add(b, &sum, &b->cells.verdict[painter->cell[i].verdict]);
			seen++;
		}
		if (seen < fragment->nr)
			sum_add(b, &sum, &b->cells.verdict[painter->plain[zone]]);
		err = sum_decide(painter, &sum, f, &verdict);
		if (!err)
			err = add_cell(painter, zone * width + ports->nr_real + f, verdict);
	}
	return err;
}

static int paint_zone(struct painter *painter, __u32 zone)
{
	struct builder *b = painter->b;
	const struct zones *zones = &b->zones;
	size_t width = b->ports.nr_real + b->ports.nr_fragments, first_cell = painter->nr_cells;
	int err = 0;

	painter->any = nothing;
	painter->painted.n = 0;
	painter->nr_voices = 0;
	painter->round++;
	for (size_t i = 0; !err && i < painter->matches.n; i++) {
		const struct match *match = &b->match[painter->matches.at[i]];

		if (match->on == WEIR_NONE || zones->holds[zone * zones->intern.n + match->on])
			err = paint(painter, match);
	}
	painter->nr_plain[zone] = b->ports.nr_real - painter->painted.n;
	painter->plain[zone] = WEIR_NONE;
	for (size_t i = 0; !err && i < painter->painted.n; i++) {
		__u32 class = painter->painted.at[i], verdict;

		join(&painter->said[class], &painter->any);
		err = decide(painter, &painter->said[class], class, &verdict);
		if (!err)
			err = add_cell(painter, zone * width + class, verdict);
	}
	if (!err && painter->nr_plain[zone]) {
		__u32 class = 0; /* one that is not painted, as an example */

		while (painter->stamp[class] == painter->round)
			class ++;
		err = decide(painter, &painter->any, class, &painter->plain[zone]);
	}
	return err ? err : paint_fragments(painter, zone, first_cell);
}

static int copy_zone(struct painter *painter, __u32 zone, size_t cells)
{
	size_t width = painter->b->ports.nr_real + painter->b->ports.nr_fragments;

	painter->plain[zone] = painter->plain[0];
	painter->nr_plain[zone] = painter->nr_plain[0];
	for (size_t i = 0; i < cells; i++)
		if (add_cell(painter, zone * width + painter->cell[i].column,
			     painter->cell[i].verdict))
			return -ENOMEM;
	return 0;
}

static int paint_row(struct painter *painter, __u32 row)
{
	struct builder *b = painter->b;
	const struct row *groups = &b->pairs.row[row];
	size_t cells;
	int err;

	painter->matches.n = 0;
	painter->nr_cells = 0;
	painter->zoned = false;
	for (size_t i = groups->first; i < groups->first + groups->n; i++) {
		const struct group *group = &b->group[b->pairs.groups.at[i]];

		for (__u32 m = group->first; m != WEIR_NONE; m = b->match[m].next) {
			painter->zoned |= b->match[m].on != WEIR_NONE;
			if (u32s_add(&painter->matches, m))
				return -ENOMEM;
		}
	}
	err = paint_zone(painter, 0);
	cells = painter->nr_cells;
	for (__u32 zone = 1; !err && zone < b->zones.nr; zone++)
		err = painter->zoned ? paint_zone(painter, zone) : copy_zone(painter, zone, cells);
	return err;
}

/* ---- the row's default, and what differs from it ---- */

static __u32 most_common(struct painter *painter)
{
	__u32 best = painter->cell[0].verdict; /* a row has fragment cells at least */

	for (size_t i = 0; i < painter->nr_cells; i++)
		painter->tally[painter->cell[i].verdict]++;
	for (size_t z = 0; z < painter->b->zones.nr; z++)
		if (painter->nr_plain[z])
			painter->tally[painter->plain[z]] += painter->nr_plain[z];
	for (size_t z = 0; z < painter->b->zones.nr; z++)
		if (painter->nr_plain[z] &&
		    painter->tally[painter->plain[z]] > painter->tally[best])
			best = painter->plain[z];
	for (size_t i = 0; i < painter->nr_cells; i++)
		if (painter->tally[painter->cell[i].verdict] > painter->tally[best])
			best = painter->cell[i].verdict;
	for (size_t i = 0; i < painter->nr_cells; i++)
		painter->tally[painter->cell[i].verdict] = 0;
	for (size_t z = 0; z < painter->b->zones.nr; z++)
		if (painter->nr_plain[z])
			painter->tally[painter->plain[z]] = 0;
	return best;
}

static int compare_cells(const void *x, const void *y)
{
	const struct cell *a = x, *b = y;

	return a->column < b->column ? -1 : a->column > b->column;
}

static int keep_cell(struct builder *b, __u32 column, __u32 verdict)
{
	struct cells *cells = &b->cells;
	size_t most = b->options.max_bytes / (WEIR_NR_SLOTS * sizeof(struct weir_exact));

	if (cells->nr_cells >= most + b->options.dense_max) {
		b->tables->budget.cells = cells->nr_cells;
		return build_too_big(b, cells->nr_cells * sizeof(struct weir_exact) * WEIR_NR_SLOTS,
				     true);
	}
	if (mem_grow(&cells->cell, cells->nr_cells, &cells->cell_capacity, sizeof(struct cell)))
		return -ENOMEM;
	cells->cell[cells->nr_cells++] = (struct cell){column, verdict};
	return 0;
}

/* All cells in order of columns that are not @fallback; plain ones fill the gaps. */
static int keep_cells(struct painter *painter, __u32 fallback)
{
	struct builder *b = painter->b;
	size_t width = b->ports.nr_real + b->ports.nr_fragments, i = 0;
	int err = 0;

	if (painter->nr_cells)
		qsort(painter->cell, painter->nr_cells, sizeof(struct cell), compare_cells);
	for (__u32 zone = 0; zone < b->zones.nr; zone++) {
		bool gaps = painter->nr_plain[zone] && painter->plain[zone] != fallback;
		__u32 next = zone * width, end = next + width;

		for (; !err && i < painter->nr_cells && painter->cell[i].column < end; i++) {
			const struct cell *cell = &painter->cell[i];

			for (; !err && gaps && next < cell->column; next++)
				err = keep_cell(b, next, painter->plain[zone]);
			next = cell->column + 1;
			if (!err && cell->verdict != fallback)
				err = keep_cell(b, cell->column, cell->verdict);
		}
	}
	return err;
}

/* Rows that say the same are one row. */
static int keep_row(struct painter *painter, __u32 *ret)
{
	struct cells *cells = &painter->b->cells;
	size_t first = cells->nr_cells, n;
	__u32 fallback = most_common(painter);
	struct sig sig;
	bool fresh;
	int err = keep_cells(painter, fallback);

	if (err)
		return err;
	n = cells->nr_cells - first;
	sig = n ? sig_bytes(cells->cell + first, n * sizeof(struct cell)) : sig_of(0, 60);
	if (intern_get(&cells->intern, sig_add(sig, sig_of(fallback, 61)), ret, &fresh))
		return -ENOMEM;
	if (!fresh) {
		cells->nr_cells = first;
		return 0;
	}
	if (mem_grow(&cells->row, *ret, &cells->row_capacity, sizeof(struct row)) ||
	    mem_grow(&cells->fallback, *ret, &cells->fallback_capacity, sizeof(__u32)))
		return -ENOMEM;
	cells->row[*ret] = (struct row){first, n};
	cells->fallback[*ret] = fallback;
	return 0;
}

int cells_build(struct builder *b)
{
	struct painter painter = {.b = b};
	size_t nr_rows = b->pairs.intern.n, width = b->ports.nr_real + b->ports.nr_fragments;
	int err = 0;

	if (width * b->zones.nr >= 1UL << 31)
		return diag_fail(b->diag, -E2BIG, NULL,
				 "%zu service classes in %zu zones of interfaces are too many",
				 width, b->zones.nr);
	painter.said = calloc(b->ports.nr_real, sizeof(*painter.said));
	painter.stamp = calloc(b->ports.nr_real, sizeof(*painter.stamp));
	painter.plain = calloc(b->zones.nr, sizeof(*painter.plain));
	painter.nr_plain = calloc(b->zones.nr, sizeof(*painter.nr_plain));
	b->cells.final = calloc(nr_rows, sizeof(*b->cells.final));
	if (!painter.said || !painter.stamp || !painter.plain || !painter.nr_plain ||
	    !b->cells.final)
		err = -ENOMEM;
	for (size_t row = 0; !err && row < nr_rows; row++) {
		err = paint_row(&painter, row);
		if (!err)
			err = keep_row(&painter, &b->cells.final[row]);
	}
	free(painter.matches.at);
	free(painter.said);
	free(painter.stamp);
	free(painter.painted.at);
	free(painter.voice);
	free(painter.cell);
	free(painter.plain);
	free(painter.nr_plain);
	free(painter.tally);
	return err;
}

void cells_clear(struct cells *cells)
{
	free(cells->row);
	free(cells->fallback);
	free(cells->cell);
	free(cells->verdict);
	free(cells->final);
	intern_clear(&cells->intern);
	intern_clear(&cells->verdicts);
	memset(cells, 0, sizeof(*cells));
}
