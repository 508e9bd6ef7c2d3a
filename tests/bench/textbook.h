/* SPDX-License-Identifier: GPL-2.0-only */
/* Keys and values of the textbook design, see textbook.bpf.c. */
#ifndef WEIR_BENCH_TEXTBOOK_H
#define WEIR_BENCH_TEXTBOOK_H

#include <linux/types.h>

#define TEXTBOOK_ANY  0u
#define TEXTBOOK_SELF 1u

struct textbook_prefix {
	__u32 length;
	__be32 address;
};

struct textbook_key {
	__u32 from;
	__u32 to;
	__u32 port; /* host order */
};

struct textbook_rule {
	__u64 interval_ns; /* 0: no limit */
	__u64 tolerance_ns;
};

#endif
