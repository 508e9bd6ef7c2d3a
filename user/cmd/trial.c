// SPDX-License-Identifier: GPL-2.0-only
/* weir confirm, weir rollback */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cmd/confirmed.h"
#include "cmd/load.h"

/* What the kernel does is what counts: a copy on disk that cannot follow is a warning. */
static void warn_copy(int err, const struct diag *diag)
{
	char text[2048];

	if (err)
		cmd_warn("the copy of the policy for the next boot does not follow: %s",
			 diag->error[0] ? diag_text(diag, text, sizeof(text)) : strerror(-err));
}

static int done(const struct cmd_context *ctx, __u32 generation, const char *what)
{
	json_t *object;

	if (!ctx->json) {
		if (generation)
			printf("generation %u %s\n", generation, what);
		else
			printf("back to no policy at all: all traffic passes\n");
		return EXIT_DONE;
	}
	object = json_object();
	json_put_int(object, "generation", generation);
	return cmd_json(object, EXIT_DONE);
}

static int end_trial(const struct cmd_context *ctx, const struct command *command, int argc,
		     char **argv, const char *what,
		     int (*in_kernel)(struct kernel *, __u32 *, struct diag *),
		     int (*on_disk)(const char *, struct diag *),
		     int (*trial_on_disk)(const char *, struct diag *))
{
	struct kernel_status before;
	_cleanup_kernel_ struct kernel *kernel = NULL;
	_cleanup_diag_ struct diag diag = {}, aside = {};
	__u32 generation = 0;
	int err, status;

	if (argc > 1)
		return usage_error(command, "takes no argument, found \"%s\"", argv[1]);
	status = open_loaded(ctx, true, &kernel);
	if (status)
		return status;
	err = kernel_glance(kernel, &before, &diag);
	if (!err)
		err = in_kernel(kernel, &generation, &diag);
	if (err)
		return cmd_fail(ctx, err, &diag, "nothing changed");
	/* A daemon may be quicker to note that a trial ended: what ends here is not taken from the note. */
	err = (before.trial ? trial_on_disk : on_disk)(ctx->pin_dir, &aside);
	warn_copy(err, &aside);
	cmd_warnings(&diag);
	return done(ctx, generation, what);
}

static int cmd_confirm(struct cmd_context *ctx, int argc, char **argv)
{
	return end_trial(ctx, &command_confirm, argc, argv, "confirmed", kernel_confirm,
			 confirmed_confirm, confirmed_confirm);
}

static int cmd_rollback(struct cmd_context *ctx, int argc, char **argv)
{
	return end_trial(ctx, &command_rollback, argc, argv, "in force again", kernel_rollback,
			 confirmed_rollback, confirmed_expire);
}

const struct command command_confirm = {
    .name = "confirm",
    .summary = "keep the policy that is on trial",
    .usage = "",
    .help =
	"Ends the trial that `weir apply --confirm TIME` began; the policy on trial stays, and is\n"
	"what applies after a reboot. Fails when no trial is pending: it may have fallen back.",
    .run = cmd_confirm,
};

const struct command command_rollback = {
    .name = "rollback",
    .summary = "go back to the policy before this one",
    .usage = "",
    .help =
	"Puts the previous policy in force again, from a trial or from a final apply, at once and\n"
	"without reading any file: its tables are still in the kernel. One step back: what\n"
	"was gone back from, or fell back, does not return this way; apply it again. There is\n"
	"none once `weir run` has put new addresses of followed names in force.",
    .run = cmd_rollback,
};
