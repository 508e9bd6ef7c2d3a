// SPDX-License-Identifier: GPL-2.0-only
/* What the policies in force name: read from their text in the kernel. */
#include "kernel/internal.h"

#include <errno.h>
#include <string.h>

/*
 * The text begins with the interfaces. The rest of it need not be read to follow them, and must not: it may name lists
 * of a million addresses, while a new workload waits for its hook. 0: it does not end in what @text has of it.
 */
static size_t interfaces_part(const char *text)
{
	size_t n = 0;

	while (strncmp(text + n, "interfaces:", 11) == 0 ||
	       strncmp(text + n, "workloads:", 10) == 0 || text[n] == ' ') {
		n += strcspn(text + n, "\n");
		n += text[n] == '\n';
	}
	return n;
}

/* The beginning of the text, with as many pages as the interfaces take. */
static int read_part(const struct kernel *kernel, unsigned int slot,
		     const struct weir_config *config, char **ret)
{
	size_t all = config->text_len / WEIR_TEXT_PAGE + 1, n = 0;
	size_t pages = 1;

	for (;; pages = 4 * pages) {
		_cleanup_free_ struct weir_text *page = NULL;
		bool whole = pages >= all;
		int err;

		err =
		    slot_table(kernel, slot, TABLE_weir_text, whole ? all : pages, (void **)&page);
		if (err)
			return err;
		if (!whole)
			page[pages - 1].text[WEIR_TEXT_PAGE - 1] = '\0';
		n = interfaces_part(page->text);
		if (!whole && page->text[n] == '\0')
			continue;
		/* A policy must have a mode, or something else besides interfaces. */
		return asprintf(ret, "%.*smode: enforce\n", (int)n, page->text) < 0 ? -ENOMEM : 0;
	}
}

int naming_policy(struct kernel *kernel, unsigned int slot, const struct weir_config *config,
		  const struct policy **ret, struct diag *diag)
{
	struct naming_read *read = &kernel->naming[slot];
	_cleanup_free_ char *part = NULL;
	int err = read_part(kernel, slot, config, &part);

	if (err)
		return diag_fail(diag, err, NULL, "cannot read weir_text_%u: %s", slot,
				 strerror(-err));
	if (!read->part || strcmp(read->part, part) != 0) {
		naming_forget(kernel, slot);
		err = policy_parse_text(part, strlen(part), "the policy in force", &read->policy,
					diag);
		if (err)
			return err;
		read->part = TAKE_PTR(part);
	}
	*ret = read->policy;
	return 0;
}

void naming_forget(struct kernel *kernel, unsigned int slot)
{
	struct naming_read *read = &kernel->naming[slot];

	free(TAKE_PTR(read->part));
	if (read->policy)
		policy_free(TAKE_PTR(read->policy));
}

int namings_read(struct kernel *kernel, bool both, struct namings *ret, struct diag *diag)
{
	unsigned int running = word_slot(word_peek(kernel));
	struct namings namings = {};
	int err = 0;

	for (unsigned int i = 0; i < (both ? 2 : 1) && !err; i++) {
		struct naming *naming = &namings.naming[namings.n];
		struct weir_config config;

		naming->slot = i ? !running : running;
		err = slot_config(kernel, naming->slot, &config);
		if (err || !config.generation)
			continue;
		err = naming_policy(kernel, naming->slot, &config, &naming->policy, diag);
		naming->units = config.flags & WEIR_CFG_UNITS;
		naming->protect = config.flags & WEIR_CFG_PROTECT;
		namings.n += !err;
	}
	if (err)
		return diag_fail(diag, err, NULL, "cannot read the policy in force: %s",
				 strerror(-err));
	*ret = namings;
	return 0;
}
