/* SPDX-License-Identifier: GPL-2.0-only */
/* YAML text to a tree in which every key and value knows its place. Only what the policy language needs of YAML. */
#ifndef WEIR_POLICY_YAML_H
#define WEIR_POLICY_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "base/diag.h"

enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAP };

/**
 * struct node - a scalar, a list or a mapping.
 * @text:  of a scalar: no control characters in it; "" when nothing stands there
 * @child: first entry of a list; of a mapping its first key, whose @next is that key's value, then the second key, …
 * @n:     entries of a list, pairs of a mapping
 */
struct node {
	enum node_kind kind;
	bool quoted;
	struct position at;
	const char *text;
	struct node *child;
	struct node *next;
	size_t n;
};

struct tree;

/**
 * yaml_parse() - read one document.
 * @text: UTF-8; how much of it is the caller's to limit
 * @file: name in positions; must outlive the tree
 *
 * Refused: what is not YAML, more than one document, none at all, anchors, aliases, tags, merge keys, keys that are no
 * scalars, keys given twice in one mapping, control characters, nesting deeper than POLICY_MAX_DEPTH.
 * Returns 0 and *@ret, to be released by tree_free(); -EINVAL with @diag; -ENOMEM.
 */
int yaml_parse(const char *text, size_t len, const char *file, struct tree **ret,
	       struct diag *diag);
const struct node *tree_root(const struct tree *tree);
void tree_free(struct tree *tree);

/** node_kind_name() - "a list", "a mapping", "nothing" or "a value", for messages. */
const char *node_kind_name(const struct node *node);

#endif
