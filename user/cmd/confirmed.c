// SPDX-License-Identifier: GPL-2.0-only
#include "cmd/confirmed.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "audit/paths.h"
#include "base/addr.h"
#include "base/mem.h"
#include "policy/model.h"

#define COPY	 "policy.yaml"
#define MANIFEST "manifest.json"
#define REFUSED	 "refused.json"
#define BEFORE	 "refused.before.json" /* what a trial's note replaced */
#define TEMP	 "new"

/* ---- small files ---- */

/** struct state - an opened and locked state directory. */
struct state {
	char path[PATH_MAX];
	int dir;
	int lock;
};

static void state_close(struct state *state)
{
	if (state->lock >= 0)
		close(state->lock);
	if (state->dir >= 0)
		close(state->dir);
}
#define _cleanup_state_ _cleanup_(state_close)

static int state_fail(struct diag *diag, int err, const struct state *state, const char *what)
{
	return diag_fail(diag, err, NULL, "confirmed policy in %s: %s: %s", state->path, what,
			 strerror(-err));
}

static int make_parents(char *path)
{
	for (char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		if (mkdir(path, 0755) < 0 && errno != EEXIST && errno != EROFS) {
			*p = '/';
			return -errno;
		}
		*p = '/';
	}
	return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static int state_open(const char *pin_dir, bool create, struct state *ret, struct diag *diag)
{
	int err = path_state(pin_dir, ret->path, sizeof(ret->path));

	ret->dir = ret->lock = -1;
	if (err)
		return diag_fail(diag, err, NULL, "no name for the state of %s", pin_dir);
	if (create)
		err = make_parents(ret->path);
	if (err)
		return state_fail(diag, err, ret, "cannot be made");
	ret->dir = open(ret->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (ret->dir < 0)
		return errno == ENOENT && !create ? -ENOENT : state_fail(diag, -errno, ret, "open");
	ret->lock = openat(ret->dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (ret->lock < 0 || flock(ret->lock, LOCK_EX) < 0)
		return state_fail(diag, -errno, ret, "lock");
	return 0;
}

static int write_file(int dir, const char *name, const char *text, size_t len)
{
	_cleanup_close_ int fd =
	    openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	size_t done = 0;

	if (fd < 0)
		return -errno;
	while (done < len) {
		ssize_t n = write(fd, text + done, len - done);

		if (n < 0 && errno != EINTR)
			return -errno;
		done += n > 0 ? n : 0;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

static int write_json(int dir, const char *name, json_t *object)
{
	_cleanup_free_ char *text = object ? json_dumps(object, JSON_INDENT(2)) : NULL;
	int err = text ? write_file(dir, TEMP ".json", text, strlen(text)) : -ENOMEM;

	json_decref(object);
	if (!err && renameat(dir, TEMP ".json", dir, name) < 0)
		err = -errno;
	return err ? err : fsync(dir) < 0 ? -errno : 0;
}

static json_t *read_json(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	json_t *object;

	if (fd < 0)
		return NULL;
	object = json_loadfd(fd, 0, NULL);
	close(fd);
	return object;
}

static void hex_of(const __u8 *sha256, char *ret)
{
	for (int i = 0; i < 32; i++)
		sprintf(ret + 2 * i, "%02x", sha256[i]);
}

static bool sha_of(const json_t *object, __u8 *ret)
{
	const char *hex = json_string_value(json_object_get(object, "sha256"));
	unsigned int byte;

	if (!hex || strlen(hex) != 64)
		return false;
	for (int i = 0; i < 32; i++) {
		if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
			return false;
		ret[i] = byte;
	}
	return true;
}

static void boot_id(char *ret, size_t size)
{
	const char *given = getenv("WEIR_BOOT_ID"); /* tests reboot by it */
	_cleanup_fclose_ FILE *file = given ? NULL : fopen("/proc/sys/kernel/random/boot_id", "re");

	snprintf(ret, size, "%s", given ? given : "");
	if (file && fgets(ret, size, file))
		ret[strcspn(ret, "\n")] = '\0';
}

/* ---- the note of what must not come back ---- */

static int note_write(const struct state *state, const char *hex, bool trial)
{
	char boot[64];

	boot_id(boot, sizeof(boot));
	return write_json(
	    state->dir, REFUSED,
	    json_pack("{s:s, s:s, s:b}", "sha256", hex, "boot_id", boot, "trial", trial));
}

static void note_remove(const struct state *state)
{
	unlinkat(state->dir, REFUSED, 0);
	unlinkat(state->dir, BEFORE, 0);
	fsync(state->dir);
}

static bool note_is_trial(const struct state *state)
{
	json_t *note = read_json(state->dir, REFUSED);
	bool trial = json_is_true(json_object_get(note, "trial"));

	json_decref(note);
	return trial;
}

/* The trial is over, and its version is refused from here on. */
static int note_end_trial(const struct state *state)
{
	json_t *note = read_json(state->dir, REFUSED);

	if (!json_is_object(note)) {
		json_decref(note);
		return 0;
	}
	json_object_set_new(note, "trial", json_false());
	unlinkat(state->dir, BEFORE, 0);
	return write_json(state->dir, REFUSED, note);
}

/* ---- copies: directories of a policy and its lists ---- */

static int copy_remove(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	struct dirent *entry;
	DIR *stream;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	stream = fdopendir(fd);
	if (!stream) {
		close(fd);
		return -errno;
	}
	while ((entry = readdir(stream)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			unlinkat(dirfd(stream), entry->d_name, 0);
	closedir(stream);
	return unlinkat(dir, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

/* Every {file: …} of a policy. */
struct lists {
	struct item **item;
	size_t n, capacity;
};

static int lists_add(void *arg, struct item *item)
{
	struct lists *lists = arg;

	if (item->kind != ITEM_FILE)
		return 0;
	if (mem_grow(&lists->item, lists->n, &lists->capacity, sizeof(*lists->item)))
		return -ENOMEM;
	lists->item[lists->n++] = item;
	return 0;
}

static int list_write(int dir, const char *name, const struct item *item)
{
	_cleanup_free_ char *text = NULL;
	char line[ADDR_TEXT_LEN];
	size_t len = 0;
	FILE *stream = open_memstream(&text, &len);
	int err;

	if (!stream)
		return -ENOMEM;
	for (size_t i = 0; i < item->nr_list; i++)
		fprintf(stream, "%s\n", prefix_format(&item->list[i], line));
	err = fclose(stream) ? -ENOMEM : 0;
	return err ? err : write_file(dir, name, text, len);
}

/* Canonical text, in which list i is read from @final/list-i. The model is lent other names meanwhile. */
static int text_with_lists(const struct policy *policy, const struct lists *lists,
			   const char *final, char **ret)
{
	_cleanup_free_ char **names = calloc(lists->n + 1, sizeof(*names));
	_cleanup_free_ char **paths = calloc(lists->n + 1, sizeof(*paths));
	int err = names && paths ? 0 : -ENOMEM;

	for (size_t i = 0; i < lists->n && !err; i++)
		if (asprintf(&paths[i], "%s/list-%zu", final, i) < 0) {
			paths[i] = NULL;
			err = -ENOMEM;
		}
	if (!err) {
		for (size_t i = 0; i < lists->n; i++) {
			names[i] = lists->item[i]->name;
			lists->item[i]->name = paths[i];
		}
		err = policy_print(policy, ret);
		for (size_t i = 0; i < lists->n; i++)
			lists->item[i]->name = names[i];
	}
	for (size_t i = 0; paths && i < lists->n; i++)
		free(paths[i]);
	return err;
}

static json_t *manifest_of(const struct policy *policy)
{
	json_t *files = json_array();
	char hex[65];

	hex_of(policy->sha256, hex);
	for (size_t i = 0; i < policy->nr_files; i++)
		json_array_append_new(files, json_string(policy->file[i]));
	return json_pack("{s:s, s:o}", "sha256", hex, "files", files);
}

static int copy_fill(int dir, const struct policy *policy, const char *final)
{
	_cleanup_free_ char *text = NULL;
	struct lists lists = {0};
	char name[32];
	int err = policy_each_item(policy, lists_add, &lists);

	if (!err)
		err = text_with_lists(policy, &lists, final, &text);
	for (size_t i = 0; i < lists.n && !err; i++) {
		snprintf(name, sizeof(name), "list-%zu", i);
		err = list_write(dir, name, lists.item[i]);
	}
	free(lists.item);
	if (!err && strlen(text) > POLICY_MAX_TEXT)
		err = -EFBIG;
	err = err ? err : write_file(dir, COPY, text, strlen(text));
	return err ? err : write_json(dir, MANIFEST, manifest_of(policy));
}

/* Write @policy as TEMP. The copy will be called confirmed/ when it is read: its lists' paths say so. */
static int copy_write(const struct state *state, const struct policy *policy)
{
	char final[PATH_MAX + 16];
	int fd, err;

	snprintf(final, sizeof(final), "%s/confirmed", state->path);
	err = copy_remove(state->dir, TEMP);
	if (!err && mkdirat(state->dir, TEMP, 0700) < 0)
		err = -errno;
	if (err)
		return err;
	fd = openat(state->dir, TEMP, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	err = copy_fill(fd, policy, final);
	close(fd);
	if (err)
		copy_remove(state->dir, TEMP);
	return err;
}

/* @name takes the place of the confirmed copy, in one step; that one becomes the previous. */
static int copy_promote(const struct state *state, const char *name)
{
	if (renameat2(state->dir, name, state->dir, "confirmed", RENAME_EXCHANGE) < 0) {
		if (errno != ENOENT || renameat(state->dir, name, state->dir, "confirmed") < 0)
			return -errno;
	} else if (strcmp(name, "previous") != 0) {
		int err = copy_remove(state->dir, "previous");

		if (err || renameat(state->dir, name, state->dir, "previous") < 0)
			return err ? err : -errno;
	}
	return fsync(state->dir) < 0 ? -errno : 0;
}

static bool copy_sha(const struct state *state, const char *name, __u8 *ret)
{
	char path[64];
	json_t *manifest;
	bool found;

	snprintf(path, sizeof(path), "%s/" MANIFEST, name);
	manifest = read_json(state->dir, path);
	found = sha_of(manifest, ret);
	json_decref(manifest);
	return found;
}

/* ---- what the commands call ---- */

int confirmed_begin_trial(const char *pin_dir, const struct policy *policy, struct diag *diag)
{
	_cleanup_state_ struct state state;
	char hex[65];
	int err = state_open(pin_dir, true, &state, diag);

	if (err)
		return err;
	err = copy_write(&state, policy);
	err = err ? err : copy_remove(state.dir, "trial");
	if (!err && renameat(state.dir, TEMP, state.dir, "trial") < 0)
		err = -errno;
	if (!err && linkat(state.dir, REFUSED, state.dir, BEFORE, 0) < 0 && errno != ENOENT &&
	    errno != EEXIST)
		err = -errno;
	hex_of(policy->sha256, hex);
	err = err ? err : note_write(&state, hex, true);
	return err ? state_fail(diag, err, &state, "noting the trial") : 0;
}

int confirmed_cancel_trial(const char *pin_dir, struct diag *diag)
{
	_cleanup_state_ struct state state;
	int err = state_open(pin_dir, false, &state, diag);

	if (err)
		return err == -ENOENT ? 0 : err;
	if (!note_is_trial(&state))
		return 0;
	copy_remove(state.dir, "trial");
	if (renameat(state.dir, BEFORE, state.dir, REFUSED) < 0)
		note_remove(&state);
	return 0;
}

int confirmed_save(const char *pin_dir, const struct policy *policy, struct diag *diag)
{
	_cleanup_state_ struct state state;
	int err = state_open(pin_dir, true, &state, diag);

	if (err)
		return err;
	err = copy_write(&state, policy);
	err = err ? err : copy_promote(&state, TEMP);
	if (err)
		return state_fail(diag, err, &state, "saving it");
	copy_remove(state.dir, "trial");
	note_remove(&state);
	return 0;
}

int confirmed_refresh(const char *pin_dir, const struct policy *policy, struct diag *diag)
{
	_cleanup_state_ struct state state;
	__u8 sha256[32];
	int err = state_open(pin_dir, false, &state, diag);

	if (err)
		return err == -ENOENT ? 0 : err;
	if (!copy_sha(&state, "confirmed", sha256) ||
	    memcmp(sha256, policy->sha256, sizeof(sha256)) != 0)
		return 0;
	err = copy_write(&state, policy);
	if (!err && renameat2(state.dir, TEMP, state.dir, "confirmed", RENAME_EXCHANGE) < 0)
		err = -errno;
	copy_remove(state.dir, TEMP);
	return err ? state_fail(diag, err, &state, "keeping its lists") : 0;
}

int confirmed_confirm(const char *pin_dir, struct diag *diag)
{
	_cleanup_state_ struct state state;
	int err = state_open(pin_dir, false, &state, diag);

	if (!err && !note_is_trial(&state))
		err = -ENOENT;
	if (err == -ENOENT)
		return diag_fail(diag, err, NULL, "no trial was noted for %s", pin_dir);
	if (err)
		return err;
	err = copy_promote(&state, "trial");
	if (err)
		return state_fail(diag, err, &state, "keeping the trial's policy");
	note_remove(&state);
	return 0;
}

int confirmed_rollback(const char *pin_dir, struct diag *diag)
{
	_cleanup_state_ struct state state;
	__u8 sha256[32];
	char hex[65];
	int err = state_open(pin_dir, false, &state, diag);

	if (err)
		return err == -ENOENT ? 0 : err;
	if (note_is_trial(&state)) {
		copy_remove(state.dir, "trial");
		err = note_end_trial(&state);
	} else if (copy_sha(&state, "confirmed", sha256)) {
		hex_of(sha256, hex);
		err = note_write(&state, hex, false);
		if (!err && copy_sha(&state, "previous", sha256))
			err = copy_promote(&state, "previous");
		else if (!err)
			err = copy_remove(state.dir, "confirmed");
	}
	return err ? state_fail(diag, err, &state, "noting the rollback") : 0;
}

int confirmed_expire(const char *pin_dir, struct diag *diag)
{
	_cleanup_state_ struct state state;
	int err = state_open(pin_dir, false, &state, diag);

	if (err)
		return err == -ENOENT ? 0 : err;
	if (!note_is_trial(&state))
		return 0;
	copy_remove(state.dir, "trial");
	err = note_end_trial(&state);
	return err ? state_fail(diag, err, &state, "noting the end of the trial") : 0;
}

int confirmed_refuse(const char *pin_dir, const __u8 *sha256, struct diag *diag)
{
	_cleanup_state_ struct state state;
	char hex[65];
	int err = state_open(pin_dir, true, &state, diag);

	if (err)
		return err;
	copy_remove(state.dir, "trial");
	unlinkat(state.dir, BEFORE, 0);
	hex_of(sha256, hex);
	err = note_write(&state, hex, false);
	return err ? state_fail(diag, err, &state, "noting what is refused") : 0;
}

int confirmed_forget(const char *pin_dir, struct diag *diag)
{
	static const char *const copies[] = {"confirmed", "previous", "trial", TEMP};
	_cleanup_state_ struct state state;
	int err = state_open(pin_dir, false, &state, diag);

	if (err)
		return err == -ENOENT ? 0 : err;
	for (size_t i = 0; i < ARRAY_SIZE(copies); i++)
		copy_remove(state.dir, copies[i]);
	note_remove(&state);
	unlinkat(state.dir, TEMP ".json", 0);
	unlinkat(state.dir, "lock", 0);
	if (rmdir(state.path) < 0 && errno != ENOENT)
		return state_fail(diag, -errno, &state, "removing it");
	return 0;
}

int confirmed_read(const char *pin_dir, struct confirmed_state *ret, struct diag *diag)
{
	_cleanup_state_ struct state state;
	char boot[64];
	const char *noted;
	json_t *note;
	int err, n;

	memset(ret, 0, sizeof(*ret));
	err = state_open(pin_dir, false, &state, diag);
	if (err)
		return err == -ENOENT ? 0 : err;
	if (copy_sha(&state, "confirmed", ret->sha256)) {
		n = snprintf(ret->path, sizeof(ret->path), "%s/confirmed/" COPY, state.path);
		if (n < 0 || (size_t)n >= sizeof(ret->path))
			ret->path[0] = '\0';
	}
	note = read_json(state.dir, REFUSED);
	if (sha_of(note, ret->refused_sha256)) {
		boot_id(boot, sizeof(boot));
		noted = json_string_value(json_object_get(note, "boot_id"));
		ret->refused = true;
		ret->trial = json_is_true(json_object_get(note, "trial"));
		ret->other_boot = !noted || strcmp(noted, boot) != 0;
	}
	json_decref(note);
	return 0;
}

static bool same(const __u8 *a, const __u8 *b)
{
	return a && b && memcmp(a, b, 32) == 0;
}

enum confirmed_choice confirmed_choose(const struct confirmed_state *state, const __u8 *files,
				       const __u8 *running, bool trial)
{
	const __u8 *confirmed = state->path[0] ? state->sha256 : NULL;
	bool held = !files;

	if (trial || same(files, running))
		return CHOOSE_RUNNING;
	/* After a reboot nobody may be able to reach this host but by the confirmed policy. */
	if (state->refused && !same(files, confirmed))
		held |= state->other_boot || same(files, state->refused_sha256);
	if (!held)
		return CHOOSE_FILES;
	if (running)
		return CHOOSE_RUNNING;
	return confirmed ? CHOOSE_COPY : CHOOSE_NONE;
}
