/* SPDX-License-Identifier: GPL-2.0-only */
/* The maps that programs use, and the clock. Keys, values and sizes are explained in weir/tables.h. */
#ifndef WEIR_MAPS_H
#define WEIR_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "weir/event.h"
#include "weir/reason.h"
#include "weir/tables.h"

#ifndef __noinline
#define __noinline __attribute__((noinline))
#endif

#define WEIR_ARRAY(map_name, value_type, entries, extra) \
	struct {                                         \
		__uint(type, BPF_MAP_TYPE_ARRAY);        \
		__uint(max_entries, entries);            \
		__uint(map_flags, extra);                \
		__type(key, __u32);                      \
		__type(value, value_type);               \
	} map_name SEC(".maps")

#define WEIR_PERCPU(map_name, value_type, entries)       \
	struct {                                         \
		__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); \
		__uint(max_entries, entries);            \
		__type(key, __u32);                      \
		__type(value, value_type);               \
	} map_name SEC(".maps")

/* Both slots of the compiled policy; the loader sizes them. */
#define WEIR_SLOT_PAIR(name, value_type, entries)     \
	WEIR_ARRAY(name##_0, value_type, entries, 0); \
	WEIR_ARRAY(name##_1, value_type, entries, 0);
WEIR_SLOT_MAPS(WEIR_SLOT_PAIR)

WEIR_ARRAY(weir_control, struct weir_control, 1, BPF_F_MMAPABLE);
WEIR_ARRAY(weir_tat, struct weir_tat, 65536, BPF_F_MMAPABLE);
WEIR_ARRAY(weir_over, __u64, WEIR_OVERFLOWS, BPF_F_MMAPABLE);
WEIR_ARRAY(weir_cookie, struct weir_cookie, WEIR_NR_COOKIES, BPF_F_MMAPABLE);
WEIR_ARRAY(weir_proved, __u64, WEIR_PROVED + WEIR_TRICKLES, 0);
WEIR_ARRAY(weir_flow, struct weir_flow_set, WEIR_FLOW_REGIONS *WEIR_FLOW_SETS, 0);
WEIR_ARRAY(weir_evlim, __u64, WEIR_EVENT_SOURCES, 0);
WEIR_PERCPU(weir_rulecnt, struct weir_count, 4096);
WEIR_PERCPU(weir_limcnt, struct weir_count, 256);
WEIR_PERCPU(weir_rsncnt, struct weir_count, WEIR_NR_REASONS);
WEIR_PERCPU(weir_homecnt, struct weir_count, WEIR_NR_HOMES);
WEIR_PERCPU(weir_books, struct weir_books, 1);

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct weir_iface);
} weir_iface SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct weir_local_key);
	__type(value, struct weir_local);
} weir_local SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WEIR_MAX_UNITS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct weir_unit);
} weir_unit SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, WEIR_MAX_BLOCKS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct weir_block_key);
	__type(value, struct weir_block);
} weir_block SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WEIR_MAX_AUTOBLOCKS);
	__type(key, struct weir_autoblk_key);
	__type(value, struct weir_autoblk);
} weir_autoblk SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} weir_events SEC(".maps");

/*
 * Entry @index of table @name of slot @slot. Each map is named at a call of its own, and the empty assembly keeps the
 * compiler from joining the two: a call with either map is not inlined, and costs ten times as much.
 */
#define WEIR_TABLE(name, slot, index)                                 \
	({                                                            \
		__u32 _i = (index);                                   \
		struct_of_##name *_entry;                             \
		if (slot) {                                           \
			_entry = bpf_map_lookup_elem(&name##_1, &_i); \
			asm volatile("" : "+r"(_entry) : "i"(1));     \
		} else {                                              \
			_entry = bpf_map_lookup_elem(&name##_0, &_i); \
			asm volatile("" : "+r"(_entry) : "i"(0));     \
		}                                                     \
		_entry;                                               \
	})
#define WEIR_TABLE_TYPE(name, value_type, entries) typedef value_type struct_of_##name;
WEIR_SLOT_MAPS(WEIR_TABLE_TYPE)

#define WEIR_FUNC	     __noinline
#define WEIR_FUNC_ONE_CALLER static __always_inline

/* Tests load with this set and move the clock by hand. */
const volatile __u8 weir_fake_clock = 0;

static __always_inline struct weir_control *control(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&weir_control, &zero);
}

static __always_inline __u64 now_fake(void)
{
	struct weir_control *c = control();

	return c ? *(volatile __u64 *)&c->fake_ns : 0;
}

/* CLOCK_MONOTONIC */
static __always_inline __u64 now_ns(void)
{
	return weir_fake_clock ? now_fake() : bpf_ktime_get_ns();
}

/* CLOCK_MONOTONIC to the tick: for what lives seconds. */
static __always_inline __u64 now_coarse_ns(void)
{
	return weir_fake_clock ? now_fake() : bpf_ktime_get_coarse_ns();
}

/* CLOCK_BOOTTIME: deadlines that suspend must not stretch. */
static __always_inline __u64 now_boot_ns(void)
{
	return weir_fake_clock ? now_fake() : bpf_ktime_get_boot_ns();
}

/*
 * The limiter's clock in 1/16 ns. The tick costs nothing to read; the loader says how long it is and where it began,
 * so that both clocks agree to a tick.
 */
static __always_inline __u64 limit_now(__u32 jiffies)
{
	struct weir_control *c;

	if (weir_fake_clock)
		return now_fake() << WEIR_TAT_SHIFT;
	if (!jiffies)
		return bpf_ktime_get_ns() << WEIR_TAT_SHIFT;
	c = control();
	return c ? (bpf_jiffies64() - c->jiffies0) * c->tick : 0;
}

#endif
