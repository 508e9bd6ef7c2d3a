/* SPDX-License-Identifier: GPL-2.0-only */
/* What the proofs are written with. Values of nondet_*() are free: whatever is proved holds for all of them. */
#ifndef WEIR_PROVE_H
#define WEIR_PROVE_H

#include <linux/types.h>

__u8 nondet_u8(void);
__u16 nondet_u16(void);
__u32 nondet_u32(void);
__u64 nondet_u64(void);

#define ASSUME(condition) __CPROVER_assume(condition)

/*
 * With -DREACH a run does not prove anything: it shows that each REACHED() can be, as the failure of the claim that it
 * cannot. A proof whose assumptions contradict each other reaches nothing.
 */
#ifdef REACH
#define PROVE(condition)
#define REACHED(n, condition) __CPROVER_assert(!(condition), "never reached: " #n)
#else
#define PROVE(condition) __CPROVER_assert(condition, #condition)
#define REACHED(n, condition)
#endif

#endif
