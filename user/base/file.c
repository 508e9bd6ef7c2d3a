// SPDX-License-Identifier: GPL-2.0-only
#include "base/file.h"

#include <errno.h>
#include <unistd.h>

int file_slurp(int fd, char *text, size_t max, size_t *ret_len)
{
	size_t len = 0;
	ssize_t n;

	while (len <= max) {
		n = read(fd, text + len, max + 1 - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	*ret_len = len;
	return len > max ? -EFBIG : 0;
}
