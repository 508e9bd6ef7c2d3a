/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What lets one BPF_PROG_TEST_RUN with many repeats see many sources: programs to be measured are reached by a tail
 * call from a program that first writes the next address into the frame. An empty program is measured in the same way,
 * and what the two share (the counter, the write, the tail call) drops out of the difference.
 */
#ifndef WEIR_BENCH_DRIVE_H
#define WEIR_BENCH_DRIVE_H

#include <linux/types.h>

/**
 * struct drive - how addresses follow each other; set by user space.
 * @base:   first address, host order
 * @number: of addresses
 * @offset: of the address in the frame (26: source, 30: destination of IPv4 behind Ethernet)
 * @in_order: one after the other, so that each comes up; else mixed, as packets of many sources are
 */
struct drive {
	__u64 count;
	__u32 base;
	__u32 number;
	__u32 offset;
	__u32 in_order;
};

#ifdef __bpf__

struct drive drive;

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} bench_target SEC(".maps");

static __attribute__((always_inline)) inline __u32 drive_next(void)
{
	__u64 n = drive.count++;

	if (drive.in_order) {
		if (drive.count >= drive.number)
			drive.count = 0;
		return drive.base + (__u32)n;
	}
	n = (n ^ n >> 16) * 0x9e3779b97f4a7c15ULL;
	n ^= n >> 29;
	n *= 0xbf58476d1ce4e5b9ULL;
	return drive.base + (__u32)((n >> 32) * drive.number >> 32);
}

#endif
#endif
