/* SPDX-License-Identifier: GPL-2.0-only */
/* Addresses, prefixes and their text. */
#ifndef WEIR_BASE_ADDR_H
#define WEIR_BASE_ADDR_H

#include <stdbool.h>
#include <stddef.h>

#include "weir/tables.h"

/** struct prefix - @length 0..32 when @address is IPv4 (::ffff:0:0/96), else 0..128; host bits are zero. */
struct prefix {
	struct weir_addr address;
	__u8 v6;
	__u8 length;
};

#define ADDR_TEXT_LEN 64 /* holds any address, prefix or range as text */

bool addr_is_v4(const struct weir_addr *address);

/**
 * addr_parse() - strict text to address: no leading zeros, no ::ffff: forms, no scope.
 * Returns 0, or -EINVAL with @why (static text: what was wanted) when it is none.
 */
int addr_parse(const char *text, struct weir_addr *ret, const char **why);

/**
 * prefix_parse() - "ADDR" or "ADDR/LENGTH"; host bits set are an error.
 * Returns 0 or -EINVAL with @why, which is PREFIX_WHY_HOST_BITS itself where only host bits are wrong.
 */
extern const char PREFIX_WHY_HOST_BITS[];
int prefix_parse(const char *text, struct prefix *ret, const char **why);

/** addr_format(), prefix_format() - canonical text in @buffer (ADDR_TEXT_LEN bytes); a full-length prefix has no /N. */
const char *addr_format(const struct weir_addr *address, char *buffer);
const char *prefix_format(const struct prefix *prefix, char *buffer);

/**
 * addr_range_to_prefixes() - the fewest prefixes that cover first..last, both of one family.
 * @ret: at least 256 entries. Returns how many, or -EINVAL when last < first or the families differ.
 */
int addr_range_to_prefixes(const struct weir_addr *first, const struct weir_addr *last,
			   struct prefix *ret);

/** addr_mask() - zero the bits beyond @length (counted in the address's own family). */
struct weir_addr addr_mask(const struct weir_addr *address, unsigned int length);

/** prefix_compare() - for qsort() and bsearch(): by address, then the shorter first. */
int prefix_compare(const void *a, const void *b);

/** prefix_sort() - by prefix_compare(), each once. Returns how many are left. */
size_t prefix_sort(struct prefix *list, size_t n);

bool prefix_contains(const struct prefix *prefix, const struct weir_addr *address);

#endif
