// SPDX-License-Identifier: GPL-2.0-only
/* weir show limits: what each source has left */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/units.h"
#include "cmd/report.h"
#include "cmd/show.h"
#include "cmd/term.h"

/**
 * struct source - one source of a limit that owes something.
 * @left:    units that would pass at once
 * @wait_ns: until one more unit conforms; 0: now
 * @full_ns: until nothing is owed and the whole burst is there again
 */
struct source {
	__u32 limit;
	bool overflow;
	__u64 key[2];
	__u64 left, wait_ns, full_ns;
};

struct sources {
	__u64 now;
	struct source *source;
	size_t n, capacity;
	struct {
		struct weir_limit limit;
		size_t held, overflow;
	} * per;
	size_t nr_limits;
};

static __u64 units(__u64 room, const struct weir_limit *limit, bool overflow)
{
	__u64 interval = overflow ? limit->over_interval : limit->interval;
	__u32 mantissa = overflow ? limit->over_mantissa : limit->mantissa;
	__u8 shift = overflow ? limit->over_shift : limit->shift;

	if (limit->count == WEIR_COUNT_BYTES)
		return mantissa ? (__u64)(((unsigned __int128)room << (shift & 63)) / mantissa) : 0;
	return interval ? room / interval + 1 : 0;
}

static int collect(void *arg, const struct limit_state *state)
{
	struct sources *all = arg;
	const struct weir_limit *limit = state->limit;
	__u64 tolerance = state->overflow ? limit->over_tolerance : limit->tolerance;
	__u64 tat = state->tat & WEIR_TAT_MASK;
	struct source source = {
	    .limit = state->index,
	    .overflow = state->overflow,
	    .key = {state->key[0], state->key[1]},
	};
	int err;

	/* What is not owed any more is as good as not there. */
	if (state->tat & WEIR_TAT_DEAD || tat <= all->now || state->index >= all->nr_limits)
		return 0;
	if (tat > all->now + tolerance)
		source.wait_ns = (tat - all->now - tolerance) >> WEIR_TAT_SHIFT;
	else
		source.left = units(all->now + tolerance - tat, limit, state->overflow);
	source.full_ns = (tat - all->now) >> WEIR_TAT_SHIFT;
	err = mem_grow(&all->source, all->n, &all->capacity, sizeof(source));
	if (err)
		return err;
	all->source[all->n++] = source;
	all->per[state->index].limit = *limit;
	if (state->overflow)
		all->per[state->index].overflow++;
	else
		all->per[state->index].held++;
	return 0;
}

/* By limit; then who owes most. */
static int compare(const void *left, const void *right)
{
	const struct source *a = left, *b = right;

	if (a->limit != b->limit)
		return a->limit < b->limit ? -1 : 1;
	if (a->overflow != b->overflow)
		return a->overflow - b->overflow;
	return a->full_ns > b->full_ns ? -1 : a->full_ns < b->full_ns;
}

const char *text_key(const __u64 key[2], unsigned int key4, unsigned int key6, char *buffer)
{
	struct prefix prefix = {.v6 = key[0] >> 56 != 0xff || key[0] << 8 >> 40};

	if (prefix.v6) {
		prefix.length = (__u8)key6;
		for (int i = 0; i < 16; i++)
			prefix.address.byte[i] = (__u8)(key[i / 8] >> (56 - 8 * (i % 8)));
		prefix.address = addr_mask(&prefix.address, key6);
	} else {
		prefix.length = (__u8)key4;
		prefix.address.byte[10] = prefix.address.byte[11] = 0xff;
		for (int i = 0; i < 4; i++)
			prefix.address.byte[12 + i] = (__u8)(key[0] >> (24 - 8 * i));
	}
	return prefix_format(&prefix, buffer);
}

struct key_text {
	char source[ADDR_TEXT_LEN],
	    destination[ADDR_TEXT_LEN]; /* "" where it is not part of the key */
};

static void key_text(const struct weir_limit *limit, const struct source *source,
		     struct key_text *ret)
{
	__u64 ends[2][2] = {{source->key[0], source->key[1]}, {source->key[1], 0}};

	*ret = (struct key_text){};
	if (source->overflow) {
		snprintf(ret->source, sizeof(ret->source), "shared entry %llu", source->key[0]);
		return;
	}
	switch (limit->per) {
	case WEIR_PER_SOURCE:
		text_key(ends[0], limit->key4, limit->key6, ret->source);
		break;
	case WEIR_PER_DESTINATION:
		text_key(ends[0], limit->key4, limit->key6, ret->destination);
		break;
	case WEIR_PER_PAIR:
		ends[0][1] = 0;
		if (limit->key6 > 64 && ends[0][0] >> 32 != 0xff000000) {
			/* Two long keys are kept as a hash: they can be told apart, not named. */
			snprintf(ret->source, sizeof(ret->source), "pair #%016llx", ends[0][0]);
			break;
		}
		text_key(ends[0], limit->key4, limit->key6, ret->source);
		text_key(ends[1], limit->key4, limit->key6, ret->destination);
		break;
	}
}

static const char *const count_names[] = {[WEIR_COUNT_PACKETS] = "packets",
					  [WEIR_COUNT_BYTES] = "bytes",
					  [WEIR_COUNT_CONNECTIONS] = "connections"};
static const char *const per_names[] = {[WEIR_PER_SOURCE] = "source",
					[WEIR_PER_DESTINATION] = "destination",
					[WEIR_PER_PAIR] = "pair",
					[WEIR_PER_RULE] = "rule"};

static const char *text_burst(const struct limit_rule *rule, char *buffer)
{
	if (rule->count == WEIR_COUNT_BYTES)
		return units_format_size(rule->burst, buffer);
	return text_count(rule->burst, buffer);
}

static const char *text_rate(const struct limit_rule *rule, char *buffer)
{
	struct rate rate = {rule->rate, rule->period_ns, rule->count == WEIR_COUNT_BYTES};

	return units_format_rate(&rate, buffer);
}

static void print_sources(const struct sources *all, size_t index, const struct limit_rule *rule,
			  __u64 lines)
{
	static const char *const heads[] = {"SOURCE", "DESTINATION", ">LEFT", "STATE", NULL};
	struct table table;
	__u64 shown = 0, more = 0;
	char span[TEXT_LEN], left[TEXT_LEN];

	table_begin(&table, heads);
	for (size_t i = 0; i < all->n; i++) {
		const struct source *source = &all->source[i];
		struct key_text key;

		if (source->limit != index)
			continue;
		if (lines && shown >= lines) {
			more++;
			continue;
		}
		shown++;
		key_text(&all->per[index].limit, source, &key);
		table_cell(&table, "%s", key.source[0] ? key.source : "-");
		table_cell(&table, "%s", key.destination[0] ? key.destination : "-");
		table_cell(&table, "%s",
			   rule && rule->count == WEIR_COUNT_BYTES
			       ? text_bytes(source->left, left)
			       : text_count(source->left, left));
		if (source->wait_ns)
			table_cell(&table, "conforms again in %s",
				   text_span(source->wait_ns, span));
		else
			table_cell(&table, "conforms; all of the burst in %s",
				   text_span(source->full_ns, span));
		table_colour(&table, source->wait_ns ? BAD : GOOD);
	}
	table_print(&table, 2);
	if (more)
		printf("  ... and %s more (-n 0 shows all)\n", text_count(more, left));
}

static void print_limit(const struct view *view, const struct weir_rule *name,
			const struct limit_rule *rule, const struct sources *all, size_t index,
			const struct weir_count *count, __u64 lines)
{
	char place[320], rate[UNITS_TEXT_LEN], a[TEXT_LEN], b[TEXT_LEN];
	_cleanup_free_ char *safe = term_safe(name->name);

	printf("%s%s%s", term_begin(BOLD), safe ? safe : "?", term_end(BOLD));
	if (rule) {
		_cleanup_free_ char *from = text_items(&rule->from, "any");
		_cleanup_free_ char *to = text_items(&rule->to, "self");
		_cleanup_free_ char *port = text_services(&rule->port);
		_cleanup_free_ char *line = NULL, *shown = NULL;

		if (asprintf(&line, "  %s %s burst %s per %s, from %s to %s, port %s%s",
			     count_names[rule->count], text_rate(rule, rate), text_burst(rule, a),
			     per_names[rule->per], from,
			     rule->has_from && !rule->has_to ? "any" : to, port,
			     rule->monitor ? ", monitor" : "") < 0)
			line = NULL;
		shown = line ? term_safe(line) : NULL;
		printf("%s", shown ? shown : "");
	}
	view_place(view, name, place);
	printf("  %s%s%s\n", term_begin(DIM), place, term_end(DIM));
	printf("  %s passed, ", text_count(count->passed_packets, a));
	printf("%s%s dropped%s; ", term_begin(count->dropped_packets ? BAD : PLAIN),
	       text_count(count->dropped_packets, b),
	       term_end(count->dropped_packets ? BAD : PLAIN));
	printf("%s of %s sources held, ", text_count(all->per[index].held, a),
	       rule ? text_count(rule->entries, b) : "?");
	if (all->per[index].overflow)
		printf("%s%zu of %d overflow entries in use%s\n", term_begin(CAREFUL),
		       all->per[index].overflow, WEIR_OVERFLOWS, term_end(CAREFUL));
	else
		printf("no overflow\n");
	print_sources(all, index, rule, lines);
}

static json_t *sources_json(const struct sources *all, size_t index, bool overflow, __u64 lines)
{
	json_t *list = json_array();
	__u64 shown = 0;

	for (size_t i = 0; i < all->n && (!lines || shown < lines); i++) {
		const struct source *source = &all->source[i];
		json_t *object;
		struct key_text key;

		if (source->limit != index || source->overflow != overflow)
			continue;
		shown++;
		object = json_object();
		key_text(&all->per[index].limit, source, &key);
		if (overflow) {
			json_put_int(object, "entry", source->key[0]);
		} else {
			json_put_text(object, "source", key.source[0] ? key.source : NULL);
			json_put_text(object, "destination",
				      key.destination[0] ? key.destination : NULL);
		}
		json_put_int(object, "left", source->left);
		json_put_int(object, "conforms_in_ns", source->wait_ns);
		json_put_int(object, "full_in_ns", source->full_ns);
		json_array_append_new(list, object);
	}
	return list;
}

static json_t *overflow_json(const struct sources *all, size_t index, __u64 lines)
{
	json_t *object = json_object();

	json_put_int(object, "entries", WEIR_OVERFLOWS);
	json_put_int(object, "in_use", all->per[index].overflow);
	json_put(object, "shared", sources_json(all, index, true, lines));
	return object;
}

static json_t *limit_json(const struct view *view, const struct weir_rule *name,
			  const struct limit_rule *rule, const struct sources *all, size_t index,
			  const struct weir_count *count, __u64 lines)
{
	json_t *object = json_object();
	char rate[UNITS_TEXT_LEN];

	json_put_text(object, "limit", name->name);
	json_put_place(object, view, name);
	json_put_text(object, "count", rule ? count_names[rule->count] : NULL);
	json_put_text(object, "rate", rule ? text_rate(rule, rate) : NULL);
	json_put(object, "burst", rule ? json_integer((json_int_t)rule->burst) : json_null());
	json_put_text(object, "per", rule ? per_names[rule->per] : NULL);
	json_put(object, "entries", rule ? json_integer(rule->entries) : json_null());
	json_put_int(object, "held", all->per[index].held);
	json_put(object, "sources", sources_json(all, index, false, lines));
	json_put(object, "overflow", overflow_json(all, index, lines));
	json_put_count(object, count);
	return object;
}

static int show_all(struct view *view, const struct show_options *options,
		    const struct sources *all, json_t *list)
{
	size_t shown = 0;

	for (size_t i = 0; i < all->nr_limits; i++) {
		const struct weir_rule *name = view_limit(view, i);
		const struct limit_rule *rule = view_limit_rule(view, i);
		struct weir_count count;
		int err;

		if (options->word && strcmp(options->word, name->name))
			continue;
		err = kernel_limit_count(view->kernel, name->counter, &count);
		if (err)
			return err;
		if (list)
			json_array_append_new(
			    list, limit_json(view, name, rule, all, i, &count, options->lines));
		else {
			if (shown)
				putchar('\n');
			print_limit(view, name, rule, all, i, &count, options->lines);
		}
		shown++;
	}
	return options->word && !shown ? -ENOENT : 0;
}

int show_limits(struct view *view, const struct show_options *options)
{
	_cleanup_diag_ struct diag diag = {};
	json_t *list = view->ctx->json ? json_array() : NULL;
	__u64 fake_ns = view->status.control.fake_ns;
	struct sources all = {.now = (fake_ns ? fake_ns : now_ns(CLOCK_MONOTONIC))
				     << WEIR_TAT_SHIFT};
	int err;

	while (view_limit(view, all.nr_limits))
		all.nr_limits++;
	all.per = calloc(all.nr_limits + 1, sizeof(*all.per));
	err = all.per ? kernel_each_limit(view->kernel, collect, &all, &diag) : -ENOMEM;
	if (!err) {
		if (all.n)
			qsort(all.source, all.n, sizeof(*all.source), compare);
		err = show_all(view, options, &all, list);
	}
	if (err == -ENOENT && options->word)
		diag_fail(&diag, err, NULL, "no limit is called \"%s\"", options->word);
	free(all.source);
	free(all.per);
	if (!err && list)
		return cmd_json(list, EXIT_DONE);
	json_decref(list);
	return err ? cmd_fail(view->ctx, err, &diag, NULL) : EXIT_DONE;
}
