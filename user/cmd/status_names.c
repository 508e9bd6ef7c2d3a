// SPDX-License-Identifier: GPL-2.0-only
#include "cmd/status_names.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cmd/load.h"
#include "cmd/report.h"
#include "cmd/term.h"

void names_status_read(const struct cmd_context *ctx, struct kernel *kernel, pid_t daemon,
		       struct names_status *ret, struct diag *diag)
{
	_cleanup_diag_ struct diag aside = {};
	char text[2048];
	int err;

	*ret = (struct names_status){};
	ret->daemon = daemon && following_read(ctx->pin_dir, (__u64)daemon, &ret->following);
	err = running_outline(kernel, &ret->policy, &aside);
	if (!err)
		err = naming_recall(ctx, ret->policy, &ret->env, &ret->names, &aside);
	if (err)
		diag_warn(diag, NULL, "followed names are not shown: %s",
			  aside.error[0] ? diag_text(&aside, text, sizeof(text)) : strerror(-err));
}

void names_status_clear(struct names_status *status)
{
	if (status->names)
		names_close(status->names);
	if (status->policy)
		policy_free(status->policy);
	environment_free(&status->env);
	following_clear(&status->following);
	*status = (struct names_status){};
}

/* The engine as the daemon has it, else as whoever asked last had it. */
static struct engine_state engine_of(const struct names_status *status)
{
	struct engine_state engine = {};

	if (status->names)
		names_engine(status->names, &engine);
	if (status->daemon) {
		engine.connected = status->following.connected;
		engine.error = status->following.error;
		if (status->following.since_ns)
			engine.since_ns = status->following.since_ns;
	}
	return engine;
}

static __u64 age(__u64 since_ns)
{
	__u64 now = now_ns(CLOCK_REALTIME);

	return now > since_ns ? now - since_ns : 0;
}

/* ---- who waits ---- */

static bool link_local(const struct prefix *address)
{
	const __u8 *byte = address->address.byte;

	return address->v6 ? byte[0] == 0xfe && (byte[1] & 0xc0) == 0x80
			   : byte[12] == 169 && byte[13] == 254;
}

char *names_status_why(const struct names_status *status, const struct prefix *behind, size_t n,
		       bool trial)
{
	_cleanup_free_ char *unknown = NULL, *known = NULL;
	char text[ADDR_TEXT_LEN], *why = NULL;
	int done;

	for (size_t i = 0; i < n; i++) {
		bool may = !status->names || environment_may_bind(&status->env, &behind[i].address);

		if (!link_local(&behind[i]))
			text_join(may ? &known : &unknown, addr_format(&behind[i].address, text));
	}
	if (!known && !unknown)
		done = asprintf(&why, "no address is behind it");
	else if (unknown && status->env.engine_unknown)
		done = asprintf(&why, "the engine has said nothing yet of who %s is", unknown);
	else if (unknown)
		done = asprintf(&why, "the engine has not said who %s is", unknown);
	else if (trial)
		done = asprintf(&why, "%s waits for the end of the trial", known);
	else
		done = asprintf(&why, "%s is not bound yet", known);
	return done < 0 ? NULL : why;
}

/* ---- JSON ---- */

static json_t *engine_json(const struct names_status *status)
{
	struct engine_state engine = engine_of(status);
	json_t *object;

	if (!engine.wanted)
		return json_null();
	object = json_object();
	json_put_text(object, "socket", engine.socket);
	json_put(object, "connected",
		 status->daemon ? json_boolean(engine.connected) : json_null());
	json_put(object, "current", json_time(engine.since_ns));
	json_put_text(object, "error", engine.error);
	return object;
}

static int name_json(void *arg, const struct name_state *state)
{
	json_t *object = json_object();

	json_put_text(object, "kind", item_key(state->kind));
	json_put_text(object, "name", state->name);
	/* Of a unit there is a number that is for the tables alone. */
	json_put_int(object, "addresses", state->kind == ITEM_UNIT ? 0 : state->n);
	json_put_bool(object, "known", state->known);
	json_put(object, "answered", json_time(state->since_ns));
	json_put(object, "age_ns",
		 state->since_ns ? json_integer((json_int_t)age(state->since_ns)) : json_null());
	json_put(object, "expires", json_time(state->expires_ns));
	json_put_text(object, "error", state->error);
	return json_array_append_new(arg, object);
}

static json_t *changes_json(const struct names_status *status)
{
	const struct following *following = &status->following;
	json_t *object;

	if (!status->daemon)
		return json_null();
	object = json_object();
	json_put_int(object, "count", following->updates);
	json_put(object, "last", json_time(following->at_ns));
	json_put(object, "latency_ns",
		 following->updates ? json_integer((json_int_t)following->latency_ns)
				    : json_null());
	json_put(object, "work_ns",
		 following->updates ? json_integer((json_int_t)following->work_ns) : json_null());
	json_put_int(object, "total_work_ns", following->total_ns);
	json_put(object, "written_bytes",
		 following->updates ? json_integer((json_int_t)following->written) : json_null());
	return object;
}

void names_status_json(const struct names_status *status, json_t *object)
{
	json_t *list = json_array();

	json_put(object, "engine", engine_json(status));
	if (status->names)
		names_each(status->names, name_json, list);
	json_put(object, "names", list);
	json_put(object, "changes", changes_json(status));
}

/* ---- text ---- */

static void print_engine(const struct names_status *status)
{
	struct engine_state engine = engine_of(status);
	_cleanup_free_ char *socket = term_safe(engine.socket ?: "?");
	_cleanup_free_ char *error = term_safe(engine.error ?: "no answer yet");
	char a[TEXT_LEN], b[TEXT_LEN];

	if (!engine.wanted)
		return;
	printf("  %-11s %s, ", "engine", socket ?: "?");
	if (status->daemon && engine.connected) {
		printf("%sfollowed%s\n", term_begin(GOOD), term_end(GOOD));
		return;
	}
	printf("%s", term_begin(CAREFUL));
	if (!status->daemon)
		printf("not followed");
	else
		printf("gone (%s)", error ?: "?");
	if (engine.since_ns)
		printf("; containers as of %s (%s ago)", text_clock(engine.since_ns, a),
		       text_span(age(engine.since_ns), b));
	else
		printf("; no container is known");
	printf("%s\n", term_end(CAREFUL));
}

void print_names_head(const struct names_status *status)
{
	const struct following *following = &status->following;
	char a[TEXT_LEN], b[TEXT_LEN], c[TEXT_LEN];

	if (!status->names)
		return;
	print_engine(status);
	printf("  %-11s %s, ", "names", text_count(policy_follows(status->policy), a));
	if (!status->daemon)
		printf("%snot followed: fixed as they were at apply%s", term_begin(CAREFUL),
		       term_end(CAREFUL));
	else
		printf("followed");
	if (status->daemon && following->updates)
		printf("; last change %s ago, in force after %.1f ms (%s us of work)",
		       text_span(age(following->at_ns), b), (double)following->latency_ns / 1e6,
		       text_count(following->work_ns / 1000, c));
	printf("\n");
}

static int name_row(void *arg, const struct name_state *state)
{
	struct table *table = arg;
	char text[512], a[TEXT_LEN];
	__u64 now = now_ns(CLOCK_REALTIME);
	bool good = state->known && !state->error;

	table_cell(table, "%s", text_followed(state->kind, state->name, text, sizeof(text)));
	table_cell(table, "%s", state->kind == ITEM_UNIT ? "-" : text_count(state->n, a));
	table_cell(table, "%s", state->since_ns ? text_span(age(state->since_ns), a) : "never");
	if (state->error)
		table_cell(table, "%s", state->error);
	else if (!state->known)
		table_cell(table, "no answer yet");
	else if (state->expires_ns > now)
		table_cell(table, "asked again in %s", text_span(state->expires_ns - now, a));
	else if (!state->n)
		table_cell(table, "nobody now");
	else
		table_cell(table, "%s", "");
	table_colour(table, good ? DIM : BAD);
	return 0;
}

void print_names_table(const struct names_status *status)
{
	static const char *const heads[] = {"NAME", ">ADDRESSES", ">ANSWERED", "", NULL};
	struct table table;

	if (!status->names)
		return;
	table_begin(&table, heads);
	names_each(status->names, name_row, &table);
	if (table.n)
		putchar('\n');
	table_print(&table, 0);
}
