// SPDX-License-Identifier: GPL-2.0-only
/* Several files as one: overriding files, included ones, services that extend others. */
#include "import/compose.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define MAX_FILES 64 /* read on the way to one document, through include and extends */

/** struct document - a file, read; @path is the one that every way to it leads to. */
struct document {
	const char *path;
	struct ynode *root;
};

/** struct reading - @document: what was read so far. */
struct reading {
	struct import *im;
	struct document *document;
	size_t nr_documents, documents_room;
};

/* [a, b] where names may also be the keys of a mapping. */
static int list_to_map(struct import *im, struct ynode *list, struct ynode **ret)
{
	struct ynode *map = ynode_new(im, Y_MAP, &list->at);
	int err = map ? 0 : -ENOMEM;

	for (size_t i = 0; i < list->n && !err; i++) {
		struct ynode *entry = list->value[i], *nothing;

		if (entry->kind != Y_SCALAR)
			return import_fail(im, &entry->at, "wanted a name, found %s",
					   ynode_kind(entry));
		nothing = ynode_new(im, Y_SCALAR, &entry->at);
		err = nothing ? ynode_put(im, map, entry, nothing) : -ENOMEM;
	}
	*ret = map;
	return err;
}

static int merge_maps(struct import *im, struct ynode *base, struct ynode *over, struct ynode **ret)
{
	struct ynode *map = ynode_new(im, Y_MAP, &over->at);
	int err = map ? 0 : -ENOMEM;

	for (size_t i = 0; i < base->n && !err; i++)
		err = ynode_put(im, map, base->key[i], base->value[i]);
	for (size_t i = 0; i < over->n && !err; i++) {
		struct ynode *before = ynode_get(base, over->key[i]->text);
		struct ynode *value = over->value[i];

		if (before)
			err = merge(im, before, value, &value);
		if (!err)
			err = ynode_put(im, map, over->key[i], value);
	}
	*ret = map;
	return err;
}

int merge(struct import *im, struct ynode *base, struct ynode *over, struct ynode **ret)
{
	int err = 0;

	*ret = over;
	if (over->replace || over->reset || ynode_is_null(base))
		return 0;
	if (ynode_is_null(over)) {
		*ret = base;
		return 0;
	}
	if (base->kind == Y_LIST && over->kind == Y_MAP)
		err = list_to_map(im, base, &base);
	if (base->kind == Y_MAP && over->kind == Y_LIST)
		err = list_to_map(im, over, &over);
	if (err)
		return err;
	if (base->kind == Y_MAP && over->kind == Y_MAP)
		return merge_maps(im, base, over, ret);
	if (base->kind != Y_LIST || over->kind != Y_LIST)
		return 0;
	*ret = ynode_new(im, Y_LIST, &base->at);
	if (!*ret)
		return -ENOMEM;
	for (size_t i = 0; i < base->n && !err; i++)
		err = ynode_add(im, *ret, base->value[i]);
	for (size_t i = 0; i < over->n && !err; i++)
		err = ynode_add(im, *ret, over->value[i]);
	return err;
}

/* A path in @file is relative to its directory. */
static const char *beside(struct import *im, const char *file, const char *path)
{
	const char *slash = strrchr(file, '/');

	if (path[0] == '/' || !slash)
		return path;
	return import_format(im, "%.*s/%s", (int)(slash - file), file, path);
}

static int document_load(struct reading *reading, const char *path, struct ynode **ret);

/* The service that @extends names, in @root or in a file of its own; *@ret_root is where it was found. */
static int find_base(struct reading *reading, const char *path, struct ynode *root,
		     struct ynode *extends, const char **ret_path, struct ynode **ret_root,
		     const char **ret_name)
{
	struct import *im = reading->im;
	struct ynode *name = extends, *file = NULL;
	const char *text;
	int err;

	if (extends->kind == Y_MAP) {
		name = ynode_get(extends, "service");
		file = ynode_get(extends, "file");
	}
	if (!name)
		return import_fail(im, &extends->at, "extends: service is missing");
	err = ytext(im, name, "extends", ret_name);
	*ret_path = path;
	*ret_root = root;
	if (err || !file)
		return err;
	err = ytext(im, file, "extends: file", &text);
	if (err)
		return err;
	*ret_path = beside(im, path, text);
	return *ret_path ? document_load(reading, *ret_path, ret_root) : -ENOMEM;
}

static int extend(struct reading *reading, const char *path, struct ynode *root, const char *name,
		  struct ynode *service, unsigned int depth, struct ynode **ret)
{
	struct import *im = reading->im;
	struct ynode *extends = ynode_get(service, "extends"), *base, *own, *base_root;
	const char *base_path = path, *base_name;
	int err;

	*ret = service;
	if (ynode_is_null(extends))
		return 0;
	if (depth > 16)
		return import_fail(im, &extends->at,
				   "service \"%.64s\": extends goes in a circle, or too far", name);
	err = find_base(reading, path, root, extends, &base_path, &base_root, &base_name);
	if (err)
		return err;
	base = ynode_get(ynode_get(base_root, "services"), base_name);
	if (!base)
		return import_fail(im, &extends->at,
				   "service \"%.64s\" extends \"%.64s\", which %s does not have",
				   name, base_name, base_path);
	err = extend(reading, base_path, base_root, base_name, base, depth + 1, &base);
	if (err)
		return err;
	own = ynode_new(im, Y_MAP, &service->at);
	for (size_t i = 0; own && i < service->n && !err; i++)
		if (strcmp(service->key[i]->text, "extends"))
			err = ynode_put(im, own, service->key[i], service->value[i]);
	if (!err)
		err = own ? merge(im, base, own, ret) : -ENOMEM;
	return err;
}

/* *@ret is the file with what its services extend put in. */
static int extend_all(struct reading *reading, const char *path, struct ynode *root,
		      struct ynode **ret)
{
	struct import *im = reading->im;
	struct ynode *services = ynode_get(root, "services"), *extended, *over;
	struct ynode *name;
	int err = 0;

	*ret = root;
	if (!services || services->kind != Y_MAP)
		return 0;
	extended = ynode_new(im, Y_MAP, &services->at);
	over = ynode_new(im, Y_MAP, &root->at);
	name = ynode_new(im, Y_SCALAR, &services->at);
	if (!extended || !over || !name)
		return -ENOMEM;
	name->text = "services";
	for (size_t i = 0; i < services->n && !err; i++) {
		struct ynode *service = services->value[i];

		err = extend(reading, path, root, services->key[i]->text, service, 0, &service);
		if (!err)
			err = ynode_put(im, extended, services->key[i], service);
	}
	for (size_t i = 0; i < root->n && !err; i++)
		err = ynode_put(im, over, root->key[i], root->value[i]);
	if (!err)
		err = ynode_put(im, over, name, extended);
	*ret = over;
	return err;
}

static int include_one(struct reading *reading, const char *path, struct ynode *entry,
		       struct ynode **root)
{
	struct import *im = reading->im;
	struct ynode *where = entry->kind == Y_MAP ? ynode_get(entry, "path") : entry, *included;
	const char *text, *file;
	int err = 0;

	if (!where)
		return import_fail(im, &entry->at, "include: path is missing");
	if (entry->kind == Y_MAP && ynode_get(entry, "env_file"))
		diag_warn(im->diag, &entry->at,
			  "include: env_file is not read; variables are those of this project");
	for (size_t i = 0; !err && i < (where->kind == Y_LIST ? where->n : 1); i++) {
		err = ytext(im, where->kind == Y_LIST ? where->value[i] : where, "include", &text);
		if (err)
			return err;
		file = beside(im, path, text);
		err = file ? document_load(reading, file, &included) : -ENOMEM;
		if (!err)
			err = merge(im, included, *root, root);
	}
	return err;
}

static int include_all(struct reading *reading, const char *path, struct ynode **root)
{
	struct ynode *include = ynode_get(*root, "include");
	int err = 0;

	if (ynode_is_null(include))
		return 0;
	if (include->kind != Y_LIST)
		return include_one(reading, path, include, root);
	for (size_t i = 0; i < include->n && !err; i++)
		err = include_one(reading, path, include->value[i], root);
	return err;
}

static int parse(struct import *im, const char *path, struct ynode **ret)
{
	struct position at = {.file = path, .line = 1, .column = 1};
	char *text;
	size_t len;
	int err;

	*ret = NULL;
	err = file_read(im, path, &text, &len);
	if (!err)
		err = yaml_read(im, text, len, path, ret);
	if (err)
		return err;
	if (ynode_is_null(*ret))
		return import_fail(im, &at, "the file is empty");
	if ((*ret)->kind != Y_MAP)
		return import_fail(im, &(*ret)->at, "wanted a compose file, found %s",
				   ynode_kind(*ret));
	return 0;
}

/* One file with what it includes; what its services extend is put in. */
static int document_load(struct reading *reading, const char *path, struct ynode **ret)
{
	struct import *im = reading->im;
	_cleanup_free_ char *real = realpath(path, NULL);
	struct position at = {.file = path};
	struct document *document;
	struct ynode *root;
	size_t self = reading->nr_documents;
	int err;

	for (size_t i = 0; i < reading->nr_documents; i++)
		if (!strcmp(reading->document[i].path, real ? real : path)) {
			*ret = reading->document[i].root;
			return 0;
		}
	if (reading->nr_documents == MAX_FILES)
		return import_fail(im, &at, "more than %d files are included", MAX_FILES);
	path = import_text(im, path, strlen(path));
	document = import_append(im, &reading->document, &reading->nr_documents,
				 &reading->documents_room, sizeof(*document));
	if (!path || !document)
		return -ENOMEM;
	err = parse(reading->im, path, &root);
	if (err)
		return err;
	/* Known from here on, as read: services extend others of their own file, and files include one another. */
	*document = (struct document){.path = path, .root = root};
	if (real)
		document->path = import_text(im, real, strlen(real));
	if (!document->path)
		return -ENOMEM;
	err = extend_all(reading, path, root, &root);
	if (!err)
		err = include_all(reading, path, &root);
	reading->document[self].root = root;
	*ret = root;
	return err;
}

/* Compose 1.x takes the last file's word about a network alone: what the ones before it close would be open. */
static void warn_forgotten(struct import *im, const struct ynode *base, const struct ynode *over)
{
	const struct ynode *before = ynode_get(base, "networks");
	const struct ynode *after = ynode_get(over, "networks");

	for (size_t i = 0; after && after->kind == Y_MAP && i < after->n; i++) {
		const struct ynode *internal =
		    ynode_get(ynode_get(before, after->key[i]->text), "internal");

		if (internal && !ynode_is_null(after->value[i]) &&
		    !ynode_get(after->value[i], "internal"))
			diag_warn(
			    im->diag, &after->key[i]->at,
			    "network %.64s: internal is said at %s:%u; compose 1.x forgets it here, where the network is given again",
			    after->key[i]->text, internal->at.file, internal->at.line);
	}
}

int document_read(struct import *im, const char *const *paths, size_t n, struct ynode **ret)
{
	struct reading reading = {.im = im};
	struct ynode *root = NULL, *next;
	int err = 0;

	for (size_t i = 0; i < n && !err; i++) {
		err = document_load(&reading, paths[i], &next);
		if (!err && root) {
			warn_forgotten(im, root, next);
			err = merge(im, root, next, &next);
		}
		root = next;
	}
	*ret = root;
	return err;
}
