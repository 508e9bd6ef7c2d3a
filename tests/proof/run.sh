#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Proofs: spin models of what several CPUs do at once, CBMC on the code that reads frames and charges limits.
# Every proof comes with planted mistakes that it must find and with places that it must reach: a checker that finds
# nothing because it looked at nothing fails here.
#
# usage: [O=build] [LONG=1] run.sh [PATTERN]     PATTERN: extended regular expression over the names of the proofs
#
# LONG=1 adds the proofs whose bounds take longer than minutes in all.
# The last line is "N passed, N failed, N skipped"; the exit status is 0 when none failed. What cannot run because a
# tool is missing counts as skipped.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
mkdir -p "${O:-build}/proof"
out=$(cd "${O:-build}/proof" && pwd)
pattern=${1:-.}
LONG=${LONG:-0}
passed=0
failed=0
skipped=0

# limited COMMAND... - with a bound on time and memory, so that a proof that explodes ends as a failure
limited() {
	(
		ulimit -v $((6 * 1024 * 1024))
		exec timeout "$([ "$LONG" = 1 ] && echo 7200 || echo 900)" "$@"
	)
}

# report NAME ok|failed|skipped TEXT - one line a proof
report() {
	case $2 in
	ok) passed=$((passed + 1)) ;;
	skipped) skipped=$((skipped + 1)) ;;
	*) failed=$((failed + 1)) ;;
	esac
	printf '%-8s %-36s %s\n' "$2" "$1" "$3"
}

# ------------------------------------------------------------------------------------------------------------
# Spin: every order of the steps of several CPUs. Its memory is sequentially consistent: where an architecture may
# reorder the two loads of limit_try(), the C has to prevent it.

# model NAME FILE EXPECTED DEFINES... - EXPECTED: "holds", or what the assertion that must fail contains
model() {
	local name=$1 file=$2 expected=$3 dir=$out/$1 start=$SECONDS violated text
	shift 3

	[[ $name =~ $pattern ]] || return 0
	if ! command -v spin >/dev/null; then
		report "$name" skipped "spin is not installed"
		return
	fi
	rm -rf "$dir"
	mkdir -p "$dir"
	if ! (
		cd "$dir"
		cp "$here/$file" model.pml
		spin "$@" -a model.pml
		"${CC:-gcc}" -O2 -w -DSAFETY -DCOLLAPSE -o pan pan.c
		limited ./pan -m100000
	) >"$dir/log" 2>&1; then
		report "$name" failed "did not run to its end: $dir/log"
		return
	fi
	violated=$(sed -n 's/^pan:[0-9]*: //p' "$dir/log")
	text="$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1 states/p' "$dir/log"), $((SECONDS - start)) s"
	if grep -q 'max search depth too small' "$dir/log" || ! grep -q 'errors: [01]$' "$dir/log"; then
		report "$name" failed "search was not complete: $dir/log"
	elif [ "$expected" = holds ] && [ -z "$violated" ] && grep -q 'errors: 0$' "$dir/log"; then
		report "$name" ok "$text"
	elif [ "$expected" != holds ] && [[ $violated == *"assertion violated"*"$expected"* ]]; then
		report "$name" ok "found, $text"
	else
		report "$name" failed "expected \"$expected\", found \"${violated:-nothing}\": $dir/log"
	fi
	rm -f "$dir"/pan*
}

# Two CPUs with two packets each, three with one; no burst at all; an interval of several ticks.
model bucket bucket.pml holds
model bucket-3cpus bucket.pml holds -DCPUS=3 -DPACKETS=1
model bucket-no-burst bucket.pml holds -DTOLERANCE=0 -DTICKS=3
model bucket-slow-limit bucket.pml holds -DINTERVAL=2 -DTOLERANCE=2 -DTICKS=3
for mistake in KEY_FIRST NO_LOCK EARLY_CLOCK GIVE_BACK; do
	model "bucket-planted-$mistake" bucket.pml sum "-D$mistake"
done
for place in 1 2 3 4 5 7; do
	model "bucket-reaches-$place" bucket.pml "($place!=$place)" "-DREACH=$place"
done
model bucket-reaches-6 bucket.pml "(6!=6)" -DREACH=6 -DKEYS=3

model word word.pml holds
model word-planted-STORE_CONFIRM word.pml began -DSTORE_CONFIRM
model word-planted-STORE_FALLBACK word.pml confirmed -DSTORE_FALLBACK
model word-planted-GRACE_AFTER word.pml a==b -DGRACE_AFTER
model word-planted-APPLY_IN_TRIAL word.pml before -DAPPLY_IN_TRIAL
model word-planted-BLIND_ROLLBACK word.pml began -DBLIND_ROLLBACK
for place in 1 2 3 4 5 6 7 8; do
	model "word-reaches-$place" word.pml "($place!=$place)" "-DREACH=$place"
done

# ------------------------------------------------------------------------------------------------------------
# CBMC: the C of parser and limiter, for all inputs.

cbmc_found=
cbmc_find() {
	command -v cbmc >/dev/null && command -v cadical >/dev/null && command -v z3 >/dev/null && return
	"$here/fetch-cbmc.sh" "$out/tools" >"$out/fetch.log" 2>&1 || return
	PATH=$out/tools/bin:$PATH
}
if cbmc_find; then
	cbmc_found=1
fi

# copies DIRECTORY SOURCE FUNCTION - the headers that a proof wants otherwise than they are: a checksum that may be right or
# wrong whatever the bytes are, which covers both; loops as one step with the parts they call stood in for (see
# parse_tags.c); a stride that is a toy (see classify.c)
copies() {
	case $2 in
	parse.c)
		[ -e "$1/parse.h" ] || cp "$root/bpf/parse.h" "$1/parse.h"
		sed -i 's/if ((sum_fold(sum) ^ 0xffff)/if ((nondet_u16() ^ 0xffff)/' "$1/parse.h"
		grep -q nondet_u16 "$1/parse.h" || {
			echo "the checksum of bpf/parse.h is not where it was"
			return 1
		}
		;;
	parse_tags.c)
		[ -e "$1/parse.h" ] || cp "$root/bpf/parse.h" "$1/parse.h"
		sed -i -e 's/why = parse_\(options4\|chain6\|transport\)(/why = stand_in_\1(/' \
			-e '/parse_chain6/,/^}/s/for (int i = 0; i <= PARSE_MAX_EXT; i++)/for (int i = step, once = 1; once; once = 0)/' \
			-e '/parse_options4/,/^}/s/for (int i = 0; i < 40 && at4 < end; i++)/for (int once = 1; once \&\& at4 < end; step_at = at4, once = 0)/' \
			"$1/parse.h"
		[ "$(grep -c 'why = stand_in_\|once = 1' "$1/parse.h")" = 6 ] || {
			echo "the steps of bpf/parse.h are not where they were"
			return 1
		}
		;;
	classify.c)
		if [ "$3" = prove_trie ]; then
			mkdir -p "$1/weir"
			sed 's/^#define WEIR_STRIDE .*/#define WEIR_STRIDE 2/' "$root/include/weir/tables.h" >"$1/weir/tables.h"
		fi
		;;
	esac
}

# check LOG HEADERS SOURCE FUNCTION OPTIONS... - headers come from the directory HEADERS first. Loops end within their bounds.
check() {
	local log=$1 headers=$2 source=$3 function=$4 bounds=(--unwind 42 --unwinding-assertions)
	shift 4

	if ! copies "$headers" "$source" "$function" >"$log"; then return 1; fi
	case $function in
	prove_tags_transport_*)
		bounds+=("-DPROTOCOL=${function##*_}")
		function=prove_tags_transport
		;;
	prove_tags_link) bounds=(--unwind 97 --unwinding-assertions) ;;
	prove_stride | prove_skip) bounds=(--unwind 65 --unwinding-assertions) ;;
	prove_trie) bounds=(-DTOY --unwind 5 --unwinding-assertions) ;;
	esac
	limited cbmc -I"$headers" -I"$headers/bpf" -I"$root/include" -I"$root/bpf" -I"$root/user" -I"$here" -D_GNU_SOURCE \
		"$here/$source" --function "$function" "${bounds[@]}" "$@" >"$log" 2>&1
}

# fresh DIRECTORY - made empty
fresh() {
	rm -rf "$1"
	mkdir -p "$1"
}

# solver FUNCTION - CaDiCaL by name: `--sat-solver cadical` falls back to another silently in some builds
solver() {
	case $1 in
	prove_cost | prove_times) echo --z3 ;; # two multiplications of the same numbers
	*) echo --external-sat-solver cadical ;;
	esac
}

# overflow SOURCE - unsigned wrap-around is a mistake, but where bits are shifted out on purpose
overflow() {
	[ "$1" = classify.c ] || echo --unsigned-overflow-check
}

# available NAME - is NAME wanted, and is there a checker?
available() {
	[[ $1 =~ $pattern ]] || return 1
	[ -n "$cbmc_found" ] || {
		report "$1" skipped "no cbmc: neither installed nor to be fetched ($out/fetch.log)"
		return 1
	}
}

# prove NAME SOURCE FUNCTION - holds for all inputs
prove() {
	local name=$1 log=$out/$1.log start=$SECONDS status=0

	available "$name" || return 0
	fresh "$out/$1"
	# shellcheck disable=SC2046 # options
	check "$log" "$out/$1" "$2" "$3" $(overflow "$2") $(solver "$3") || status=$?
	if [ "$status" = 0 ] && grep -q '^VERIFICATION SUCCESSFUL' "$log" && grep -q "^\[$3\.\|^\[prove_" "$log"; then
		report "$name" ok "$(sed -n 's/^\*\* 0 of \([0-9]*\) failed.*/\1 checks/p' "$log"), $((SECONDS - start)) s"
	else
		report "$name" failed "$(grep -m 1 'FAILURE$' "$log" || echo "exit status $status") ($log)"
	fi
}

# reach NAME SOURCE FUNCTION PLACES - the numbered places, all of them, can be reached
reach() {
	local name=$1 log=$out/$1.log start=$SECONDS found

	available "$name" || return 0
	fresh "$out/$1"
	# shellcheck disable=SC2046 # options
	check "$log" "$out/$1" "$2" "$3" -DREACH --no-standard-checks $(solver "$3") || true
	found=$(sed -n 's/.*never reached: \([0-9]*\): FAILURE$/\1/p' "$log" | sort -n | paste -sd' ')
	if [ "$found" = "$4" ]; then
		report "$name" ok "places $found, $((SECONDS - start)) s"
	else
		report "$name" failed "expected places \"$4\", reached \"$found\" ($log)"
	fi
}

# plant NAME SOURCE FUNCTION EXPECTED HEADER SED - with this mistake the claim that contains EXPECTED must fail
plant() {
	local name=$1 log=$out/$1.log dir=$out/$1 start=$SECONDS

	available "$name" || return 0
	fresh "$dir"
	sed "$6" "$root/bpf/$5" >"$dir/$5"
	if cmp -s "$root/bpf/$5" "$dir/$5"; then
		report "$name" failed "the mistake does not apply to bpf/$5 any more: $6"
		return
	fi
	# shellcheck disable=SC2046 # options
	check "$log" "$dir" "$2" "$3" $(overflow "$2") $(solver "$3") || true
	if grep 'FAILURE$' "$log" | grep -qF "$4"; then
		report "$name" ok "found, $((SECONDS - start)) s"
	else
		report "$name" failed "not found (\"$4\", $log)"
	fi
}

for step in link ip4 ip6 chain6 other; do
	prove "parse-$step" parse.c "prove_$step"
done
reach parse-link-reaches parse.c prove_link "1 2 3 4"
reach parse-ip4-reaches parse.c prove_ip4 "1 2 3 4 5 6 7"
reach parse-ip6-reaches parse.c prove_ip6 "1 2 3 4 5 6 7"
reach parse-chain6-reaches parse.c prove_chain6 "1 2"
reach parse-other-reaches parse.c prove_other "1"

inside="reads only inside the frame"
datagram="read_end <= l3 + pkt->ip_len"
plant parse-planted-tag parse.c prove_link "$inside" parse.h 's/HAVE(view, at, 4)/HAVE(view, at, 2)/'
plant parse-planted-vid parse.c prove_link "probe_value == (pkt.vlan & 255)" parse.h 's/& 0xfff;$/\& 0xff0;/'
plant parse-planted-two-vids parse.c prove_link "probe_value == (pkt.vlan & 255)" parse.h 's/if (pkt->vlan || /if (/'
plant parse-planted-tcp-header parse.c prove_ip4 "$inside" parse.h '/parse_tcp/,/^}/s/HAVE(view, at, 20)/HAVE(view, at, 12)/'
plant parse-planted-data-offset parse.c prove_ip4 "pkt->headers <= pkt->ip_len" parse.h \
	'/parse_tcp/,/^}/s/length > left/length > left + 4/'
plant parse-planted-dhcp parse.c prove_ip4 "$datagram" parse.h 's/left >= 8 + 34 && //'
plant parse-planted-later-ports parse.c prove_ip4 "!(pkt->flags & PKT_LATER)" parse.h \
	'/parse_ip4/,/^}/s/if (pkt->flags & PKT_LATER)/if (0)/'
plant parse-planted-chain-end parse.c prove_chain6 "read_end <= pkt.offset" parse.h \
	'/parse_chain6/,/^}/s/o + length > end/o + 4 > end/'
plant parse-planted-fragment-offset parse.c prove_chain6 "& PKT_LATER" parse.h \
	'/parse_chain6/,/^}/s/if (fragment & 0xfff8)/if (fragment \& 0xff00)/'
plant parse-planted-fragment-undone parse.c prove_chain6 "(pkt.flags & before.flags) == before.flags" parse.h \
	'/parse_chain6/,/^}/s/pkt->flags |= PKT_FRAGMENT/pkt->flags ^= PKT_FRAGMENT/'

# Tagged is as untagged: 1 to 8 tags, chains of 16 headers, any length, cut into steps (see parse_tags.c).
for step in link ip4 ip6 arp options chain transport_17; do
	prove "tags-${step%_*}" parse_tags.c "prove_tags_$step"
done
if [ "$LONG" = 1 ]; then
	for protocol in 6 132 1 58 2 47; do
		prove "tags-transport-$protocol" parse_tags.c "prove_tags_transport_$protocol"
	done
	reach tags-transport-6-reaches parse_tags.c prove_tags_transport_6 "2"
	reach tags-transport-1-reaches parse_tags.c prove_tags_transport_1 "1"
fi
reach tags-link-reaches parse_tags.c prove_tags_link "1 2"
reach tags-ip4-reaches parse_tags.c prove_tags_ip4 "1 2 3"
reach tags-options-reaches parse_tags.c prove_tags_options "1 2"
reach tags-chain-reaches parse_tags.c prove_tags_chain "1 2 3"
reach tags-transport-reaches parse_tags.c prove_tags_transport_17 "3"
again="parse_network(&f.view, &f.tagged, type) == why"
plant tags-planted-link parse_tags.c prove_tags_link "== why" parse.h 's/if (vid) {/if (LD16(at, 0)) {/'
plant tags-planted-offset parse_tags.c prove_tags_ip4 "a->before.offset + shift" parse.h \
	'/parse_ip4/,/^}/s/pkt->offset = l3 + ihl/pkt->offset = 14 + ihl/'
plant tags-planted-length parse_tags.c prove_tags_ip4 "$again" parse.h '/parse_ip4/,/^}/s/l3 + total > view->len/14 + total > view->len/'
plant tags-planted-options parse_tags.c prove_tags_options "step_at == next + shift" parse.h \
	'/parse_options4/,/^}/s/ & 127/ \& 63/'
plant tags-planted-chain parse_tags.c prove_tags_chain "== why" parse.h \
	'/parse_chain6/,/^}/s/(end - o - 8) > 65535/(end - 62) > 65535/'
plant tags-planted-transport parse_tags.c prove_tags_transport_17 "same(&f.plain, &f.tagged)" parse.h \
	's/parse_dhcp(view, pkt, l4, left)/parse_dhcp(view, pkt, l4 > 60 ? 60 : l4, left)/'

for step in take window cost times; do
	prove "limit-$step" limit.c "prove_$step"
done
reach limit-take-reaches limit.c prove_take "1 2 3"
reach limit-window-reaches limit.c prove_window "1 2 3"
reach limit-cost-reaches limit.c prove_cost "1 2"
reach limit-times-reaches limit.c prove_times "1 2"
plant limit-planted-idle limit.c prove_take "s.ret >= s.now + s.cost" limit.h 's/(tat > now ? tat : now) + cost/tat + cost/'
plant limit-planted-forgets limit.c prove_window "s.ret" limit.h 's/(tat > now ? tat : now) + cost/now + cost/'
plant limit-planted-rounds-down limit.c prove_cost "cost ==" limit.h 's/(cost + round) >>/cost >>/'
plant limit-planted-no-cap limit.c prove_times "cost" limit.h 's|GCRA_MAX_COST / 65536|GCRA_MAX_COST / 16|'

# The class of an address is that of its longest prefix: nodes by induction, tries as they are built at toy width.
prove classify-skip classify.c prove_skip
reach classify-skip-reaches classify.c prove_skip "1 2 3"
plant classify-planted-skip classify.c prove_skip "== wanted" classify.h 's/lo >> ((64 - bits) & 63)/lo >> ((63 - bits) \& 63)/'
if [ "$LONG" = 1 ]; then
	prove classify-trie classify.c prove_trie
	reach classify-trie-reaches classify.c prove_trie "1 2"
	plant classify-planted-trie classify.c prove_trie "found == wanted" classify.h 's/ref = node->node_base + /ref = node->node_base + 1 + /'
	prove classify-stride classify.c prove_stride
	reach classify-stride-reaches classify.c prove_stride "1 2 3"
	plant classify-planted-stride classify.c prove_stride "== wanted" classify.h 's/upto = (2ULL << v) - 1/upto = (1ULL << v) - 1/'
fi

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
