// SPDX-License-Identifier: GPL-2.0-only
/* weir run [FILE...]: the daemon. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/stat.h>

#include "audit/paths.h"
#include "cmd/notes.h"
#include "cmd/run.h"

#define FILES_NS     (200 * MS) /* quiet time after an event before files are read */
#define TICK_NS	     NS		/* state of the kernel, retries */
#define SLOW_TICK_NS (10 * NS)	/* sweeping blocks; looking where no event came */
#define HEARTBEAT_NS (10 * NS)	/* a reader that is silent for longer hangs */

static __u64 opt_wait_ns;

static const struct cmd_option options[] = {
    {"wait", 0, "TIME", OPTION_DURATION, &opt_wait_ns,
     "at the start, wait so long for interfaces that the policy names"},
    {},
};

/* ---- the beginning ---- */

static void become_ready(struct run *run)
{
	run->ready = true;
	run->reload_ns = 0;
	run_look(run);
	run_start_reader(run);
	run_follow_all(run);
	run_names_report(run);
	notify_state("READY=1\nSTATUS=generation %u in force", run->generation);
}

/* Returns an exit status, or -EAGAIN to go on. */
static int try_begin(struct run *run)
{
	int status = run_begin(run);

	if (status == EXIT_DONE) {
		become_ready(run);
		return -EAGAIN;
	}
	if (status != -EAGAIN)
		return status;
	run->reload_ns = 0;
	if (run->loaded) { /* what is in force goes on, the new version waits for its interface */
		become_ready(run);
		return -EAGAIN;
	}
	if (mono_ns() >= run->give_up_ns)
		return EXIT_FAILED;
	notify_state("STATUS=waiting for an interface");
	return -EAGAIN;
}

/* ---- what comes round ---- */

static void beat(struct run *run)
{
	static __u64 last_ns;
	__u64 interval_ns = notify_watchdog_ns(), now = mono_ns();

	if (!interval_ns || now - last_ns < interval_ns / 2)
		return;
	if (run->thread_runs && now - run->heartbeat_ns > HEARTBEAT_NS)
		return; /* the reader hangs: let the service manager see it */
	last_ns = now;
	notify_state("WATCHDOG=1");
}

static void sweep(struct run *run)
{
	_cleanup_diag_ struct diag diag = {};
	size_t removed = 0;
	int err;

	if (!run->blocks)
		return;
	err = run_open(run, true, &diag);
	if (!err)
		err = kernel_sweep(run->kernel, &removed, &diag);
	kernel_suspend(&run->kernel);
	run_say(LOG_WARNING, err, &diag, NULL);
	if (removed)
		log_line(LOG_INFO, "%zu expired blocks removed", removed);
}

/* `weir detach`, or detach and a new apply: the maps that we read are nobody's any more. Returns -EAGAIN to go on. */
static int check_detached(struct run *run)
{
	__u64 seed = run->seed;

	if (run_look(run) == -ENOENT) {
		log_line(LOG_NOTICE, "detached by a command: nothing is left to do");
		run->detached = true;
		return EXIT_DONE;
	}
	if (seed && run->seed && seed != run->seed) {
		log_line(LOG_NOTICE, "programs were loaded anew by a command");
		run_stop_reader(run);
	}
	return -EAGAIN;
}

static int tick(struct run *run)
{
	__u64 now = mono_ns();
	int status;

	run->tick_ns = now + TICK_NS;
	if (!run->ready)
		return run->waits_link && now < run->give_up_ns ? -EAGAIN : try_begin(run);
	status = check_detached(run);
	if (status != -EAGAIN)
		return status;
	if (run->reader_failed)
		run_stop_reader(run);
	run_start_reader(run);
	if (run->waits_lock)
		run->reload_ns = run->reload_ns ?: now;
	if (run->closed)
		run->closed_ns = run->closed_ns ?: now + run->closed_delay_ns;
	if (now < run->slow_tick_ns)
		return -EAGAIN;
	run->slow_tick_ns = now + SLOW_TICK_NS;
	sweep(run);
	run->links_all = true;
	run->links_ns = run->links_ns ?: now;
	run->environment_ns = run->environment_ns ?: now;
	if (watch_files_changed(run->files))
		run->reload_ns = run->reload_ns ?: now;
	return -EAGAIN;
}

static int read_signal(struct run *run)
{
	struct signalfd_siginfo info;

	if (read(run->signals, &info, sizeof(info)) != sizeof(info))
		return -EAGAIN;
	if (info.ssi_signo != SIGHUP)
		return EXIT_DONE;
	if (run->ready) {
		notify_reloading();
		run->forced_reload = true;
		if (run->reader)
			audit_reader_reopen(run->reader);
		watch_files_changed(run->files);
		run_reload(run);
		notify_state("READY=1\nSTATUS=generation %u in force", run->generation);
	}
	return -EAGAIN;
}

static bool due(__u64 *when_ns, __u64 now)
{
	if (!*when_ns || now < *when_ns)
		return false;
	*when_ns = 0;
	return true;
}

static int run_due(struct run *run)
{
	__u64 now = mono_ns();

	if (run->ready && due(&run->reload_ns, now))
		run_reload(run);
	else if (!run->ready && due(&run->reload_ns, now)) {
		int status = try_begin(run);

		if (status != -EAGAIN)
			return status;
	}
	if (run->ready && due(&run->names_ns, now))
		run_names_update(run);
	if (run->ready && due(&run->environment_ns, now))
		run_recompile(run);
	if (run->ready && due(&run->links_ns, now))
		run_follow_due(run);
	if (run->ready && due(&run->closed_ns, now))
		run_look_for_closed(run);
	return due(&run->tick_ns, now) ? tick(run) : -EAGAIN;
}

static int next_timeout_ms(const struct run *run)
{
	const __u64 when[] = {run->reload_ns, run->links_ns,  run->environment_ns,
			      run->tick_ns,   run->closed_ns, run->names_ns};
	__u64 now = mono_ns(), next = now + TICK_NS;

	for (size_t i = 0; i < ARRAY_SIZE(when); i++)
		if (when[i] && when[i] < next)
			next = when[i];
	return next <= now ? 0 : (next - now + MS - 1) / MS;
}

static int loop(struct run *run)
{
	int status = try_begin(run);

	while (status == -EAGAIN) {
		struct pollfd ready[] = {
		    {.fd = run->signals, .events = POLLIN},
		    {.fd = watch_files_fd(run->files), .events = POLLIN},
		    {.fd = watch_links_fd(run->links), .events = POLLIN},
		    {.fd = run_names_fd(run), .events = POLLIN},
		};

		beat(run);
		if (poll(ready, ARRAY_SIZE(ready), next_timeout_ms(run)) < 0 && errno != EINTR)
			return EXIT_FAILED;
		/* A hook and a closed entry first, then the tables that name it, then the binding. */
		if (ready[2].revents)
			run_read_links(run);
		if (ready[3].revents)
			run_names_read(run);
		/* Each event puts it off again: a file is read when its writer has been quiet. */
		if (ready[1].revents && watch_files_read(run->files) &&
		    watch_files_changed(run->files))
			run->reload_ns = mono_ns() + FILES_NS;
		status = ready[0].revents ? read_signal(run) : -EAGAIN;
		if (status == -EAGAIN)
			status = run_due(run);
	}
	return status;
}

/* ---- one instance ---- */

static int lock_instance(struct cmd_context *ctx, int *ret_fd)
{
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX], text[32] = "";
	int err = path_run(ctx->pin_dir, "run", path, sizeof(path));
	char *slash = err ? NULL : strrchr(path, '/');

	if (slash) {
		*slash = '\0';
		if (mkdir(path, 0750) < 0 && errno != EEXIST) {
			cmd_error("cannot make %s: %s", path, strerror(errno));
			return EXIT_FAILED;
		}
		*slash = '/';
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		err = fd < 0 ? -errno : 0;
	}
	if (!err && flock(fd, LOCK_EX | LOCK_NB) < 0)
		err = -errno;
	if (err == -EWOULDBLOCK) {
		(void)!read(fd, text, sizeof(text) - 1);
		text[strcspn(text, "\n")] = '\0';
		cmd_error("weir run (pid %s) already serves %s", text[0] ? text : "unknown",
			  ctx->pin_dir);
		return EXIT_FAILED;
	}
	if (err) {
		cmd_error("%s: %s", path, strerror(-err));
		return EXIT_FAILED;
	}
	snprintf(text, sizeof(text), "%d\n", getpid());
	if (ftruncate(fd, 0) < 0 || write(fd, text, strlen(text)) < 0)
		cmd_warn("%s: %s", path, strerror(errno));
	*ret_fd = TAKE_FD(fd);
	return EXIT_DONE;
}

static int open_signals(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int open_watches(struct run *run)
{
	_cleanup_diag_ struct diag diag = {};
	int err = watch_files_open(&run->files, &diag);

	if (!err)
		err = watch_links_open(&run->links, &diag);
	if (!err) {
		run->signals = open_signals();
		err = run->signals < 0 ? -errno : 0;
	}
	return err ? cmd_fail(run->ctx, err, &diag, NULL) : EXIT_DONE;
}

static void finish(struct run *run)
{
	notify_state("STOPPING=1");
	run_stop_reader(run);
	watch_files_close(run->files);
	watch_links_close(run->links);
	if (run->signals >= 0)
		close(run->signals);
	if (run->policy)
		policy_free(run->policy);
	if (run->other)
		policy_free(run->other);
	run_names_clear(run);
	run_links_clear(run);
	environment_free(&run->env);
	kernel_close(run->kernel);
	if (run->detached) /* after the last answers were kept */
		notes_forget(run->ctx->pin_dir);
}

static int cmd_run(struct cmd_context *ctx, int argc, char **argv)
{
	struct run run = {
	    .ctx = ctx,
	    .given = argv + 1,
	    .nr_given = argc - 1,
	    .signals = -1,
	    .give_up_ns = mono_ns() + opt_wait_ns,
	    .tick_ns = mono_ns() + TICK_NS,
	    .slow_tick_ns = mono_ns() + SLOW_TICK_NS,
	    .closed_delay_ns = CLOSED_NS,
	};
	_cleanup_close_ int lock = -1;
	int status;

	for (size_t i = 0; i < run.nr_given; i++)
		if (strcmp(run.given[i], "-") == 0)
			return usage_error(&command_run, "standard input cannot be followed");
	status = lock_instance(ctx, &lock);
	if (status == EXIT_DONE)
		status = open_watches(&run);
	if (status == EXIT_DONE)
		status = loop(&run);
	if (run.ready && run.loaded)
		log_line(LOG_NOTICE, "ending; generation %u stays in force", run.generation);
	finish(&run);
	return status;
}

const struct command command_run = {
    .name = "run",
    .summary = "daemon: apply, follow files and interfaces, keep the audit",
    .usage = "[FILE...] [--wait TIME]",
    .help =
	"Puts the policy in force, or picks it up where it already is, and stays: files (and the\n"
	"lists that they read) that change are applied, a version with an error is reported and the\n"
	"one in force stays; new workloads get their hooks; addresses, forwarding, containers,\n"
	"hosts by DNS and units are followed; an engine that is gone changes nothing in force;\n"
	"refused packets go to the audit file of the policy, or as JSON lines to standard output\n"
	"when it names none; expired blocks are swept. Without FILE: " DEFAULT_FILES "\n"
	"in name order, then " DEFAULT_FILE ".\n\n"
	"  weir run policy.yaml          also in a terminal; Ctrl-C ends it\n"
	"  systemctl start weir          at boot, before the network is up\n\n"
	"SIGHUP reads the files again and reopens the audit file; SIGTERM ends. Enforcement is in\n"
	"the kernel and goes on without the daemon. While a trial is pending, changes of files\n"
	"wait. After a reboot during a trial, the last confirmed policy applies.\n\n"
	"Exit status: 0 ended by a signal or `weir detach`; 3 the policy is rejected and none is in\n"
	"force; 1 anything else.",
    .options = options,
    .run = cmd_run,
};
