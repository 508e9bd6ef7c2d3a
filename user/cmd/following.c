// SPDX-License-Identifier: GPL-2.0-only
#include "cmd/following.h"

#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/paths.h"

void following_write(const char *pin_dir, const struct following *following)
{
	char path[PATH_MAX], fresh[PATH_MAX];
	json_t *object;

	if (path_run(pin_dir, "following", path, sizeof(path)) ||
	    path_run(pin_dir, "following.new", fresh, sizeof(fresh)))
		return;
	object = json_pack(
	    "{s:I, s:b, s:I, s:s?, s:I, s:I, s:I, s:I, s:I, s:I}", "pid",
	    (json_int_t)following->pid, "connected", following->connected, "since",
	    (json_int_t)following->since_ns, "error", following->error, "updates",
	    (json_int_t)following->updates, "at", (json_int_t)following->at_ns, "latency",
	    (json_int_t)following->latency_ns, "work", (json_int_t)following->work_ns, "written",
	    (json_int_t)following->written, "total", (json_int_t)following->total_ns);
	if (!object || json_dump_file(object, fresh, JSON_COMPACT) || rename(fresh, path))
		unlink(fresh);
	json_decref(object);
}

static __u64 number(const json_t *object, const char *key)
{
	return (__u64)json_integer_value(json_object_get(object, key));
}

bool following_read(const char *pin_dir, __u64 pid, struct following *ret)
{
	const char *error;
	char path[PATH_MAX];
	json_t *object;

	*ret = (struct following){};
	if (path_run(pin_dir, "following", path, sizeof(path)))
		return false;
	object = json_load_file(path, 0, NULL);
	error = json_string_value(json_object_get(object, "error"));
	*ret = (struct following){
	    .pid = number(object, "pid"),
	    .connected = json_is_true(json_object_get(object, "connected")),
	    .since_ns = number(object, "since"),
	    .error = error ? strdup(error) : NULL,
	    .updates = number(object, "updates"),
	    .at_ns = number(object, "at"),
	    .latency_ns = number(object, "latency"),
	    .work_ns = number(object, "work"),
	    .written = number(object, "written"),
	    .total_ns = number(object, "total"),
	};
	json_decref(object);
	if (ret->pid && ret->pid == pid)
		return true;
	following_clear(ret);
	return false;
}

void following_clear(struct following *following)
{
	free(following->error);
	*following = (struct following){};
}
