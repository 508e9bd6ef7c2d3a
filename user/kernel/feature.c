// SPDX-License-Identifier: GPL-2.0-only
/* What this kernel offers, found out by trying: versions lie, as distributions move features about. */
#include "kernel/internal.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/membarrier.h>
#include <net/if.h>
#include <string.h>
#include <sys/syscall.h>

/* r0 = -1 (TC_ACT_UNSPEC: the next one decides); exit */
int program_nothing(void)
{
	static const struct bpf_insn insns[] = {
	    {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = -1},
	    {.code = BPF_JMP | BPF_EXIT},
	};
	int fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "weir_probe", "GPL", insns,
			       ARRAY_SIZE(insns), NULL);

	return fd < 0 ? -errno : fd;
}

/* On loopback, which weir never watches, and gone with the descriptor. */
static int try_tcx(void)
{
	_cleanup_close_ int prog = program_nothing();
	_cleanup_close_ int link = -1;

	if (prog < 0)
		return prog;
	link = tcx_link(prog, if_nametoindex("lo"), HOOK_IN);
	return link < 0 ? link : 0;
}

static int try_btf(void)
{
	return access("/sys/kernel/btf/vmlinux", R_OK) < 0 ? -errno : 0;
}

static int try_membarrier(void)
{
	return syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) < 0 ? -errno : 0;
}

/* Reading many entries by one call. */
static int try_batch(void)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts);
	_cleanup_close_ int map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "weir_probe", 4, 8, 2, NULL);
	__u32 key[2], next, count = 2;
	__u64 value[2];

	if (map < 0)
		return -errno;
	return bpf_map_lookup_batch(map, NULL, &next, key, value, &count, &opts) < 0 &&
		       errno != ENOENT
		   ? -errno
		   : 0;
}

/* A function of the kernel or of its conntrack module that programs may call: BTF says so. */
static int find_kfunc(const char *name)
{
	struct btf *vmlinux = btf__load_vmlinux_btf(), *module;
	int err = -ENOENT;

	if (!vmlinux)
		return -errno;
	if (btf__find_by_name_kind(vmlinux, name, BTF_KIND_FUNC) >= 0)
		err = 0;
	module = err ? btf__load_module_btf("nf_conntrack", vmlinux) : NULL;
	if (module && btf__find_by_name_kind(module, name, BTF_KIND_FUNC) >= 0)
		err = 0;
	btf__free(module);
	btf__free(vmlinux);
	return err;
}

static int try_ct(void)
{
	libbpf_quiet();
	return fault("bpf_skb_ct_lookup") ? -ENOENT : find_kfunc("bpf_skb_ct_lookup");
}

static int try_cgroup(void)
{
	int offers;

	libbpf_quiet();
	if (fault("bpf_skb_cgroup_id"))
		return -ENOENT;
	offers = libbpf_probe_bpf_helper(BPF_PROG_TYPE_SCHED_CLS, BPF_FUNC_skb_cgroup_id, NULL);
	return offers < 0 ? offers : offers ? 0 : -EOPNOTSUPP;
}

#define ZERO(at)                                                              \
	{                                                                     \
		.code = BPF_ST | BPF_MEM | BPF_DW, .dst_reg = 10, .off = (at) \
	}
#define BELOW(reg, at)                                                             \
	{.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = (reg), .src_reg = 10},    \
	{                                                                          \
		.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = (reg), .imm = (at) \
	}
#define PUT(reg, value)                                                               \
	{                                                                             \
		.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = (reg), .imm = (value) \
	}

/*
 * By a program that calls it: libbpf 1.1 asks less, and takes the "cannot use helper" of 6.12 and newer for a yes.
 * r1 is an IPv4 header, r2 a TCP header of 24 bytes, both of zeroes.
 */
static int try_cookies(void)
{
	static const struct bpf_insn insns[] = {
	    ZERO(-8),
	    ZERO(-16),
	    ZERO(-24),
	    ZERO(-32),
	    ZERO(-40),
	    ZERO(-48),
	    BELOW(1, -48),
	    BELOW(2, -24),
	    PUT(3, 24),
	    {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_tcp_raw_gen_syncookie_ipv4},
	    PUT(0, XDP_PASS),
	    {.code = BPF_JMP | BPF_EXIT},
	};
	_cleanup_close_ int fd = -1;

	libbpf_quiet();
	if (fault("bpf_tcp_raw_gen_syncookie"))
		return -ENOENT;
	fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "weir_probe", "GPL", insns, ARRAY_SIZE(insns), NULL);
	return fd < 0 ? -errno : 0;
}

bool feature_cookies(void)
{
	return try_cookies() == 0;
}

bool feature_ct(void)
{
	if (try_ct() == 0)
		return true;
	conntrack_load();
	return try_ct() == 0;
}

bool feature_units(void)
{
	return try_cgroup() == 0;
}

int features_missing(const struct tables *tables, struct diag *diag)
{
	__u32 flags = tables->weir_cfg->flags;

	if (flags & WEIR_CFG_LATER && !feature_ct())
		return diag_fail(
		    diag, -EOPNOTSUPP, NULL,
		    "this kernel does not offer bpf_skb_ct_lookup (nf_conntrack with BTF), which "
		    "services: needs where endpoints of one address are treated differently");
	if (flags & WEIR_CFG_UNITS && !feature_units())
		return diag_fail(
		    diag, -EOPNOTSUPP, NULL,
		    "this kernel does not offer bpf_skb_cgroup_id, which {unit: …} needs");
	if (flags & WEIR_CFG_PROTECT && !feature_cookies())
		return diag_fail(
		    diag, -EOPNOTSUPP, NULL,
		    "this kernel does not offer bpf_tcp_raw_gen_syncookie_ipv4 (CONFIG_SYN_COOKIES), "
		    "which protect: needs");
	return 0;
}

static const struct {
	const char *name, *without;
	int (*try)(void);
} probes[] = {
    {"BTF of the kernel", "no policy can be applied", try_btf},
    {"tcx links", "TC hooks are clsact filters", try_tcx},
    {"membarrier", "a swap waits by replacing a map in a map", try_membarrier},
    {"bpf_skb_ct_lookup",
     "who is behind NAT is not known, services: with differing endpoints are refused", try_ct},
    {"bpf_skb_cgroup_id", "{unit: ...} is refused", try_cgroup},
    {"bpf_tcp_raw_gen_syncookie", "protect: is refused", try_cookies},
    {"map batches", "tables are read entry by entry", try_batch},
};

int kernel_features(char **ret, size_t *ret_n)
{
	size_t size = 0;
	char *text = NULL;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return -ENOMEM;
	libbpf_quiet();
	for (size_t i = 0; i < ARRAY_SIZE(probes); i++) {
		int err = probes[i].try();

		if (err == -EPERM || err == -EACCES)
			fprintf(out, "%s: not known without privilege\n", probes[i].name);
		else if (err)
			fprintf(out, "%s: no; %s\n", probes[i].name, probes[i].without);
		else
			fprintf(out, "%s: yes\n", probes[i].name);
	}
	if (fclose(out)) {
		free(text);
		return -ENOMEM;
	}
	*ret = text;
	if (ret_n)
		*ret_n = ARRAY_SIZE(probes);
	return 0;
}
