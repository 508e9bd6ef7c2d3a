// SPDX-License-Identifier: GPL-2.0-only
/* weir block, weir unblock */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/units.h"
#include "cmd/load.h"
#include "cmd/naming.h"
#include "cmd/ranges.h"
#include "cmd/report.h"
#include "cmd/term.h"

static __u64 opt_for_ns;
static const char *opt_file;
static bool opt_all;

static const struct cmd_option block_options[] = {
    {"for", 0, "TIME", OPTION_DURATION, &opt_for_ns, "how long (unsaid: until `weir unblock`)"},
    {"file", 0, "FILE", OPTION_TEXT, &opt_file,
     "also what FILE lists, one ADDR[/LEN] a line; - is stdin"},
    {},
};

static const struct cmd_option unblock_options[] = {
    {"file", 0, "FILE", OPTION_TEXT, &opt_file,
     "also what FILE lists, one ADDR[/LEN] a line; - is stdin"},
    {"all", 'a', NULL, OPTION_FLAG, &opt_all, "end every run-time block, automatic ones too"},
    {},
};

struct prefixes {
	struct prefix *prefix;
	size_t n, capacity;
};

static int add(struct prefixes *list, const struct prefix *prefix)
{
	int err = mem_grow(&list->prefix, list->n, &list->capacity, sizeof(*prefix));

	if (!err)
		list->prefix[list->n++] = *prefix;
	return err;
}

static void prefixes_clear(struct prefixes *list)
{
	free(list->prefix);
	*list = (struct prefixes){};
}

/* The word of a line, "" for none; what follows '#' is a comment. */
static char *line_word(char *line)
{
	char *end;

	line[strcspn(line, "#\n")] = '\0';
	while (isspace((unsigned char)*line))
		line++;
	end = line + strlen(line);
	while (end > line && isspace((unsigned char)end[-1]))
		*--end = '\0';
	return line;
}

static int read_lines(FILE *file, const char *name, struct prefixes *list, struct diag *diag)
{
	struct position at = {.file = name};
	_cleanup_free_ char *line = NULL;
	struct prefix prefix;
	size_t size = 0;
	ssize_t len;
	int err;

	while ((len = getline(&line, &size, file)) >= 0) {
		const char *why, *word;

		at.line++;
		at.column = 1;
		if (strlen(line) != (size_t)len)
			return diag_fail(diag, -EINVAL, &at, "wants ADDR[/LEN], found a NUL byte");
		word = line_word(line);
		if (!*word)
			continue;
		at.column = (unsigned int)(word - line) + 1;
		if (prefix_parse(word, &prefix, &why))
			return diag_fail(diag, -EINVAL, &at, "\"%.80s\": %s", word, why);
		err = add(list, &prefix);
		if (err)
			return diag_fail(diag, err, &at, "%s", strerror(-err));
	}
	return ferror(file) ? diag_fail(diag, -EIO, &at, "cannot be read to its end") : 0;
}

static int read_file(const char *path, struct prefixes *list, struct diag *diag)
{
	const struct position at = {.file = path};
	_cleanup_fclose_ FILE *file = NULL;

	if (!strcmp(path, "-"))
		return read_lines(stdin, "standard input", list, diag);
	file = fopen(path, "re");
	if (!file)
		return diag_fail(diag, -errno, &at, "%s", strerror(errno));
	return read_lines(file, path, list, diag);
}

/* All addresses are read before any is acted on: a typo in the last of a million lines changes nothing. */
static int read_prefixes(const struct cmd_context *ctx, const struct command *command, int argc,
			 char **argv, struct prefixes *list)
{
	_cleanup_diag_ struct diag diag = {};
	int err;

	for (int i = 1; i < argc; i++) {
		struct prefix prefix;
		const char *why;

		if (prefix_parse(argv[i], &prefix, &why))
			return usage_error(command, "\"%s\": %s", argv[i], why);
		err = add(list, &prefix);
		if (err)
			return cmd_fail(ctx, err, NULL, "nothing changed");
	}
	err = opt_file ? read_file(opt_file, list, &diag) : 0;
	return err ? cmd_fail(ctx, err, &diag, "nothing changed") : EXIT_DONE;
}

/* ---- block ---- */

#define WARNINGS_SHOWN 10
#define MAX_FOR_NS     (36525 * UNITS_NS_PER_DAY)

/* What blocking these will not do, or do more than meant. */
static void warn_reach(const struct cmd_context *ctx, struct kernel *kernel,
		       const struct prefixes *list, struct diag *diag)
{
	_cleanup_(ranges_clear) struct ranges never = {};
	_cleanup_policy_ struct policy *policy = NULL;
	_cleanup_diag_ struct diag aside = {};
	struct environment env = {};
	char text[ADDR_TEXT_LEN];
	size_t spared = 0;

	for (size_t i = 0; i < list->n; i++)
		if (!list->prefix[i].length)
			diag_warn(
			    diag, NULL,
			    "%s is every %s address: only failsafe services and never_block stay reachable",
			    prefix_format(&list->prefix[i], text),
			    list->prefix[i].v6 ? "IPv6" : "IPv4");
	if (running_policy(kernel, &policy, &aside) || !policy->never_block.n)
		return;
	if (environment_read(&env, &aside) || naming_recall(ctx, policy, &env, NULL, &aside) ||
	    ranges_of_items(policy, &policy->never_block, &env, &never))
		goto out;
	for (size_t i = 0; i < list->n; i++) {
		if (!ranges_overlap(&never, &list->prefix[i]))
			continue;
		if (spared++ < WARNINGS_SHOWN)
			diag_warn(
			    diag, NULL,
			    "%s: never_block of the policy in force keeps some or all of it from being blocked",
			    prefix_format(&list->prefix[i], text));
	}
	if (spared > WARNINGS_SHOWN)
		diag_warn(diag, NULL, "%zu more touch never_block", spared - WARNINGS_SHOWN);
out:
	environment_free(&env);
}

static int block_done(const struct cmd_context *ctx, size_t n, __u64 expires_boot_ns,
		      const struct diag *diag)
{
	char a[TEXT_LEN], b[TEXT_LEN];
	json_t *object;

	if (ctx->json) {
		object = json_object();
		json_put_int(object, "blocked", n);
		json_put(object, "expires",
			 json_time(expires_boot_ns ? boot_to_real_ns(expires_boot_ns) : 0));
		json_put(object, "warnings", json_warnings(diag));
		return cmd_json(object, EXIT_DONE);
	}
	printf("%s blocked", text_count(n, a));
	if (expires_boot_ns)
		printf(" for %s, until %s\n", text_span(opt_for_ns, a),
		       text_clock(boot_to_real_ns(expires_boot_ns), b));
	else
		printf(" until `weir unblock`\n");
	return EXIT_DONE;
}

static int cmd_block(struct cmd_context *ctx, int argc, char **argv)
{
	_cleanup_(prefixes_clear) struct prefixes list = {};
	_cleanup_kernel_ struct kernel *kernel = NULL;
	_cleanup_diag_ struct diag diag = {};
	__u64 expires;
	char holds[128];
	size_t done = 0;
	int err, status;

	if (argc < 2 && !opt_file)
		return usage_error(&command_block, "an address is missing");
	if (opt_for_ns > MAX_FOR_NS)
		return usage_error(&command_block,
				   "--for: more than 100 years; leave it out for ever");
	status = read_prefixes(ctx, &command_block, argc, argv, &list);
	if (!status)
		status = open_loaded(ctx, true, &kernel);
	if (status)
		return status;
	warn_reach(ctx, kernel, &list, &diag);
	expires = opt_for_ns ? now_ns(CLOCK_BOOTTIME) + opt_for_ns : 0;
	err = list.n ? kernel_block(kernel, list.prefix, list.n, expires, &done, &diag) : 0;
	if (err) {
		snprintf(holds, sizeof(holds), "%zu of %zu are blocked", done, list.n);
		return cmd_fail(ctx, err, &diag, holds);
	}
	cmd_warnings(&diag);
	return block_done(ctx, list.n, expires, &diag);
}

/* ---- unblock ---- */

/* Of an automatic block the key says the source; what it is called in the policy does not matter here. */
static int gather_each(void *arg, const struct block_entry *entry)
{
	struct prefixes *list = arg;
	struct prefix prefix = entry->prefix;
	bool v4 = entry->key[0] >> 32 == 0xff000000;

	if (entry->automatic) {
		prefix = (struct prefix){.v6 = !v4, .length = v4 ? 32 : 64};
		if (v4)
			prefix.address.byte[10] = prefix.address.byte[11] = 0xff;
		for (int i = 0; i < (v4 ? 4 : 8); i++)
			prefix.address.byte[v4 ? 12 + i : i] =
			    (__u8)(entry->key[0] >> (v4 ? 24 - 8 * i : 56 - 8 * i));
	}
	return add(list, &prefix);
}

static int cmd_unblock(struct cmd_context *ctx, int argc, char **argv)
{
	_cleanup_(prefixes_clear) struct prefixes list = {};
	_cleanup_kernel_ struct kernel *kernel = NULL;
	_cleanup_diag_ struct diag diag = {};
	char text[TEXT_LEN];
	json_t *object;
	size_t done = 0;
	int err, status;

	if (argc < 2 && !opt_file && !opt_all)
		return usage_error(&command_unblock, "an address is missing");
	if (opt_all && (argc > 1 || opt_file))
		return usage_error(&command_unblock, "--all takes no addresses");
	status = read_prefixes(ctx, &command_unblock, argc, argv, &list);
	if (!status)
		status = open_loaded(ctx, true, &kernel);
	if (status)
		return status;
	err = opt_all ? kernel_each_block(kernel, gather_each, &list, &diag) : 0;
	if (!err && list.n)
		err = kernel_unblock(kernel, list.prefix, list.n, &done, &diag);
	if (err)
		return cmd_fail(ctx, err, &diag, NULL);
	cmd_warnings(&diag);
	if (!ctx->json) {
		if (done)
			printf("%s ended\n", text_number(done, "block", "blocks", text));
		else
			printf("nothing of that was blocked\n");
		return EXIT_DONE;
	}
	object = json_object();
	json_put_int(object, "unblocked", done);
	return cmd_json(object, EXIT_DONE);
}

const struct command command_block = {
    .name = "block",
    .summary = "drop everything from and to addresses, from now on",
    .usage = "ADDR[/LEN]... [--for TIME] [--file FILE]",
    .help =
	"Drops packets from and to these addresses at the first hook that they meet, established\n"
	"connections too, without a change of policy. Addresses in never_block of the policy and\n"
	"what no policy may break (ARP, neighbour discovery, DHCP) go on. Blocking again sets a\n"
	"new time. Blocks survive `weir apply`, and a reboot where the policy says so. All\n"
	"addresses are read before any is blocked; a million lines take some seconds.\n\n"
	"  weir block 203.0.113.9 --for 10m\n"
	"  weir block 2001:db8:bad::/48\n"
	"  weir block --file /etc/weir/bad.txt --for 1d",
    .options = block_options,
    .run = cmd_block,
};

const struct command command_unblock = {
    .name = "unblock",
    .summary = "end run-time blocks",
    .usage = "ADDR[/LEN]... [--file FILE] | --all",
    .help =
	"Ends blocks that `weir block` made, with the prefix as it was given, and automatic blocks\n"
	"of these sources. The block list of a policy is not touched: change the policy.\n\n"
	"  weir unblock 203.0.113.9\n"
	"  weir unblock --all",
    .options = unblock_options,
    .run = cmd_unblock,
};
