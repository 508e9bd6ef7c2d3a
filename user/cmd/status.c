// SPDX-License-Identifier: GPL-2.0-only
/* weir status */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "audit/paths.h"
#include "cmd/load.h"
#include "cmd/report.h"
#include "cmd/status_guards.h"
#include "cmd/status_names.h"
#include "cmd/term.h"

static bool opt_kernel;

static const struct cmd_option options[] = {
    {"kernel", 'k', NULL, OPTION_FLAG, &opt_kernel,
     "also what this kernel offers, found out by trying"},
    {},
};

static const char *const reason_names[] = {
#define REASON_NAME(value, id, name, help) [value] = name,
    WEIR_REASONS(REASON_NAME)
#undef REASON_NAME
};
static const char *const reason_helps[] = {
#define REASON_HELP(value, id, name, help) [value] = help,
    WEIR_REASONS(REASON_HELP)
#undef REASON_HELP
};
static const char *const home_names[] = {
    [WEIR_HOME_SELF_IN] = "self_in",	     [WEIR_HOME_SELF_OUT] = "self_out",
    [WEIR_HOME_WORKLOAD_IN] = "workload_in", [WEIR_HOME_WORKLOAD_OUT] = "workload_out",
    [WEIR_HOME_FORWARD] = "forward",
};

/**
 * struct verdicts - what became of all packets, from the counters by reason.
 *
 * Under a reason other than ok, "passed" is what mode monitor let through. A kernel side that counts it as dropped
 * there is read by the mode that holds now.
 */
struct verdicts {
	__u64 passed, dropped, would_drop;
};

static __u64 reason_packets(const struct kernel_status *status, size_t reason)
{
	return status->reason[reason].passed_packets + status->reason[reason].dropped_packets;
}

static struct verdicts sum_verdicts(const struct kernel_status *status)
{
	struct verdicts sum = {.passed = status->reason[WEIR_OK].passed_packets};

	for (size_t i = WEIR_OK + 1; i < WEIR_NR_REASONS; i++) {
		sum.would_drop += status->reason[i].passed_packets;
		if (status->monitor)
			sum.would_drop += status->reason[i].dropped_packets;
		else
			sum.dropped += status->reason[i].dropped_packets;
	}
	return sum;
}

static __u64 in_flight(const struct kernel_status *status)
{
	__u64 taken = status->reader.delivered + status->reader.lost_reader;

	return status->books.written > taken ? status->books.written - taken : 0;
}

/* Whoever reads the audit ring: the daemon, as a rule. */
static bool reader_alive(const struct kernel_status *status)
{
	return status->reader.pid && (!kill((pid_t)status->reader.pid, 0) || errno == EPERM);
}

/* Process of `weir run` on this pin directory, 0 for none. The file names it; a process that has its number is weir. */
static pid_t daemon_pid(const char *pin_dir)
{
	char path[PATH_MAX], text[32] = "", name[16] = "";
	_cleanup_fclose_ FILE *file = NULL, *comm = NULL;
	pid_t pid;

	if (path_run(pin_dir, "run", path, sizeof(path)))
		return 0;
	file = fopen(path, "re");
	if (!file || !fgets(text, sizeof(text), file))
		return 0;
	pid = (pid_t)strtol(text, NULL, 10);
	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	comm = pid > 0 ? fopen(path, "re") : NULL;
	if (!comm || !fgets(name, sizeof(name), comm) || strncmp(name, "weir", 4))
		return 0;
	return pid;
}

/* ---- JSON ---- */

static json_t *status_policy_json(const struct kernel_status *status)
{
	json_t *object = json_object(), *files = json_array();

	for (__u32 i = 0; i < status->config.nr_files; i++)
		json_array_append_new(files, json_text(status->file[i]));
	json_put(object, "files", files);
	json_put(object, "sha256", json_sha256(status->config.sha256));
	return object;
}

static const char *role_name(const struct interface_status *interface)
{
	static const char *const names[] = {[INTERFACE_NIC] = "nic",
					    [INTERFACE_WORKLOAD] = "workload",
					    [INTERFACE_BRIDGE] = "bridge"};

	return names[interface->role];
}

/* Why a workload is closed; NULL: it is not. Malloc'ed. */
static char *why_closed(struct kernel *kernel, const struct kernel_status *status,
			const struct names_status *names, const struct interface_status *interface)
{
	_cleanup_free_ struct prefix *behind = NULL;
	_cleanup_diag_ struct diag aside = {};
	size_t n = 0;

	if (!interface->workload || !interface->closed || !interface->attached)
		return NULL;
	if (kernel_behind(kernel, interface->ifindex, &behind, &n, &aside))
		n = 0;
	return names_status_why(names, behind, n, status->trial);
}

static json_t *interfaces_json(struct kernel *kernel, const struct kernel_status *status,
			       const struct names_status *names)
{
	json_t *list = json_array();

	for (size_t i = 0; i < status->nr_interfaces; i++) {
		const struct interface_status *interface = &status->interface[i];
		_cleanup_free_ char *why = why_closed(kernel, status, names, interface);
		json_t *object = json_object();

		json_put_text(object, "name", interface->name);
		json_put_int(object, "ifindex", interface->ifindex);
		json_put_text(object, "role", role_name(interface));
		json_put_text(object, "hook", interface->hook);
		json_put_text(object, "xdp", interface->xdp);
		json_put_bool(object, "attached", interface->attached);
		json_put_bool(object, "workload", interface->workload);
		json_put_bool(object, "closed", interface->closed);
		json_put_text(object, "waits", why);
		json_put_bool(object, "metadata", interface->metadata);
		json_put_text(object, "antispoof", antispoof_name(interface->antispoof));
		json_array_append_new(list, object);
	}
	return list;
}

static json_t *events_json(const struct kernel_status *status)
{
	json_t *object = json_object();

	json_put_int(object, "due", status->books.due);
	json_put_int(object, "written", status->books.written);
	json_put_int(object, "suppressed", status->books.suppressed);
	json_put_int(object, "lost_full", status->books.lost_full);
	json_put_int(object, "lost_no_reader", status->books.lost_no_reader);
	json_put_int(object, "delivered", status->reader.delivered);
	json_put_int(object, "in_flight", in_flight(status));
	json_put_int(object, "lost_reader", status->reader.lost_reader);
	return object;
}

static json_t *verdicts_json(const struct kernel_status *status)
{
	json_t *object = json_object(), *reasons = json_object();
	struct verdicts sum = sum_verdicts(status);

	for (size_t i = WEIR_OK + 1; i < ARRAY_SIZE(reason_names); i++)
		json_object_set_new(reasons, reason_names[i],
				    json_integer((json_int_t)reason_packets(status, i)));
	json_put_int(object, "passed", sum.passed);
	json_put_int(object, "dropped", sum.dropped);
	json_put_int(object, "would_drop", sum.would_drop);
	json_put(object, "by_reason", reasons);
	return object;
}

static json_t *homes_json(const struct kernel_status *status)
{
	json_t *object = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(home_names); i++) {
		json_t *home = json_object();

		json_put_count(home, &status->home[i]);
		json_object_set_new(object, home_names[i], home);
	}
	return object;
}

static json_t *blocks_json(const struct kernel_status *status)
{
	json_t *object = json_object();

	json_put_int(object, "run_time", status->control.blocks);
	json_put_int(object, "automatic", status->control.autoblocks);
	json_put_int(object, "refused_full", status->control.block_full);
	return object;
}

/* Lines "FEATURE: yes", "FEATURE: no; what follows from it", "FEATURE: not known …" as objects. */
static json_t *kernel_json(void)
{
	_cleanup_free_ char *text = NULL;
	json_t *list = json_array();
	char *save = NULL;

	if (kernel_features(&text, NULL))
		return json_null();
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		json_t *object = json_object();
		char *says = strstr(line, ": ");
		bool yes = says && !strcmp(says, ": yes"), no = says && !strncmp(says, ": no;", 5);

		if (says)
			*says = '\0';
		json_put_text(object, "feature", line);
		json_put(object, "available", yes || no ? json_boolean(yes) : json_null());
		json_put_text(object, "without", no ? says + strlen(": no; ") : NULL);
		json_array_append_new(list, object);
	}
	return list;
}

static json_t *status_json(const struct cmd_context *ctx, struct kernel *kernel,
			   const struct kernel_status *status, const struct names_status *names,
			   pid_t daemon)
{
	json_t *object = json_object();
	bool loaded = status->generation != 0;

	json_put_int(object, "generation", status->generation);
	json_put_text(object, "mode", !loaded ? NULL : status->monitor ? "monitor" : "enforce");
	json_put_text(object, "pin_dir", ctx->pin_dir);
	json_put(object, "policy", loaded ? status_policy_json(status) : json_null());
	json_put(object, "applied", json_time(status->config.applied_ns));
	json_put_int(object, "rules", status->config.nr_rules - status->config.nr_limits);
	json_put_int(object, "limits", status->config.nr_limits);
	json_put(object, "interfaces", interfaces_json(kernel, status, names));
	names_status_json(names, object);
	guards_status_json(status, names->policy, object);
	json_put(object, "events", events_json(status));
	json_put(object, "verdicts", verdicts_json(status));
	json_put(object, "homes", homes_json(status));
	json_put(object, "blocks", blocks_json(status));
	json_put_int(object, "overflow_in_use", status->overflow_in_use);
	json_put(object, "daemon", daemon ? json_integer(daemon) : json_null());
	json_put(object, "reader",
		 reader_alive(status) ? json_integer((json_int_t)status->reader.pid) : json_null());
	json_put(object, "trial",
		 status->trial ? trial_json(boot_to_real_ns(status->deadline_boot_ms * 1000000ULL),
					    status->previous_generation)
			       : json_null());
	if (opt_kernel)
		json_put(object, "kernel", kernel_json());
	return object;
}

/* ---- text ---- */

static void print_head(const struct cmd_context *ctx, const struct kernel_status *status)
{
	enum colour colour = status->monitor ? CAREFUL : GOOD;
	__u64 now = now_ns(CLOCK_REALTIME), applied = status->config.applied_ns;
	char a[TEXT_LEN], b[TEXT_LEN];

	printf("%sweir%s  %s%s generation %u%s", term_begin(colour), term_end(colour),
	       term_begin(BOLD), status->monitor ? "monitoring (drops nothing)," : "enforcing",
	       status->generation, term_end(BOLD));
	if (applied)
		printf(" since %s (%s ago)", text_clock(applied, a),
		       text_span(now > applied ? now - applied : 0, b));
	printf("\n");
	for (__u32 i = 0; i < status->config.nr_files; i++) {
		_cleanup_free_ char *file = term_safe(status->file[i]);

		printf("  %-11s %s\n", i ? "" : "policy", file ? file : "?");
	}
	printf("  %-11s %s, ", "",
	       text_number(status->config.nr_rules - status->config.nr_limits, "rule", "rules", a));
	printf("%s\n", text_number(status->config.nr_limits, "limit", "limits", a));
	printf("  %-11s %s\n", "pinned", ctx->pin_dir);
}

static void print_trial(const struct kernel_status *status)
{
	__u64 deadline = status->deadline_boot_ms * 1000000ULL, now = now_ns(CLOCK_BOOTTIME);
	char a[TEXT_LEN], b[TEXT_LEN], to[TEXT_LEN] = "no policy at all";

	if (!status->trial)
		return;
	if (status->previous_generation)
		snprintf(to, sizeof(to), "generation %u", status->previous_generation);
	printf("  %-11s %sfalls back to %s in %s, at %s, unless `weir confirm`%s\n", "trial",
	       term_begin(CAREFUL), to, text_span(deadline > now ? deadline - now : 0, a),
	       text_clock(boot_to_real_ns(deadline), b), term_end(CAREFUL));
}

static void print_daemon(const struct kernel_status *status, pid_t pid)
{
	if (pid)
		printf("  %-11s pid %d follows files, interfaces, addresses and names\n",
		       "weir run", pid);
	else
		printf(
		    "  %-11s %snot running: interfaces and addresses are fixed as they were at apply%s\n",
		    "weir run", term_begin(CAREFUL), term_end(CAREFUL));
	if (!reader_alive(status))
		printf("  %-11s %snobody reads it%s\n", "audit", term_begin(CAREFUL),
		       term_end(CAREFUL));
	else if ((pid_t)status->reader.pid != pid)
		printf("  %-11s read by pid %llu\n", "audit", status->reader.pid);
}

static void print_events(const struct kernel_status *status)
{
	char a[TEXT_LEN], b[TEXT_LEN], c[TEXT_LEN];
	__u64 lost =
	    status->books.lost_full + status->books.lost_no_reader + status->reader.lost_reader;

	printf("  %-11s %s due = %s written + %s suppressed", "events",
	       text_count(status->books.due, a), text_count(status->books.written, b),
	       text_count(status->books.suppressed, c));
	printf(" + %s buffer full + %s no reader\n", text_count(status->books.lost_full, a),
	       text_count(status->books.lost_no_reader, b));
	printf("  %-11s %s written = %s delivered", "", text_count(status->books.written, a),
	       text_count(status->reader.delivered, b));
	printf(" + %s in flight + %s lost by the reader\n", text_count(in_flight(status), a),
	       text_count(status->reader.lost_reader, b));
	if (lost)
		printf("  %-11s %s%s events did not reach the log%s\n", "", term_begin(CAREFUL),
		       text_count(lost, a), term_end(CAREFUL));
}

static void print_verdicts(const struct kernel_status *status)
{
	static const char *const heads[] = {">", "", "", NULL};
	struct verdicts sum = sum_verdicts(status);
	char a[TEXT_LEN], b[TEXT_LEN];
	struct table table;

	printf("  %-11s %s passed, %s%s dropped%s", "packets", text_count(sum.passed, a),
	       term_begin(sum.dropped ? BAD : PLAIN), text_count(sum.dropped, b),
	       term_end(sum.dropped ? BAD : PLAIN));
	if (sum.would_drop)
		printf(", %s would have been dropped", text_count(sum.would_drop, a));
	printf("\n");
	table_begin(&table, heads);
	for (size_t i = WEIR_OK + 1; i < ARRAY_SIZE(reason_names); i++) {
		if (!reason_packets(status, i))
			continue;
		table_cell(&table, "%s", text_count(reason_packets(status, i), a));
		table_cell(&table, "%s", reason_names[i]);
		table_cell(&table, "%s", reason_helps[i]);
		table_colour(&table, DIM);
	}
	table_print(&table, 14);
}

static void print_blocks(const struct kernel_status *status)
{
	char a[TEXT_LEN];

	if (status->control.blocks)
		printf("  %-11s %s run-time\n", "blocks", text_count(status->control.blocks, a));
	if (status->control.autoblocks)
		printf("  %-11s %s by limits since the last sweep\n",
		       status->control.blocks ? "" : "blocks",
		       text_count(status->control.autoblocks, a));
	if (status->control.block_full)
		printf("  %-11s %sno place for %s automatic blocks%s\n", "", term_begin(BAD),
		       text_count(status->control.block_full, a), term_end(BAD));
	if (status->overflow_in_use)
		printf(
		    "  %-11s %s%s overflow entries in use: a limit has more sources than `entries:`%s\n",
		    "limits", term_begin(CAREFUL), text_count(status->overflow_in_use, a),
		    term_end(CAREFUL));
}

/* Malloc'ed; *@ret_good: as it should be. */
static char *state_text(struct kernel *kernel, const struct kernel_status *status,
			const struct names_status *names, const struct interface_status *interface,
			bool *ret_good)
{
	_cleanup_free_ char *why = why_closed(kernel, status, names, interface);
	bool nic = interface->role == INTERFACE_NIC;
	char *text = NULL;
	int done;

	*ret_good = interface->attached && !why;
	if (!interface->ifindex)
		done = asprintf(&text, "missing: there is none of that name");
	else if (!interface->attached)
		done = asprintf(&text, "not attached");
	else if (why)
		done = asprintf(&text, "closed: %s", why);
	else
		done = asprintf(&text, "attached%s%s%s",
				nic && !interface->metadata && interface->xdp &&
					strcmp(interface->xdp, "off")
				    ? ", no XDP metadata: judged by TC"
				    : "",
				interface->antispoof ? ", antispoof " : "",
				interface->antispoof ? antispoof_name(interface->antispoof) : "");
	return done < 0 ? NULL : text;
}

static void print_interfaces(struct kernel *kernel, const struct kernel_status *status,
			     const struct names_status *names)
{
	static const char *const heads[] = {"INTERFACE", "KIND", "HOOK", "XDP", "STATE", NULL};
	struct table table;

	table_begin(&table, heads);
	for (size_t i = 0; i < status->nr_interfaces; i++) {
		const struct interface_status *interface = &status->interface[i];
		bool good;
		_cleanup_free_ char *state = state_text(kernel, status, names, interface, &good);

		table_cell(&table, "%s", interface->name);
		table_cell(&table, "%s", role_name(interface));
		table_cell(&table, "%s", interface->hook ? interface->hook : "-");
		table_cell(&table, "%s", interface->xdp ? interface->xdp : "-");
		table_cell(&table, "%s", state ?: "?");
		table_colour(&table, good ? GOOD : BAD);
	}
	if (status->nr_interfaces)
		putchar('\n');
	table_print(&table, 0);
}

static void print_kernel(void)
{
	_cleanup_free_ char *text = NULL;
	char *save = NULL;

	if (kernel_features(&text, NULL))
		return;
	printf("\n%sKERNEL%s\n", term_begin(BOLD), term_end(BOLD));
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		enum colour colour = strstr(line, ": no; ") ? CAREFUL : PLAIN;

		printf("%s%s%s\n", term_begin(colour), line, term_end(colour));
	}
}

static void print_status(const struct cmd_context *ctx, struct kernel *kernel,
			 const struct kernel_status *status, const struct names_status *names,
			 pid_t daemon)
{
	if (!status->generation) {
		printf("weir  nothing is in force in %s: all traffic passes\n", ctx->pin_dir);
		return;
	}
	print_head(ctx, status);
	print_trial(status);
	print_daemon(status, daemon);
	print_names_head(names);
	print_events(status);
	print_verdicts(status);
	print_blocks(status);
	print_guards(status, names->policy);
	print_interfaces(kernel, status, names);
	print_names_table(names);
}

static int cmd_status(struct cmd_context *ctx, int argc, char **argv)
{
	_cleanup_(kernel_status_clear) struct kernel_status status = {};
	_cleanup_(names_status_clear) struct names_status names = {};
	pid_t daemon = daemon_pid(ctx->pin_dir);
	_cleanup_kernel_ struct kernel *kernel = NULL;
	_cleanup_diag_ struct diag diag = {};
	int err;

	if (argc > 1)
		return usage_error(&command_status, "takes no argument, found \"%s\"", argv[1]);
	err = kernel_open(ctx->pin_dir, false, &kernel, &diag);
	if (!err && kernel_loaded(kernel))
		err = kernel_status(kernel, &status, &diag);
	if (err)
		return cmd_fail(ctx, err, &diag, NULL);
	if (status.generation)
		names_status_read(ctx, kernel, daemon, &names, &diag);
	cmd_warnings(&diag);
	if (ctx->json)
		return cmd_json(status_json(ctx, kernel, &status, &names, daemon), EXIT_DONE);
	print_status(ctx, kernel, &status, &names, daemon);
	if (opt_kernel)
		print_kernel();
	return EXIT_DONE;
}

const struct command command_status = {
    .name = "status",
    .summary = "what is in force, where, and what it dropped",
    .usage = "[-k]",
    .help =
	"Shows the policy in force, a pending trial, the interfaces with their hooks, what passed\n"
	"and what was dropped and why, and the books of the audit: events due, written, and lost.\n"
	"Reads the kernel's own state; needs no daemon. With nothing in force, generation is 0.",
    .options = options,
    .run = cmd_status,
};
