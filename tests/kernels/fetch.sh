#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# fetch.sh [--renew] NAME... - Debian's cloud kernels, and where it is needed a newer qemu, into a cache. Nothing is installed.
#
# NAME is 6.1, 6.12, newest, or a Debian release (bookworm-backports, trixie ...). Afterwards $WEIR_KERNEL_CACHE/NAME (default
# /var/cache/weir/kernels) is a link to a directory with vmlinuz, config and lib/modules/VERSION; $WEIR_KERNEL_CACHE/qemu/bin has
# qemu-system-x86_64 when that of this machine is older than version 8. What is there is not fetched again: --renew asks
# the archive whether there is something newer.
#
# The archive is the one that this machine takes its own Debian packages from, with its settings (proxies); packages are
# checked against Debian's own signatures.
set -euo pipefail

CACHE=${WEIR_KERNEL_CACHE:-/var/cache/weir/kernels}
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
META=linux-image-cloud-amd64
# Where each series is the kernel of a release.
declare -A RELEASE=([6.1]=bookworm [6.12]=trixie [newest]=sid)
# What the tests may want of the modules, below kernel/: all of a cloud kernel is four times as much.
MODULES='net|lib|crypto|arch/x86/(lib/)?crypto|drivers/(virtio|block/virtio_blk|net/(veth|tun|tap|dummy|ifb|virtio_net|net_failover|macvlan|vrf|bonding|netkit))'

say() {
	printf 'fetch: %s\n' "$*" >&2
}

fail() {
	say "$@"
	exit 1
}

work='' archive='' release=''
leave() {
	if [ -n "$work" ]; then rm -rf "$work"; fi
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Where the release that this machine runs comes from; its updates and security archives are others.
find_archive() {
	# shellcheck source=/dev/null
	release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
	# shellcheck disable=SC2016 # apt's own placeholders
	archive=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Release: $release" 'Component: main' |
		head -n 1)
	[ -n "$archive" ] || fail "no apt source for Debian $release on this machine"
}

# private SUITE: an apt of its own for that suite, which knows of no installed package; apt-get and apt-cache take its
# options from APT_CONFIG.
private() {
	rm -rf "$work/apt"
	mkdir -p "$work"/apt/{lists/partial,archives/partial}
	: >"$work/apt/status"
	echo "deb [arch=amd64 signed-by=$KEYRING] $archive $1 main" >"$work/apt/sources.list"
	cat >"$work/apt/config" <<-CONFIG
		Dir::Etc::SourceList "$work/apt/sources.list";
		Dir::Etc::SourceParts "/dev/null";
		Dir::Etc::Preferences "/dev/null";
		Dir::Etc::PreferencesParts "/dev/null";
		Dir::State::Lists "$work/apt/lists";
		Dir::State::Status "$work/apt/status";
		Dir::State::extended_states "$work/apt/extended_states";
		Dir::Cache "$work/apt";
		Dir::Cache::archives "archives";
		APT::Architecture "amd64";
		APT::Sandbox::User "root";
		APT::Get::AllowUnauthenticated "false";
		APT::Update::Post-Invoke-Success "";
		APT::Install-Recommends "false";
		Acquire::AllowInsecureRepositories "false";
		Acquire::Languages "none";
		Debug::NoLocking "true";
	CONFIG
	export APT_CONFIG=$work/apt/config
	quiet "the package list of $1" apt-get -qq update
}

# quiet WHAT COMMAND...: its complaints only when it fails.
quiet() {
	local what=$1
	shift
	"$@" >"$work/log" 2>&1 || {
		grep -E '^[EW]:' "$work/log" | head -n 5 >&2 || true
		fail "$what cannot be had"
	}
}

# download SUITE PACKAGE...: unpacked into $work/root.
download() {
	local suite=$1 deb
	shift
	rm -rf "$work/root" "$work/debs"
	mkdir "$work/root" "$work/debs"
	(cd "$work/debs" && quiet "$* of $suite" apt-get -qq download "$@")
	for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$work/root"; done
}

# ---- kernels

# The packages of SUITE's newest kernel: newer releases split modules and image.
kernel_packages() {
	apt-get -qq --simulate install "$META" | awk '
		$1 == "Inst" && $2 ~ /^linux-(image|modules|binary|base)-[0-9].*-cloud-amd64$/ { print $2 }'
}

# plain_modules FROM TO: the modules worth keeping, unpacked, so that the guest need not.
plain_modules() {
	local path
	while IFS= read -r path; do
		mkdir -p "$2/$(dirname "$path")"
		case $path in
		*.xz) xz -dc "$1/$path" >"$2/${path%.xz}" ;;
		*.zst) zstd -qdc "$1/$path" >"$2/${path%.zst}" ;;
		*) cp "$1/$path" "$2/$path" ;;
		esac
	done < <(cd "$1" && find kernel -type f -name '*.ko*' | grep -E "^kernel/($MODULES)")
	cp "$1"/modules.builtin* "$1/modules.order" "$2/"
}

fetch_kernel() {
	local name=$1 suite=${RELEASE[$1]:-$1} packages image version new from
	if [ "$renew" = 0 ] && [ -e "$CACHE/$name/complete" ]; then return; fi
	private "$suite"
	mapfile -t packages < <(kernel_packages)
	image=$(printf '%s\n' "${packages[@]}" | grep '^linux-image-' | head -n 1)
	[ -n "$image" ] || fail "$suite has no $META"
	version=${image#linux-image-}
	if [ ! -e "$CACHE/linux-$version/complete" ]; then
		download "$suite" "${packages[@]}"
		new=$work/new
		from=$(find "$work/root" -type d -path "*/modules/$version" | head -n 1)
		mkdir -p "$new/lib/modules/$version"
		cp "$(find "$work/root" -type f -name 'vmlinuz*' | head -n 1)" "$new/vmlinuz"
		cp "$(find "$work/root" -type f \( -name "config-$version" -o -path "$from/config" \) | head -n 1)" "$new/config"
		plain_modules "$from" "$new/lib/modules/$version"
		busybox depmod -b "$new" "$version"
		: >"$new/complete"
		rm -rf "$CACHE/linux-$version"
		mv "$new" "$CACHE/linux-$version"
		say "$name: $version, $(du -sh "$CACHE/linux-$version" | cut -f 1)"
	fi
	ln -sfn "linux-$version" "$CACHE/$name"
}

# ---- qemu

major() {
	"$1" --version 2>/dev/null | sed -n '1s/.*version \([0-9]*\)\..*/\1/p'
}

# Before version 8 its cmpxchg16b leaves wrong flags now and then, and the kernel's allocator lives on that instruction.
# The one of the backports goes with the libraries that this machine's own has brought.
fetch_qemu() {
	local found suite new program=usr/bin/qemu-system-x86_64 lacking
	found=$(major qemu-system-x86_64 || true)
	if [ "${found:-0}" -ge 8 ] || [ -e "$CACHE/qemu/complete" ]; then return; fi
	[ -n "$found" ] || fail "qemu-system-x86_64 is missing (scripts/install-deps.sh kernels)"
	suite=$release-backports
	private "$suite"
	download "$suite" qemu-system-x86 qemu-system-data seabios
	new=$work/qemu
	mkdir -p "$new/bin" "$new/share"
	cp "$work/root/$program" "$new/bin/"
	# The data package names the BIOS by links into seabios.
	(cd "$work/root/usr/share" && cp qemu/linuxboot*.bin qemu/kvmvapic.bin seabios/bios*.bin "$new/share/")
	lacking=$(ldd "$new/bin/qemu-system-x86_64" | awk '/not found/ { print $1 }' | paste -sd ' ')
	[ -z "$lacking" ] || fail "qemu of $suite needs $lacking, which this machine does not have"
	: >"$new/complete"
	rm -rf "$CACHE/qemu"
	mv "$new" "$CACHE/qemu"
	say "qemu $(major "$CACHE/qemu/bin/qemu-system-x86_64"), $(du -sh "$CACHE/qemu" | cut -f 1)"
}

# ---- all

renew=0
if [ "${1:-}" = --renew ]; then
	renew=1
	shift
fi
[ $# != 0 ] || fail "usage: fetch.sh [--renew] NAME..."
[ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ] || fail "only for Debian on amd64"
[ -r "$KEYRING" ] || fail "$KEYRING is missing (package debian-archive-keyring)"
command -v busybox >/dev/null || fail "busybox is missing (scripts/install-deps.sh kernels)"
mkdir -p "$CACHE"
exec 9>"$CACHE/lock"
flock -w 900 9 || fail "another fetch is still going on"
# Not in the cache: a run that is killed leaves nothing that others would take for a kernel.
work=$(mktemp -d "$CACHE/.fetch.XXXXXX")
find_archive
for name in "$@"; do
	case $name in *[!a-z0-9.-]* | .* | -*) fail "'$name' is no kernel" ;; esac
	fetch_kernel "$name"
done
fetch_qemu
