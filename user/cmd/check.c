// SPDX-License-Identifier: GPL-2.0-only
/* weir check FILE... */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cmd/load.h"
#include "cmd/naming.h"
#include "cmd/report.h"
#include "cmd/term.h"

static bool opt_print;

static const struct cmd_option options[] = {
    {"print", 'p', NULL, OPTION_FLAG, &opt_print,
     "print the policy in canonical form, and nothing else"},
    {},
};

static json_t *rejected_json(const struct diag *diag, int err)
{
	json_t *object = json_object(), *error = json_object();

	json_put_text(error, "message", diag->error[0] ? diag->error : strerror(-err));
	json_put_position(error, &diag->at);
	json_put(error, "holds", json_null());
	json_put_bool(object, "valid", false);
	json_put(object, "error", error);
	json_put(object, "warnings", json_warnings(diag));
	return object;
}

static int reject(const struct cmd_context *ctx, int err, const struct diag *diag)
{
	int status = loaded_rejected(err) ? EXIT_REJECTED : EXIT_FAILED;
	struct cmd_context text = *ctx;

	/* The same words on stderr; on stdout an object of the shape that a valid policy has. */
	text.json = false;
	cmd_fail(&text, err, diag, NULL);
	return ctx->json ? cmd_json(rejected_json(diag, err), status) : status;
}

static void print_summary(const struct loaded *loaded)
{
	char a[TEXT_LEN], b[TEXT_LEN], c[TEXT_LEN];
	const struct budget *budget = &loaded->tables->budget;
	const struct policy *policy = loaded->policy;
	struct rule_counts counts = rule_counts(policy);

	for (size_t i = 0; i < policy->nr_files; i++) {
		_cleanup_free_ char *file = term_safe(policy->file[i]);

		printf("%s%s%s\n", term_begin(BOLD), file ? file : "?", term_end(BOLD));
	}
	printf("  segments  %zu (%s in all lists)\n", policy->nr_segments,
	       text_number(budget->addresses, "prefix", "prefixes", a));
	if (policy_follows(policy))
		printf("  names     %zu; nobody is asked here, each stands for a made-up address\n",
		       policy_follows(policy));
	printf("  rules     %s allow, %s deny%s\n", text_count(counts.allow, a),
	       text_count(counts.deny, b),
	       policy->monitor ? "; mode monitor: nothing is dropped" : "");
	printf("  limits    %zu\n", policy->nr_limits);
	printf("  tables    %s classes, %s pairs, %s cells", text_count(budget->classes, a),
	       text_count(budget->pairs, b), text_count(budget->cells, c));
	printf(", %s of kernel memory\n", text_bytes(budget->bytes, a));
	if (policy->nr_tests)
		printf("  tests     %zu passed, %s%zu failed%s\n",
		       policy->nr_tests - loaded->failed, term_begin(loaded->failed ? BAD : PLAIN),
		       loaded->failed, term_end(loaded->failed ? BAD : PLAIN));
	else
		printf("  tests     none\n");
}

static json_t *summary_json(const struct loaded *loaded, const char *canonical,
			    const struct diag *diag)
{
	json_t *object = json_object();

	json_put_bool(object, "valid", !loaded->failed);
	json_put(object, "policy", policy_json(loaded->policy));
	json_put_int(object, "segments", loaded->policy->nr_segments);
	json_put_int(object, "names", policy_follows(loaded->policy));
	json_put(object, "rules", rule_counts_json(loaded->policy));
	json_put_int(object, "limits", loaded->policy->nr_limits);
	json_put(object, "budget", budget_json(&loaded->tables->budget));
	json_put(object, "tests", tests_json(loaded));
	json_put(object, "warnings", json_warnings(diag));
	if (canonical)
		json_put_text(object, "canonical", canonical);
	return object;
}

static int cmd_check(struct cmd_context *ctx, int argc, char **argv)
{
	const struct load_how how = {}; /* nobody is asked */
	_cleanup_loaded_ struct loaded loaded = {};
	_cleanup_diag_ struct diag diag = {};
	_cleanup_free_ char *canonical = NULL;
	int err, status;

	if (argc < 2)
		return usage_error(&command_check, "a policy file is missing");
	err = loaded_read((const char *const *)argv + 1, (size_t)argc - 1, &how, &loaded, &diag);
	if (!err && opt_print)
		err = policy_print(loaded.policy, &canonical);
	if (err)
		return reject(ctx, err, &diag);
	status = loaded.failed ? EXIT_REJECTED : EXIT_DONE;
	cmd_warnings(&diag);
	print_failures(&loaded);
	if (ctx->json)
		return cmd_json(summary_json(&loaded, canonical, &diag), status);
	if (canonical)
		fputs(canonical, stdout);
	else
		print_summary(&loaded);
	return status;
}

const struct command command_check = {
    .name = "check",
    .summary = "compile a policy and report; changes nothing",
    .usage = "FILE... [-p]",
    .help =
	"Parses and compiles policy files as `weir apply` would, runs the policy's own tests:,\n"
	"and says how big the result is. Needs no privilege, and no kernel support. Nobody is\n"
	"asked who containers and hosts are: each such name stands for a made-up address, so\n"
	"that tests can be judged. \"-\" is standard input.\n\n"
	"  weir check /etc/weir/policy.yaml\n"
	"  weir check -p base.yaml site.yaml    both as one policy, everything explicit\n\n"
	"Exit status: 0 valid; 3 rejected, or a test of the policy fails; 1 unreadable.",
    .options = options,
    .run = cmd_check,
};
