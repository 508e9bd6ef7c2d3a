/* SPDX-License-Identifier: GPL-2.0-only */
/* What others say about their networks, as policy text. Pure: reads files, asks no engine, needs no privilege. */
#ifndef WEIR_IMPORT_IMPORT_H
#define WEIR_IMPORT_IMPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/diag.h"

#define IMPORT_MAX_BYTES (4 << 20) /* of one file */

/**
 * struct import_options - how to read and what to write.
 * @project:    name of the project; NULL: COMPOSE_PROJECT_NAME, else `name:`, else the directory's name
 * @interfaces: names or patterns of NICs, separated by commas; NULL: eth0, with a comment that says to check it
 * @env_file:   variables; NULL: .env beside the first file, where there is one
 * @environ:    "NAME=VALUE", ended by NULL; wins over @env_file. NULL: none
 * @tight:      between services, only what depends_on and links name; out, only name service
 */
struct import_options {
	const char *project;
	const char *interfaces;
	const char *env_file;
	const char *const *environ;
	bool tight;
};

/**
 * import_compose() - a policy that means what compose files mean.
 * @paths: "-" is standard input. Each further file overrides what the ones before it say, as compose does.
 *
 * *@ret_text (malloc'ed) is policy text that policy_parse() accepts; every line says where it came from. What could not
 * be carried over is in @diag as warnings, and in the text's last lines. *@ret_project (malloc'ed) is the project's name.
 * Returns 0; -EINVAL: not a compose file that means something, @diag says where; -ENOENT, -EACCES, …: a file cannot be
 * read; -EFBIG; -ENOMEM.
 */
int import_compose(const char *const *paths, size_t n, const struct import_options *options,
		   char **ret_text, char **ret_project, struct diag *diag);

#endif
