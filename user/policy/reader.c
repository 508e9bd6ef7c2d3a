// SPDX-License-Identifier: GPL-2.0-only
#include "policy/reader.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/units.h"

const struct scope *const policy_scopes[] = {
    &scope_policy,
    &scope_interface,
    &scope_default,
    &scope_segment_default,
    &scope_failsafe,
    &scope_segment,
    &scope_item,
    &scope_rule,
    &scope_limit,
    &scope_limit_key,
    &scope_on_exceed,
    &scope_timeouts,
    &scope_audit,
    &scope_rotate,
    &scope_mask,
    &scope_test,
    &scope_home,
    &scope_service,
    &scope_protect,
    &scope_syn_cookies,
    NULL,
};

int reject_kind(struct reader *reader, const struct node *node, const char *what,
		const char *wanted)
{
	if (node->kind == NODE_SCALAR && (node->text[0] || node->quoted))
		return reject(reader, &node->at, "%s: wanted %s, found \"%.64s\"", what, wanted,
			      node->text);
	return reject(reader, &node->at, "%s: wanted %s, found %s", what, wanted,
		      node_kind_name(node));
}

/* How many single changes (a letter more, less or other, two swapped) lead from @a to @b; 99 for long words. */
static unsigned int distance(const char *a, const char *b)
{
	unsigned int rows[3][33];
	size_t la = strlen(a), lb = strlen(b);

	if (la > 32 || lb > 32)
		return 99;
	for (size_t j = 0; j <= lb; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= la; i++) {
		unsigned int *row = rows[i % 3], *above = rows[(i + 2) % 3],
			     *two = rows[(i + 1) % 3];

		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			unsigned int best = above[j - 1] + (a[i - 1] != b[j - 1]);

			if (above[j] + 1 < best)
				best = above[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    two[j - 2] + 1 < best)
				best = two[j - 2] + 1;
			row[j] = best;
		}
	}
	return rows[la % 3][lb];
}

const char *closest(const char *text, const char *const *candidates)
{
	unsigned int allowed = strlen(text) < 4 ? 1 : 2, best = allowed + 1;
	const char *found = NULL;

	for (; *candidates; candidates++) {
		unsigned int d = distance(text, *candidates);

		if (d < best) {
			best = d;
			found = *candidates;
		}
	}
	return found;
}

/* "a, b, c" in @buffer, as much as fits; @last stands before the last one ("a, b or c"). */
static const char *enumerate(const char *const *words, const char *last, char *buffer, size_t size)
{
	size_t used = 0;

	buffer[0] = '\0';
	for (size_t i = 0; words[i] && used < size; i++)
		used += snprintf(buffer + used, size - used, "%s%s",
				 !i		? ""
				 : words[i + 1] ? ", "
						: last,
				 words[i]);
	return buffer;
}

static int reject_key(struct reader *reader, const struct node *key, const struct scope *scope)
{
	const char *names[48] = {};
	const char *meant;
	char list[512];
	size_t n = 0;

	for (const struct key *k = scope->keys; k->name && n < ARRAY_SIZE(names) - 1; k++)
		if (k->read)
			names[n++] = k->name;
	enumerate(names, ", ", list, sizeof(list));
	meant = closest(key->text, names);
	if (meant)
		return reject(reader, &key->at,
			      "%s has no key \"%.64s\"; did you mean \"%s\"? Allowed: %s",
			      scope->name, key->text, meant, list);
	return reject(reader, &key->at, "%s has no key \"%.64s\". Allowed: %s", scope->name,
		      key->text, list);
}

int read_map(struct reader *reader, const struct node *node, const struct scope *scope, void *into)
{
	int err;

	if (node->kind != NODE_MAP)
		return reject_kind(reader, node, scope->name, "a mapping of keys to values");
	for (const struct node *key = node->child; key; key = key->next->next) {
		const struct key *k = scope->keys;

		while (k->name && strcmp(k->name, key->text))
			k++;
		if (!k->name)
			return reject_key(reader, key, scope);
		if (!k->read)
			return reject(reader, &key->at, "key \"%s\" of %s is not supported yet",
				      key->text, scope->name);
		err = k->read(reader, key, key->next, into);
		if (err)
			return err;
	}
	return 0;
}

int read_each(struct reader *reader, const struct node *key, const struct node *value,
	      read_fn *read, void *into)
{
	int err;

	if (value->kind != NODE_LIST)
		return read(reader, key, value, into);
	for (const struct node *entry = value->child; entry; entry = entry->next) {
		err = read(reader, key, entry, into);
		if (err)
			return err;
	}
	return 0;
}

int read_list(struct reader *reader, const struct node *key, const struct node *value,
	      read_fn *read, void *into)
{
	if (value->kind != NODE_LIST)
		return reject_kind(reader, value, key->text, "a list");
	return read_each(reader, key, value, read, into);
}

int once(struct reader *reader, const char *name, const struct node *key)
{
	for (size_t i = 0; i < reader->nr_given; i++) {
		const struct position *first = &reader->given[i].at;

		if (!strcmp(reader->given[i].name, name))
			return reject(reader, &key->at, "%s is given twice; first at %s:%u:%u",
				      name, first->file, first->line, first->column);
	}
	if (reader->nr_given == ARRAY_SIZE(reader->given))
		return -E2BIG;
	reader->given[reader->nr_given++] = (struct given){.name = name, .at = key->at};
	return 0;
}

int scalar(struct reader *reader, const struct node *node, const char *what, const char *wanted)
{
	if (node->kind != NODE_SCALAR || !node->text[0])
		return reject_kind(reader, node, what, wanted);
	return 0;
}

int read_bool(struct reader *reader, const struct node *node, const char *what, bool *ret)
{
	if (node->kind == NODE_SCALAR && !node->quoted) {
		if (!strcmp(node->text, "true")) {
			*ret = true;
			return 0;
		}
		if (!strcmp(node->text, "false")) {
			*ret = false;
			return 0;
		}
	}
	return reject_kind(reader, node, what, "true or false");
}

int read_number(struct reader *reader, const struct node *node, const char *what, __u64 min,
		__u64 max, __u64 *ret)
{
	__u64 value;
	int err;

	err = scalar(reader, node, what, "a number");
	if (err)
		return err;
	if (units_parse_number(node->text, &value, NULL) || value < min || value > max)
		return reject(reader, &node->at, "%s \"%.64s\" is not in %llu..%llu", what,
			      node->text, min, max);
	*ret = value;
	return 0;
}

int read_duration_s(struct reader *reader, const struct node *node, const char *what, __u64 min_s,
		    __u64 max_s, __u64 *ret_s)
{
	char min[UNITS_TEXT_LEN], max[UNITS_TEXT_LEN];
	const char *why;
	__u64 ns;
	int err;

	err = scalar(reader, node, what, "a duration like 30s, 10m, 2h or 90d");
	if (err)
		return err;
	if (units_parse_duration(node->text, &ns, &why))
		return reject(reader, &node->at, "%s \"%.64s\" is no duration: %s", what,
			      node->text, why);
	if (ns % UNITS_NS_PER_S || ns / UNITS_NS_PER_S < min_s || ns / UNITS_NS_PER_S > max_s)
		return reject(reader, &node->at, "%s \"%.64s\" is not in %s..%s in whole seconds",
			      what, node->text, units_format_duration(min_s * UNITS_NS_PER_S, min),
			      units_format_duration(max_s * UNITS_NS_PER_S, max));
	*ret_s = ns / UNITS_NS_PER_S;
	return 0;
}

int read_choice(struct reader *reader, const struct node *node, const char *what,
		const char *const *choices, int *ret)
{
	char list[256];

	for (int i = 0; node->kind == NODE_SCALAR && choices[i]; i++)
		if (!strcmp(node->text, choices[i])) {
			*ret = i;
			return 0;
		}
	enumerate(choices, " or ", list, sizeof(list));
	return reject_kind(reader, node, what, list);
}

bool name_valid(const char *text)
{
	size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-");

	return text[0] >= 'a' && text[0] <= 'z' && !text[n] && n <= 63;
}

int read_name(struct reader *reader, const struct node *node, char **ret)
{
	char *copy;
	int err;

	err = scalar(reader, node, "name", "a name");
	if (err)
		return err;
	if (!name_valid(node->text))
		return reject(reader, &node->at, "name \"%.64s\" is not like [a-z][a-z0-9_-]{0,62}",
			      node->text);
	copy = strdup(node->text);
	if (!copy)
		return -ENOMEM;
	free(*ret);
	*ret = copy;
	return 0;
}
