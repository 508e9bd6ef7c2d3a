#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# install-deps.sh [--check] [docker] [kernels] - the Debian packages that weir's build, tests and demo need (Debian 12 and 13).
#
# Quick when everything is there. Starts no service: nginx, redis, dnsmasq and the Docker engine are only run by tests, as
# processes.
# --check: install nothing; say what is missing and fail.
# docker: also what the tests and the demo with a real Docker engine need.
# kernels: also what the tests in other kernels need, and a second compiler of the kernel programs.
set -euo pipefail

build=(gcc libc6-dev make clang llvm bpftool pkg-config
	libbpf-dev libelf-dev zlib1g-dev libfyaml-dev libjansson-dev libmnl-dev libssl-dev libcurl4-openssl-dev libc-ares-dev)
tests=(libcmocka-dev libclang-rt-dev iproute2 nftables procps curl python3 nginx-light redis-server dnsmasq-base)
checks=(shellcheck clang-tidy mandoc)
# Not in every release: `make check` formats with 14 or says why not, `make proof` says what it misses.
optional=(clang-format-14 spin cbmc)
docker=(docker.io docker-compose iptables busybox-static python3-yaml)
# The engine's command line is a package of its own in Debian 13.
docker_optional=(docker-cli)
kernels=(qemu-system-x86 busybox-static xz-utils zstd debian-archive-keyring)
# Debian 13's own compiler; Debian 12 has it beside 14.
kernels_optional=(clang-19)
# Packages that would start a daemon, and its units.
declare -A service=([nginx-light]=nginx [redis-server]=redis-server [docker.io]='docker.socket docker containerd')

POLICY=/usr/sbin/policy-rc.d
MARK='# weir install-deps: no service starts meanwhile'

say() {
	printf 'install-deps: %s\n' "$*"
}

fail() {
	printf 'install-deps: %s\n' "$*" >&2
	exit 1
}

is_installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

in_archive() {
	local candidate
	candidate=$(apt-cache policy "$1" 2>/dev/null | awk '/Candidate:/ { print $2 }')
	[ -n "$candidate" ] && [ "$candidate" != '(none)' ]
}

# While packages are installed, /usr/sbin/policy-rc.d answers 101: start nothing. One that was there before is moved
# aside, and put back whatever happens; what a killed run left is put right by the next one.
policy_restore() {
	if [ -e "$POLICY" ] && grep -qF "$MARK" "$POLICY"; then
		rm -f "$POLICY"
	fi
	if [ -e "$POLICY.weir-saved" ]; then
		mv "$POLICY.weir-saved" "$POLICY"
	fi
}

policy_forbid() {
	policy_restore
	trap policy_restore EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	if [ -e "$POLICY" ]; then
		mv "$POLICY" "$POLICY.weir-saved"
	fi
	printf '#!/bin/sh\n%s\nexit 101\n' "$MARK" >"$POLICY"
	chmod 755 "$POLICY"
}

check=0
for word in "$@"; do
	case $word in
	--check) check=1 ;;
	docker)
		tests+=("${docker[@]}")
		command -v docker >/dev/null || optional+=("${docker_optional[@]}")
		;;
	kernels)
		tests+=("${kernels[@]}")
		optional+=("${kernels_optional[@]}")
		;;
	*) fail "usage: install-deps.sh [--check] [docker] [kernels]" ;;
	esac
done

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
	fail "this is not Debian (no dpkg-query, no apt-get); install the like of: ${build[*]} ${tests[*]}"
fi
if [ "$(id -u)" = 0 ]; then
	policy_restore
fi

missing=()
for package in "${build[@]}" "${tests[@]}" "${checks[@]}"; do
	is_installed "$package" || missing+=("$package")
done

absent=()
for package in "${optional[@]}"; do
	is_installed "$package" || absent+=("$package")
done

if [ ${#missing[@]} = 0 ]; then
	# Optional packages are looked for with the others: asking the archive each time would not be quick.
	say "all packages are there${absent[*]:+ (without the optional ${absent[*]})}"
	exit 0
fi
if [ "$check" = 1 ]; then
	fail "missing: ${missing[*]}"
fi
if [ "$(id -u)" != 0 ]; then
	fail "missing: ${missing[*]}; installing them needs root: sudo scripts/install-deps.sh"
fi

export DEBIAN_FRONTEND=noninteractive
say "apt-get update"
apt-get -q -q update || say "apt-get update failed; going on with the lists that are there"
for package in "${absent[@]}"; do
	if in_archive "$package"; then
		missing+=("$package")
	else
		say "$package is not in this release; what needs it says so"
	fi
done

say "installing ${missing[*]}"
policy_forbid
apt-get -q -q -y -o Dpkg::Use-Pty=0 --no-install-recommends install "${missing[@]}" >/dev/null
for package in "${!service[@]}"; do
	case " ${missing[*]} " in
	*" $package "*) ;;
	*) continue ;;
	esac
	# Installed for the tests alone: it is not to come up at the next boot either.
	for unit in ${service[$package]}; do
		if [ -d /run/systemd/system ] && systemctl disable -q "$unit" 2>/dev/null; then
			say "$unit is installed, not started, and disabled"
		else
			say "$unit is installed and not started"
		fi
	done
done
say "done"
