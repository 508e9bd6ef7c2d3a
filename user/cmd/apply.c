// SPDX-License-Identifier: GPL-2.0-only
/* weir apply FILE... */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/units.h"
#include "cmd/applied.h"
#include "cmd/confirmed.h"
#include "cmd/load.h"
#include "cmd/naming.h"
#include "cmd/report.h"
#include "cmd/session.h"
#include "cmd/term.h"

#define WAIT_NAMES_MS 5000

static __u64 opt_confirm_ns;
static bool opt_no_tests, opt_verbose;

static const struct cmd_option options[] = {
    {"confirm", 0, "TIME", OPTION_DURATION, &opt_confirm_ns,
     "trial: fall back after TIME unless `weir confirm` comes"},
    {"no-tests", 0, NULL, OPTION_FLAG, &opt_no_tests, "apply even if the policy's own tests fail"},
    {"verbose", 'v', NULL, OPTION_FLAG, &opt_verbose, "say each step"},
    {},
};

static void print_step(void *arg, const char *step)
{
	fprintf(stderr, "  %s\n", step);
}

/* Who containers and hosts are now; the handle stays, for units' cgroups. */
struct asking {
	const struct cmd_context *ctx;
	struct followed *names;
	bool applied; /* what was asked for is what is in force */
};

static int resolve(void *arg, const struct policy *policy, struct environment *env,
		   struct diag *diag)
{
	struct asking *asking = arg;
	int err;

	if (!policy_follows(policy))
		return 0;
	err = naming_open(asking->ctx, &asking->names, diag);
	err = err ? err : naming_ask(asking->names, policy, env, WAIT_NAMES_MS, true, diag);
	return err ? err : naming_judge(asking->names, policy, diag);
}

static int load(struct asking *asking, char **files, size_t n, struct loaded *loaded,
		struct diag *diag)
{
	const struct load_how how = {.resolve = resolve, .arg = asking};
	const struct cmd_context *ctx = asking->ctx;
	char holds[256];
	int err;

	err = loaded_read((const char *const *)files, n, &how, loaded, diag);
	if (err) {
		holds_text(ctx->pin_dir, "policy not applied", holds, sizeof(holds));
		return loaded_rejected(err) ? cmd_reject(ctx, err, diag, holds)
					    : cmd_fail(ctx, err, diag, holds);
	}
	if (!loaded->failed)
		return EXIT_DONE;
	print_failures(loaded);
	if (opt_no_tests) {
		cmd_warn("%zu of the policy's tests failed; applied all the same", loaded->failed);
		return EXIT_DONE;
	}
	holds_text(ctx->pin_dir, "policy not applied", holds, sizeof(holds));
	diag_fail(diag, -EINVAL, NULL, "%zu of the policy's %zu tests failed", loaded->failed,
		  loaded->policy->nr_tests);
	return cmd_reject(ctx, -EINVAL, diag, holds);
}

/* What the kernel does is what counts: a copy on disk that cannot be written is a warning. */
static void note(int err, struct diag *diag, const char *what)
{
	char text[2048];

	if (err)
		cmd_warn("%s: %s", what,
			 diag->error[0] ? diag_text(diag, text, sizeof(text)) : strerror(-err));
	diag_reset(diag);
}

/* Which sockets belong to the units that the policy names. */
static int set_units(struct kernel *kernel, struct followed *names, struct diag *diag)
{
	_cleanup_free_ __u64 *cgroup = NULL;
	_cleanup_free_ __u32 *unit = NULL;
	size_t n = 0;
	int err;

	if (!names)
		return 0;
	err = names_units(names, &cgroup, &unit, &n);
	if (err)
		return diag_fail(diag, err, NULL, "units: %s", strerror(-err));
	return n ? kernel_units(kernel, cgroup, unit, n, diag) : 0;
}

/* For a daemon: what this was compiled for. It is compiled again there when that is no longer so. */
static void note_compiled(const struct cmd_context *ctx, struct kernel *kernel,
			  const struct loaded *loaded, __u32 generation)
{
	struct applied applied = {.generation = generation};
	_cleanup_diag_ struct diag diag = {};
	struct kernel_status status = {};

	if (kernel_status(kernel, &status, &diag))
		return;
	applied.seed = status.control.seed;
	kernel_status_clear(&status);
	applied.fingerprint = fingerprint_of(loaded->policy, &loaded->env);
	applied.names = naming_digest(&loaded->env);
	applied_write(ctx->pin_dir, &applied);
}

static int apply(const struct asking *asking, struct kernel *kernel, const struct loaded *loaded,
		 struct apply_result *result, struct diag *diag)
{
	const struct cmd_context *ctx = asking->ctx;
	const struct apply_options how = {
	    .confirm_ms = opt_confirm_ns / 1000000,
	    .progress = opt_verbose ? print_step : NULL,
	};
	_cleanup_diag_ struct diag aside = {};
	int err;

	if (how.confirm_ms)
		note(confirmed_begin_trial(ctx->pin_dir, loaded->policy, &aside), &aside,
		     "the trial is not noted on disk");
	err =
	    kernel_apply(kernel, loaded->policy, loaded->tables, &loaded->env, &how, result, diag);
	if (err && how.confirm_ms)
		note(confirmed_cancel_trial(ctx->pin_dir, &aside), &aside,
		     "the trial's copy on disk stays");
	if (!err)
		note_compiled(ctx, kernel, loaded, result->generation);
	if (!err)
		note(set_units(kernel, asking->names, &aside), &aside,
		     "traffic of units is judged as this node's");
	if (!err && !how.confirm_ms)
		note(confirmed_save(ctx->pin_dir, loaded->policy, &aside), &aside,
		     "after a reboot this policy will not be there");
	return err;
}

static void print_result(const struct loaded *loaded, const struct apply_result *result,
			 __u32 previous)
{
	__u64 deadline = now_ns(CLOCK_REALTIME) + opt_confirm_ns;
	struct rule_counts counts = rule_counts(loaded->policy);
	char a[TEXT_LEN], b[TEXT_LEN];

	printf("generation %u %s: %s, ", result->generation,
	       opt_confirm_ns ? "on trial" : "in force",
	       text_number(counts.allow + counts.deny, "rule", "rules", a));
	printf("%s on ", text_number(loaded->policy->nr_limits, "limit", "limits", a));
	printf("%s (%s)\n", text_number(result->attached, "interface", "interfaces", a),
	       text_span(result->total_ns, b));
	if (loaded->policy->monitor)
		printf("mode monitor: nothing is dropped, `weir status` counts what would be\n");
	if (result->closed)
		printf("%s%s without an address, closed until it has one%s (`weir status`)\n",
		       term_begin(CAREFUL), text_number(result->closed, "workload", "workloads", a),
		       term_end(CAREFUL));
	if (!opt_confirm_ns)
		return;
	printf("%sfalls back in %s, at %s%s, ", term_begin(CAREFUL), text_span(opt_confirm_ns, a),
	       text_clock(deadline, b), term_end(CAREFUL));
	if (previous)
		printf("to generation %u, ", previous);
	else
		printf("to no policy at all, ");
	printf("unless you run `weir confirm`\n");
}

static int result_json(const struct loaded *loaded, const struct apply_result *result,
		       __u32 previous, const struct diag *diag, const struct diag *late)
{
	json_t *object = json_object(), *interfaces = json_object(), *took = json_object();
	json_t *warnings = json_warnings(diag), *more = json_warnings(late);

	json_put_int(interfaces, "attached", result->attached);
	json_put_int(interfaces, "closed", result->closed);
	json_put_int(took, "compile", result->compile_ns);
	json_put_int(took, "fill", result->fill_ns);
	json_put_int(took, "total", result->total_ns);
	json_put_int(object, "generation", result->generation);
	json_put(object, "previous", previous ? json_integer(previous) : json_null());
	json_put(object, "policy", policy_json(loaded->policy));
	json_put(object, "rules", rule_counts_json(loaded->policy));
	json_put_int(object, "limits", loaded->policy->nr_limits);
	json_put_int(object, "names", policy_follows(loaded->policy));
	json_put(object, "interfaces", interfaces);
	json_put(object, "trial",
		 opt_confirm_ns ? trial_json(now_ns(CLOCK_REALTIME) + opt_confirm_ns, previous)
				: json_null());
	json_put_bool(object, "reloaded", result->reloaded);
	json_put(object, "took_ns", took);
	json_put(object, "tests", tests_json(loaded));
	json_array_extend(warnings, more);
	json_decref(more);
	json_put(object, "warnings", warnings);
	return cmd_json(object, EXIT_DONE);
}

static __u32 running_generation(struct kernel *kernel)
{
	_cleanup_diag_ struct diag diag = {};
	struct kernel_status status = {};
	__u32 generation;

	if (!kernel_loaded(kernel) || kernel_status(kernel, &status, &diag))
		return 0;
	generation = status.generation;
	kernel_status_clear(&status);
	return generation;
}

static void asking_end(struct asking *asking)
{
	if (!asking->names)
		return;
	if (!asking->applied)
		names_read_only(asking->names);
	names_close(asking->names);
}

static int cmd_apply(struct cmd_context *ctx, int argc, char **argv)
{
	_cleanup_(asking_end) struct asking asking = {.ctx = ctx};
	_cleanup_kernel_ struct kernel *kernel = NULL;
	_cleanup_loaded_ struct loaded loaded = {};
	/* Warnings come before the flip: after it this terminal may not be heard of again. */
	_cleanup_diag_ struct diag diag = {}, late = {};
	struct apply_result result = {};
	char holds[256];
	__u64 begin = now_ns(CLOCK_MONOTONIC);
	__u32 previous;
	int err, status;

	if (argc < 2)
		return usage_error(&command_apply, "a policy file is missing");
	if (opt_confirm_ns && opt_confirm_ns < 1000000000ULL)
		return usage_error(&command_apply, "--confirm: less than a second is no trial");
	if (opt_confirm_ns > UNITS_NS_PER_DAY)
		return usage_error(&command_apply, "--confirm: more than a day is no trial");
	status = load(&asking, argv + 1, (size_t)argc - 1, &loaded, &diag);
	if (status)
		return status;
	err = kernel_open(ctx->pin_dir, true, &kernel, &diag);
	if (err)
		return cmd_fail(
		    ctx, err, &diag,
		    holds_text(ctx->pin_dir, "policy not applied", holds, sizeof(holds)));
	previous = running_generation(kernel);
	if (!ctx->netns)
		session_warn(&loaded, opt_confirm_ns != 0, &diag);
	cmd_warnings(&diag);
	err = apply(&asking, kernel, &loaded, &result, &late);
	if (err) {
		kernel_close(TAKE_PTR(kernel));
		holds_text(ctx->pin_dir, "policy not applied", holds, sizeof(holds));
		return err == -EOPNOTSUPP ? cmd_reject(ctx, err, &late, holds)
					  : cmd_fail(ctx, err, &late, holds);
	}
	asking.applied = true;
	cmd_warnings(&late);
	result.total_ns = now_ns(CLOCK_MONOTONIC) - begin;
	if (ctx->json)
		return result_json(&loaded, &result, previous, &diag, &late);
	print_result(&loaded, &result, previous);
	return EXIT_DONE;
}

const struct command command_apply = {
    .name = "apply",
    .summary = "compile a policy, put it in force, whole or not at all",
    .usage = "FILE... [--confirm TIME] [--no-tests] [-v]",
    .help =
	"Compiles the files into one policy, runs its own tests:, fills the idle tables in the\n"
	"kernel, attaches to the interfaces that it names, and swaps. No packet is judged by a\n"
	"mixture of old and new; limits, blocks and connections survive. Whatever goes wrong, the\n"
	"policy in force stays in force. The rules stay in the kernel when weir ends.\n"
	"Who containers, hosts and units are is asked once, for up to 5 seconds; `weir run`\n"
	"follows them. A host that nobody ever resolved is an error, a container that does not\n"
	"run a warning.\n\n"
	"  weir apply /etc/weir/policy.yaml\n"
	"  weir apply --confirm 60s policy.yaml    from far away: the kernel itself falls back\n"
	"                                          after 60 seconds unless `weir confirm` comes\n\n"
	"Exit status: 0 in force; 3 rejected, or a test of the policy fails; 1 not possible here.",
    .options = options,
    .run = cmd_apply,
};
