/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Frames of any length and any content, for proofs of bpf/parse.h.
 *
 * The parser's five access macros are replaced: a cursor is an offset, a read checks that it stays inside, and its
 * value is free, so every content is covered without an array. One byte, at an offset of the solver's choice, always
 * has the same value: what is proved of it holds for each byte. The macros themselves are trusted, and the proof is of
 * the C source; the runs of the programs in the kernel join it to the bytecode.
 *
 * With TWICE, the WINDOW bytes behind `origin` are the same in every run, and nothing else may be read: two frames can be
 * compared.
 */
#ifndef WEIR_FRAME_H
#define WEIR_FRAME_H

#include <linux/types.h>

#include "prove.h"

typedef __u64 cursor;
static __u64 readable; /* bytes that can be read */
static __u64 read_end; /* behind the last byte that was read */
static __u64 probe_at; /* the byte that is always the same */
static __u8 probe_value;

#ifdef TWICE
static __u64 origin;
static __u8 content[WINDOW];

static __u8 byte(__u64 at)
{
	__CPROVER_assert(at < WINDOW, "reads only inside the window");
	return content[at];
}
#else
static __u8 byte(__u64 at)
{
	__u8 value = nondet_u8();

	return at == probe_at ? probe_value : value;
}
#endif

static void touch(__u64 at, __u64 n)
{
	__CPROVER_assert(at + n <= readable, "reads only inside the frame");
	if (at + n > read_end)
		read_end = at + n;
}

static __u8 load8(__u64 at)
{
	touch(at, 1);
	return byte(at);
}

static __u16 load16(__u64 at)
{
	touch(at, 2);
	return byte(at) | (__u16)byte(at + 1) << 8;
}

static __u32 load32(__u64 at)
{
	touch(at, 4);
	return byte(at) | (__u32)byte(at + 1) << 8 | (__u32)byte(at + 2) << 16 |
	       (__u32)byte(at + 3) << 24;
}

#ifdef TWICE /* cursors count from `origin`: what the two runs share then looks the same to the solver */
#define AT(view, offset) ((__u64)(offset)-origin)
#else
#define AT(view, offset) ((__u64)(offset))
#endif
#define HAVE(view, at, n) ((at) + (n) <= readable)
#define LD8(at, k)	  load8((at) + (k))
#define LD16(at, k)	  load16((at) + (k))
#define LD32(at, k)	  load32((at) + (k))

#include "parse.h"

/* Frames are shorter than 2 GiB; the kernel's own lengths are. */
static void any_frame(struct view *view)
{
	view->data = 0;
	view->end = 0;
	view->len = nondet_u32();
	view->gso = nondet_u8() & 1;
	readable = nondet_u64();
	ASSUME(view->len < 0x80000000u && readable <= view->len);
	read_end = 0;
	probe_at = nondet_u64();
	probe_value = nondet_u8();
}

#endif
