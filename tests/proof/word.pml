/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The generation word (bpf/visit.h word_read(), user/kernel): apply, trial, confirm, rollback, and the fallback that
 * two CPUs and the tools may make at once.
 *
 * Checked in every order of steps:
 *   no packet is judged by a mixture of two policies;
 *   a policy that was returned (fallback, rollback) judges no packet that begins afterwards: it never comes back;
 *   what was confirmed is not returned by a deadline; a fallback restores the policy from before the trial;
 *   a trial that nobody confirmed judges no packet that begins past its deadline.
 * Tools are one process: a lock makes them one after the other. A table is two cells, read one by one.
 *
 * -DSTORE_CONFIRM, -DSTORE_FALLBACK: a plain store where the word must be compared and swapped
 * -DGRACE_AFTER:    apply waits for programs after its own flip only, though a fallback flips as well
 * -DAPPLY_IN_TRIAL: apply does not refuse while a trial is pending
 * -DBLIND_ROLLBACK: rollback goes to whatever the other slot holds, what was returned included
 * Each of them must fail. -DREACH=n: the numbered place is an error, so that a run shows that it can be reached.
 */
#ifndef CPUS
#define CPUS 2
#endif
#ifndef PACKETS
#define PACKETS 2
#endif
#ifndef REACH
#define REACH 0
#endif
#define POLICIES 3 /* 1 is in force at the start, the others are applied in order */
#define TICKS 2
#define TRIAL 1 /* ticks that a trial lasts */

#define reached(n) assert(REACH != (n))
#define BIT(p) (1 << (p))

typedef word_t {
	bit slot;
	bit pending;
	byte generation;
	byte deadline
};

word_t word;
byte clock;
byte cell_a[2], cell_b[2]; /* which policy filled each half of a slot's tables */
bit inside[CPUS];          /* a program runs on this CPU */

/* Not in the C: what happened to each policy, and which one judged before the trial. */
byte returned, confirmed, before;

#define SAME(w) (word.slot == w.slot && word.pending == w.pending && \
		 word.generation == w.generation && word.deadline == w.deadline)

#define SET_WORD(in_slot, trial, number, end) \
	word.slot = in_slot; word.pending = trial; word.generation = number; word.deadline = end

inline copy(to)
{
	d_step {
		to.slot = word.slot;
		to.pending = word.pending;
		to.generation = word.generation;
		to.deadline = word.deadline
	}
}

/* Runs inside the step that swaps a trial back. */
inline note_fallback(w)
{
	assert(!(confirmed & BIT(cell_a[w.slot])));
	assert(cell_a[1 - w.slot] == before);
	returned = returned | BIT(cell_a[w.slot])
}

proctype cpu(byte id)
{
	word_t w;
	byte packets = 0, began = 0, began_at = 0, trial_at = 0, a = 0, b = 0;

	do
	:: packets == PACKETS -> break
	:: else ->
		packets++;
		d_step {
			inside[id] = 1;
			began = returned;
			began_at = clock;
			trial_at = (word.pending -> word.deadline : TICKS + 1)
		}
		copy(w);
		if
		:: w.pending && clock >= w.deadline ->
			d_step {
#ifdef STORE_FALLBACK
				if
				:: true ->
#else
				if
				:: SAME(w) ->
#endif
					reached(1);
					note_fallback(w);
					w.slot = 1 - w.slot;
					w.pending = 0;
					w.generation++;
					w.deadline = 0;
					SET_WORD(w.slot, w.pending, w.generation, w.deadline)
				:: else ->
					if
					:: confirmed & BIT(cell_a[w.slot]) -> reached(2) /* confirmed meanwhile */
					:: else -> reached(3) /* somebody else swapped it back */
					fi;
					w.slot = word.slot;
					w.pending = word.pending;
					w.generation = word.generation;
					w.deadline = word.deadline
				fi
			}
		:: else
		fi;
		a = cell_a[w.slot];
		b = cell_b[w.slot];
		d_step {
			assert(a == b);
			assert(!(began & BIT(a)));
			assert(!(w.pending && began_at >= trial_at && trial_at == w.deadline && !(confirmed & BIT(a))));
			inside[id] = 0;
			w.slot = 0; w.pending = 0; w.generation = 0; w.deadline = 0;
			began = 0; began_at = 0; trial_at = 0; a = 0; b = 0
		}
	od
}

/* membarrier(): returns when every CPU was seen outside of programs. */
inline grace()
{
	i = 0;
	do
	:: i < CPUS ->
		!inside[i];
		i++
	:: else -> break
	od;
	i = 0
}

/* word_settle(): a trial whose deadline has passed is swapped back before anything else. */
inline settle()
{
	copy(u);
	if
	:: u.pending && clock >= u.deadline ->
		d_step {
			if
			:: SAME(u) ->
				reached(4);
				note_fallback(u);
				SET_WORD(1 - u.slot, 0, u.generation + 1, 0)
			:: else
			fi
		}
		copy(u)
	:: else
	fi
}

inline apply(trial)
{
	settle();
	if
#ifndef APPLY_IN_TRIAL
	:: u.pending -> skip /* refused */
#endif
	:: else ->
#if !defined(GRACE_AFTER)
		grace();
#endif
		cell_a[1 - u.slot] = policy;
		cell_b[1 - u.slot] = policy;
		d_step {
			if
			:: SAME(u) ->
				if
				:: returned && !(returned & BIT(policy)) -> reached(5) /* apply after a fallback */
				:: else
				fi;
				before = cell_a[u.slot];
				SET_WORD(1 - u.slot, trial, u.generation + 1, (trial -> clock + TRIAL : 0))
			:: else -> assert(false) /* only a pending word changes by itself */
			fi
		}
#ifdef GRACE_AFTER
		grace();
#endif
	fi
}

inline confirm()
{
	settle();
	if
	:: u.pending ->
		d_step {
			if
#ifdef STORE_CONFIRM
			:: true ->
#else
			:: SAME(u) ->
#endif
				reached(6);
				confirmed = confirmed | BIT(cell_a[u.slot]);
				SET_WORD(u.slot, 0, u.generation, 0)
			:: else -> reached(7) /* fell back between the look and the swap */
			fi
		}
	:: else
	fi
}

/* To the older policy only: what the other slot holds after a fallback is the one that was returned. */
inline rollback()
{
	settle();
	if
#ifdef BLIND_ROLLBACK
	:: cell_a[1 - u.slot] != 0 ->
#else
	:: cell_a[1 - u.slot] != 0 && cell_a[1 - u.slot] < cell_a[u.slot] ->
#endif
		d_step {
			if
			:: SAME(u) ->
				reached(8);
				returned = returned | BIT(cell_a[u.slot]);
				SET_WORD(1 - u.slot, 0, u.generation + 1, 0)
			:: else
			fi
		}
	:: else
	fi
}

proctype tools()
{
	word_t u;
	byte policy = 2, i = 0;

	do
	:: policy <= POLICIES ->
		if
		:: apply(0)
		:: apply(1)
		fi;
		if
		:: skip
		:: confirm()
		:: rollback()
		fi;
		policy++
	:: else -> break
	od
}

proctype ticks()
{
	do
	:: clock < TICKS -> clock++
	:: break
	od
}

init {
	atomic {
		cell_a[0] = 1;
		cell_b[0] = 1;
		before = 1;
		word.generation = 1;
		run cpu(0);
		run cpu(1);
		run tools();
		run ticks()
	}
}
