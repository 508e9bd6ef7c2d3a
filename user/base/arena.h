/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory that goes all at once: for trees that are read, used, and forgotten as a whole. */
#ifndef WEIR_BASE_ARENA_H
#define WEIR_BASE_ARENA_H

#include <stddef.h>

/** struct arena - born empty ({}), released by arena_free(). */
struct arena {
	struct arena_chunk *chunks;
};

/** arena_alloc() - zeroed, aligned for anything; NULL: no memory is left. */
void *arena_alloc(struct arena *arena, size_t size);

/** arena_text() - a copy of @len bytes with a zero behind them; NULL: no memory is left. */
char *arena_text(struct arena *arena, const char *text, size_t len);

void arena_free(struct arena *arena);

#endif
