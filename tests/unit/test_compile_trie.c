// SPDX-License-Identifier: GPL-2.0-only
/* The trie against longest prefix by linear search. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "compile/builder.h"
#include "compile_policy.h"

static const struct tables *looked_at;
#define WEIR_TABLE(name, slot, index) \
	((size_t)(index) < looked_at->nr_##name ? &looked_at->name[index] : NULL)
#define WEIR_FUNC static __attribute__((unused))
#pragma GCC diagnostic ignored "-Wunknown-pragmas"
#include "classify.h"

#define MAX_REGIONS 3000

struct bench {
	struct builder b;
	struct tables tables;
	struct region region[MAX_REGIONS];
	size_t n;
	struct made made; /* random numbers */
};

static struct bench bench;

static __u64 mask_hi(unsigned int length)
{
	return length >= 64 ? ~0ULL : length ? ~0ULL << (64 - length) : 0;
}

static __u64 mask_lo(unsigned int length)
{
	return length >= 128 ? ~0ULL : length > 64 ? ~0ULL << (128 - length) : 0;
}

static bool holds(const struct region *r, bool v6, __u64 hi, __u64 lo)
{
	return r->v6 == v6 && ((hi ^ r->hi) & mask_hi(r->length)) == 0 &&
	       ((lo ^ r->lo) & mask_lo(r->length)) == 0;
}

static __u32 longest(bool v6, __u64 hi, __u64 lo)
{
	const struct region *best = NULL;

	for (size_t i = 0; i < bench.n; i++)
		if (holds(&bench.region[i], v6, hi, lo) &&
		    (!best || bench.region[i].length > best->length))
			best = &bench.region[i];
	return best ? best->class : 0;
}

static int compare(const void *x, const void *y)
{
	const struct region *a = x, *b = y;

	if (a->v6 != b->v6)
		return a->v6 - b->v6;
	if (a->hi != b->hi)
		return a->hi < b->hi ? -1 : 1;
	if (a->lo != b->lo)
		return a->lo < b->lo ? -1 : 1;
	return a->length - b->length;
}

static void add(bool v6, __u64 hi, __u64 lo, unsigned int length, __u32 class)
{
	struct region *r = &bench.region[bench.n];

	if (bench.n == MAX_REGIONS)
		return;
	*r = (struct region){.hi = hi & mask_hi(length),
			     .lo = lo & mask_lo(length),
			     .class = class,
			     .length = length,
			     .v6 = v6};
	bench.n++;
}

static void build(__u32 nr_classes)
{
	size_t n = 0;

	qsort(bench.region, bench.n, sizeof(*bench.region), compare);
	for (size_t i = 0; i < bench.n; i++) { /* the same prefix once */
		if (n && bench.region[n - 1].v6 == bench.region[i].v6 &&
		    bench.region[n - 1].hi == bench.region[i].hi &&
		    bench.region[n - 1].lo == bench.region[i].lo &&
		    bench.region[n - 1].length == bench.region[i].length)
			continue;
		bench.region[n++] = bench.region[i];
	}
	bench.n = n;
	bench.b.tables = &bench.tables;
	bench.b.options.max_bytes = COMPILE_MAX_BYTES;
	bench.b.classes.region = bench.region;
	bench.b.classes.nr_regions = n;
	bench.b.classes.intern.n = nr_classes;
	assert_int_equal(trie_build(&bench.b), 0);
	looked_at = &bench.tables;
}

static void check(bool v6, __u64 hi, __u64 lo)
{
	__u32 wanted, found;

	if (!v6) {
		hi &= 0xffffffff00000000ULL;
		lo = 0;
	}
	wanted = longest(v6, hi, lo);
	found = classify_address(0, v6, hi, lo);
	if (wanted != found)
		fail_msg("%s %016llx%016llx: longest prefix says class %u, the trie %u",
			 v6 ? "IPv6" : "IPv4", (unsigned long long)hi, (unsigned long long)lo,
			 wanted, found);
}

/* Both ends of every prefix, and one beyond each. */
static void check_edges(void)
{
	for (size_t i = 0; i < bench.n; i++) {
		const struct region *r = &bench.region[i];
		__u64 hi = r->hi | ~mask_hi(r->length), lo = r->lo | ~mask_lo(r->length);
		__u64 step = r->v6 ? 0 : 1ULL << 32;

		check(r->v6, r->hi, r->lo);
		check(r->v6, hi, lo);
		check(r->v6, r->v6 ? r->hi - (r->lo == 0) : r->hi - step, r->lo - 1);
		check(r->v6, r->v6 ? hi + (lo == ~0ULL) : hi + step, lo + 1);
	}
}

static __u64 random64(void)
{
	return (__u64)made_random(&bench.made, 1U << 31) << 33 ^
	       (__u64)made_random(&bench.made, 1U << 31) << 16 ^ made_random(&bench.made, 1U << 16);
}

static void begin(__u64 seed)
{
	memset(&bench, 0, sizeof(bench));
	made_init(&bench.made, seed);
}

static void end(void)
{
	free(bench.tables.weir_root);
	free(bench.tables.weir_node);
	free(bench.tables.weir_leaf);
	made_free(&bench.made);
}

static void test_empty_trie_is_class_0_everywhere(void **state)
{
	begin(1);
	build(1);
	for (int i = 0; i < 1000; i++)
		check(i & 1, random64(), random64());
	end();
}

/* A prefix of every length of one address: the deepest walk there is, and each step another class. */
static void test_chain_of_all_lengths(void **state)
{
	begin(2);
	for (unsigned int length = 0; length <= 128; length++)
		add(true, 0x20010db8deadbeefULL, 0x0123456789abcdefULL, length, 1 + length % 7);
	for (unsigned int length = 0; length <= 32; length++)
		add(false, 0xc000020700000000ULL, 0, length, 1 + length % 5);
	build(10);
	check_edges();
	end();
}

/* Two addresses that part at every possible bit: skips of every length, before and behind the root. */
static void test_pairs_that_part_at_every_bit(void **state)
{
	for (unsigned int bit = 0; bit < 128; bit++) {
		__u64 hi = 0x20010db8deadbeefULL, lo = 0x0123456789abcdefULL;

		begin(3);
		add(true, hi, lo, 128, 1);
		add(true, bit < 64 ? hi ^ 1ULL << (63 - bit) : hi,
		    bit < 64 ? lo : lo ^ 1ULL << (127 - bit), 128, 2);
		add(true, hi, lo, bit, 3);
		build(4);
		check_edges();
		end();
	}
}

/* Skips and strides that alternate as closely as they can must not pass the depth of the walk. */
static void test_alternating_chain_stays_within_the_depth(void **state)
{
	for (unsigned int step = 1; step <= 14; step++) {
		begin(4);
		for (unsigned int bit = 16; bit < 128; bit += step) {
			__u64 hi = bit < 64 ? 1ULL << (63 - bit) : 0;
			__u64 lo = bit < 64 ? 0 : 1ULL << (127 - bit);

			add(true, 0x2001000000000000ULL | hi, lo, 128, 1 + bit % 3);
		}
		add(true, 0x2001000000000000ULL, 0, 128, 4);
		build(5);
		check_edges();
		end();
	}
}

static void random_regions(size_t n, __u32 nr_classes)
{
	__u64 hi = random64(), lo = random64();

	for (size_t i = 0; i < n; i++) {
		bool v6 = made_random(&bench.made, 3);
		unsigned int length = made_random(&bench.made, v6 ? 129 : 33);

		/* Near one another, or anywhere. */
		if (made_random(&bench.made, 4) == 0) {
			hi = random64();
			lo = random64();
		} else if (made_random(&bench.made, 2)) {
			unsigned int bit = made_random(&bench.made, 128);

			hi ^= bit < 64 ? 1ULL << bit : 0;
			lo ^= bit < 64 ? 0 : 1ULL << (bit - 64);
		}
		if (!v6)
			hi &= 0xffffffff00000000ULL;
		if (made_random(&bench.made, 4) == 0)
			length = v6 ? 128 : 32;
		add(v6, hi, v6 ? lo : 0, length, made_random(&bench.made, nr_classes));
	}
}

static void test_random_prefixes(void **state)
{
	__u64 seed =
	    getenv("WEIR_SEED") ? strtoull(getenv("WEIR_SEED"), NULL, 10) : (__u64)time(NULL);

	print_message("seed %llu\n", (unsigned long long)seed);
	for (int round = 0; round < 300; round++) {
		__u32 nr_classes = round % 3 == 0 ? 2 : round % 3 == 1 ? 5 : 1000;

		begin(seed + round);
		random_regions(round % 50 == 0 ? 2000 : 1 + made_random(&bench.made, 60),
			       nr_classes);
		build(nr_classes);
		check_edges();
		for (int i = 0; i < 200; i++)
			check(i & 1, random64(), random64());
		end();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_empty_trie_is_class_0_everywhere),
	    cmocka_unit_test(test_chain_of_all_lengths),
	    cmocka_unit_test(test_pairs_that_part_at_every_bit),
	    cmocka_unit_test(test_alternating_chain_stays_within_the_depth),
	    cmocka_unit_test(test_random_prefixes),
	};

	return cmocka_run_group_tests_name("compile: trie", tests, NULL, NULL);
}
