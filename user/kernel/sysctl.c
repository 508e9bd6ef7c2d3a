// SPDX-License-Identifier: GPL-2.0-only
/*
 * Settings of this network namespace that a policy in force needs, and what they were before.
 *
 * RUN_DIR/NAME.sysctls holds a line "SETTING VALUE" for each that weir has changed: what it was. It is written before the
 * setting, so whoever dies in between has changed nothing that the next one does not know of, and a setting that is
 * noted keeps its first value however often it is set again. Like the settings themselves it is gone after a reboot.
 */
#include "kernel/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static const struct sysctl {
	const char *name, *value;
	const char *key; /* of the policy */
	__u32 flag;	 /* WEIR_CFG_*: policies that need it */
	bool optional;	 /* where it is not, there is nothing that could need it */
} sysctls[] = {
    /* bpf_fib_lookup() asks on behalf of loopback, and answers for who forwards only. */
    {"net.ipv4.conf.lo.forwarding", "1", "antispoof", WEIR_CFG_ANTISPOOF, false},
    {"net.ipv6.conf.lo.forwarding", "1", "antispoof", WEIR_CFG_ANTISPOOF, true},
    /* Cookies are taken at all times, whoever sent them; options come back in timestamps, without an offset. */
    {"net.ipv4.tcp_syncookies", "2", "protect", WEIR_CFG_PROTECT, false},
    {"net.ipv4.tcp_timestamps", "2", "protect", WEIR_CFG_PROTECT, false},
};
#define NR_SYSCTLS ARRAY_SIZE(sysctls)
_Static_assert(ARRAY_SIZE(sysctls) <= KERNEL_MAX_SYSCTLS, "room in struct kernel_status");

/** struct held - what weir has changed: @was, where @noted. */
struct held {
	bool noted;
	char was[SYSCTL_VALUE_LEN];
};

/* ---- one setting ---- */

static int open_sysctl(const struct sysctl *sysctl, int flags)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/%s", sysctl->name);
	for (char *p = path; *p; p++)
		if (*p == '.')
			*p = '/';
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int read_sysctl(const struct sysctl *sysctl, char *ret)
{
	_cleanup_close_ int fd = open_sysctl(sysctl, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = read(fd, ret, SYSCTL_VALUE_LEN - 1);
	if (n < 0)
		return -errno;
	ret[n] = '\0';
	ret[strcspn(ret, " \t\n")] = '\0';
	return ret[0] ? 0 : -EIO;
}

static int write_sysctl(const struct sysctl *sysctl, const char *value)
{
	_cleanup_close_ int fd = open_sysctl(sysctl, O_WRONLY);
	char now[SYSCTL_VALUE_LEN];
	int err = fault("sysctl");

	if (err)
		return err;
	if (fd < 0)
		return fd;
	if (write(fd, value, strlen(value)) < 0)
		return -errno;
	err = read_sysctl(sysctl, now);
	return err ? err : strcmp(now, value) ? -EPERM : 0;
}

/* ---- the note ---- */

static void parse_line(char *line, struct held *held)
{
	char *space = strchr(line, ' ');

	if (!space)
		return;
	*space = '\0';
	for (size_t i = 0; i < NR_SYSCTLS; i++) {
		if (strcmp(sysctls[i].name, line))
			continue;
		held[i].noted = true;
		snprintf(held[i].was, sizeof(held[i].was), "%.*s", (int)strcspn(space + 1, "\n"),
			 space + 1);
	}
}

/* 0 also where there is none. */
static int read_note(const char *dir, struct held *ret)
{
	_cleanup_fclose_ FILE *in = NULL;
	char path[PATH_MAX], line[256];
	int err = run_path(dir, "sysctls", path);

	memset(ret, 0, NR_SYSCTLS * sizeof(*ret));
	if (err)
		return err;
	in = fopen(path, "re");
	if (!in)
		return errno == ENOENT ? 0 : -errno;
	while (fgets(line, sizeof(line), in))
		parse_line(line, ret);
	return ferror(in) ? -EIO : 0;
}

static bool any_noted(const struct held *held)
{
	for (size_t i = 0; i < NR_SYSCTLS; i++)
		if (held[i].noted)
			return true;
	return false;
}

/* As a whole or not at all: half a note would forget what the rest was. */
static int write_note(const char *dir, const struct held *held)
{
	char path[PATH_MAX], temp[PATH_MAX + 8];
	bool failed;
	FILE *out;
	int err = run_path(dir, "sysctls", path);

	if (err)
		return err;
	if (!any_noted(held))
		return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
	snprintf(temp, sizeof(temp), "%s.new", path);
	out = fopen(temp, "we");
	if (!out)
		return -errno;
	for (size_t i = 0; i < NR_SYSCTLS; i++)
		if (held[i].noted)
			fprintf(out, "%s %s\n", sysctls[i].name, held[i].was);
	failed = fflush(out) || fsync(fileno(out)) || ferror(out);
	if (fclose(out) || failed) {
		unlink(temp);
		return -EIO;
	}
	return rename(temp, path) < 0 ? -errno : 0;
}

/* ---- holding ---- */

struct holding {
	const char *dir;
	struct held held[NR_SYSCTLS];
	char now[NR_SYSCTLS][SYSCTL_VALUE_LEN];
	bool wanted[NR_SYSCTLS]; /* and not as it shall be */
	bool fresh[NR_SYSCTLS];	 /* noted by this call */
};

static int refuse(const struct sysctl *sysctl, const char *now, int err, struct diag *diag)
{
	return diag_fail(diag, -EOPNOTSUPP, NULL,
			 "%s needs the setting %s = %s; it is %s and cannot be written: %s",
			 sysctl->key, sysctl->name, sysctl->value, now, strerror(-err));
}

static int look(struct holding *h, __u32 flags, struct diag *diag)
{
	int err = read_note(h->dir, h->held);

	if (err)
		return diag_fail(diag, err, NULL,
				 "cannot read what settings were before weir changed them: %s",
				 strerror(-err));
	for (size_t i = 0; i < NR_SYSCTLS; i++) {
		const struct sysctl *sysctl = &sysctls[i];

		if (!(flags & sysctl->flag))
			continue;
		err = read_sysctl(sysctl, h->now[i]);
		if (err == -ENOENT && sysctl->optional)
			continue;
		if (err)
			return refuse(sysctl, "not readable", err, diag);
		h->wanted[i] = strcmp(h->now[i], sysctl->value) != 0;
		h->fresh[i] = h->wanted[i] && !h->held[i].noted;
		if (!h->fresh[i])
			continue;
		h->held[i].noted = true;
		strcpy(h->held[i].was, h->now[i]);
	}
	return 0;
}

static void take_back(struct holding *h, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (h->wanted[i])
			write_sysctl(&sysctls[i], h->now[i]);
	for (size_t i = 0; i < NR_SYSCTLS; i++)
		h->held[i].noted &= !h->fresh[i];
	write_note(h->dir, h->held);
}

static bool any(const bool *flag)
{
	for (size_t i = 0; i < NR_SYSCTLS; i++)
		if (flag[i])
			return true;
	return false;
}

int sysctls_hold(const char *dir, __u32 flags, struct diag *diag)
{
	struct holding h = {.dir = dir};
	int err = flags & SYSCTLS_FLAGS ? look(&h, flags, diag) : 0;

	if (err || !any(h.wanted))
		return err;
	err = any(h.fresh) ? write_note(dir, h.held) : 0;
	if (err)
		return diag_fail(diag, err, NULL, "cannot note what settings were before: %s",
				 strerror(-err));
	for (size_t i = 0; i < NR_SYSCTLS; i++) {
		err = h.wanted[i] ? write_sysctl(&sysctls[i], sysctls[i].value) : 0;
		if (!err)
			continue;
		take_back(&h, i);
		return refuse(&sysctls[i], h.now[i], err, diag);
	}
	return 0;
}

/* ---- letting go ---- */

/* What somebody else has set meanwhile is theirs. */
static int restore(const struct sysctl *sysctl, const struct held *held)
{
	char now[SYSCTL_VALUE_LEN];
	int err = read_sysctl(sysctl, now);

	if (err == -ENOENT)
		return 0;
	if (!err && strcmp(now, sysctl->value) == 0)
		err = write_sysctl(sysctl, held->was);
	return err;
}

void sysctls_release(const char *dir, __u32 flags, struct diag *diag)
{
	struct held held[NR_SYSCTLS];
	bool changed = false;
	int err = read_note(dir, held);

	for (size_t i = 0; i < NR_SYSCTLS && !err; i++) {
		int failed;

		if (!held[i].noted || flags & sysctls[i].flag)
			continue;
		failed = restore(&sysctls[i], &held[i]);
		if (failed)
			diag_warn(diag, NULL, "the setting %s stays %s, it was %s: %s",
				  sysctls[i].name, sysctls[i].value, held[i].was,
				  strerror(-failed));
		held[i].noted = failed;
		changed |= !failed;
	}
	if (!err && changed)
		err = write_note(dir, held);
	if (err)
		diag_warn(diag, NULL, "what settings were before weir changed them: %s",
			  strerror(-err));
}

/* Of the policy that judges, and of the one that may come back. */
static int flags_in_use(struct kernel *kernel, bool both, __u32 *ret)
{
	__u64 word = kernel->loaded ? word_peek(kernel) : 0;
	struct weir_config config;
	int err = 0;

	*ret = 0;
	if (!kernel->loaded)
		return 0;
	if (word_generation(word))
		err = slot_config(kernel, word_slot(word), &config);
	if (!err && word_generation(word) && config.generation)
		*ret = config.flags;
	if (err || !both || !may_come_back(kernel, word))
		return err;
	err = slot_config(kernel, !word_slot(word), &config);
	if (!err)
		*ret |= config.flags;
	return err;
}

void sysctls_settle(struct kernel *kernel, struct diag *diag)
{
	char path[PATH_MAX];
	__u32 flags;

	/* Nothing was ever changed: the common case, and this is called often. */
	if (run_path(kernel->dir, "sysctls", path) || access(path, F_OK) < 0)
		return;
	if (flags_in_use(kernel, true, &flags) == 0)
		sysctls_release(kernel->dir, flags, diag);
}

int sysctls_keep(struct kernel *kernel, struct diag *diag)
{
	__u32 flags;
	int err = flags_in_use(kernel, word_peek(kernel) & WEIR_WORD_PENDING, &flags);

	if (err)
		return diag_fail(diag, err, NULL, "cannot read the slots: %s", strerror(-err));
	if (flags & WEIR_CFG_PROTECT) /* an administrator may have tuned the buffers */
		kernel->control->cookie_wscale = cookie_options();
	err = sysctls_hold(kernel->dir, flags, diag);
	sysctls_settle(kernel, diag);
	return err;
}

int sysctls_list(const char *dir, struct sysctl_status *ret, size_t *ret_n)
{
	struct held held[NR_SYSCTLS];
	int err = read_note(dir, held);

	*ret_n = 0;
	for (size_t i = 0; i < NR_SYSCTLS && !err; i++) {
		struct sysctl_status *entry = &ret[*ret_n];

		if (!held[i].noted)
			continue;
		*entry = (struct sysctl_status){
		    .name = sysctls[i].name, .value = sysctls[i].value, .key = sysctls[i].key};
		strcpy(entry->was, held[i].was);
		if (read_sysctl(&sysctls[i], entry->now))
			strcpy(entry->now, "?");
		(*ret_n)++;
	}
	return err;
}
