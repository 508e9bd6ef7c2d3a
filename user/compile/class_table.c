// SPDX-License-Identifier: GPL-2.0-only
/* weir_class: what an address of each (kind, class) is. */
#include <errno.h>
#include <stdlib.h>

#include "compile/builder.h"

enum { INGRESS_DENY, INGRESS_ALLOW, EGRESS_DENY, EGRESS_ALLOW, NR_VOICES };

/* What the `defaults` of segments say about an address, by how many of them. */
struct voices {
	__s64 n[NR_VOICES];
};

static void speak(struct voices *voices, const struct defaults *defaults)
{
	voices->n[INGRESS_DENY] += defaults->ingress == DEFAULT_DENY;
	voices->n[INGRESS_ALLOW] += defaults->ingress == DEFAULT_ALLOW;
	voices->n[EGRESS_DENY] += defaults->egress == DEFAULT_DENY;
	voices->n[EGRESS_ALLOW] += defaults->egress == DEFAULT_ALLOW;
}

static void add_voices(struct voices *sum, const struct voices *more, int by)
{
	for (int i = 0; i < NR_VOICES; i++)
		sum->n[i] += by * more->n[i];
}

static __u32 voices_flags(const struct policy *policy, const struct voices *voices)
{
	bool ingress = policy->defaults.ingress == DEFAULT_ALLOW;
	bool egress = policy->defaults.egress != DEFAULT_DENY;

	if (voices->n[INGRESS_DENY] || voices->n[INGRESS_ALLOW])
		ingress = !voices->n[INGRESS_DENY];
	if (voices->n[EGRESS_DENY] || voices->n[EGRESS_ALLOW])
		egress = !voices->n[EGRESS_DENY];
	return (ingress ? WEIR_CLASS_INGRESS_ALLOW : 0) | (egress ? WEIR_CLASS_EGRESS_ALLOW : 0);
}

/* How many sets that are spared automatic blocks hold an address where no prefix is. */
static int spared_base(const struct builder *b, int kind)
{
	int n = 0;

	for (size_t i = 0; i < b->sets.n; i++)
		n += b->spared[i] && b->sets.set[i].base >> kind & 1;
	return n;
}

static __u32 class_flags(const struct builder *b, const struct voices *said,
			 const struct voices *base, int spared, int kind, size_t class)
{
	const struct classes *classes = &b->classes;
	bool blocked = b->sets.set[b->block].base >> kind & 1;
	bool never = b->sets.set[b->never_block].base >> kind & 1;
	struct voices voices = *base;

	for (size_t i = classes->first[class]; i < classes->first[class + 1]; i++) {
		const struct member *m = &classes->member[i];
		bool is = m->mask >> kind & 1, was = b->sets.set[m->set].base >> kind & 1;

		add_voices(&voices, &said[m->set], is - was);
		spared += b->spared[m->set] ? is - was : 0;
		if (m->set == b->block)
			blocked = is;
		if (m->set == b->never_block)
			never = is;
	}
	return voices_flags(b->policy, &voices) | (blocked ? WEIR_CLASS_BLOCKED : 0) |
	       (never ? WEIR_CLASS_NEVER_BLOCK : 0) | (spared ? WEIR_CLASS_NO_AUTOBLOCK : 0);
}

static void fill(struct builder *b, const struct voices *said, int kind)
{
	size_t nr = b->classes.intern.n;
	struct voices base = {{0}};
	int spared = spared_base(b, kind);

	for (size_t i = 0; i < b->sets.n; i++)
		if (b->sets.set[i].base >> kind & 1)
			add_voices(&base, &said[i], 1);
	for (size_t c = 0; c < nr; c++) {
		struct weir_class *class = &b->tables->weir_class[kind * nr + c];

		class->src = b->src.id[b->src.group[kind] * nr + c];
		class->dst = b->dst.id[b->dst.group[kind] * nr + c];
		class->flags = class_flags(b, said, &base, spared, kind, c);
		if (class->flags & WEIR_CLASS_BLOCKED)
			b->tables->weir_cfg->flags |= WEIR_CFG_BLOCK_LIST;
		for (int from = 0; from < NR_KINDS; from++)
			class->row[from] =
			    b->cells.final[b->pairs.base[(size_t) class->dst * NR_KINDS +
							 b->src.group[from]]];
	}
}

int class_table_build(struct builder *b)
{
	size_t nr = b->classes.intern.n * NR_KINDS;
	struct voices *said = calloc(b->sets.n, sizeof(*said));

	b->tables->weir_class = calloc(nr, sizeof(*b->tables->weir_class));
	if (!said || !b->tables->weir_class) {
		free(said);
		return -ENOMEM;
	}
	b->tables->nr_weir_class = nr;
	for (size_t i = 0; i < b->policy->nr_segment_defaults; i++)
		speak(&said[b->segment_default[i]], &b->policy->segment_defaults[i].defaults);
	for (int kind = 0; kind < NR_KINDS; kind++)
		fill(b, said, kind);
	free(said);
	return 0;
}
