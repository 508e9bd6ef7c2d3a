// SPDX-License-Identifier: GPL-2.0-only
/* YAML as compose files use it: anchors, aliases, merge keys, the tags !reset and !override; each node knows its place. */
#include "import/compose.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <libfyaml.h>

#include "base/mem.h"
#include "policy/events.h"

/**
 * struct build - the tree while events come in.
 * @open:   lists and mappings that are not yet closed, outermost first
 * @key:    the key that waits for its value, in each open mapping
 * @name:   the anchor of each, NULL without
 * @anchor: what can be referred to: nodes that are complete, so that nothing contains itself
 */
struct build {
	struct import *im;
	const char *file, *text;
	size_t len;
	unsigned int depth, documents;
	struct ynode *root;
	struct ynode *open[YAML_MAX_DEPTH];
	struct ynode *key[YAML_MAX_DEPTH];
	const char *name[YAML_MAX_DEPTH];
	struct anchor {
		const char *name;
		struct ynode *node;
	} * anchor;
	size_t nr_anchors, anchors_room;
};

const char *ynode_kind(const struct ynode *node)
{
	if (node->kind == Y_LIST)
		return "a list";
	if (node->kind == Y_MAP)
		return "a mapping";
	return ynode_is_null(node) ? "nothing" : "a value";
}

bool ynode_is_null(const struct ynode *node)
{
	static const char *const words[] = {"", "~", "null", "Null", "NULL"};

	if (!node)
		return true;
	if (node->kind != Y_SCALAR || node->quoted)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcmp(node->text, words[i]))
			return true;
	return false;
}

struct ynode *ynode_get(const struct ynode *map, const char *key)
{
	for (size_t i = 0; map && map->kind == Y_MAP && i < map->n; i++)
		if (!strcmp(map->key[i]->text, key))
			return map->value[i];
	return NULL;
}

struct ynode *ynode_new(struct import *im, enum ykind kind, const struct position *at)
{
	struct ynode *node;

	if (im->nr_nodes >= YAML_MAX_NODES) {
		import_fail(im, at, "the files are too large: more than %d keys and values",
			    YAML_MAX_NODES);
		return NULL;
	}
	node = import_alloc(im, sizeof(*node));
	if (!node)
		return NULL;
	im->nr_nodes++;
	node->kind = kind;
	node->at = *at;
	node->text = "";
	return node;
}

/* Room for one more in both arrays. What merge keys repeat counts like what was written. */
static int grow(struct import *im, struct ynode *node)
{
	size_t room = node->room ? 2 * node->room : 4;
	struct ynode **key, **value;

	if (++im->nr_nodes > YAML_MAX_NODES)
		return import_fail(im, &node->at,
				   "the files are too large: more than %d keys and values",
				   YAML_MAX_NODES);
	if (node->n < node->room)
		return 0;
	key = import_alloc(im, room * sizeof(*key));
	value = import_alloc(im, room * sizeof(*value));
	if (!key || !value)
		return -ENOMEM;
	if (node->n) {
		memcpy(key, node->key, node->n * sizeof(*key));
		memcpy(value, node->value, node->n * sizeof(*value));
	}
	node->key = key;
	node->value = value;
	node->room = room;
	return 0;
}

int ynode_put(struct import *im, struct ynode *map, struct ynode *key, struct ynode *value)
{
	int err;

	for (size_t i = 0; i < map->n; i++)
		if (!strcmp(map->key[i]->text, key->text)) {
			map->key[i] = key;
			map->value[i] = value;
			return 0;
		}
	err = grow(im, map);
	if (err)
		return err;
	map->key[map->n] = key;
	map->value[map->n++] = value;
	return 0;
}

int ynode_add(struct import *im, struct ynode *list, struct ynode *entry)
{
	int err = grow(im, list);

	if (!err)
		list->value[list->n++] = entry;
	return err;
}

/* Where nothing stands: at the key that waits for its value, or where the list begins. */
static struct position place_of_nothing(const struct build *build)
{
	struct position at = {.file = build->file, .line = 1, .column = 1};

	if (!build->depth)
		return at;
	if (build->key[build->depth - 1])
		return build->key[build->depth - 1]->at;
	return build->open[build->depth - 1]->at;
}

static struct position place(const struct build *build, const struct fy_mark *mark, bool quoted)
{
	struct position at = {.file = build->file};

	if (!mark)
		return place_of_nothing(build);
	at.line = mark->line + 1;
	at.column = mark->column + 1;
	/* The mark of a quoted scalar stands behind the quote; the reader looks for the quote itself. */
	if (quoted && mark->input_pos && mark->input_pos <= build->len && mark->column &&
	    strchr("'\"", build->text[mark->input_pos - 1]))
		at.column--;
	return at;
}

static char *token_text(struct build *build, struct fy_token *token)
{
	size_t len = 0;
	const char *text = token ? fy_token_get_text(token, &len) : "";

	return import_text(build->im, text ? text : "", len);
}

static int remember(struct build *build, const char *name, struct ynode *node)
{
	struct anchor *anchor;

	if (!name)
		return 0;
	anchor = import_append(build->im, &build->anchor, &build->nr_anchors, &build->anchors_room,
			       sizeof(*anchor));
	if (!anchor)
		return -ENOMEM;
	*anchor = (struct anchor){name, node};
	return 0;
}

/* Add to a mapping what it does not have yet. */
static int merge_into(struct build *build, struct ynode *map, const struct ynode *more)
{
	int err = 0;

	if (more->kind != Y_MAP)
		return import_fail(build->im, &more->at, "<<: wanted a mapping, found %s",
				   ynode_kind(more));
	for (size_t i = 0; i < more->n && !err; i++)
		if (!ynode_get(map, more->key[i]->text))
			err = ynode_put(build->im, map, more->key[i], more->value[i]);
	return err;
}

/* Resolve "<<": what the mapping says itself wins, then the first that has the key. */
static int merge_keys(struct build *build, struct ynode *map)
{
	struct ynode *merged = NULL;
	int err = 0;

	for (size_t i = 0; i < map->n && !merged; i++)
		if (!map->key[i]->quoted && !strcmp(map->key[i]->text, "<<")) {
			merged = map->value[i];
			memmove(&map->key[i], &map->key[i + 1],
				(map->n - i - 1) * sizeof(*map->key));
			memmove(&map->value[i], &map->value[i + 1],
				(map->n - i - 1) * sizeof(*map->value));
			map->n--;
		}
	if (!merged)
		return 0;
	if (merged->kind != Y_LIST)
		return merge_into(build, map, merged);
	for (size_t i = 0; i < merged->n && !err; i++)
		err = merge_into(build, map, merged->value[i]);
	return err;
}

/* Hang a node where it belongs. */
static int add(struct build *build, struct ynode *node)
{
	unsigned int top = build->depth - 1;
	struct ynode *parent, *key;
	int err;

	if (!build->depth) {
		build->root = node;
		return 0;
	}
	parent = build->open[top];
	if (parent->kind == Y_LIST)
		return ynode_add(build->im, parent, node);
	key = build->key[top];
	if (!key) {
		if (node->kind != Y_SCALAR)
			return import_fail(build->im, &node->at, "a key is a single word here");
		for (size_t i = 0; i < parent->n; i++)
			if (!strcmp(parent->key[i]->text, node->text))
				return import_fail(
				    build->im, &node->at,
				    "key \"%.64s\" is given twice; first at line %u, column %u",
				    node->text, parent->key[i]->at.line, parent->key[i]->at.column);
		build->key[top] = node;
		return 0;
	}
	build->key[top] = NULL;
	err = grow(build->im, parent);
	if (err)
		return err;
	parent->key[parent->n] = key;
	parent->value[parent->n++] = node;
	return 0;
}

static int open_node(struct build *build, struct ynode *node, const char *name)
{
	if (build->depth == YAML_MAX_DEPTH)
		return import_fail(build->im, &node->at, "lists and mappings nest deeper than %d",
				   YAML_MAX_DEPTH);
	build->open[build->depth] = node;
	build->key[build->depth] = NULL;
	build->name[build->depth] = name;
	build->depth++;
	return 0;
}

static int close_node(struct build *build)
{
	struct ynode *node = build->open[--build->depth];
	int err = node->kind == Y_MAP ? merge_keys(build, node) : 0;

	if (!err)
		err = remember(build, build->name[build->depth], node);
	return err ? err : add(build, node);
}

static void read_tag(struct ynode *node, struct fy_token *token)
{
	size_t len = 0;
	const char *text = token ? fy_token_get_text(token, &len) : NULL;

	/* Other tags say what type a value has, which is known here. */
	node->reset = text && len >= 6 && !memcmp(text + len - 6, "!reset", 6);
	node->replace = text && len >= 9 && !memcmp(text + len - 9, "!override", 9);
}

static int on_node(struct build *build, struct fy_event *event, enum ykind kind,
		   struct fy_token *anchor, struct fy_token *tag)
{
	struct fy_token *value = kind == Y_SCALAR ? event->scalar.value : NULL;
	enum fy_scalar_style style = value ? fy_token_scalar_style(value) : FYSS_PLAIN;
	bool quotes = style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED;
	struct position at = place(build, fy_event_start_mark(event), quotes);
	struct ynode *node = ynode_new(build->im, kind, &at);
	const char *name = anchor ? token_text(build, anchor) : NULL;
	int err;

	if (!node || (anchor && !name))
		return build->im->diag->error[0] ? -EINVAL : -ENOMEM;
	node->quoted = style != FYSS_PLAIN;
	read_tag(node, tag);
	if (kind != Y_SCALAR)
		return open_node(build, node, name);
	node->text = token_text(build, value);
	if (!node->text)
		return -ENOMEM;
	/* Versions of the YAML library differ in the place that they give to nothing. */
	if (!node->text[0] && !node->quoted)
		node->at = place_of_nothing(build);
	err = remember(build, name, node);
	return err ? err : add(build, node);
}

static int on_alias(struct build *build, struct fy_event *event)
{
	struct position at = place(build, fy_event_start_mark(event), false);
	const char *name = token_text(build, event->alias.anchor);

	if (!name)
		return -ENOMEM;
	for (size_t i = build->nr_anchors; i-- > 0;)
		if (!strcmp(build->anchor[i].name, name))
			return add(build, build->anchor[i].node);
	return import_fail(build->im, &at, "there is no anchor \"%.64s\" before this", name);
}

/* Returns 0, -errno, or 1 when nothing more needs to be read. */
static int on_event(void *arg, struct fy_event *event)
{
	struct build *build = arg;
	struct position at = {.file = build->file};

	switch (event->type) {
	case FYET_DOCUMENT_START:
		at = place(build, fy_event_start_mark(event), false);
		if (build->documents++)
			return import_fail(
			    build->im, &at,
			    "several documents in one file; each needs a file of its own");
		return 0;
	case FYET_SCALAR:
		return on_node(build, event, Y_SCALAR, event->scalar.anchor, event->scalar.tag);
	case FYET_SEQUENCE_START:
		return on_node(build, event, Y_LIST, event->sequence_start.anchor,
			       event->sequence_start.tag);
	case FYET_MAPPING_START:
		return on_node(build, event, Y_MAP, event->mapping_start.anchor,
			       event->mapping_start.tag);
	case FYET_SEQUENCE_END:
	case FYET_MAPPING_END:
		return close_node(build);
	case FYET_ALIAS:
		return on_alias(build, event);
	case FYET_STREAM_END:
		return 1;
	default:
		return 0;
	}
}

int yaml_read(struct import *im, const char *text, size_t len, const char *file, struct ynode **ret)
{
	struct build build = {.im = im, .file = file, .text = text, .len = len};
	int err = yaml_events(text, len, file, on_event, &build, im->diag);

	if (!err)
		*ret = build.root;
	return err;
}
