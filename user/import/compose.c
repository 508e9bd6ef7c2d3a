// SPDX-License-Identifier: GPL-2.0-only
#include "import/compose.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* Of the project: the first file's. */
static int set_directory(struct import *im, const char *path)
{
	const char *slash = strrchr(path, '/');

	im->directory =
	    !slash ? "." : import_text(im, path, slash == path ? 1 : (size_t)(slash - path));
	return im->directory ? 0 : -ENOMEM;
}

/* They go into the policy as they are. */
static int check_interfaces(struct import *im)
{
	const char *p = im->options->interfaces;
	static const char allowed[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-*?@[]!";

	while (p) {
		size_t n = strcspn(p, ",");

		if (!n || strspn(p, allowed) < n || n > 63 || (n > 15 && !memchr(p, '*', n)))
			return import_fail(
			    im, NULL,
			    "--interface: wanted names of interfaces, separated by commas; found \"%.64s\"",
			    im->options->interfaces);
		p = p[n] ? p + n + 1 : NULL;
	}
	return 0;
}

static int import(struct import *im, const char *const *paths, size_t n, char **ret_text,
		  char **ret_project)
{
	_cleanup_free_ char *text = NULL, *name = NULL;
	struct project project = {};
	struct ynode *root = NULL;
	int err;

	err = check_interfaces(im);
	if (!err)
		err = set_directory(im, paths[0]);
	if (!err)
		err = variables_read(im);
	if (!err)
		err = document_read(im, paths, n, &root);
	if (!err)
		err = project_read(im, root, &project);
	if (!err)
		err = policy_write(im, &project, paths, n, &text);
	if (!err)
		err = (name = strdup(project.name)) ? 0 : -ENOMEM;
	if (err)
		return err;
	*ret_text = TAKE_PTR(text);
	*ret_project = TAKE_PTR(name);
	return 0;
}

int import_compose(const char *const *paths, size_t n, const struct import_options *options,
		   char **ret_text, char **ret_project, struct diag *diag)
{
	struct import im = {.options = options, .diag = diag};
	int err = import(&im, paths, n, ret_text, ret_project);

	arena_free(&im.arena);
	return err;
}
