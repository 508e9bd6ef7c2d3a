#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Fetches CBMC and its solvers, as Debian 13 has them, into a directory of the build. They come with the libraries that
# they were built for and their own loader, so they run on Debian 12 as well and nothing is installed.
#
# usage: fetch-cbmc.sh DIRECTORY     afterwards DIRECTORY/bin has cbmc, cadical, z3
#
# The archive is the one that this machine takes its own Debian packages from, with its settings (proxies); packages
# are checked against Debian's own signatures.
set -euo pipefail

suite=trixie
tools="cbmc cadical z3"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

mkdir -p "${1:?usage: fetch-cbmc.sh DIRECTORY}"
dir=$(cd "$1" && pwd)
[ ! -e "$dir/complete" ] || exit 0

fail() {
	echo "fetch-cbmc.sh: $1" >&2
	exit 1
}

command -v apt-get >/dev/null || fail "no apt-get here"
[ -r "$keyring" ] || fail "$keyring is missing (package debian-archive-keyring)"

# Where the release that this machine runs comes from; its updates and security archives are others.
# shellcheck source=/dev/null
release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
# shellcheck disable=SC2016 # apt's own placeholders
archive=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Release: $release" \
	'Component: main' | head -n 1)
[ -n "$archive" ] || fail "no apt source for Debian $release on this machine"

rm -rf "$dir/apt" "$dir/root" "${dir:?}/bin"
mkdir -p "$dir"/apt/{lists/partial,archives/partial} "$dir/root" "${dir:?}/bin"
: >"$dir/apt/status"
echo "deb [signed-by=$keyring] $archive $suite main" >"$dir/apt/sources.list"

# An empty status file: everything that the tools need is wanted, the C library included.
private=(
	-o "Dir::Etc::SourceList=$dir/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
	-o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null
	-o "Dir::State::Lists=$dir/apt/lists" -o "Dir::State::Status=$dir/apt/status"
	-o "Dir::State::extended_states=$dir/apt/extended_states" -o "Dir::Cache=$dir/apt"
	-o Dir::Cache::archives=archives -o APT::Sandbox::User=root -o APT::Get::AllowUnauthenticated=false
	-o Acquire::AllowInsecureRepositories=false -o Debug::NoLocking=true -o APT::Update::Post-Invoke-Success=
	-o Acquire::Languages=none -o APT::Install-Recommends=false -o Dpkg::Use-Pty=0 -qq
)
apt-get "${private[@]}" update
apt-get "${private[@]}" --download-only --yes install cbmc cadical z3 >/dev/null

for package in "$dir"/apt/archives/*.deb; do
	dpkg-deb --fsys-tarfile "$package" | tar -x -C "$dir/root" --keep-directory-symlink \
		--wildcards --no-anchored '*/bin/*' '*.so' '*.so.*' 2>/dev/null || true
done

loader=$(find "$dir/root" -name 'ld-linux*.so.*' | head -n 1)
[ -n "$loader" ] || fail "the packages hold no loader"
libraries=$(find "$dir/root" -name '*.so.*' -printf '%h\n' | sort -u | paste -sd:)
for tool in $tools; do
	[ -x "$dir/root/usr/bin/$tool" ] || fail "the packages hold no $tool"
	printf '#!/bin/sh\nexec "%s" --library-path "%s" --argv0 %s "%s" "$@"\n' \
		"$loader" "$libraries" "$tool" "$dir/root/usr/bin/$tool" >"$dir/bin/$tool"
	chmod 755 "$dir/bin/$tool"
done
"$dir/bin/cbmc" --version >/dev/null || fail "cbmc does not start"
rm -rf "$dir/apt"
: >"$dir/complete"
