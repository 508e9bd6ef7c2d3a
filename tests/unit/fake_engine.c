// SPDX-License-Identifier: GPL-2.0-only
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fake_engine.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

__u64 now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

static void wait_ok(struct fake *fake)
{
	char line[512] = "";

	assert_non_null(fgets(line, sizeof(line), fake->from));
	line[strcspn(line, "\n")] = '\0';
	if (strncmp(line, "ok", 2) != 0)
		fail_msg("the server says: %s", line);
	snprintf(fake->answer, sizeof(fake->answer), "%.255s", line[2] ? line + 3 : "");
}

void fake_begin(struct fake *fake, const char *script, const char *argument)
{
	int to[2], from[2];
	char path[128];

	snprintf(path, sizeof(path), "tests/lib/%s", script);
	assert_int_equal(pipe(to), 0);
	assert_int_equal(pipe(from), 0);
	fake->pid = fork();
	assert_true(fake->pid >= 0);
	if (fake->pid == 0) {
		dup2(to[0], 0);
		dup2(from[1], 1);
		close(to[0]);
		close(to[1]);
		close(from[0]);
		close(from[1]);
		execlp("python3", "python3", path, argument, NULL);
		_exit(127);
	}
	close(to[0]);
	close(from[1]);
	fake->to = fdopen(to[1], "w");
	fake->from = fdopen(from[0], "r");
	wait_ok(fake);
}

void fake_end(struct fake *fake)
{
	fclose(fake->to);
	fclose(fake->from);
	kill(fake->pid, SIGTERM);
	waitpid(fake->pid, NULL, 0);
}

void fake_tell(struct fake *fake, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(fake->to, format, args);
	va_end(args);
	fputc('\n', fake->to);
	fflush(fake->to);
	wait_ok(fake);
}

struct policy *policy_that_names(const char *items)
{
	struct policy *policy = NULL;
	struct diag diag = {0};
	char text[8192], why[2048];

	snprintf(text, sizeof(text),
		 "segments: {s: [%s]}\nallow: [{from: s, to: self, port: tcp/1}]\n", items);
	if (policy_parse_text(text, strlen(text), "t.yaml", &policy, &diag))
		fail_msg("%s", diag_text(&diag, why, sizeof(why)));
	diag_reset(&diag);
	return policy;
}

struct wish {
	enum item_kind kind;
	const char *name;
	char text[4096], error[512];
};

static int take(void *arg, const struct name_state *state)
{
	struct wish *wish = arg;
	char buffer[ADDR_TEXT_LEN];

	if (state->kind != wish->kind || strcmp(state->name, wish->name) != 0)
		return 0;
	strcpy(wish->text, state->known ? "" : "?");
	for (size_t i = 0; i < state->n && strlen(wish->text) < 4000; i++) {
		strcat(wish->text, i ? " " : "");
		strcat(wish->text, prefix_format(&state->address[i], buffer));
	}
	snprintf(wish->error, sizeof(wish->error), "%s", state->error ? state->error : "");
	return 1;
}

static struct wish *wish_for(const struct followed *names, enum item_kind kind, const char *name)
{
	static struct wish wish;

	wish = (struct wish){.kind = kind, .name = name, .text = "not followed"};
	names_each(names, take, &wish);
	return &wish;
}

const char *state_text(const struct followed *names, enum item_kind kind, const char *name)
{
	return wish_for(names, kind, name)->text;
}

const char *error_text(const struct followed *names, enum item_kind kind, const char *name)
{
	return wish_for(names, kind, name)->error;
}

int turn(struct followed *names, int ms)
{
	struct pollfd ready = {.fd = names_fd(names), .events = POLLIN};

	poll(&ready, 1, ms);
	return names_dispatch(names);
}

bool becomes(struct followed *names, enum item_kind kind, const char *name, const char *addresses,
	     int ms)
{
	__u64 until = now_ns() + ms * 1000000ULL;

	while (strcmp(state_text(names, kind, name), addresses) != 0) {
		if (now_ns() > until)
			return false;
		assert_true(turn(names, 20) >= 0);
	}
	return true;
}
