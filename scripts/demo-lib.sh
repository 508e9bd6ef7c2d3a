# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What the demos share: how they speak. Source it after lab.sh.
#
#   title TEXT…   note TEXT…   run CMD…     a headline, a remark, a command that is shown and run
#   verdict TEXT GOT WANTED                 one line, green or red; $SAYS says what is expected
#   done_in SECONDS                         the last line, and the exit status

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
	GREEN=$'\e[32m' RED=$'\e[1;37;41m' GREY=$'\e[90m' BOLD=$'\e[1m' PLAIN=$'\e[0m'
else
	GREEN='' RED='' GREY='' BOLD='' PLAIN=''
fi

title() { printf '\n%s== %s ==%s\n' "$BOLD" "$*" "$PLAIN"; }
note() { printf '%s%s%s\n' "$GREY" "$*" "$PLAIN"; }
run() {
	note "\$ ${*//"$ROOT/"/}"
	"$@"
}
# verdict TEXT GOT WANTED: one line, green or red.
SAYS='as expected without a policy'
verdict() {
	if [ "$2" = "$3" ]; then
		printf '  %s%s%s: %s\n' "$GREEN" "$SAYS" "$PLAIN" "$1"
	else
		printf '  %sNOT %s%s: %s (seen: %s, expected: %s)\n' "$RED" "$SAYS" "$PLAIN" "$1" "$2" "$3"
		FAILED=$((FAILED + 1))
	fi
}

done_in() {
	printf '\n%s: %d s\n' "$([ "$FAILED" = 0 ] && echo "All as the policy says" || echo "$FAILED things NOT as the policy says")" "$1"
	finish
}
