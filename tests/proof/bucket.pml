/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One bucket of the limiter (bpf/limit.h) under several CPUs, with expiry and a running clock.
 *
 * Every statement that touches key[], tat[] or clock is one atomic step: one memory access of the C.
 * What is checked: whatever the order of steps, each source is admitted in every window of time at most
 * burst + 1 + rate x window, the packet's time being the clock value that it was charged with; and a key never has
 * two live entries. Going to the overflow entry is a refusal here: it is another entry with its own bound.
 *
 * Two entries a bucket instead of four, small integers for 1/16 ns; the number of attempts is not bounded as in C
 * (16), instead a CPU may give up at every attempt, which covers every bound.
 *
 * Plausible protocols that are wrong; the checker must say so:
 * -DKEY_FIRST:   the key is loaded before the tat: charges another source's entry
 * -DNO_LOCK:     an expired entry is claimed without the bucket's lock: a key gets two entries
 * -DEARLY_CLOCK: the clock is not read again under the lock: a key that expired meanwhile begins afresh
 * -DGIVE_BACK:   the unit of a packet that a later limit refused is subtracted again: a tat that may go back makes
 *                an old one look current, and an entry that expired meanwhile owes nothing
 * -DREACH=n: the numbered place is an error, so that a run shows that it can be reached.
 */
#ifndef CPUS
#define CPUS 2
#endif
#ifndef PACKETS
#define PACKETS 2 /* of each CPU */
#endif
#ifndef KEYS
#define KEYS 2
#endif
#ifndef INTERVAL
#define INTERVAL 1 /* T */
#endif
#ifndef TOLERANCE
#define TOLERANCE 1 /* burst x T */
#endif
#ifndef TICKS
#define TICKS 2
#endif
#ifndef REACH
#define REACH 0
#endif
#define ENTRIES 2

#define WEIR_TAT_LOCK 128
#define WEIR_TAT_DEAD 64
#define WEIR_TAT_MASK 63

#define VALUE(t) ((t) & WEIR_TAT_MASK)
#define reached(n) assert(REACH != (n))

byte clock;
byte key[ENTRIES];
byte tat[ENTRIES];

/* Not in the C: how many packets of a key were admitted at each time. */
byte granted[(KEYS + 1) * (TICKS + 1)];
byte sum, from, to, i;

inline grant(who, when)
{
	/* Runs inside the step that charges. */
	granted[(who) * (TICKS + 1) + (when)]++;
	from = 0;
	do
	:: from <= (when) ->
		to = from;
		sum = 0;
		do
		:: to <= TICKS ->
			sum = sum + granted[(who) * (TICKS + 1) + to];
			assert(to < (when) || sum == 0 || (sum - 1) * INTERVAL <= to - from + TOLERANCE);
			to++
		:: else -> break
		od;
		from++
	:: else -> break
	od;
	if
	:: (granted[(who) * (TICKS + 1) + (when)] - 1) * INTERVAL >= TOLERANCE -> reached(1) /* a whole burst at once */
	:: else
	fi;
	from = 0; to = 0; sum = 0
}

/* At most one entry of a key that is neither dead nor expired. */
inline check_single(who)
{
	sum = 0;
	i = 0;
	do
	:: i < ENTRIES ->
		if
		:: key[i] == (who) && !(tat[i] & WEIR_TAT_DEAD) && VALUE(tat[i]) > clock -> sum++
		:: else
		fi;
		i++
	:: else -> break
	od;
	assert(sum <= 1);
	i = 0; sum = 0
}

/* The new state in the lower bits, flags as they were; `conforms` is the verdict of gcra_take(). */
#define CONFORMS(t, now) (VALUE(t) <= (now) + TOLERANCE)
#define TAKEN(t, now) (((t) & WEIR_TAT_LOCK) | ((VALUE(t) > (now) -> VALUE(t) : (now)) + INTERVAL))

/* One entry in limit_try(). state: 0 not ours, 1 LIMIT_PASS, 2 LIMIT_REFUSE, 3 LIMIT_RETRY. */
inline try(e, now, state)
{
#ifdef KEY_FIRST
	k = key[e];
	t = tat[e];
#else
	t = tat[e];
	k = key[e];
#endif
	if
	:: k != me || (t & WEIR_TAT_DEAD) -> state = 0
	:: else ->
		if
		:: !CONFORMS(t, now) -> state = 2
		:: else ->
			d_step {
				if
				:: tat[e] == t ->
					tat[e] = TAKEN(t, now);
					grant(me, now);
					check_single(me);
					state = 1
				:: else ->
					reached(2); /* another CPU was quicker */
					state = 3
				fi
			}
		fi
	fi;
	k = 0;
	t = 0
}

/* limit_try() */
inline limit_try(now)
{
	e = 0;
	do
	:: e < ENTRIES ->
		try(e, now, state);
		if
		:: state == 0 -> e++
		:: else -> break
		fi
	:: else -> break
	od
}

proctype cpu()
{
	byte packets = 0, me = 0, now = 0, e = 0, t = 0, k = 0, state = 0;

next:
	atomic {
		me = 0; now = 0; e = 0; t = 0; k = 0; state = 0
	}
	if
	:: packets == PACKETS -> goto end
	:: else -> packets++
	fi;
	if
	:: me = 1
	:: me = 2
	:: me = KEYS
	fi;
	now = clock;
again:
	limit_try(now);
	if
	:: state == 1 -> goto admitted
	:: state == 2 -> goto next
	:: state == 3 ->
		if
		:: goto again
		:: goto next
		fi
	:: else
	fi;

#ifndef NO_LOCK
	/* Not found: insert, under the lock in entry 0. */
	t = tat[0];
	if
	:: t & WEIR_TAT_LOCK ->
		reached(3); /* somebody else inserts */
		if
		:: goto again
		:: goto next
		fi
	:: else
	fi;
	d_step {
		if
		:: tat[0] == t -> tat[0] = t | WEIR_TAT_LOCK; state = 1
		:: else -> state = 0
		fi;
		t = 0
	}
	if
	:: state == 0 ->
		if
		:: goto again
		:: goto next
		fi
	:: else
	fi;
	state = 0;
#ifndef EARLY_CLOCK
	/* Again under the lock: with the earlier time, a key that expired and was replaced meanwhile begins afresh. */
	now = clock;
#endif
	limit_try(now);
	if
	:: state == 1 ->
		reached(4); /* inserted by another CPU between the search and the lock */
		goto unlock
	:: state == 2 || state == 3 -> goto unlock
	:: else
	fi;
#endif
	/* limit_insert() */
	e = 0;
	do
	:: e < ENTRIES ->
		t = tat[e];
		if
		:: !(t & WEIR_TAT_DEAD) && VALUE(t) <= now ->
			d_step {
				if
				:: tat[e] == t ->
					tat[e] = WEIR_TAT_DEAD | (t & WEIR_TAT_LOCK);
					state = 1
				:: else ->
					reached(5); /* its owner was charged just now: take the next */
					state = 0
				fi
			}
			if
			:: state == 1 -> break
			:: else
			fi
		:: else
		fi;
		e++
	:: else -> break
	od;
	if
	:: e == ENTRIES ->
		reached(6) /* all live: overflow */
	:: else ->
		d_step {
			if
			:: key[e] != 0 && key[e] != me -> reached(7) /* an expired source gives its place to another */
			:: else
			fi;
			key[e] = me
		}
		d_step {
			tat[e] = (e == 0 -> tat[0] & WEIR_TAT_LOCK : 0) | (now + INTERVAL);
			state = 1;
			grant(me, now);
			check_single(me)
		}
	fi;
#ifndef NO_LOCK
unlock:
	tat[0] = tat[0] & ~WEIR_TAT_LOCK;
	if
	:: state == 3 -> goto again
	:: state == 1 -> goto admitted
	:: goto next
	fi;
#endif
admitted:
#ifdef GIVE_BACK
	/* A later limit of the packet refused it: take the unit off again, if the entry is still there. */
	if
	:: goto next
	:: e = 0
	fi;
	do
	:: e < ENTRIES ->
		t = tat[e];
		k = key[e];
		if
		:: k == me && !(t & WEIR_TAT_DEAD) && VALUE(t) >= INTERVAL ->
			d_step {
				if
				:: tat[e] == t ->
					tat[e] = t - INTERVAL;
					granted[me * (TICKS + 1) + now]--
				:: else
				fi
			}
			break
		:: else
		fi;
		e++
	:: else -> break
	od;
#endif
	goto next;
end:
	skip
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
		/* Any expired contents; a key at most once. */
		if
		:: key[0] = 0
		:: key[0] = 1
		:: key[0] = 2
		:: key[0] = KEYS
		fi;
		if
		:: key[1] = 0
		:: key[0] != KEYS -> key[1] = KEYS
		fi;
		i = 0;
		do
		:: i < CPUS -> run cpu(); i++
		:: else -> break
		od;
		i = 0;
		run ticks()
	}
}
