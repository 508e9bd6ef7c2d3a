// SPDX-License-Identifier: GPL-2.0-only
/* weir show WHAT, and the views of what the policy says: rules, counters, segments */
#include "cmd/show.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/naming.h"
#include "cmd/ranges.h"
#include "cmd/report.h"
#include "cmd/term.h"

#define LINES_UNSAID (~0ULL)

static __u64 opt_lines = LINES_UNSAID;
static bool opt_all;

static const struct cmd_option option_table[] = {
    {"lines", 'n', "N", OPTION_NUMBER, &opt_lines,
     "at most N rows of each list, 0 for all of them"},
    {"all", 'a', NULL, OPTION_FLAG, &opt_all, "also what would be left out as zero or idle"},
    {},
};

static const struct {
	const char *name;
	__u64 lines; /* unless -n says otherwise; JSON has them all */
	int (*show)(struct view *view, const struct show_options *options);
} views[] = {
    {"rules", 0, show_rules},	   {"limits", 20, show_limits},	   {"flows", 1000, show_flows},
    {"blocks", 1000, show_blocks}, {"segments", 0, show_segments}, {"counters", 0, show_counters},
};

const char *view_file(const struct view *view, const struct weir_rule *rule)
{
	return rule->line && rule->file < view->nr_files ? view->file[rule->file] : "";
}

const char *view_place(const struct view *view, const struct weir_rule *rule, char *buffer)
{
	const char *file = view_file(view, rule);

	if (*file)
		snprintf(buffer, 320, "%s:%u", file, rule->line);
	else
		buffer[0] = '\0';
	return buffer;
}

void json_put_place(json_t *object, const struct view *view, const struct weir_rule *rule)
{
	const char *file = rule ? view_file(view, rule) : "";

	json_put_text(object, "file", *file ? file : NULL);
	json_put(object, "line", *file ? json_integer(rule->line) : json_null());
}

const struct weir_rule *view_limit(const struct view *view, size_t i)
{
	return i < view->nr_rules - view->first_limit ? &view->rule[view->first_limit + i] : NULL;
}

const struct limit_rule *view_limit_rule(const struct view *view, size_t i)
{
	return view->policy && i < view->policy->nr_limits ? &view->policy->limit[i] : NULL;
}

/*
 * Which rule of the policy each entry of weir_rule is: allow and deny rules keep their order each, in the kernel and in
 * the canonical text.
 */
static int view_match(struct view *view)
{
	const struct policy *policy = view->policy;
	size_t next[2] = {0, 0};

	view->said = calloc(view->nr_rules + 1, sizeof(*view->said));
	if (!view->said)
		return -ENOMEM;
	while (view->first_limit < view->nr_rules &&
	       view->rule[view->first_limit].kind != WEIR_RULE_LIMIT)
		view->first_limit++;
	for (size_t i = 0; policy && i < view->first_limit; i++) {
		bool deny = view->rule[i].kind == WEIR_RULE_DENY;
		enum rule_action action = deny ? RULE_DENY : RULE_ALLOW;
		size_t *at = &next[deny];

		while (*at < policy->nr_rules && policy->rule[*at].action != action)
			++*at;
		if (*at < policy->nr_rules)
			view->said[i] = &policy->rule[(*at)++];
	}
	return 0;
}

static const struct rule *policy_rule(const struct view *view, const struct weir_rule *rule)
{
	return view->said[rule - view->rule];
}

/* ---- rules ---- */

/* One row of `show rules` and `show counters`: a rule of the file, or what is built in. */
struct row {
	char name[WEIR_NAME_LEN];
	const char *action;
	const struct weir_rule *rule; /* NULL: built in */
	struct weir_count count;
};

static int builtin_row(struct view *view, unsigned int index, struct row *ret)
{
	const char *names[] = {
	    [WEIR_RULE_DEFAULT_INGRESS] = "default ingress",
	    [WEIR_RULE_DEFAULT_EGRESS] = "default egress",
	    [WEIR_RULE_DEFAULT_FORWARD] = "default forward",
	    [WEIR_RULE_BUILTIN_FAILSAFE] = "failsafe",
	};

	*ret = (struct row){.action = index == WEIR_RULE_BUILTIN_FAILSAFE ? "failsafe" : "default"};
	snprintf(ret->name, sizeof(ret->name), "%s", names[index]);
	return kernel_rule_count(view->kernel, index, &ret->count);
}

static const char *action_name(__u32 kind)
{
	static const char *const names[] = {[WEIR_RULE_ALLOW] = "allow",
					    [WEIR_RULE_DENY] = "deny",
					    [WEIR_RULE_LIMIT] = "limit",
					    [WEIR_RULE_DEFAULT] = "default",
					    [WEIR_RULE_FAILSAFE] = "failsafe"};

	return kind < ARRAY_SIZE(names) ? names[kind] : "?";
}

static int rule_row(struct view *view, const struct weir_rule *rule, struct row *ret)
{
	*ret = (struct row){.rule = rule, .action = action_name(rule->kind)};
	snprintf(ret->name, sizeof(ret->name), "%.*s", WEIR_NAME_LEN - 1, rule->name);
	if (rule->kind == WEIR_RULE_LIMIT)
		return kernel_limit_count(view->kernel, rule->counter, &ret->count);
	return kernel_rule_count(view->kernel, rule->counter, &ret->count);
}

/* Rules of the file, then the built-in ones. Calls @each for every row, stops at the first error. */
static int each_row(struct view *view, int (*each)(void *arg, const struct row *row), void *arg)
{
	struct row row;
	int err = 0;

	for (size_t i = 0; i < view->nr_rules && !err; i++) {
		if (view->rule[i].kind == WEIR_RULE_LIMIT)
			continue;
		err = rule_row(view, &view->rule[i], &row);
		if (!err)
			err = each(arg, &row);
	}
	for (unsigned int i = 0; i <= WEIR_RULE_BUILTIN_FAILSAFE && !err; i++) {
		err = builtin_row(view, i, &row);
		if (!err)
			err = each(arg, &row);
	}
	return err;
}

struct listing {
	struct view *view;
	struct table table;
	json_t *list;
};

static void count_cell(struct table *table, __u64 n, enum colour colour)
{
	char text[TEXT_LEN];

	table_cell(table, "%s", text_count(n, text));
	table_colour(table, n ? colour : DIM);
}

/* What a built-in rule does: the default of its direction, unless segments have their own. */
static const char *row_action(const struct view *view, const struct row *row)
{
	const struct defaults *defaults = view->policy ? &view->policy->defaults : NULL;
	enum policy_default what = DEFAULT_UNSAID;

	if (row->rule || !defaults || strcmp(row->action, "default"))
		return row->action;
	if (!strcmp(row->name, "default ingress"))
		what = defaults->ingress;
	else if (!strcmp(row->name, "default egress"))
		what = defaults->egress;
	else
		return defaults->forward == DEFAULT_ALLOW ? "allow" : "deny";
	if (view->policy->nr_segment_defaults)
		return what == DEFAULT_ALLOW ? "allow (*)" : "deny (*)";
	return what == DEFAULT_ALLOW ? "allow" : "deny";
}

/* "tcp/8000, published tcp/443" */
static void add_published(char **port, const struct rule *rule)
{
	_cleanup_free_ char *published = NULL, *text = NULL;

	if (!rule->published.n)
		return;
	published = text_services(&rule->published);
	if (published && asprintf(&text, "published %s", published) >= 0)
		text_join(port, text);
}

static int rule_text(void *arg, const struct row *row)
{
	struct listing *l = arg;
	const struct rule *rule = row->rule ? policy_rule(l->view, row->rule) : NULL;
	_cleanup_free_ char *from = NULL, *to = NULL, *port = NULL;
	const char *action = row_action(l->view, row);
	char place[320] = "built in", bytes[TEXT_LEN];

	if (rule) {
		from = text_items(&rule->from, "any");
		to = text_items(&rule->to, "self");
		port = text_services(&rule->port);
		add_published(&port, rule);
	}
	if (row->rule)
		view_place(l->view, row->rule, place);
	table_cell(&l->table, "%s", action);
	table_colour(&l->table, !strncmp(action, "allow", 5)  ? GOOD
				: !strncmp(action, "deny", 4) ? BAD
							      : PLAIN);
	table_cell(&l->table, "%s", from ? from : "");
	table_cell(&l->table, "%s", to ? to : "");
	table_cell(&l->table, "%s", port ? port : "");
	count_cell(&l->table, row->count.passed_packets, PLAIN);
	table_cell(&l->table, "%s", text_bytes(row->count.passed_bytes, bytes));
	table_colour(&l->table, row->count.passed_bytes ? PLAIN : DIM);
	count_cell(&l->table, row->count.dropped_packets, BAD);
	table_cell(&l->table, "%s", strcmp(row->name, place) ? row->name : "");
	table_cell(&l->table, "%s", place);
	return 0;
}

static json_t *items_json(const struct items *items, const char *if_empty)
{
	json_t *list = json_array();
	char buffer[512];

	if (!items->n)
		json_array_append_new(list, json_text(if_empty));
	for (size_t i = 0; i < items->n; i++)
		json_array_append_new(
		    list, json_text(text_item(&items->item[i], buffer, sizeof(buffer))));
	return list;
}

static int rule_json(void *arg, const struct row *row)
{
	struct listing *l = arg;
	const struct rule *rule = row->rule ? policy_rule(l->view, row->rule) : NULL;
	_cleanup_free_ char *port = rule ? text_services(&rule->port) : NULL;
	_cleanup_free_ char *on = rule ? text_names(&rule->on) : NULL;
	_cleanup_free_ char *published =
	    rule && rule->published.n ? text_services(&rule->published) : NULL;
	json_t *object = json_object();

	json_put_text(object, "rule", row->name);
	json_put_place(object, l->view, row->rule);
	json_put_text(object, "action", row->action);
	json_put(object, "from", rule ? items_json(&rule->from, "any") : json_null());
	json_put(object, "to", rule ? items_json(&rule->to, "self") : json_null());
	json_put_text(object, "port", port);
	json_put_text(object, "published", published);
	json_put_text(object, "on", on);
	json_put_bool(object, "log", rule && rule->log);
	json_put_count(object, &row->count);
	json_array_append_new(l->list, object);
	return 0;
}

static int listing_end(struct listing *l, int err)
{
	const struct cmd_context *ctx = l->view->ctx;

	if (err) {
		json_decref(l->list);
		return cmd_fail(ctx, err, NULL, NULL);
	}
	if (ctx->json)
		return cmd_json(l->list, EXIT_DONE);
	json_decref(l->list);
	table_print(&l->table, 0);
	return EXIT_DONE;
}

int show_rules(struct view *view, const struct show_options *options)
{
	static const char *const heads[] = {"ACTION", "FROM",	  "TO",	  "PORT",  ">PASSED",
					    ">BYTES", ">DROPPED", "RULE", "WHERE", NULL};
	struct listing l = {.view = view, .list = json_array()};
	int status;

	table_begin(&l.table, heads);
	status = listing_end(&l, each_row(view, view->ctx->json ? rule_json : rule_text, &l));
	if (!status && !view->ctx->json && view->policy && view->policy->nr_segment_defaults)
		printf("(*) some segments have defaults of their own\n");
	return status;
}

/* ---- counters ---- */

static int counter_text(struct listing *l, const char *kind, const struct row *row,
			const char *place)
{
	char bytes[TEXT_LEN];

	table_cell(&l->table, "%s", kind);
	table_cell(&l->table, "%s", row->name);
	table_cell(&l->table, "%s", row->action ? row->action : "");
	count_cell(&l->table, row->count.passed_packets, PLAIN);
	table_cell(&l->table, "%s", text_bytes(row->count.passed_bytes, bytes));
	count_cell(&l->table, row->count.dropped_packets, BAD);
	table_cell(&l->table, "%s", text_bytes(row->count.dropped_bytes, bytes));
	table_cell(&l->table, "%s", place);
	return 0;
}

static int counter_add(struct listing *l, const char *kind, const struct row *row)
{
	json_t *object;
	char place[320] = "";

	if (!l->view->ctx->json)
		return counter_text(l, kind, row,
				    row->rule ? view_place(l->view, row->rule, place) : place);
	object = json_object();
	json_put_text(object, "kind", kind);
	json_put_text(object, "rule", row->name);
	json_put_place(object, l->view, row->rule);
	json_put_text(object, "action", row->action);
	json_put_count(object, &row->count);
	json_array_append_new(l->list, object);
	return 0;
}

static int counter_rule(void *arg, const struct row *row)
{
	return counter_add(arg, "rule", row);
}

static int counter_limits(struct listing *l)
{
	struct row row;
	int err = 0;

	for (size_t i = 0; i < l->view->nr_rules && !err; i++) {
		if (l->view->rule[i].kind != WEIR_RULE_LIMIT)
			continue;
		err = rule_row(l->view, &l->view->rule[i], &row);
		if (!err)
			err = counter_add(l, "limit", &row);
	}
	return err;
}

static int counter_reasons(struct listing *l, bool all)
{
	static const char *const names[] = {
#define REASON_NAME(value, id, name, help) [value] = name,
	    WEIR_REASONS(REASON_NAME)
#undef REASON_NAME
	};
	int err = 0;

	for (size_t i = 0; i < ARRAY_SIZE(names) && !err; i++) {
		struct row row = {.count = l->view->status.reason[i]};

		if (!all && !row.count.passed_packets && !row.count.dropped_packets)
			continue;
		snprintf(row.name, sizeof(row.name), "%s", names[i]);
		err = counter_add(l, "reason", &row);
	}
	return err;
}

int show_counters(struct view *view, const struct show_options *options)
{
	static const char *const heads[] = {"KIND",	"NAME",	  "ACTION", ">PASSED", ">BYTES",
					    ">DROPPED", ">BYTES", "WHERE",  NULL};
	struct listing l = {.view = view, .list = json_array()};
	int err;

	table_begin(&l.table, heads);
	err = each_row(view, counter_rule, &l);
	if (!err)
		err = counter_limits(&l);
	if (!err)
		err = counter_reasons(&l, options->all || view->ctx->json);
	return listing_end(&l, err);
}

/* ---- segments ---- */

/* What the followed names among @items stand for now, each once for each item: one object, or one line. */
static void followed_json(const struct items *items, const struct environment *env, json_t *list)
{
	for (size_t i = 0; i < items->n; i++) {
		const struct item *item = &items->item[i];
		const struct env_name *name;
		char text[ADDR_TEXT_LEN];
		json_t *object, *addresses;

		if (!item_followed(item))
			continue;
		name = environment_name(env, item->kind, item->name);
		object = json_object();
		addresses = json_array();
		for (size_t j = 0; name && item->kind != ITEM_UNIT && j < name->n; j++)
			json_array_append_new(
			    addresses, json_text(addr_format(&name->address[j].address, text)));
		json_put_text(object, "kind", item_key(item->kind));
		json_put_text(object, "name", item->name);
		json_put_bool(object, "known", name && name->known);
		json_put(object, "addresses", addresses);
		json_array_append_new(list, object);
	}
}

static void followed_lines(const struct items *items, const struct environment *env,
			   struct table *table)
{
	for (size_t i = 0; i < items->n; i++) {
		const struct item *item = &items->item[i];
		const struct env_name *name;
		_cleanup_free_ char *addresses = NULL;
		char text[512], count[TEXT_LEN];

		if (!item_followed(item))
			continue;
		name = environment_name(env, item->kind, item->name);
		for (size_t j = 0; name && item->kind != ITEM_UNIT && j < name->n; j++)
			text_join(&addresses, addr_format(&name->address[j].address, text));
		table_cell(table, "%s", "");
		table_cell(table, "%s",
			   item->kind == ITEM_UNIT ? "" : text_count(name ? name->n : 0, count));
		table_cell(table, "  %s %s", text_item(item, text, sizeof(text)),
			   addresses		     ? addresses
			   : item->kind == ITEM_UNIT ? "sockets of this node"
			   : name && name->known     ? "nobody now"
						     : "no answer yet");
		table_colour(table, addresses || item->kind == ITEM_UNIT ? DIM : CAREFUL);
	}
}

static json_t *segment_json(const struct segment *segment, const struct environment *env,
			    const struct ranges *ranges)
{
	json_t *object = json_object(), *followed = json_array();

	json_put_text(object, "name", segment->name);
	json_put(object, "members", items_json(&segment->members, "none"));
	json_put(object, "except",
		 segment->except.n ? items_json(&segment->except, "") : json_array());
	json_put_bool(object, "proxy", segment->proxy);
	json_put_int(object, "prefixes", ranges_prefixes(ranges));
	followed_json(&segment->members, env, followed);
	followed_json(&segment->except, env, followed);
	json_put(object, "followed", followed);
	return object;
}

static int segment_row(struct listing *l, const struct segment *segment,
		       const struct environment *env)
{
	_cleanup_(ranges_clear) struct ranges ranges = {};
	_cleanup_free_ char *members = NULL, *except = NULL;
	char count[TEXT_LEN];
	int err = ranges_of_segment(l->view->policy, segment, env, &ranges);

	if (err)
		return err;
	if (l->view->ctx->json) {
		json_array_append_new(l->list, segment_json(segment, env, &ranges));
		return 0;
	}
	members = text_items(&segment->members, "none");
	except = text_items(&segment->except, "");
	table_cell(&l->table, "%s%s", segment->name, segment->proxy ? " (proxy)" : "");
	table_cell(&l->table, "%s", text_count(ranges_prefixes(&ranges), count));
	table_cell(&l->table, "%s%s%s", members, segment->except.n ? ", except " : "", except);
	followed_lines(&segment->members, env, &l->table);
	followed_lines(&segment->except, env, &l->table);
	return 0;
}

int show_segments(struct view *view, const struct show_options *options)
{
	static const char *const heads[] = {"SEGMENT", ">PREFIXES", "MEMBERS", NULL};
	struct listing l = {.view = view, .list = json_array()};
	_cleanup_(environment_free) struct environment env = {};
	_cleanup_diag_ struct diag diag = {};
	bool found = false;
	int err;

	/* Here the lists of addresses count: the policy is read again, with the files that it names. */
	if (view->policy)
		policy_free(view->policy);
	view->policy = NULL;
	free(view->said);
	view->said = NULL;
	err = running_policy(view->kernel, &view->policy, &diag);
	err = err ? err : environment_read(&env, &diag);
	err = err ? err : naming_recall(view->ctx, view->policy, &env, NULL, &diag);
	if (err) {
		json_decref(l.list);
		return cmd_fail(view->ctx, err, &diag, NULL);
	}
	table_begin(&l.table, heads);
	for (size_t i = 0; i < view->policy->nr_segments && !err; i++)
		if (!options->word || !strcmp(options->word, view->policy->segment[i].name)) {
			err = segment_row(&l, &view->policy->segment[i], &env);
			found = true;
		}
	if (options->word && !found) {
		json_decref(l.list);
		diag_fail(&diag, -ENOENT, NULL, "no segment is called \"%s\"", options->word);
		return cmd_fail(view->ctx, -ENOENT, &diag, NULL);
	}
	return listing_end(&l, err);
}

/* ---- the command ---- */

static void view_clear(struct view *view)
{
	kernel_status_clear(&view->status);
	free(view->rule);
	free(view->file);
	free(view->said);
	if (view->policy)
		policy_free(view->policy);
	if (view->kernel)
		kernel_close(view->kernel);
}

static int view_read(struct view *view)
{
	_cleanup_diag_ struct diag diag = {}, text_diag = {};
	char text[2048];
	int err;

	err = kernel_status(view->kernel, &view->status, &diag);
	if (!err)
		err = kernel_rules(view->kernel, -1, &view->rule, &view->nr_rules, &diag);
	if (!err)
		err = kernel_files(view->kernel, -1, &view->file, &view->nr_files, &diag);
	if (err)
		return cmd_fail(view->ctx, err, &diag, NULL);
	if (running_outline(view->kernel, &view->policy, &text_diag)) {
		view->policy = NULL;
		cmd_warn("what the rules say is not shown: %s",
			 diag_text(&text_diag, text, sizeof(text)));
	}
	err = view_match(view);
	return err ? cmd_fail(view->ctx, err, NULL, NULL) : EXIT_DONE;
}

static int cmd_show(struct cmd_context *ctx, int argc, char **argv)
{
	_cleanup_(view_clear) struct view view = {.ctx = ctx};
	struct show_options how = {.all = opt_all, .word = argc > 2 ? argv[2] : NULL};
	size_t i = 0;
	int status;

	if (argc < 2)
		return usage_error(&command_show, "what to show is missing");
	if (argc > 3)
		return usage_error(&command_show, "one word after \"%s\", found %d", argv[1],
				   argc - 2);
	while (i < ARRAY_SIZE(views) && strcmp(views[i].name, argv[1]))
		i++;
	if (i == ARRAY_SIZE(views))
		return usage_error(&command_show, "nothing to show is called \"%s\"", argv[1]);
	how.lines = opt_lines != LINES_UNSAID ? opt_lines : ctx->json ? 0 : views[i].lines;
	status = open_loaded(ctx, false, &view.kernel);
	if (!status)
		status = view_read(&view);
	return status ? status : views[i].show(&view, &how);
}

const struct command command_show = {
    .name = "show",
    .summary = "what is in the kernel, in detail",
    .usage = "rules|limits|flows|blocks|segments|counters [WORD] [-n N] [-a]",
    .help =
	"  rules      each rule with what it passed and dropped, and its place in the file\n"
	"  limits     each limit with the state of its sources: what is left of the burst, and when\n"
	"             it conforms again; whether overflow entries are in use. WORD: one limit\n"
	"  flows      flows whose replies pass because they were seen to open. WORD: an address\n"
	"  blocks     run-time blocks with the time left. WORD: an address\n"
	"  segments   who is who, with the addresses that followed names stand for. WORD: one segment\n"
	"  counters   packets and bytes by rule, by limit and by reason\n\n"
	"  weir show limits login_limit -n 5\n"
	"  weir show flows 203.0.113.0/24 --json",
    .options = option_table,
    .run = cmd_show,
};
