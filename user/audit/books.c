// SPDX-License-Identifier: GPL-2.0-only
#include "audit/books.h"

bool audit_balance(const struct weir_books *kernel, const struct weir_reader *reader,
		   struct audit_balance *ret)
{
	__u64 booked = reader->delivered + reader->lost_reader;
	__u64 accounted =
	    kernel->written + kernel->suppressed + kernel->lost_full + kernel->lost_no_reader;

	ret->negative = booked > kernel->written;
	ret->in_flight = ret->negative ? 0 : kernel->written - booked;
	ret->missing = (__s64)(kernel->due - accounted);
	return !ret->negative && ret->missing == 0;
}

__u64 audit_inherit(const struct weir_books *kernel, const struct weir_reader *reader)
{
	struct audit_balance balance;

	audit_balance(kernel, reader, &balance);
	return reader->lost_reader + balance.in_flight;
}
