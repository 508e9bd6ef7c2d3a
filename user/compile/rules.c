// SPDX-License-Identifier: GPL-2.0-only
/* Names and places of rules and limits, files and the canonical text: what user space reads back from a slot. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "compile/builder.h"

static __u32 file_index(const struct policy *policy, const struct position *at)
{
	for (size_t i = 0; at->file && i < policy->nr_files; i++)
		if (policy->file[i] == at->file || strcmp(policy->file[i], at->file) == 0)
			return i;
	return 0;
}

/* The end of a path says more than its beginning. */
static void set_name(struct weir_rule *rule, const char *name, const struct position *at)
{
	char place[512];
	const char *from = name;
	size_t len;

	if (!name) {
		snprintf(place, sizeof(place), "%.480s:%u", at->file ? at->file : "policy",
			 at->line);
		len = strlen(place);
		from = len < sizeof(rule->name) ? place : place + len - (sizeof(rule->name) - 1);
	}
	memcpy(rule->name, from, strnlen(from, sizeof(rule->name) - 1));
}

static struct sig names_sig(const struct names *names)
{
	struct sig sig = sig_of(names->n, 70);

	for (size_t i = 0; i < names->n; i++)
		sig = sig_add(sig, sig_bytes(names->name[i], strlen(names->name[i])));
	return sig;
}

struct sig services_sig(const struct services *list)
{
	struct sig sig = sig_of(list->n, 71);

	for (size_t i = 0; i < list->n; i++) {
		const int key[3] = {list->service[i].proto, list->service[i].first,
				    list->service[i].last};

		sig = sig_add(sig, sig_bytes(key, sizeof(key)));
	}
	return sig;
}

__u64 chain_id(__u64 id, struct sig part)
{
	return sig_of(id + part.a, part.b).a;
}

static __u64 name_id(const char *name, __u64 kind)
{
	return chain_id(kind, sig_bytes(name, strlen(name)));
}

static __u64 rule_id(const struct rule *rule)
{
	__u64 kind = rule->action == RULE_DENY ? WEIR_RULE_DENY : WEIR_RULE_ALLOW, id = kind + 100;

	if (rule->name)
		return name_id(rule->name, kind);
	id = chain_id(id, sets_sig(&rule->from));
	id = chain_id(id, sets_sig(&rule->to));
	id = chain_id(id, services_sig(&rule->port));
	if (rule->published.n)
		id = chain_id(id, services_sig(&rule->published));
	return chain_id(id, names_sig(&rule->on));
}

static __u64 limit_id(const struct limit_rule *limit)
{
	const __u64 numbers[] = {limit->count,	limit->rate,   limit->period_ns, limit->burst,
				 limit->per,	limit->key4,   limit->key6,	 limit->has_from,
				 limit->has_to, limit->monitor};
	__u64 id = WEIR_RULE_LIMIT + 100;

	if (limit->name)
		return name_id(limit->name, WEIR_RULE_LIMIT);
	id = chain_id(id, sets_sig(&limit->from));
	id = chain_id(id, sets_sig(&limit->to));
	id = chain_id(id, services_sig(&limit->port));
	id = chain_id(id, names_sig(&limit->on));
	return chain_id(id, sig_bytes(numbers, sizeof(numbers)));
}

static void place_rule(const struct policy *policy, struct weir_rule *rule, const char *name,
		       const struct position *at)
{
	set_name(rule, name, at);
	rule->file = file_index(policy, at);
	rule->line = at->line;
	rule->column = at->column;
}

/* Rules without a name that say the same twice still are two rules: the second gets another id. */
static int tell_apart(struct weir_rule *rule, size_t n)
{
	struct intern intern = {0};
	int err = 0;

	for (size_t i = 0; !err && i < n; i++) {
		bool fresh = false;
		__u32 ignored;

		for (__u64 again = 0; !err && !fresh; again++) {
			if (again)
				rule[i].id = sig_of(rule[i].id, again).a;
			err = intern_get(&intern, sig_of(rule[i].id, 72), &ignored, &fresh);
		}
	}
	intern_clear(&intern);
	return err;
}

static int fill_rules(struct builder *b)
{
	const struct policy *policy = b->policy;
	size_t n = policy->nr_rules + policy->nr_limits;
	struct weir_rule *rule = calloc(n ? n : 1, sizeof(*rule));

	b->tables->weir_rule = rule;
	if (!rule)
		return -ENOMEM;
	b->tables->nr_weir_rule = n ? n : 1;
	for (size_t i = 0; i < policy->nr_rules; i++, rule++) {
		const struct rule *from = &policy->rule[i];

		place_rule(policy, rule, from->name, &from->at);
		rule->id = rule_id(from);
		rule->counter = i;
		rule->kind = from->action == RULE_DENY ? WEIR_RULE_DENY : WEIR_RULE_ALLOW;
	}
	for (size_t i = 0; i < policy->nr_limits; i++, rule++) {
		const struct limit_rule *from = &policy->limit[i];

		place_rule(policy, rule, from->name, &from->at);
		rule->id = limit_id(from);
		rule->counter = i;
		rule->kind = WEIR_RULE_LIMIT;
	}
	return tell_apart(b->tables->weir_rule, n);
}

static int fill_files(struct builder *b)
{
	const struct policy *policy = b->policy;
	size_t n = policy->nr_files ? policy->nr_files : 1;
	struct weir_file *file = calloc(n, sizeof(*file));

	b->tables->weir_file = file;
	if (!file)
		return -ENOMEM;
	b->tables->nr_weir_file = n;
	for (size_t i = 0; i < policy->nr_files; i++) {
		const char *path = policy->file[i];
		size_t len = strlen(path);

		if (len >= sizeof(file->path))
			path += len - (sizeof(file->path) - 1);
		snprintf(file[i].path, sizeof(file->path), "%s", path);
	}
	return 0;
}

static int fill_text(struct builder *b)
{
	_cleanup_free_ char *text = NULL;
	size_t len, pages;
	int err = policy_print(b->policy, &text);

	if (err)
		return err;
	len = strlen(text);
	if (len >= 0xffffffff)
		return diag_fail(b->diag, -E2BIG, NULL, "the canonical text is longer than 4 GiB");
	pages = len / WEIR_TEXT_PAGE + 1; /* the NUL included */
	b->tables->weir_text = calloc(pages, sizeof(struct weir_text));
	if (!b->tables->weir_text)
		return -ENOMEM;
	memcpy(b->tables->weir_text, text, len);
	b->tables->nr_weir_text = pages;
	b->tables->weir_cfg->text_len = len;
	return 0;
}

int rules_build(struct builder *b)
{
	int err = fill_rules(b);

	if (!err)
		err = fill_files(b);
	return err ? err : fill_text(b);
}
