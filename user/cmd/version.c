// SPDX-License-Identifier: GPL-2.0-only
/* weir version */
#include "cmd/cmd.h"

#include <stdio.h>

static int cmd_version(struct cmd_context *ctx, int argc, char **argv)
{
	if (argc > 1)
		return usage_error(&command_version, "takes no argument, found \"%s\"", argv[1]);
	if (ctx->json) {
		json_t *object = json_object();

		json_put_text(object, "version", WEIR_VERSION);
		return cmd_json(object, EXIT_DONE);
	}
	printf("weir %s\n", WEIR_VERSION);
	return EXIT_DONE;
}

const struct command command_version = {
    .name = "version",
    .summary = "print the version",
    .usage = "",
    .help = "Prints the version of the program.",
    .run = cmd_version,
};
