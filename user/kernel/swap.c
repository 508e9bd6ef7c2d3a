// SPDX-License-Identifier: GPL-2.0-only
/* The generation word: who judges, since when, and until when on trial. */
#include "kernel/internal.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/membarrier.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

static __u64 clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static bool fake(const struct kernel *kernel)
{
	return kernel && kernel->meta && kernel->meta->flags & META_FAKE_CLOCK;
}

static __u64 fake_ns(const struct kernel *kernel)
{
	return __atomic_load_n(&kernel->control->fake_ns, __ATOMIC_SEQ_CST);
}

__u64 boot_ns(const struct kernel *kernel)
{
	return fake(kernel) ? fake_ns(kernel) : clock_ns(CLOCK_BOOTTIME);
}

__u64 mono_ns(const struct kernel *kernel)
{
	return fake(kernel) ? fake_ns(kernel) : clock_ns(CLOCK_MONOTONIC);
}

/* ---- grace: no program that began before still runs when this returns ---- */

/* Replacing an inner map waits for running programs, for exactly the reason that we have. */
static int grace_by_map(void)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts);
	_cleanup_close_ int inner = bpf_map_create(BPF_MAP_TYPE_ARRAY, "weir_grace", 4, 4, 1, NULL);
	_cleanup_close_ int outer = -1;
	__u32 zero = 0;

	if (inner < 0)
		return -errno;
	opts.inner_map_fd = inner;
	outer = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "weir_graces", 4, 4, 1, &opts);
	if (outer < 0)
		return -errno;
	return bpf_map_update_elem(outer, &zero, &inner, BPF_ANY) < 0 ? -errno : 0;
}

int grace(void)
{
	if (!fault("membarrier") && syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) == 0)
		return 0;
	return grace_by_map(); /* EINVAL: some CPU runs without a tick */
}

/* ---- the word ---- */

__u64 word_make(unsigned int slot, __u32 generation, __u64 deadline_ms)
{
	__u64 word = slot | ((generation & WEIR_WORD_GEN_MASK) << WEIR_WORD_GEN_SHIFT);

	if (deadline_ms)
		word |= WEIR_WORD_PENDING | deadline_ms << WEIR_WORD_DEADLINE_SHIFT;
	return word;
}

__u32 generation_next(__u32 generation)
{
	generation = (generation + 1) & WEIR_WORD_GEN_MASK;
	return generation ? generation : 1;
}

__u64 word_fallback(__u64 word, bool held)
{
	return word_make(!word_slot(word), held ? generation_next(word_generation(word)) : 0, 0);
}

/* Does the other slot hold a policy to fall back to? */
static bool held(const struct kernel *kernel, __u64 word)
{
	struct weir_config config;

	return slot_config(kernel, !word_slot(word), &config) == 0 && config.generation;
}

bool word_expired(__u64 word, __u64 now_ms)
{
	return word & WEIR_WORD_PENDING && now_ms >= word_deadline(word);
}

static __u64 word_load(const struct kernel *kernel)
{
	return __atomic_load_n(&kernel->control->word, __ATOMIC_SEQ_CST);
}

__u64 word_peek(const struct kernel *kernel)
{
	__u64 word = word_load(kernel);

	return word_expired(word, boot_ns(kernel) / 1000000)
		   ? word_fallback(word, held(kernel, word))
		   : word;
}

int word_swap(struct kernel *kernel, __u64 expected, __u64 desired)
{
	int err = fault("swap");

	if (err)
		return err;
	return __atomic_compare_exchange_n(&kernel->control->word, &expected, desired, false,
					   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)
		   ? 0
		   : -EAGAIN;
}

__u64 word_settle(struct kernel *kernel)
{
	__u64 word = word_load(kernel);

	/* Losing this race means that a packet did it first. */
	if (word_expired(word, boot_ns(kernel) / 1000000))
		__atomic_compare_exchange_n(&kernel->control->word, &word,
					    word_fallback(word, held(kernel, word)), false,
					    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	return word_load(kernel);
}

/* ---- ending a trial ---- */

/* The word decides; interfaces that could not be brought in line with it are for the next follow. */
static void follow_or_warn(struct kernel *kernel, bool both, struct diag *diag)
{
	struct diag scratch = {};

	if (follow_slots(kernel, both,
			 kernel->meta->flags & META_ENGINE ? &kernel_bind_as_is : NULL, NULL, NULL,
			 &scratch))
		diag_warn(diag, NULL, "interfaces do not follow yet: %s", scratch.error);
	diag_reset(&scratch);
}

int kernel_confirm(struct kernel *kernel, __u32 *ret_generation, struct diag *diag)
{
	__u64 word;
	int err;

	if (!kernel->loaded)
		return diag_fail(diag, -ENOENT, NULL, "no policy is loaded");
	word = word_settle(kernel);
	if (!(word & WEIR_WORD_PENDING))
		return diag_fail(diag, -ENOENT, NULL,
				 "no trial is pending; generation %u is in force",
				 word_generation(word));
	err = word_swap(kernel, word, word_make(word_slot(word), word_generation(word), 0));
	if (err)
		return diag_fail(diag, -ENOENT, NULL,
				 "the trial fell back in this moment; generation %u is in force",
				 word_generation(word_settle(kernel)));
	*ret_generation = word_generation(word);
	/* What only the former policy watches was kept for the fallback. */
	follow_or_warn(kernel, false, diag);
	sysctls_settle(kernel, diag);
	return 0;
}

static int rollback_word(struct kernel *kernel, __u64 word, __u32 *ret_generation,
			 struct diag *diag)
{
	__u64 back = word_fallback(word, held(kernel, word));
	int err = word_swap(kernel, word, back);

	if (err)
		return diag_fail(diag, err, NULL, "the policy in force changed meanwhile");
	if (word_generation(back) > kernel->meta->generation)
		kernel->meta->generation = word_generation(back);
	*ret_generation = word_generation(back);
	return 0;
}

/* The policy is back whatever happens here. */
static void finish_carry(struct carry *carry, int err, struct diag *diag)
{
	if (!err && carry)
		err = carry_pass(carry);
	if (!err && carry)
		err = grace();
	if (!err && carry)
		err = carry_pass(carry);
	if (err)
		diag_warn(diag, NULL,
			  "what sources owe under limits that differ was not carried over: %s",
			  strerror(-err));
}

/* Generations are 22 bits and go round. */
static bool newer(__u32 a, __u32 b)
{
	return a != b && ((a - b) & WEIR_WORD_GEN_MASK) <= WEIR_WORD_GEN_MASK / 2;
}

/* Without a trial, the other slot's policy must be the one before; what was gone back from never returns by itself. */
static int may_return(struct kernel *kernel, __u64 word, __u32 other, struct diag *diag)
{
	struct weir_config running;
	int err;

	if (!other || kernel->meta->flags & META_STALE)
		return diag_fail(
		    diag, -ENOENT, NULL,
		    "the other slot holds no policy to go back to; generation %u is in force",
		    word_generation(word));
	err = slot_config(kernel, word_slot(word), &running);
	if (err)
		return diag_fail(diag, err, NULL, "cannot read the slot in force: %s",
				 strerror(-err));
	if (running.generation && newer(other, running.generation))
		return diag_fail(diag, -ENOENT, NULL,
				 "the other slot holds generation %u, which was gone back from; "
				 "apply it to have it again; generation %u is in force",
				 other, word_generation(word));
	return 0;
}

bool may_come_back(struct kernel *kernel, __u64 word)
{
	struct weir_config running, other;

	if (slot_config(kernel, !word_slot(word), &other) ||
	    slot_config(kernel, word_slot(word), &running))
		return true; /* who knows */
	if (!other.generation)
		return false;
	if (word & WEIR_WORD_PENDING)
		return true;
	return !(kernel->meta->flags & META_STALE) &&
	       !(running.generation && newer(other.generation, running.generation));
}

/* Settings that only the policy that ended needed; one that comes back needs its own. */
static void settle_or_warn(struct kernel *kernel, struct diag *diag)
{
	struct diag scratch = {};

	if (sysctls_keep(kernel, &scratch))
		diag_warn(diag, NULL, "%s", scratch.error);
	for (size_t i = 0; i < scratch.nr_warnings; i++)
		diag_warn(diag, NULL, "%s", scratch.warnings[i]);
	diag_reset(&scratch);
}

int kernel_rollback(struct kernel *kernel, __u32 *ret_generation, struct diag *diag)
{
	struct carry *carry = NULL;
	struct weir_config config;
	__u64 word;
	int err, carried = 0;

	if (!kernel->loaded)
		return diag_fail(diag, -ENOENT, NULL, "no policy is loaded");
	word = word_settle(kernel);
	err = slot_config(kernel, !word_slot(word), &config);
	if (err)
		return diag_fail(diag, err, NULL, "cannot read the other slot: %s", strerror(-err));
	if (!(word & WEIR_WORD_PENDING))
		err = may_return(kernel, word, config.generation, diag);
	if (err)
		return err;
	/* Its interfaces may have been let go since. */
	if (config.generation)
		follow_or_warn(kernel, true, diag);
	if (config.generation)
		carried = carry_begin(kernel, word_slot(word), &carry);
	err = rollback_word(kernel, word, ret_generation, diag);
	if (!err) {
		finish_carry(carry, carried, diag);
		follow_or_warn(kernel, false, diag);
		settle_or_warn(kernel, diag);
	}
	carry_free(carry);
	return err;
}
