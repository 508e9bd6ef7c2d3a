/* SPDX-License-Identifier: GPL-2.0-only */
/* Ownership by scope: a variable born empty with one of these attributes is released where its scope ends. */
#ifndef WEIR_BASE_MEM_H
#define WEIR_BASE_MEM_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void mem_free_p(void *p)
{
	free(*(void **)p);
}

static inline void mem_close_p(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void mem_fclose_p(FILE **file)
{
	if (*file)
		fclose(*file);
}

#define _cleanup_(fn)	 __attribute__((cleanup(fn)))
#define _cleanup_free_	 _cleanup_(mem_free_p)
#define _cleanup_close_	 _cleanup_(mem_close_p)
#define _cleanup_fclose_ _cleanup_(mem_fclose_p)

/* Hand a resource on: the scope no longer owns it. */
#define TAKE_PTR(ptr)                         \
	({                                    \
		__typeof__(ptr) _taken = ptr; \
		ptr = NULL;                   \
		_taken;                       \
	})
#define TAKE_FD(fd)              \
	({                       \
		int _taken = fd; \
		fd = -1;         \
		_taken;          \
	})

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/**
 * mem_grow() - make room for one more element of a growing array.
 * @array:    address of the pointer; reallocated in doubling steps, new elements zeroed
 * @n:        elements in use
 * @capacity: elements allocated, updated
 *
 * Returns 0, or -ENOMEM with the array as it was.
 */
int mem_grow(void *array, size_t n, size_t *capacity, size_t element_size);

/**
 * mem_append() - one more element for an array whose capacity is not kept: the power of two that follows
 * from the number of elements; so only arrays that began empty and grew by this function.
 * @array: address of the pointer
 * @n:     elements in use, counted up
 *
 * Returns the new element, zeroed, or NULL with the array as it was.
 */
void *mem_append(void *array, size_t *n, size_t element_size);

#endif
