// SPDX-License-Identifier: GPL-2.0-only
#include "base/mem.h"

#include <errno.h>
#include <string.h>

int mem_grow(void *array, size_t n, size_t *capacity, size_t element_size)
{
	void **slot = array;
	size_t want = *capacity ? *capacity * 2 : 8;
	void *grown;

	if (n < *capacity)
		return 0;
	grown = reallocarray(*slot, want, element_size);
	if (!grown)
		return -ENOMEM;
	memset((char *)grown + n * element_size, 0, (want - n) * element_size);
	*slot = grown;
	*capacity = want;
	return 0;
}

void *mem_append(void *array, size_t *n, size_t element_size)
{
	void **slot = array;
	size_t used = *n;
	char *grown = *slot;

	if ((used & (used - 1)) == 0) {
		grown = reallocarray(*slot, used ? used * 2 : 1, element_size);
		if (!grown)
			return NULL;
		*slot = grown;
	}
	(*n)++;
	return memset(grown + used * element_size, 0, element_size);
}
