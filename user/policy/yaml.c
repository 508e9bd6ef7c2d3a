// SPDX-License-Identifier: GPL-2.0-only
#include "policy/yaml.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libfyaml.h>

#include "base/arena.h"
#include "base/mem.h"
#include "policy/events.h"
#include "policy/model.h"

/* Nodes and their texts go all at once. */
struct tree {
	struct arena arena;
	struct node *root;
};

void tree_free(struct tree *tree)
{
	if (!tree)
		return;
	arena_free(&tree->arena);
	free(tree);
}

const struct node *tree_root(const struct tree *tree)
{
	return tree->root;
}

const char *node_kind_name(const struct node *node)
{
	if (node->kind == NODE_LIST)
		return "a list";
	if (node->kind == NODE_MAP)
		return "a mapping";
	return node->text[0] || node->quoted ? "a value" : "nothing";
}

/**
 * struct build - the tree while events come in.
 * @open:  lists and mappings that are not yet closed, outermost first
 * @tail:  where the next entry of each goes
 * @key:   the key that waits for its value, in each open mapping
 */
struct build {
	struct tree *tree;
	struct diag *diag;
	const char *file;
	const char *text;
	size_t len;
	unsigned int depth;
	unsigned int documents;
	struct node *open[POLICY_MAX_DEPTH];
	struct node **tail[POLICY_MAX_DEPTH];
	struct node *key[POLICY_MAX_DEPTH];
};

static int reject(struct build *build, const struct position *at, const char *text)
{
	return diag_fail(build->diag, -EINVAL, at, "%s", text);
}

static struct position token_place(struct build *build, struct fy_token *token)
{
	const struct fy_mark *mark = fy_token_start_mark(token);
	struct position at = {.file = build->file, .line = 1, .column = 1};

	if (mark) {
		at.line = mark->line + 1;
		at.column = mark->column + 1;
	}
	return at;
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

/* Where an event begins. */
static struct position place(const struct build *build, struct fy_event *event, bool quoted)
{
	const struct fy_mark *mark = fy_event_start_mark(event);
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

static int compare_keys(const void *a, const void *b)
{
	const struct node *x = *(const struct node *const *)a, *y = *(const struct node *const *)b;
	int order = strcmp(x->text, y->text);

	if (order)
		return order;
	if (x->at.line != y->at.line)
		return x->at.line < y->at.line ? -1 : 1;
	return x->at.column < y->at.column ? -1 : x->at.column > y->at.column;
}

static int check_duplicates(struct build *build, const struct node *map)
{
	_cleanup_free_ const struct node **keys = NULL;
	const struct node *twice = NULL, *first = NULL;
	size_t n = 0;

	if (map->n < 2)
		return 0;
	keys = calloc(map->n, sizeof(*keys));
	if (!keys)
		return -ENOMEM;
	for (const struct node *key = map->child; key; key = key->next->next)
		keys[n++] = key;
	qsort(keys, n, sizeof(*keys), compare_keys);
	for (size_t i = 1; i < n; i++)
		if (!strcmp(keys[i - 1]->text, keys[i]->text) &&
		    (!twice || keys[i]->at.line < twice->at.line)) {
			twice = keys[i];
			first = keys[i - 1];
		}
	if (twice)
		return diag_fail(build->diag, -EINVAL, &twice->at,
				 "key \"%.64s\" is given twice; first at line %u, column %u",
				 twice->text, first->at.line, first->at.column);
	return 0;
}

/* Hang a node where it belongs. */
static int add(struct build *build, struct node *node)
{
	unsigned int top = build->depth - 1;
	struct node *parent;

	if (!build->depth) {
		build->tree->root = node;
		return 0;
	}
	parent = build->open[top];
	if (parent->kind == NODE_MAP && !build->key[top]) {
		if (node->kind != NODE_SCALAR)
			return reject(build, &node->at, "a key is a single word here");
		if (!node->quoted && !strcmp(node->text, "<<"))
			return reject(build, &node->at, "merge keys (<<) are not allowed");
		build->key[top] = node;
	} else {
		build->key[top] = NULL;
		parent->n++;
	}
	*build->tail[top] = node;
	build->tail[top] = &node->next;
	return 0;
}

static int open_node(struct build *build, struct node *node)
{
	int err;

	if (build->depth == POLICY_MAX_DEPTH)
		return diag_fail(build->diag, -EINVAL, &node->at,
				 "lists and mappings nest deeper than %d", POLICY_MAX_DEPTH);
	err = add(build, node);
	if (err)
		return err;
	build->open[build->depth] = node;
	build->tail[build->depth] = &node->child;
	build->key[build->depth] = NULL;
	build->depth++;
	return 0;
}

static int close_node(struct build *build)
{
	struct node *node = build->open[--build->depth];

	return node->kind == NODE_MAP ? check_duplicates(build, node) : 0;
}

static int scalar_text(struct build *build, struct node *node, struct fy_token *token)
{
	size_t len = 0;
	const char *text = fy_token_get_text(token, &len);

	node->text = arena_text(&build->tree->arena, text, len);
	if (!node->text)
		return -ENOMEM;
	for (size_t i = 0; text && i < len; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return reject(
			    build, &node->at,
			    "control characters and line breaks are not allowed in a value");
	return 0;
}

static int on_node(struct build *build, struct fy_event *event, enum node_kind kind,
		   struct fy_token *anchor, struct fy_token *tag)
{
	struct node *node = arena_alloc(&build->tree->arena, sizeof(*node));
	struct fy_token *value = kind == NODE_SCALAR ? event->scalar.value : NULL;
	enum fy_scalar_style style = value ? fy_token_scalar_style(value) : FYSS_PLAIN;
	int err;

	if (!node)
		return -ENOMEM;
	node->kind = kind;
	node->quoted = style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED;
	node->at = place(build, event, node->quoted);
	node->text = "";
	if (anchor || tag) {
		struct position at = token_place(build, anchor ? anchor : tag);

		return reject(build, &at,
			      anchor ? "anchors (&) are not allowed" : "tags (!) are not allowed");
	}
	if (kind != NODE_SCALAR)
		return open_node(build, node);
	if (value) {
		err = scalar_text(build, node, value);
		if (err)
			return err;
	}
	/* Versions of the YAML library differ in the place that they give to nothing. */
	if (!node->text[0] && !node->quoted)
		node->at = place_of_nothing(build);
	return add(build, node);
}

/* A second document: in a file of Kubernetes documents that is not what is wrong with it. */
static int on_document(struct build *build, struct fy_event *event)
{
	struct position at = place(build, event, false);
	const struct node *root = build->tree->root;

	if (build->documents++ == 0)
		return 0;
	if (root && root->kind == NODE_MAP)
		for (const struct node *key = root->child; key; key = key->next->next)
			if (!strcmp(key->text, "apiVersion") || !strcmp(key->text, "kind"))
				return 1;
	return reject(build, &at, "several documents in one file; each needs a file of its own");
}

/* Returns 0, -errno, or 1 when nothing more needs to be read. */
static int on_event(void *arg, struct fy_event *event)
{
	struct build *build = arg;
	struct position at;

	switch (event->type) {
	case FYET_DOCUMENT_START:
		return on_document(build, event);
	case FYET_SCALAR:
		return on_node(build, event, NODE_SCALAR, event->scalar.anchor, event->scalar.tag);
	case FYET_SEQUENCE_START:
		return on_node(build, event, NODE_LIST, event->sequence_start.anchor,
			       event->sequence_start.tag);
	case FYET_MAPPING_START:
		return on_node(build, event, NODE_MAP, event->mapping_start.anchor,
			       event->mapping_start.tag);
	case FYET_SEQUENCE_END:
	case FYET_MAPPING_END:
		return close_node(build);
	case FYET_ALIAS:
		at = place(build, event, false);
		return reject(build, &at, "aliases (*) are not allowed");
	case FYET_STREAM_END:
		return 1;
	default:
		return 0;
	}
}

int yaml_parse(const char *text, size_t len, const char *file, struct tree **ret, struct diag *diag)
{
	struct build build = {.diag = diag, .file = file, .text = text, .len = len};
	struct position at = {.file = file, .line = 1, .column = 1};
	int err;

	build.tree = calloc(1, sizeof(*build.tree));
	if (!build.tree)
		return -ENOMEM;
	err = yaml_events(text, len, file, on_event, &build, diag);
	if (!err && !build.tree->root)
		err = reject(&build, &at, "the file holds no policy");
	if (err) {
		tree_free(build.tree);
		return err;
	}
	*ret = build.tree;
	return 0;
}
