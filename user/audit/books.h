/* SPDX-License-Identifier: GPL-2.0-only */
/* The books of the audit: no event that was due may be unaccounted for. Pure. */
#ifndef WEIR_AUDIT_BOOKS_H
#define WEIR_AUDIT_BOOKS_H

#include <stdbool.h>

#include "weir/tables.h"

/**
 * struct audit_balance - due = written + suppressed + lost_full + lost_no_reader,
 * written = delivered + in_flight + lost_reader.
 * @in_flight: written, and neither taken by a sink nor given up yet
 * @missing:   what the kernel's equation lacks (positive) or has too much; 0 when the books balance
 * @negative:  the reader booked more than was written
 */
struct audit_balance {
	__u64 in_flight;
	__s64 missing;
	bool negative;
};

/**
 * audit_balance() - reconcile.
 * Both are read while packets pass, one CPU after the other, so @kernel is to be read after @reader: then delivered
 * cannot run ahead of written. Returns true when the books balance.
 */
bool audit_balance(const struct weir_books *kernel, const struct weir_reader *reader,
		   struct audit_balance *ret);

/**
 * audit_inherit() - what a new reader books as lost: all that its predecessor was written and did not deliver.
 * Returns the new lost_reader; unchanged where the books are negative.
 */
__u64 audit_inherit(const struct weir_books *kernel, const struct weir_reader *reader);

#endif
