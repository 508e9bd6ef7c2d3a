// SPDX-License-Identifier: GPL-2.0-only
/* weir(8): reads the command line, enters the network namespace, calls the command. */
#include "cmd/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* In the order in which help shows them. */
static const struct command *const commands[] = {
    &command_check,  &command_apply,  &command_confirm, &command_rollback, &command_run,
    &command_status, &command_show,   &command_audit,	&command_block,	   &command_unblock,
    &command_detach, &command_import, &command_help,	&command_version,  NULL,
};

const struct command *const *command_next(const struct command *const *after)
{
	after = after ? after + 1 : commands;
	return *after ? after : NULL;
}

const struct command *command_find(const char *name)
{
	for (const struct command *const *c = command_next(NULL); c; c = command_next(c))
		if (!strcmp((*c)->name, name))
			return *c;
	return NULL;
}

static bool want_json, want_help, want_version;
static const char *opt_netns, *opt_pin_dir, *opt_engine;

const struct cmd_option global_options[] = {
    {"json", 0, NULL, OPTION_FLAG, &want_json, "print JSON"},
    {"netns", 0, "NAME|PATH", OPTION_TEXT, &opt_netns,
     "work in this network namespace, pinned under " CMD_PIN_ROOT "/NAME"},
    {"pin-dir", 0, "DIR", OPTION_TEXT, &opt_pin_dir,
     "where this weir is pinned (default " CMD_PIN_ROOT ")"},
    {"engine", 0, "SOCKET", OPTION_TEXT, &opt_engine,
     "the container engine's (default DOCKER_HOST, else /run/docker.sock)"},
    {"help", 'h', NULL, OPTION_FLAG, &want_help, "explain the command"},
    {"version", 0, NULL, OPTION_FLAG, &want_version, "print the version"},
    {},
};

/* The command is the first word that is neither an option nor the value of a global one. */
static int command_index(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const struct cmd_option *o;

		if (argv[i][0] != '-' || !argv[i][1])
			return i;
		if (!strcmp(argv[i], "--"))
			return i + 1 < argc ? i + 1 : 0;
		for (o = global_options; o->name; o++)
			if (o->value && !strncmp(argv[i], "--", 2) && !strcmp(argv[i] + 2, o->name))
				i++;
	}
	return 0;
}

/*
 * Names of namespaces go into a path below bpffs, which takes no dots: '.' becomes "%2e", and the slashes of a path
 * '+'. What `ip netns` made is called by its name however it was given.
 */
static int netns_names(const char *given, char *path, size_t path_size, char *pin_dir,
		       size_t pin_size)
{
	static const char *const homes[] = {"/run/netns/", "/var/run/netns/"};
	const char *name = given;
	size_t n;

	if (!strchr(given, '/'))
		n = (size_t)snprintf(path, path_size, "/run/netns/%s", given);
	else
		n = (size_t)snprintf(path, path_size, "%s", given);
	for (size_t i = 0; i < ARRAY_SIZE(homes); i++)
		if (!strncmp(given, homes[i], strlen(homes[i])))
			name = given + strlen(homes[i]);
	while (*name == '/')
		name++;
	if (!*name || n >= path_size)
		return -EINVAL;
	n = (size_t)snprintf(pin_dir, pin_size, "%s/", CMD_PIN_ROOT);
	for (; *name && n + 4 < pin_size; name++) {
		const char *as = *name == '.' ? "%2e" : *name == '/' ? "+" : NULL;

		n +=
		    (size_t)snprintf(pin_dir + n, pin_size - n, as ? "%s" : "%.1s", as ? as : name);
	}
	return *name ? -EINVAL : 0;
}

/* The network namespace only: a new mount namespace would bring a bpffs that ends with this process. */
static int enter_netns(struct cmd_context *ctx, const char *given)
{
	static char path[4096], pin_dir[4096];
	_cleanup_close_ int fd = -1;

	if (netns_names(given, path, sizeof(path), pin_dir, sizeof(pin_dir))) {
		cmd_error("--netns %s: not the name or path of a network namespace", given);
		return EXIT_USAGE;
	}
	ctx->netns = given;
	if (!ctx->pin_dir)
		ctx->pin_dir = pin_dir;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		cmd_error("network namespace %s: %s: %s", given, path, strerror(errno));
		return EXIT_FAILED;
	}
	if (setns(fd, CLONE_NEWNET)) {
		cmd_error("network namespace %s: cannot be entered: %s%s", given, strerror(errno),
			  errno == EPERM ? " (needs root: CAP_SYS_ADMIN)" : "");
		return EXIT_FAILED;
	}
	return EXIT_DONE;
}

static int run(const struct command *command, struct cmd_context *ctx, int argc, char **argv)
{
	int status;

	ctx->json = want_json;
	ctx->pin_dir = opt_pin_dir;
	ctx->engine = opt_engine;
	if (opt_netns) {
		status = enter_netns(ctx, opt_netns);
		if (status)
			return status;
	}
	if (!ctx->pin_dir)
		ctx->pin_dir = CMD_PIN_ROOT;
	status = command->run(ctx, argc, argv);
	if (fflush(stdout) || ferror(stdout)) {
		cmd_error("standard output: %s", strerror(errno));
		return status ? status : EXIT_FAILED;
	}
	return status;
}

/* What is opened must not become standard output; writing to what was closed stays an error. */
static void keep_standard_streams(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int main(int argc, char **argv)
{
	const struct command *command = NULL;
	struct cmd_context ctx = {};
	_cleanup_free_ char *why = NULL;
	int at = command_index(argc, argv);

	keep_standard_streams();
	/* A limit on the size of files is an error of the write that meets it, not the end of a command half done. */
	signal(SIGXFSZ, SIG_IGN);
	if (at) {
		const char *name = argv[at];

		command = command_find(name);
		if (!command)
			return command_unknown(name);
		/* The name moves to the front; options on both sides of it stay. */
		memmove(&argv[at], &argv[at + 1], (size_t)(argc - at) * sizeof(*argv));
		argv[0] = (char *)name;
		argc--;
	}
	if (options_parse(global_options, command ? command->options : NULL, &argc, argv, &why))
		return usage_error(command, "%s", why);
	if (want_version)
		command = &command_version;
	else if (want_help && command && command != &command_help) {
		command_print_help(command);
		return EXIT_DONE;
	} else if (want_help && !command)
		command = &command_help;
	if (!command)
		return usage_error(NULL, "a command is missing");
	return run(command, &ctx, argc, argv);
}
