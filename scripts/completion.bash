# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
# Bash completion for weir(8). Commands and options are listed here; a test compares them with the program's.

_weir() {
	local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command='' i
	local global='--json --netns --pin-dir --engine --help --version'
	local -A options=(
		[check]='--print' [apply]='--confirm --no-tests --verbose' [confirm]='' [rollback]='' [run]='--wait' [status]='--kernel'
		[show]='--lines --all' [audit]='--follow --since --lines' [block]='--for --file' [unblock]='--file --all'
		[detach]='' [import]='--project --interface --env-file --tight' [help]='' [version]=''
	)

	COMPREPLY=()
	case $previous in
	--netns)
		mapfile -t COMPREPLY < <(compgen -W "$(ls /run/netns 2>/dev/null)" -- "$word")
		return
		;;
	--pin-dir | --engine | --file | --env-file)
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
		;;
	--confirm | --for | --since | --wait | --lines | --project | --interface) return ;;
	esac
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--netns | --pin-dir | --engine) ((i++)) ;;
		-*) ;;
		*)
			command=${COMP_WORDS[i]}
			break
			;;
		esac
	done
	if [[ $word == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$global ${options[$command]:-}" -- "$word")
	elif [ -z "$command" ] || [ "$command" = help ]; then
		mapfile -t COMPREPLY < <(compgen -W "${!options[*]}" -- "$word")
	elif [ "$command" = show ]; then
		mapfile -t COMPREPLY < <(compgen -W 'rules limits flows blocks segments counters' -- "$word")
	elif [ "$command" = import ] && [ "$previous" = import ]; then
		mapfile -t COMPREPLY < <(compgen -W 'compose' -- "$word")
	elif [[ $command =~ ^(check|apply|run|import)$ ]]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
	fi
}
complete -o filenames -F _weir weir
