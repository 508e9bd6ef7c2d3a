/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WEIR_BASE_FILE_H
#define WEIR_BASE_FILE_H

#include <stddef.h>

/**
 * file_slurp() - read to the end of @fd.
 * @text: room for @max + 1 bytes, so that a longer file is seen to be longer
 *
 * Returns 0, -EFBIG for more than @max bytes, or -errno of read(2).
 */
int file_slurp(int fd, char *text, size_t max, size_t *ret_len);

#endif
