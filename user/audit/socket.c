// SPDX-License-Identifier: GPL-2.0-only
#include "audit/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "audit/format.h"
#include "base/mem.h"

struct follower {
	int fd; /* -1: free */
	char *queue;
	size_t start, len;
	__u64 goodbye_ns; /* being dropped: until then */
};

struct follow_server {
	int fd;
	char *path;
	dev_t dev;
	ino_t ino;
	__u64 dropped;
	struct follower follower[FOLLOWERS_MAX];
};

static int address_of(const char *path, struct sockaddr_un *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(ret->sun_path))
		return -ENAMETOOLONG;
	strcpy(ret->sun_path, path);
	return 0;
}

int follow_connect(const char *path)
{
	_cleanup_close_ int fd = -1;
	struct sockaddr_un address;
	int err = address_of(path, &address);

	if (err)
		return err;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

static int make_directory(const char *path)
{
	_cleanup_free_ char *dir = strndup(path, strrchr(path, '/') - path);

	if (!dir)
		return -ENOMEM;
	return mkdir(dir, 0750) < 0 && errno != EEXIST ? -errno : 0;
}

static int bind_at(int fd, const char *path, struct stat *ret)
{
	struct sockaddr_un address;
	int err = address_of(path, &address);

	if (err)
		return err;
	err = follow_connect(path);
	if (err >= 0) {
		close(err);
		return -EADDRINUSE;
	}
	if (err == -ECONNREFUSED && unlink(path) < 0) /* left by a predecessor that was killed */
		return -errno;
	/* The bound socket takes over the descriptor's mode: no moment in which others could connect. */
	if (fchmod(fd, 0600) < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return listen(fd, FOLLOWERS_MAX) < 0 || lstat(path, ret) < 0 ? -errno : 0;
}

int follow_listen(const char *path, struct follow_server **ret, struct diag *diag)
{
	struct follow_server *server = calloc(1, sizeof(*server));
	struct stat st = {0};
	int err;

	if (!server)
		return diag_fail(diag, -ENOMEM, NULL, "out of memory");
	for (size_t i = 0; i < FOLLOWERS_MAX; i++)
		server->follower[i].fd = -1;
	server->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	err = server->fd < 0 ? -errno : make_directory(path);
	if (!err)
		err = bind_at(server->fd, path, &st);
	if (!err) {
		server->dev = st.st_dev;
		server->ino = st.st_ino;
		server->path = strdup(path);
		err = server->path ? 0 : -ENOMEM;
	}
	if (err) {
		follow_close(server);
		return diag_fail(diag, err, NULL, "socket for followers %s: %s", path,
				 strerror(-err));
	}
	*ret = server;
	return 0;
}

static void release(struct follower *follower)
{
	close(follower->fd);
	free(follower->queue);
	memset(follower, 0, sizeof(*follower));
	follower->fd = -1;
}

/* Send what the socket takes. Returns false when the follower is gone. */
static bool flush(struct follower *follower)
{
	while (follower->len) {
		ssize_t n = send(follower->fd, follower->queue + follower->start, follower->len,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		follower->start += n;
		follower->len -= n;
	}
	follower->start = 0;
	return true;
}

static bool push(struct follower *follower, const char *line, size_t len, size_t room)
{
	if (follower->len + len > room)
		return false;
	if (!follower->queue)
		follower->queue = malloc(FOLLOWER_QUEUE_MAX + AUDIT_LINE_MAX);
	if (!follower->queue)
		return false;
	if (follower->start) {
		memmove(follower->queue, follower->queue + follower->start, follower->len);
		follower->start = 0;
	}
	memcpy(follower->queue + follower->len, line, len);
	follower->len += len;
	return true;
}

/* Of the waiting lines only the one that is under way goes out whole; then why it ends. */
static void dismiss(struct follow_server *server, struct follower *follower, const char *why,
		    __u64 now_ns)
{
	char note[256];
	int n = audit_format_note(why, note, sizeof(note));

	if (follower->queue && follower->len) {
		char *begin = follower->queue + follower->start;
		char *end = memchr(begin, '\n', follower->len);

		follower->len = end ? end - begin + 1 : 0;
	}
	if (n > 0)
		push(follower, note, n, FOLLOWER_QUEUE_MAX + AUDIT_LINE_MAX);
	follower->goodbye_ns = now_ns + FOLLOWER_GOODBYE_NS;
	server->dropped++;
}

static bool allowed(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return false;
	return peer.uid == 0 || peer.uid == geteuid();
}

static void turn_away(int fd)
{
	char note[128];
	int n = audit_format_note("too many followers", note, sizeof(note));

	if (n > 0)
		(void)!send(fd, note, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
}

static void accept_all(struct follow_server *server)
{
	for (;;) {
		int fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		struct follower *place = NULL;

		if (fd < 0)
			return;
		if (!allowed(fd)) {
			close(fd);
			continue;
		}
		for (size_t i = 0; i < FOLLOWERS_MAX && !place; i++)
			if (server->follower[i].fd < 0)
				place = &server->follower[i];
		if (place)
			place->fd = fd;
		else
			server->dropped++, turn_away(fd);
	}
}

/* Reads and forgets what followers send; true while the other end is there. */
static bool listening(struct follower *follower)
{
	char scrap[512];
	ssize_t n = recv(follower->fd, scrap, sizeof(scrap), MSG_DONTWAIT);

	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

void follow_poll(struct follow_server *server, __u64 now_ns)
{
	accept_all(server);
	for (size_t i = 0; i < FOLLOWERS_MAX; i++) {
		struct follower *follower = &server->follower[i];

		if (follower->fd < 0)
			continue;
		if (!listening(follower) || !flush(follower))
			release(follower);
		else if (follower->goodbye_ns && (!follower->len || now_ns > follower->goodbye_ns))
			release(follower);
	}
}

void follow_send(struct follow_server *server, const char *line, size_t len, __u64 now_ns)
{
	for (size_t i = 0; i < FOLLOWERS_MAX; i++) {
		struct follower *follower = &server->follower[i];

		if (follower->fd < 0 || follower->goodbye_ns)
			continue;
		if (!push(follower, line, len, FOLLOWER_QUEUE_MAX))
			dismiss(server, follower,
				"too slow: lines were lost here, connection closed", now_ns);
		if (!flush(follower))
			release(follower);
	}
}

size_t follow_count(const struct follow_server *server)
{
	size_t n = 0;

	for (size_t i = 0; i < FOLLOWERS_MAX; i++)
		n += server->follower[i].fd >= 0;
	return n;
}

__u64 follow_dropped(const struct follow_server *server)
{
	return server->dropped;
}

void follow_close(struct follow_server *server)
{
	struct stat st;

	if (!server)
		return;
	for (size_t i = 0; i < FOLLOWERS_MAX; i++)
		if (server->follower[i].fd >= 0)
			release(&server->follower[i]);
	if (server->path && lstat(server->path, &st) == 0 && st.st_dev == server->dev &&
	    st.st_ino == server->ino)
		unlink(server->path);
	if (server->fd >= 0)
		close(server->fd);
	free(server->path);
	free(server);
}
