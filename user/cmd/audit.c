// SPDX-License-Identifier: GPL-2.0-only
/* weir audit [-f]: events, past and present. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>

#include "audit/format.h"
#include "audit/paths.h"
#include "audit/reader.h"
#include "audit/sink.h"
#include "audit/socket.h"
#include "cmd/load.h"
#include "cmd/term.h"

#define DEFAULT_LINES 20
#define NS	      1000000000ULL
#define WAIT_MS	      5000 /* for a daemon that has just started to serve */
#define MAX_OVERLAP   1024

static bool opt_follow;
static __u64 opt_since_ns, opt_lines;

static const struct cmd_option options[] = {
    {"follow", 'f', NULL, OPTION_FLAG, &opt_follow, "print events as they come"},
    {"since", 0, "TIME", OPTION_DURATION, &opt_since_ns,
     "print what the audit file holds of the last TIME (10m, 2h, 7d)"},
    {"lines", 'n', "N", OPTION_NUMBER, &opt_lines, "print the last N lines of the audit file"},
    {},
};

static volatile sig_atomic_t interrupted;

static void interrupt(int signal)
{
	interrupted = 1;
}

/* ---- printing ---- */

/**
 * struct output - where lines go.
 * @overlap: lines of the file that were written after the socket was connected, and so come there once more
 */
struct output {
	bool json;
	bool failed;
	char **overlap;
	size_t nr_overlap, capacity;
	__u64 connected_ns; /* CLOCK_REALTIME; 0: not connected */
};

static void put(struct output *out, const char *line, size_t len)
{
	char text[AUDIT_LINE_MAX];
	int n = len;

	if (!out->json) {
		n = audit_format_human(line, len, text, sizeof(text));
		line = text;
	}
	if (n < 0)
		return; /* no line of ours */
	if (fwrite(line, 1, n, stdout) != (size_t)n || fflush(stdout))
		out->failed = true;
}

static void remember(struct output *out, const char *line, size_t len)
{
	char *copy;
	__u64 time_ns;

	if (!out->connected_ns || out->nr_overlap == MAX_OVERLAP ||
	    audit_line_time(line, len, &time_ns) || time_ns + NS < out->connected_ns ||
	    mem_grow(&out->overlap, out->nr_overlap, &out->capacity, sizeof(*out->overlap)))
		return;
	copy = strndup(line, len);
	if (copy)
		out->overlap[out->nr_overlap++] = copy;
}

static bool seen_before(const struct output *out, const char *line, size_t len)
{
	for (size_t i = 0; i < out->nr_overlap; i++)
		if (strlen(out->overlap[i]) == len && memcmp(out->overlap[i], line, len) == 0)
			return true;
	return false;
}

static void forget(struct output *out)
{
	for (size_t i = 0; i < out->nr_overlap; i++)
		free(out->overlap[i]);
	free(out->overlap);
	out->overlap = NULL;
	out->nr_overlap = out->capacity = 0;
}

/* ---- the file ---- */

/* struct span - which lines are wanted: the last @lines, none older than @since_ns. */
struct span {
	__u64 lines;
	__u64 since_ns;
};

/* Is the line at @offset wanted? Counts it when it is. */
static bool wanted(int fd, off_t offset, struct span *span)
{
	char head[64];
	ssize_t n = pread(fd, head, sizeof(head), offset);
	__u64 time_ns;

	if (!span->lines)
		return false;
	if (n > 0 && audit_line_time(head, n, &time_ns) == 0 && time_ns < span->since_ns)
		return false;
	span->lines--;
	return true;
}

/* Where the wanted lines of a file begin: walk back from its end. *@ret_more: the file before may hold some, too. */
static off_t find_begin(int fd, struct span *span, bool *ret_more)
{
	char block[65536];
	off_t end = lseek(fd, 0, SEEK_END), begin = end;

	*ret_more = false;
	for (off_t at = end; at > 0;) {
		size_t len = at > (off_t)sizeof(block) ? sizeof(block) : (size_t)at;

		at -= len;
		if (pread(fd, block, len, at) != (ssize_t)len)
			return begin;
		for (size_t i = len; i > 0; i--) {
			off_t start = at + i;

			if (block[i - 1] != '\n' || start == end)
				continue;
			if (!wanted(fd, start, span))
				return begin;
			begin = start;
		}
	}
	if (end > 0 && !wanted(fd, 0, span))
		return begin;
	*ret_more = true;
	return 0;
}

static void print_from(const char *path, off_t begin, struct output *out)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	_cleanup_free_ char *line = NULL;
	size_t room = 0;
	ssize_t n;

	if (!file || fseeko(file, begin, SEEK_SET) < 0)
		return;
	while (!out->failed && (n = getline(&line, &room, file)) > 0) {
		if (line[n - 1] != '\n') /* being written */
			break;
		put(out, line, n);
		remember(out, line, n);
	}
}

/* The wanted lines of the audit file and of those that were rotated away. */
static int print_past(const char *path, struct span span, struct output *out)
{
	_cleanup_free_ off_t *begin = NULL;
	char **files = NULL;
	int n = audit_sink_files(path, &files), first = n;
	bool more = true;

	if (n < 0)
		return n;
	begin = calloc(n + 1, sizeof(*begin));
	while (begin && first > 0 && more) {
		_cleanup_close_ int fd = open(files[first - 1], O_RDONLY | O_CLOEXEC);

		first--;
		if (fd >= 0)
			begin[first] = find_begin(fd, &span, &more);
	}
	for (int i = first; begin && i < n; i++)
		print_from(files[i], begin[i], out);
	for (int i = 0; i < n; i++)
		free(files[i]);
	free(files);
	return begin ? 0 : -ENOMEM;
}

/* ---- following ---- */

/* Does a daemon have the pin directory? It holds a lock as long as it lives. */
static bool daemon_runs(const char *pin_dir)
{
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX];

	if (path_run(pin_dir, "run", path, sizeof(path)))
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

static int connect_daemon(const char *pin_dir)
{
	char path[PATH_MAX];
	int err = path_run(pin_dir, "sock", path, sizeof(path));

	return err ? err : follow_connect(path);
}

static void take_line(struct output *out, const char *line, size_t len)
{
	static const char note[] = "{\"note\":";
	char text[AUDIT_LINE_MAX];

	if (len > strlen(note) && memcmp(line, note, strlen(note)) == 0) {
		if (audit_format_human(line, len, text, sizeof(text)) > 0)
			cmd_warn("%.*s", (int)strcspn(text, "\n"), text);
		return;
	}
	if (!seen_before(out, line, len))
		put(out, line, len);
}

/* Print what the daemon sends, until it ends or we do. */
static void print_stream(int fd, struct output *out)
{
	_cleanup_fclose_ FILE *stream = fdopen(fd, "r");
	_cleanup_free_ char *line = NULL;
	size_t room = 0;
	ssize_t n;

	if (!stream) {
		close(fd);
		return;
	}
	while (!interrupted && !out->failed && (n = getline(&line, &room, stream)) > 0)
		take_line(out, line, n);
}

static void print_event(void *arg, const char *line, size_t len)
{
	put(arg, line, len);
}

static void print_report(void *arg, int priority, const char *text)
{
	cmd_warn("%s", text);
}

/* Events go where the policy in force says. @generation: that was configured last, updated. */
static void configure(const struct cmd_context *ctx, struct audit_reader *reader, __u32 *generation)
{
	_cleanup_kernel_ struct kernel *kernel = NULL;
	_cleanup_policy_ struct policy *policy = NULL;
	_cleanup_diag_ struct diag diag = {};
	struct kernel_status status = {};
	__u32 now;

	if (kernel_open(ctx->pin_dir, false, &kernel, &diag) || !kernel_loaded(kernel) ||
	    kernel_status(kernel, &status, &diag))
		return;
	now = status.generation;
	kernel_status_clear(&status);
	if (now == *generation)
		return;
	*generation = now;
	if (running_outline(kernel, &policy, &diag) == 0)
		audit_reader_configure(reader, &policy->audit);
	audit_reader_refresh(reader);
}

/* No daemon: be the reader, until a daemon comes. Events go to the policy's audit file as well. */
static int print_ring(const struct cmd_context *ctx, struct output *out, struct diag *diag)
{
	const struct audit_reader_options how = {
	    .pin_dir = ctx->pin_dir,
	    .fd = -1,
	    .line = print_event,
	    .report = print_report,
	    .arg = out,
	};
	struct audit_reader *reader = NULL;
	__u32 generation = 0;
	__u64 look_ns = 0;
	int n = audit_reader_open(&how, &reader, diag);

	if (n < 0)
		return n;
	while (n >= 0 && !interrupted && !out->failed) {
		if (now_ns(CLOCK_MONOTONIC) >= look_ns) {
			look_ns = now_ns(CLOCK_MONOTONIC) + NS;
			if (daemon_runs(ctx->pin_dir))
				break;
			configure(ctx, reader, &generation);
		}
		n = audit_reader_poll(reader, 80);
	}
	audit_reader_close(reader);
	return n < 0
		   ? diag_fail(diag, n, NULL, "the ring of events cannot be read: %s", strerror(-n))
		   : 0;
}

static int follow(const struct cmd_context *ctx, struct output *out, int fd)
{
	_cleanup_diag_ struct diag diag = {};
	unsigned int waited_ms = 0;
	int err;

	while (!interrupted && !out->failed) {
		if (fd >= 0) {
			print_stream(fd, out);
			forget(out);
			waited_ms = 0;
		} else if (fd != -ENOENT && fd != -ECONNREFUSED) {
			diag_fail(&diag, fd, NULL, "the daemon's socket: %s", strerror(-fd));
			return cmd_fail(ctx, fd, &diag, NULL);
		}
		if (!interrupted && !out->failed && !daemon_runs(ctx->pin_dir)) {
			err = print_ring(ctx, out, &diag);
			/* Somebody else reads: a daemon that is just starting, or another of us. */
			if (err && (err != -EBUSY || waited_ms >= WAIT_MS))
				return cmd_fail(ctx, err, &diag, NULL);
			diag_reset(&diag);
		}
		if (waited_ms)
			poll(NULL, 0, 100);
		waited_ms += 100;
		fd = connect_daemon(ctx->pin_dir);
	}
	if (fd >= 0)
		close(fd);
	return out->failed ? EXIT_FAILED : EXIT_DONE;
}

/* ---- the command ---- */

static void catch_signals(void)
{
	/* Without SA_RESTART: a read that waits for the daemon ends. */
	struct sigaction action = {.sa_handler = interrupt};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* The audit file of the policy in force; *@ret NULL when it names none. */
static int audit_file(const struct cmd_context *ctx, struct kernel *kernel, char **ret)
{
	_cleanup_policy_ struct policy *policy = NULL;
	_cleanup_diag_ struct diag diag = {};
	int err = running_outline(kernel, &policy, &diag);

	if (err)
		return cmd_fail(ctx, err, &diag, NULL);
	*ret = NULL;
	if (!policy->audit.file || strcmp(policy->audit.file, "-") == 0)
		return EXIT_DONE;
	*ret = strdup(policy->audit.file);
	return *ret ? EXIT_DONE : cmd_fail(ctx, -ENOMEM, NULL, NULL);
}

static int show_past(const struct cmd_context *ctx, const char *file, struct output *out)
{
	struct span span = {.lines = opt_lines};
	_cleanup_diag_ struct diag diag = {};
	int err;

	if (opt_since_ns)
		span.since_ns = now_ns(CLOCK_REALTIME) - opt_since_ns;
	if (!opt_lines)
		span.lines = opt_since_ns ? UINT64_MAX : DEFAULT_LINES;
	if (!file) {
		diag_fail(&diag, -ENOENT, NULL,
			  "the policy in force names no audit file: nothing of the past is kept "
			  "(`weir audit -f` shows events as they come)");
		return cmd_fail(ctx, -ENOENT, &diag, NULL);
	}
	err = print_past(file, span, out);
	if (err == -ENOENT || access(file, F_OK) < 0)
		cmd_warn("audit file %s is not there (yet)", file);
	if (err && err != -ENOENT) {
		diag_fail(&diag, err, NULL, "audit file %s: %s", file, strerror(-err));
		return cmd_fail(ctx, err, &diag, NULL);
	}
	return out->failed ? EXIT_FAILED : EXIT_DONE;
}

static int cmd_audit(struct cmd_context *ctx, int argc, char **argv)
{
	bool past = !opt_follow || opt_since_ns || opt_lines;
	_cleanup_kernel_ struct kernel *kernel = NULL;
	_cleanup_free_ char *file = NULL;
	struct output out = {.json = ctx->json};
	int status, fd = -1;

	if (argc > 1)
		return usage_error(&command_audit, "takes no argument, found \"%s\"", argv[1]);
	status = open_loaded(ctx, false, &kernel);
	if (!status && past)
		status = audit_file(ctx, kernel, &file);
	if (status)
		return status;
	kernel_close(TAKE_PTR(kernel));
	catch_signals();
	if (opt_follow) {
		fd = connect_daemon(ctx->pin_dir);
		out.connected_ns = fd >= 0 ? now_ns(CLOCK_REALTIME) : 0;
	}
	if (past)
		status = show_past(ctx, file, &out);
	if (opt_follow && !status)
		status = follow(ctx, &out, fd);
	else if (fd >= 0)
		close(fd);
	forget(&out);
	return status;
}

const struct command command_audit = {
    .name = "audit",
    .summary = "what was refused: events of the past, or as they come",
    .usage = "[-f] [-n N] [--since TIME]",
    .help =
	"Prints the last 20 events that the audit file holds (-n N: the last N; --since 2h: of the\n"
	"last two hours, rotated files included). With -f, prints events as they come: from the\n"
	"daemon where one runs, else by reading the kernel's ring itself, and then it keeps the\n"
	"policy's audit file, too, until a daemon starts.\n\n"
	"  weir audit -f\n"
	"  weir audit --since 10m --json | jq -r .client_ip | sort | uniq -c\n\n"
	"With --json: the lines of the audit file as they are, one object a line; weir(8) lists\n"
	"their keys.",
    .options = options,
    .run = cmd_audit,
};
