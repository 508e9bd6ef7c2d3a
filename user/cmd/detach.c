// SPDX-License-Identifier: GPL-2.0-only
/* weir detach */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cmd/confirmed.h"
#include "cmd/notes.h"
#include "cmd/load.h"

static int cmd_detach(struct cmd_context *ctx, int argc, char **argv)
{
	_cleanup_kernel_ struct kernel *kernel = NULL;
	_cleanup_diag_ struct diag diag = {}, aside = {};
	bool loaded, foreign;
	int err;

	if (argc > 1)
		return usage_error(&command_detach, "takes no argument, found \"%s\"", argv[1]);
	err = kernel_open(ctx->pin_dir, true, &kernel, &diag);
	foreign = err == -EBADMSG;
	if (foreign) {
		diag_reset(&diag);
		err = kernel_open_foreign(ctx->pin_dir, &kernel, &diag);
	}
	if (err)
		return cmd_fail(ctx, err, &diag, NULL);
	loaded = foreign || kernel_loaded(kernel);
	err = kernel_detach(kernel, &diag);
	if (err)
		return cmd_fail(ctx, err, &diag, "what could be removed is removed");
	notes_forget(ctx->pin_dir);
	err = confirmed_forget(ctx->pin_dir, &aside);
	if (err)
		cmd_warn("the copy of the policy for the next boot stays: %s",
			 aside.error[0] ? aside.error : strerror(-err));
	cmd_warnings(&diag);
	if (ctx->json) {
		json_t *object = json_object();

		json_put_bool(object, "detached", loaded);
		json_put_text(object, "pin_dir", ctx->pin_dir);
		return cmd_json(object, EXIT_DONE);
	}
	if (loaded)
		printf("detached: nothing of weir is left in %s; all traffic passes\n",
		       ctx->pin_dir);
	else
		printf("nothing was loaded in %s\n", ctx->pin_dir);
	return EXIT_DONE;
}

const struct command command_detach = {
    .name = "detach",
    .summary = "remove every trace: hooks, maps, pins, blocks",
    .usage = "",
    .help =
	"Takes all programs off the interfaces and removes what weir has pinned, run-time blocks\n"
	"and the copy of the policy for the next boot included. From then on nothing is filtered.\n"
	"A `weir run` that serves this directory ends, too.",
    .run = cmd_detach,
};
