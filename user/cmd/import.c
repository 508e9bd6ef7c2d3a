// SPDX-License-Identifier: GPL-2.0-only
/* weir import compose FILE... */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cmd/load.h"
#include "import/import.h"

static struct import_options opt;

static const struct cmd_option options[] = {
    {"project", 'p', "NAME", OPTION_TEXT, &opt.project,
     "the project's name (else: COMPOSE_PROJECT_NAME, name:, the directory's)"},
    {"interface", 'i', "NIC[,NIC]", OPTION_TEXT, &opt.interfaces,
     "NICs to the outside, names or patterns (default eth0)"},
    {"env-file", 0, "FILE", OPTION_TEXT, &opt.env_file,
     "variables (default: .env beside the first FILE)"},
    {"tight", 0, NULL, OPTION_FLAG, &opt.tight,
     "between services only what depends_on and links name; out only name service"},
    {},
};

static int cmd_import(struct cmd_context *ctx, int argc, char **argv)
{
	_cleanup_diag_ struct diag diag = {};
	_cleanup_free_ char *text = NULL, *project = NULL;
	json_t *object;
	int err;

	if (argc < 2)
		return usage_error(&command_import, "what to import is missing: compose");
	if (strcmp(argv[1], "compose"))
		return usage_error(&command_import, "\"%s\" cannot be imported; compose can",
				   argv[1]);
	if (argc < 3)
		return usage_error(&command_import, "a compose file is missing");
	opt.environ = (const char *const *)environ;
	err = import_compose((const char *const *)argv + 2, (size_t)argc - 2, &opt, &text, &project,
			     &diag);
	if (err)
		return loaded_rejected(err) ? cmd_reject(ctx, err, &diag, NULL)
					    : cmd_fail(ctx, err, &diag, NULL);
	cmd_warnings(&diag);
	if (!ctx->json) {
		fputs(text, stdout);
		return EXIT_DONE;
	}
	object = json_object();
	json_put_text(object, "project", project);
	json_put_text(object, "policy", text);
	json_put(object, "warnings", json_warnings(&diag));
	return cmd_json(object, EXIT_DONE);
}

const struct command command_import = {
    .name = "import",
    .summary = "make a policy of a compose file",
    .usage = "compose FILE... [-p NAME] [-i NIC] [--env-file FILE] [--tight]",
    .help =
	"Reads compose files as compose does: later ones override earlier ones, variables come\n"
	"from the environment and from .env, \"-\" is standard input. Writes a policy that means\n"
	"what they mean: services of one network reach each other, published ports are open to\n"
	"the outside, internal networks have no way out; nothing else passes. Each line says\n"
	"where it came from; what could not be carried over is said on standard error, and in\n"
	"the policy's last lines. Asks no engine and needs no privilege.\n\n"
	"  weir import compose docker-compose.yml >policy.yaml\n"
	"  weir check policy.yaml\n"
	"  weir import compose --tight docker-compose.yml     what depends_on names, no more\n\n"
	"Exit status: 0 written; 3 a file is not valid; 1 unreadable.",
    .options = options,
    .run = cmd_import,
};
