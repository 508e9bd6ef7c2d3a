// SPDX-License-Identifier: GPL-2.0-only
#include "policy/events.h"

#include <errno.h>

#include <libfyaml.h>

/* What the library found wrong: the first of its errors. */
static int first_error(struct fy_diag *collected, const char *file, struct diag *diag)
{
	struct position at = {.file = file};
	struct fy_diag_error *error;
	void *iterator = NULL;

	error = fy_diag_errors_iterate(collected, &iterator);
	if (!error)
		return diag_fail(diag, -EINVAL, &at, "this is not valid YAML");
	if (error->line > 0) {
		at.line = error->line;
		at.column = error->column > 0 ? error->column : 1;
	}
	return diag_fail(diag, -EINVAL, &at, "this is not valid YAML: %s", error->msg);
}

static void say_nothing(struct fy_diag *diag, void *user, const char *text, size_t len)
{
}

int yaml_events(const char *text, size_t len, const char *file,
		int (*each)(void *arg, struct fy_event *event), void *arg, struct diag *diag)
{
	struct fy_diag_cfg diag_config;
	struct fy_parse_cfg config = {.flags = FYPCF_QUIET | FYPCF_JSON_NONE};
	struct fy_parser *parser = NULL;
	struct fy_event *event;
	int err = -ENOMEM;

	fy_diag_cfg_default(&diag_config);
	diag_config.fp = NULL;
	diag_config.output_fn = say_nothing;
	config.diag = fy_diag_create(&diag_config);
	if (!config.diag)
		return -ENOMEM;
	fy_diag_set_collect_errors(config.diag, true);
	parser = fy_parser_create(&config);
	if (parser && !fy_parser_set_string(parser, text, len)) {
		do {
			event = fy_parser_parse(parser);
			err = event ? each(arg, event) : first_error(config.diag, file, diag);
			if (event)
				fy_parser_event_free(parser, event);
		} while (!err);
	}
	if (parser)
		fy_parser_destroy(parser);
	fy_diag_destroy(config.diag);
	return err > 0 ? 0 : err;
}
