#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# guest.sh KERNEL BUILD OUT SECONDS COMMAND... - boot a kernel that fetch.sh got under qemu, and run COMMAND in it.
#
# In the guest /weir is this source tree's tests, /weir/build the programs of BUILD (weir, its objects, the tests), and the
# rest this machine's own tools: shell, iproute2, nftables, bpftool, Python. Everything is memory, and COMMAND runs as root in
# /weir, with EMULATED=1 where there is no kvm. Its output comes as it is written; what it leaves in /out is in OUT afterwards,
# with the kernel's own log as OUT/console, and how it ran (kvm, tcg) as OUT/machine. Status: COMMAND's own; 124 when SECONDS
# were not enough; 125 when the guest did not come to its end, or its kernel complained.
#
# With kvm where Intel's or AMD's is loaded, else emulated, which is ten to twenty times slower (WEIR_KERNEL_ACCEL=kvm|tcg
# decides; WEIR_KERNEL_CPUS=2, WEIR_KERNEL_MEMORY=2048 MiB).
set -euo pipefail

CACHE=${WEIR_KERNEL_CACHE:-/var/cache/weir/kernels}
CPUS=${WEIR_KERNEL_CPUS:-2} MEMORY=${WEIR_KERNEL_MEMORY:-2048}
SOURCE=$(cd "$(dirname "$0")/../.." && pwd)
PATH=$PATH:/usr/sbin:/sbin
# What tests call, by the Debian packages that hold it; and programs that are links of Debian's alternatives.
PACKAGES=(bash dash hostname coreutils findutils grep sed diffutils procps iproute2 util-linux mount bsdutils libc-bin tar nftables bpftool)
LINKS=(awk bpftool)
# Loaded at boot; the kernel asks for others by itself.
LOADED=(virtio_pci virtio_blk veth bridge tun dummy sch_ingress cls_bpf nf_conntrack nf_tables af_packet)
# What the kernel says when something is wrong with it, or with what we did to it.
COMPLAINTS='BUG:|Oops|WARNING: CPU|WARNING: .* at |general protection fault|Kernel panic|KASAN|UBSAN:'

work='' qemu=''
# shellcheck disable=SC2317 # a trap calls it
leave() {
	trap - EXIT
	if [ -n "$qemu" ]; then
		kill -TERM "$qemu" 2>/dev/null || true
		wait "$qemu" 2>/dev/null || true
	fi
	if [ -n "$work" ]; then rm -rf "$work"; fi
}

fail() {
	printf 'guest: %s\n' "$*" >&2
	exit 125
}

# ---- the initial file system: two archives, one after the other

# Paths with their directories as they really are (/bin is /usr/bin).
real_paths() {
	local path
	while IFS= read -r path; do
		if [ -f "$path" ]; then echo "$(realpath "$(dirname "$path")")/${path##*/}"; fi
	done
}

programs() {
	local name
	dpkg -L "${PACKAGES[@]}" 2>/dev/null | grep -E '^(/usr)?/s?bin/[^/]+$'
	for name in "${LINKS[@]}"; do command -v "$name"; done
}

# The libraries that programs on standard input are linked to, and glibc's for the end of a thread.
libraries() {
	xargs -r ldd 2>/dev/null | awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /^\// && $2 ~ /^\(/ { print $1 }' | sort -u
	find /lib/x86_64-linux-gnu /usr/lib/x86_64-linux-gnu -maxdepth 1 -name 'libgcc_s.so.1' 2>/dev/null
}

python_files() {
	local library
	library=$(/usr/bin/python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
	echo "/usr/bin/python3"
	find "$library" \( -name test -o -name tests -o -name idlelib -o -name ensurepip -o -name 'config-*' -o -name lib2to3 \
		-o -name pydoc_data -o -name dist-packages \) -prune -o -type f -print
}

# Directories before what is in them; links as what they lead to.
pack() {
	awk '{
		n = split($0, part, "/"); path = ""
		for (i = 2; i < n; i++) { path = path "/" part[i]; if (!seen[path]++) print substr(path, 2) }
		if (!seen[$0]++) print substr($0, 2)
	}' | (cd / && busybox cpio -o -L -H newc 2>/dev/null)
}

pack_system() {
	{
		programs
		python_files
		find /etc/protocols /etc/services /etc/iproute2 /usr/share/iproute2 /usr/lib/locale/C.utf8 -type f 2>/dev/null
		command -v busybox
	} | real_paths >"$work/system" || true
	{
		cat "$work/system"
		find "$BUILD" -maxdepth 3 -type f -perm -100
	} | grep -vE '\.(py|pyc|h|o|sh)$' | libraries | real_paths >"$work/libraries"
	cat "$work/system" "$work/libraries" | pack
}

pack_tests() {
	local root=$work/root version
	version=$(basename "$KERNEL"/lib/modules/*)
	mkdir -p "$root"/{dev,proc,sys,tmp,run,out,root,mnt,etc,weir/build/tests,usr/{bin,sbin,lib,lib64},var/{log,lib,tmp}}
	ln -s usr/bin "$root/bin"
	ln -s usr/sbin "$root/sbin"
	ln -s usr/lib "$root/lib"
	ln -s usr/lib64 "$root/lib64"
	ln -s ../run "$root/var/run"
	ln -s "$(command -v busybox)" "$root/usr/sbin/modprobe"
	mkdir -p "$root/usr/lib/modules"
	cp -a "$KERNEL/lib/modules/$version" "$root/usr/lib/modules/"
	echo 'root:x:0:0:root:/root:/bin/bash' >"$root/etc/passwd"
	echo 'root:x:0:' >"$root/etc/group"
	echo '127.0.0.1 localhost' >"$root/etc/hosts"
	cp -a "$SOURCE"/{tests,scripts} "$root/weir/"
	cp -a "$BUILD"/weir "$root/weir/build/"
	mkdir "$root/weir/build/bpf"
	cp -a "$BUILD"/bpf/*.bpf.o "$root/weir/build/bpf/"
	(cd "$BUILD" && find tests -type f -perm -100) | while IFS= read -r path; do
		mkdir -p "$root/weir/build/$(dirname "$path")"
		cp -a "$BUILD/$path" "$root/weir/build/$path"
	done
	{
		printf 'export EMULATED=%s\n' "$([ "$accel" = kvm ] || echo 1)"
		printf 'modules=(%s)\ncommand=(' "${LOADED[*]}"
		printf ' %q' "$@"
		printf ' )\n'
	} >"$root/settings"
	init >"$root/init"
	chmod 755 "$root/init"
	(cd "$root" && find . | busybox cpio -o -H newc 2>/dev/null)
}

# The first process of the guest.
init() {
	cat <<'INIT'
#!/bin/bash
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb LANG=C.UTF-8
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts pts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t tmpfs -o mode=755 run /run
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup /sys/fs/cgroup
ln -s /proc/self/fd /dev/fd
chmod 1777 /tmp
. /settings
for module in "${modules[@]}"; do
	# Devices are what tests make, not what a module brings.
	case $module in dummy) modprobe -q dummy numdummies=0 ;; *) modprobe -q "$module" ;; esac
done
hostname guest
ip link set lo up
# Tests reserve more than they use, and the memory is small.
echo 1 >/proc/sys/vm/overcommit_memory
ulimit -n 65536
ulimit -l unlimited
stty -F /dev/ttyS1 raw -echo
cd /weir
echo "weir-guest: began $(cut -d ' ' -f 1 /proc/uptime)" >/dev/kmsg
"${command[@]}" </dev/null >/dev/ttyS1 2>&1
status=$?
tar -c -C /out -f /dev/vda . && sync
echo "weir-guest: ended $status $(cut -d ' ' -f 1 /proc/uptime)" >/dev/kmsg
sleep 0.2
busybox poweroff -f
INIT
}

# ---- the machine

can_kvm() {
	# A paravirtual kvm has the device, too, but does not boot kernels that know nothing of it.
	[ -r /dev/kvm ] && [ -w /dev/kvm ] && { [ -d /sys/module/kvm_intel ] || [ -d /sys/module/kvm_amd ]; }
}

choose_machine() {
	accel=${WEIR_KERNEL_ACCEL:-}
	machine=(qemu-system-x86_64)
	if [ -e "$CACHE/qemu/complete" ]; then machine=("$CACHE/qemu/bin/qemu-system-x86_64" -L "$CACHE/qemu/share"); fi
	if [ -z "$accel" ]; then
		if can_kvm; then accel=kvm; else accel=tcg; fi
	fi
	case $accel in
	kvm) machine+=(-accel kvm -cpu host) ;;
	# Five levels of page tables and protection keys are slow to emulate, and nothing here is about them.
	tcg) machine+=(-accel "tcg,thread=multi,tb-size=512" -cpu "max,la57=off,pku=off") ;;
	*) fail "WEIR_KERNEL_ACCEL is kvm or tcg" ;;
	esac
	echo "$accel" >"$OUT/machine"
	machine+=(-nodefaults -no-user-config -no-reboot -display none -machine pc -smp "$CPUS" -m "$MEMORY")
}

# Its status is what the guest's first process says last; the machine itself always ends well.
boot() {
	local words status=0
	words="console=ttyS0 panic=-1 oops=panic loglevel=5 printk.devkmsg=on nokaslr mitigations=off audit=0 nowatchdog"
	words+=" rcupdate.rcu_cpu_stall_timeout=300 no_timer_check net.ifnames=0"
	truncate -s 256M "$work/out"
	timeout --foreground -k 5 "$LIMIT" "${machine[@]}" -kernel "$KERNEL/vmlinuz" -initrd "$work/initrd" -append "$words" \
		-serial "file:$OUT/console" -chardev stdio,id=output,signal=off -serial chardev:output \
		-drive "file=$work/out,format=raw,if=virtio,cache=unsafe" </dev/null 2>"$work/errors" &
	qemu=$!
	wait "$qemu" || status=$?
	qemu=''
	sed -i 's/\r//g' "$OUT/console"
	[ "$status" != 124 ] && [ "$status" != 137 ] || return 124
	status=$(sed -n 's/.*weir-guest: ended \([0-9]*\) .*/\1/p' "$OUT/console" | tail -n 1)
	if [ -z "$status" ]; then
		{ cat "$work/errors" && tail -n 20 "$OUT/console"; } >&2
		fail "the guest did not come to its end"
	fi
	tar -x -C "$OUT" --no-same-owner -f "$work/out" 2>/dev/null || fail "what it left cannot be read"
	return "$status"
}

[ $# -ge 5 ] || fail "usage: guest.sh KERNEL BUILD OUT SECONDS COMMAND..."
KERNEL=$(realpath "$CACHE/$1") BUILD=$(realpath "$2") OUT=$3 LIMIT=$4
shift 4
[ -e "$KERNEL/complete" ] || fail "no kernel ${KERNEL##*/} in $CACHE (tests/kernels/fetch.sh)"
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
mkdir -p "$OUT"
work=$(mktemp -d /tmp/weir-guest.XXXXXX)
choose_machine
{ pack_system && pack_tests "$@"; } >"$work/initrd"
rm -rf "$work/root"
status=0
boot || status=$?
if grep -aqE "$COMPLAINTS" "$OUT/console"; then
	printf 'guest: the kernel complains:\n' >&2
	grep -aE -A 3 "$COMPLAINTS" "$OUT/console" | head -n 12 >&2
	[ "$status" != 0 ] || status=125
fi
exit "$status"
