// SPDX-License-Identifier: GPL-2.0-only
/* Followers: everybody gets every line, nobody holds up the server, strangers stay outside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audit/socket.h"

#define NS 1000000000ULL

static char dir[64];
static char path[96];
static struct follow_server *server;

static int begin(void **state)
{
	struct diag diag = {0};

	strcpy(dir, "/tmp/test_audit_socket.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/weir.sock", dir);
	return follow_listen(path, &server, &diag);
}

static int end(void **state)
{
	follow_close(server);
	server = NULL;
	unlink(path);
	return rmdir(dir);
}

static int follower(void)
{
	int fd = follow_connect(path);

	assert_true(fd >= 0);
	follow_poll(server, NS);
	return fd;
}

/* All that waits for a follower, as text; *@ret_end: the server has closed. */
static size_t take(int fd, char *text, size_t size, bool *ret_end)
{
	size_t n = 0;
	ssize_t more = 1;

	while (n < size - 1 && (more = recv(fd, text + n, size - 1 - n, MSG_DONTWAIT)) > 0)
		n += more;
	text[n] = '\0';
	if (ret_end)
		*ret_end = more == 0;
	return n;
}

static void send_line(const char *line)
{
	follow_send(server, line, strlen(line), NS);
}

static void every_follower_gets_every_line(void **state)
{
	int a = follower(), b = follower();
	char text[256];

	send_line("{\"n\":1}\n");
	send_line("{\"n\":2}\n");
	take(a, text, sizeof(text), NULL);
	assert_string_equal(text, "{\"n\":1}\n{\"n\":2}\n");
	take(b, text, sizeof(text), NULL);
	assert_string_equal(text, "{\"n\":1}\n{\"n\":2}\n");
	assert_int_equal(follow_count(server), 2);
	close(a);
	follow_poll(server, NS);
	assert_int_equal(follow_count(server), 1);
	send_line("{\"n\":3}\n");
	take(b, text, sizeof(text), NULL);
	assert_string_equal(text, "{\"n\":3}\n");
	close(b);
}

/* Reads now and then a little, so that what is under way when it is dropped is the middle of a line. */
static void a_slow_follower_is_told_and_dropped(void **state)
{
	int slow = follower(), quick = follower();
	static char text[4 << 20], other[1 << 20];
	char line[1000], *last;
	size_t sent = 0, quick_got = 0, slow_got = 0, lines = 0, n = 0;
	bool ended = false;

	while (follow_dropped(server) == 0 && lines < 100000) {
		n = snprintf(line, sizeof(line), "{\"n\":%08zu,\"pad\":\"%0900d\"}\n", lines++, 0);
		follow_send(server, line, n, NS);
		sent += n;
		quick_got += take(quick, other, sizeof(other), NULL);
		if (lines % 100 == 0)
			slow_got += take(slow, text + slow_got, 40000, NULL);
	}
	assert_int_equal(follow_dropped(server), 1);
	assert_int_equal(quick_got, sent);
	/* More lines do not reach it, nor wait for it. */
	for (int i = 0; i < 1000; i++)
		follow_send(server, line, n, NS);
	for (int i = 0; i < 1000 && !ended; i++) {
		slow_got += take(slow, text + slow_got, sizeof(text) - slow_got, &ended);
		follow_poll(server, NS);
	}
	assert_true(ended);
	/* Whole lines, then the note. */
	last = strstr(text, "{\"note\":");
	assert_non_null(last);
	assert_non_null(strstr(last, "too slow"));
	assert_int_equal(last[strlen(last) - 1], '\n');
	assert_int_equal(last[-1], '\n');
	assert_null(strstr(last + 1, "{\"n\":"));
	n = 0;
	for (char *c = text; c < last; c = strchr(c, '\n') + 1)
		assert_int_equal(strtoul(c + 5, NULL, 10), n++);
	assert_true(n > 200);
	assert_int_equal(follow_count(server), 1);
	close(slow);
	close(quick);
}

static void who_does_not_read_the_note_is_cut_off(void **state)
{
	int slow = follower();
	char line[1000];
	int n = snprintf(line, sizeof(line), "{\"pad\":\"%0900d\"}\n", 0);

	for (int i = 0; i < 100000 && follow_dropped(server) == 0; i++)
		follow_send(server, line, n, NS);
	follow_poll(server, NS + FOLLOWER_GOODBYE_NS);
	assert_int_equal(follow_count(server), 1);
	follow_poll(server, NS + FOLLOWER_GOODBYE_NS + 1);
	assert_int_equal(follow_count(server), 0);
	close(slow);
}

static void one_too_many_is_turned_away_with_a_note(void **state)
{
	int fd[FOLLOWERS_MAX], extra;
	char text[256];
	bool ended;

	for (int i = 0; i < FOLLOWERS_MAX; i++)
		fd[i] = follower();
	extra = follower();
	take(extra, text, sizeof(text), &ended);
	assert_true(ended);
	assert_string_equal(text, "{\"note\":\"too many followers\"}\n");
	close(extra);
	close(fd[3]);
	follow_poll(server, NS);
	extra = follower();
	send_line("{\"n\":1}\n");
	take(extra, text, sizeof(text), &ended);
	assert_false(ended);
	assert_string_equal(text, "{\"n\":1}\n");
	close(extra);
	for (int i = 0; i < FOLLOWERS_MAX; i++)
		if (i != 3)
			close(fd[i]);
}

static void a_follower_may_talk_and_nobody_listens(void **state)
{
	int fd = follower();
	char noise[4096], text[256];

	memset(noise, 'x', sizeof(noise));
	for (int i = 0; i < 1000; i++) {
		if (send(fd, noise, sizeof(noise), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			assert_int_equal(errno, EAGAIN);
		follow_poll(server, NS);
	}
	send_line("{\"n\":1}\n");
	take(fd, text, sizeof(text), NULL);
	assert_string_equal(text, "{\"n\":1}\n");
	close(fd);
}

static void the_socket_is_for_its_owner(void **state)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0600);
}

/* The mode of the file is the first gate; who gets past it is asked for credentials. */
static void strangers_are_not_served(void **state)
{
	char text[256];
	int status;
	pid_t child;

	if (geteuid() != 0)
		skip();
	assert_int_equal(chmod(path, 0666), 0);
	assert_int_equal(chmod(dir, 0755), 0);
	child = fork();
	if (child == 0) {
		int fd = setuid(65534) ? -1 : follow_connect(path);
		struct pollfd ready = {.fd = fd, .events = POLLIN};

		/* Connected, but closed without a word. */
		if (fd < 0 || poll(&ready, 1, 5000) != 1 || recv(fd, text, sizeof(text), 0) != 0)
			_exit(1);
		_exit(0);
	}
	for (int i = 0; i < 500 && waitpid(child, &status, WNOHANG) == 0; i++) {
		follow_poll(server, NS);
		send_line("{\"n\":1}\n");
		usleep(10000);
	}
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_int_equal(follow_count(server), 0);
}

static void a_dead_socket_is_replaced_a_live_one_is_not(void **state)
{
	struct follow_server *second = NULL;
	struct diag diag = {0};
	struct stat st;
	pid_t child;
	int status;

	assert_int_equal(follow_listen(path, &second, &diag), -EADDRINUSE);
	assert_null(second);
	follow_close(server);
	server = NULL;
	assert_int_equal(stat(path, &st), -1);
	/* One that is killed leaves its socket behind. */
	child = fork();
	if (child == 0) {
		struct diag none = {0};

		_exit(follow_listen(path, &second, &none) != 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(stat(path, &st), 0);
	diag_reset(&diag);
	assert_int_equal(follow_listen(path, &server, &diag), 0);
	close(follower());
}

static void closing_leaves_a_successors_socket(void **state)
{
	struct follow_server *second = NULL;
	struct diag diag = {0};
	struct stat st;

	unlink(path);
	assert_int_equal(follow_listen(path, &second, &diag), 0);
	follow_close(server);
	server = second;
	assert_int_equal(stat(path, &st), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(every_follower_gets_every_line),
	    TEST(a_slow_follower_is_told_and_dropped),
	    TEST(who_does_not_read_the_note_is_cut_off),
	    TEST(one_too_many_is_turned_away_with_a_note),
	    TEST(a_follower_may_talk_and_nobody_listens),
	    TEST(the_socket_is_for_its_owner),
	    TEST(strangers_are_not_served),
	    TEST(a_dead_socket_is_replaced_a_live_one_is_not),
	    TEST(closing_leaves_a_successors_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
