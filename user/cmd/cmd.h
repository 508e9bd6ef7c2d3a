/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The command line: what every subcommand shares. One file per subcommand; only here is anything printed, and only
 * main() ends the program.
 *
 * A subcommand's file defines `const struct command command_NAME`, and main.c lists it. main() reads global options,
 * wherever they stand, and the command's own, enters the network namespace, and calls @run with what is left.
 */
#ifndef WEIR_CMD_CMD_H
#define WEIR_CMD_CMD_H

#include <stdbool.h>
#include <jansson.h>

#include "base/addr.h"
#include "base/diag.h"
#include "base/mem.h"

/* Exit statuses. */
enum {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_REJECTED = 3, /* the policy has an error, does not fit, or fails its own tests */
};

#define CMD_PIN_ROOT "/sys/fs/bpf/weir"

/**
 * struct cmd_context - what the global options say.
 * @pin_dir: where this weir is pinned: --pin-dir, else CMD_PIN_ROOT, with --netns CMD_PIN_ROOT/NAME
 * @netns:   as given, NULL without; already entered when a command runs (the network namespace only: bpffs stays)
 * @engine:  as given, for names_open(); NULL without
 * @json:    print JSON instead of text
 */
struct cmd_context {
	const char *pin_dir;
	const char *netns;
	const char *engine;
	bool json;
};

/* What an option's value is, and what @into points to. */
enum cmd_option_type {
	OPTION_FLAG,	 /* bool: no value */
	OPTION_TEXT,	 /* const char * */
	OPTION_NUMBER,	 /* __u64 */
	OPTION_DURATION, /* __u64, ns: "500ms", "60s", "10m", "2h", "90d" */
};

/**
 * struct cmd_option - one option; tables end with an entry without a name.
 * @name:   long name without the dashes
 * @letter: short name, 0 for none
 * @value:  what help calls the value ("TIME"); NULL for flags
 * @into:   where the value goes; zero or NULL stays when the option is not given
 * @help:   one line
 */
struct cmd_option {
	const char *name;
	char letter;
	const char *value;
	enum cmd_option_type type;
	void *into;
	const char *help;
};

/**
 * struct command - a subcommand.
 * @summary:   one line, for the list of commands
 * @usage:     what follows the name in a usage line: "FILE... [--confirm TIME]"
 * @help:      some paragraphs and examples for `weir help NAME`
 * @options:   its own options, NULL for none
 * @run:       argv[0] is the name, argv[1..argc-1] are the operands; options are already in place. Returns an exit
 *             status
 */
struct command {
	const char *name;
	const char *summary;
	const char *usage;
	const char *help;
	const struct cmd_option *options;
	int (*run)(struct cmd_context *ctx, int argc, char **argv);
};

/** command_next() - walk the list of commands: NULL begins it, NULL ends it. command_find(): by name, else NULL. */
const struct command *const *command_next(const struct command *const *after);
const struct command *command_find(const char *name);
extern const struct cmd_option global_options[];

/**
 * options_parse() - read options out of argv, in place.
 * @global, @own: tables; @own may be NULL
 *
 * "--" ends options, "-" is an operand. On success argv[1..*argc-1] are the operands. Returns 0, or -EINVAL with
 * @why (malloc'ed text).
 */
int options_parse(const struct cmd_option *global, const struct cmd_option *own, int *argc,
		  char **argv, char **why);

extern const struct command command_check, command_apply, command_confirm, command_rollback;
extern const struct command command_run, command_audit;
extern const struct command command_status, command_show, command_block, command_unblock;
extern const struct command command_detach, command_import, command_version, command_help;

/**
 * usage_error() - say what is wrong with the command line and where to read on ("weir help apply").
 * Returns EXIT_USAGE.
 */
int usage_error(const struct command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/**
 * cmd_fail() - say what failed, once, with what is still true; warnings first.
 * @err:    negative errno from a layer below; decides on the exit status, and is named when @diag holds no text
 * @diag:   may be NULL
 * @holds:  what still holds ("policy not applied, generation 7 still active"), NULL for nothing
 *
 * Text goes to stderr; with --json also {"error": {…}} to stdout. Returns EXIT_FAILED.
 */
int cmd_fail(const struct cmd_context *ctx, int err, const struct diag *diag, const char *holds);

/** cmd_reject() - the same for what is wrong with a policy. Returns EXIT_REJECTED. */
int cmd_reject(const struct cmd_context *ctx, int err, const struct diag *diag, const char *holds);

/** cmd_warnings() - print the warnings in @diag to stderr, if any. */
void cmd_warnings(const struct diag *diag);

/** cmd_error(), cmd_warn() - one line to stderr, "weir: " in front; control characters become '?'. */
void cmd_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void cmd_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

/**
 * cmd_json() - print @value, indented, with a newline, and release it.
 * Returns @status, or EXIT_FAILED where it cannot be written.
 */
int cmd_json(json_t *value, int status);

/** command_unknown() - say so, with the nearest name. Returns EXIT_USAGE. */
int command_unknown(const char *name);

/** command_print_help() - a command's usage, explanation and options, to stdout. */
void command_print_help(const struct command *command);

/**
 * json_put() - obj[key] = value, which is released; the others make the value. NULL text is null; bytes that are not
 * UTF-8 become "?". Every key that weir prints is written as a literal in one of these calls: tests compare them with
 * the manual page.
 */
void json_put(json_t *object, const char *key, json_t *value);
void json_put_text(json_t *object, const char *key, const char *text);
void json_put_int(json_t *object, const char *key, __u64 number);
void json_put_bool(json_t *object, const char *key, bool value);
json_t *json_text(const char *text);

/** json_put_position() - "file", "line", "column" in @object, null where not known. */
void json_put_position(json_t *object, const struct position *at);
/** json_warnings() - the warnings in @diag as a list of texts. */
json_t *json_warnings(const struct diag *diag);

#endif
