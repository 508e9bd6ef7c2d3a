/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The arithmetic of bpf/limit.h, for every value that the compiler and the clock let through.
 * Entry points: prove_*.
 */
#include <linux/types.h>

#include "limit.h"
#include "prove.h"

/* 6.9 years of uptime, after which weir refuses to load. */
#define NOW_MAX ((69ULL * 365 * 86400 * 1000000000 / 10) << WEIR_TAT_SHIFT)

struct step {
	__u64 now, tat, cost, tolerance, ret;
	int admitted;
};

/* A state that an earlier step of the same limit can have left, by a clock that was at @then. */
static void any_step(struct step *s)
{
	__u64 then = nondet_u64();

	s->now = nondet_u64();
	s->tat = nondet_u64();
	s->cost = nondet_u64();
	s->tolerance = nondet_u64();
	s->ret = nondet_u64();
	ASSUME(s->now <= NOW_MAX && then <= NOW_MAX);
	ASSUME(s->cost <= GCRA_MAX_COST && s->tolerance <= GCRA_MAX_COST);
	ASSUME(s->tat <= then + s->tolerance + GCRA_MAX_COST);
}

/* One step. Admitted: tat grows by at least the cost and stays below the flags; refused: nothing changes. */
void prove_take(void)
{
	struct step s;
	__u64 before;

	any_step(&s);
	before = s.ret;
	s.admitted = gcra_take(s.tat, s.now, s.cost, s.tolerance, &s.ret);
	PROVE(s.admitted == (s.tat <= s.now + s.tolerance));
	if (s.admitted) {
		PROVE(s.ret >= s.tat + s.cost);
		PROVE(s.ret >= s.now + s.cost);
		PROVE(s.ret <= s.now + s.tolerance + s.cost);
		PROVE(s.ret == s.tat + s.cost || s.ret == s.now + s.cost);
		PROVE(!(s.ret & ~WEIR_TAT_MASK));
		REACHED(1, s.tat > s.now);
		REACHED(2, s.tat < s.now);
	} else {
		PROVE(s.ret == before);
		REACHED(3, 1);
	}
}

/*
 * The bound, by induction over the packets of one source that were admitted from time t1 on, with any costs:
 * sum of their costs <= tat - t1; hence all of them but the last cost at most t2 - t1 + tolerance, where t2 is the
 * latest clock value of an admitted packet. A clock that goes back, or two CPUs whose clocks differ, are covered:
 * each packet has its own `now`, in any order, from t1 to t2.
 */
void prove_window(void)
{
	__u64 t1 = nondet_u64(), t2 = nondet_u64(), sum = nondet_u64();
	struct step s;

	any_step(&s);
	ASSUME(t1 <= s.now && s.now <= t2 && t2 <= NOW_MAX);
	if (nondet_u8() & 1) {
		sum = 0; /* the first */
	} else {
		ASSUME(sum > 0 && s.tat >= t1 && sum <= s.tat - t1);
	}
	if (!gcra_take(s.tat, s.now, s.cost, s.tolerance, &s.ret))
		return;
	PROVE(sum <= t2 - t1 + s.tolerance);
	PROVE(s.ret >= t1 && sum + s.cost <= s.ret - t1);
	REACHED(1, sum > 0 && sum + s.cost == s.ret - t1);
	REACHED(2, sum > 0 && sum == t2 - t1 + s.tolerance);
	REACHED(3, sum == 0);
}

/* Bytes: length x mantissa / 2^shift, rounded up, for frames below 2 GiB. */
void prove_cost(void)
{
	__u32 length = nondet_u32(), mantissa = nondet_u32();
	__u8 shift = nondet_u8();
	__u64 product, cost;

	ASSUME(length < 0x80000000u && shift < 64);
	product = (__u64)length * mantissa;
	cost = gcra_cost(length, mantissa, shift);
	PROVE(cost <= product);
	PROVE(cost == 0 ? product == 0 : (cost - 1) <= product >> shift);
	/* cost x 2^shift covers the product: nothing above what is shifted out is lost. */
	PROVE(product >> shift <= cost);
	PROVE((product & ((1ULL << shift) - 1)) == 0 || cost == (product >> shift) + 1);
	REACHED(1, shift == 63 && cost == 1);
	REACHED(2, shift > 0 && cost > (product >> shift));
}

/* Several units: n x interval, capped; never less than one unit unless the cap is. */
void prove_times(void)
{
	__u64 interval = nondet_u64(), cost;
	__u32 n = nondet_u32();

	ASSUME(interval <= GCRA_MAX_COST && n <= 65536);
	cost = gcra_times(interval, n);
	PROVE(cost <= GCRA_MAX_COST);
	PROVE(cost >= interval);
	if (n >= 1)
		PROVE(cost == GCRA_MAX_COST || (n <= 1 ? cost == interval : cost == interval * n));
	REACHED(1, n == 65536 && cost < GCRA_MAX_COST && interval > 1);
	REACHED(2, n == 2 && cost == GCRA_MAX_COST);
}
