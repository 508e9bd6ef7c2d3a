/* SPDX-License-Identifier: GPL-2.0-only */
/* The mixing function that the compiler and the programs must agree on. */
#ifndef WEIR_HASH_H
#define WEIR_HASH_H

#include <linux/types.h>

/**
 * weir_mix() - seeded 64-bit mix of one word (the finalizer of MurmurHash3, a bijection for each seed).
 * @value: any 64 bits
 * @seed:  secret or salt; tables that an outsider can fill use the per-boot seed
 */
static inline __attribute__((always_inline)) __u64 weir_mix(__u64 value, __u64 seed)
{
	value ^= seed;
	value ^= value >> 33;
	value *= 0xff51afd7ed558ccdULL;
	value ^= value >> 33;
	value *= 0xc4ceb9fe1a85ec53ULL;
	value ^= value >> 33;
	return value;
}

/** weir_exact_hash() - bucket (before masking) of key pair (a, b) in an exact table; see struct weir_exact. */
static inline __attribute__((always_inline)) __u32 weir_exact_hash(__u32 a, __u32 b, __u32 seed)
{
	return (__u32)weir_mix(((__u64)a << 32) | b, seed);
}

#endif
