// SPDX-License-Identifier: GPL-2.0-only
/*
 * measure [-v] [-n TIMES] OBJECT... - what this kernel's verifier says about each program of weir's objects, one line a
 * program, tab separated:
 *
 *   program  verified instructions  stack bytes  verification time (us)  instructions after translation  bytes of machine code
 *
 * The stack is that of the deepest chain of calls, each function's rounded up to 32 bytes as 6.1 does, which is what the
 * limit of 512 bytes is about. The time is the least of TIMES loads (3). Objects are loaded as weir loads them, with everything that this kernel offers. A program that is not
 * accepted has a line "program  refused  REASON", and the exit status is 1.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#define LOG_STATISTICS 4 /* the verifier's numbers, without its steps */
#define LOG_SIZE       65536
#define LOG_STEPS      1
#define STEPS_SIZE     (16 << 20)
#define LAST_STEPS     8000
#define MAX_PROGS      32
#define MAX_FRAMES     256
#define ROUNDED(bytes) (((bytes) + 31) / 32 * 32)

struct report {
	char name[64];
	unsigned long insns, stack, time_us, xlated, jited;
	char refused[256];
	char chain[1024];
};

struct reports {
	struct report report[MAX_PROGS];
	size_t n;
};

static char logs[MAX_PROGS][LOG_SIZE];
static bool verbose;

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	return 0;
}

/* A function that programs may call, in the kernel or in its conntrack module. */
static bool kernel_has(const char *function)
{
	struct btf *kernel = btf__load_vmlinux_btf(), *module;
	bool found;

	if (!kernel)
		return false;
	found = btf__find_by_name_kind(kernel, function, BTF_KIND_FUNC) > 0;
	module = found ? NULL : btf__load_module_btf("nf_conntrack", kernel);
	if (module)
		found = btf__find_by_name_kind(module, function, BTF_KIND_FUNC) > 0;
	btf__free(module);
	btf__free(kernel);
	return found;
}

/* What the loader decides, in .rodata: one byte for each thing that a kernel may lack. */
static int set_features(struct bpf_object *object, bool has_ct)
{
	struct btf *btf = bpf_object__btf(object);
	int id = btf__find_by_name_kind(btf, ".rodata", BTF_KIND_DATASEC);
	const struct btf_type *section = id > 0 ? btf__type_by_id(btf, id) : NULL;
	struct bpf_map *map;
	char *data = NULL;
	size_t size = 0;

	bpf_object__for_each_map(map, object)
	{
		if (strstr(bpf_map__name(map), ".rodata"))
			data = (char *)bpf_map__initial_value(map, &size);
	}
	if (!data || !section)
		return -ENOENT;
	for (int i = 0; i < btf_vlen(section); i++) {
		const struct btf_var_secinfo *var = btf_var_secinfos(section) + i;
		const struct btf_type *type = btf__type_by_id(btf, var->type);
		const char *name = btf__name_by_offset(btf, type->name_off);

		if (strncmp(name, "weir_has_", 9) != 0 || var->offset >= size)
			continue;
		/* The rest is in every kernel from 6.1 on. */
		data[var->offset] = strcmp(name, "weir_has_ct") ? 1 : has_ct;
	}
	return 0;
}

/* ---- the deepest chain of calls ---- */

struct frames {
	unsigned int start[MAX_FRAMES]; /* first instruction of each function, in order */
	unsigned int depth[MAX_FRAMES]; /* bytes of its own, as the verifier says */
	unsigned int n;
	const struct bpf_insn *insns;
	size_t nr_insns;
};

static bool calls(const struct bpf_insn *insn)
{
	return insn->code == (BPF_JMP | BPF_CALL) && insn->src_reg == BPF_PSEUDO_CALL;
}

static bool takes_address(const struct bpf_insn *insn)
{
	return insn->code == (BPF_LD | BPF_IMM | BPF_DW) && insn->src_reg == BPF_PSEUDO_FUNC;
}

static void add_start(struct frames *frames, unsigned int start)
{
	unsigned int at = frames->n;

	for (unsigned int i = 0; i < frames->n; i++)
		if (frames->start[i] == start)
			return;
	if (frames->n == MAX_FRAMES || start >= frames->nr_insns)
		return;
	for (; at > 0 && frames->start[at - 1] > start; at--)
		frames->start[at] = frames->start[at - 1];
	frames->start[at] = start;
	frames->n++;
}

static void find_functions(struct frames *frames)
{
	add_start(frames, 0);
	for (size_t i = 0; i < frames->nr_insns; i++)
		if (calls(&frames->insns[i]) || takes_address(&frames->insns[i]))
			add_start(frames, i + frames->insns[i].imm + 1);
}

static unsigned int function_at(const struct frames *frames, unsigned int start)
{
	for (unsigned int i = 0; i < frames->n; i++)
		if (frames->start[i] == start)
			return i;
	return 0;
}

/* Programs do not call themselves: the verifier refuses that. */
static unsigned int chain(const struct frames *frames, unsigned int function)
{
	size_t end = function + 1 < frames->n ? frames->start[function + 1] : frames->nr_insns;
	unsigned int deepest = 0;

	for (size_t i = frames->start[function]; i < end; i++) {
		unsigned int callee, below;

		if (!calls(&frames->insns[i]) && !takes_address(&frames->insns[i]))
			continue;
		callee = function_at(frames, i + frames->insns[i].imm + 1);
		below = callee == function ? 0 : chain(frames, callee);
		if (below > deepest)
			deepest = below;
	}
	/* Not even one without any is for nothing. */
	return ROUNDED(frames->depth[function] ?: 1) + deepest;
}

/* Writes "a 16, b 120, ..." for the deepest chain from @function on. */
static void name_chain(const struct frames *frames, unsigned int function,
		       const struct bpf_func_info *infos, const struct btf *btf, char *ret,
		       size_t size)
{
	size_t end = function + 1 < frames->n ? frames->start[function + 1] : frames->nr_insns;
	const struct btf_type *type = btf__type_by_id(btf, infos[function].type_id);
	unsigned int deepest = 0, next = function;
	int n = snprintf(ret, size, "%s %u", btf__name_by_offset(btf, type->name_off),
			 frames->depth[function]);

	for (size_t i = frames->start[function]; i < end; i++) {
		unsigned int callee;

		if (!calls(&frames->insns[i]) && !takes_address(&frames->insns[i]))
			continue;
		callee = function_at(frames, i + frames->insns[i].imm + 1);
		if (callee != function && chain(frames, callee) > deepest) {
			deepest = chain(frames, callee);
			next = callee;
		}
	}
	if (next == function || n < 0 || (size_t)n + 3 >= size)
		return;
	strcpy(ret + n, ", ");
	name_chain(frames, next, infos, btf, ret + n + 2, size - n - 2);
}

/* "stack depth 312+8+0": one number a function, in the order of their code. */
static unsigned int deepest_chain(const struct bpf_program *prog, const char *depths,
				  const struct btf *btf, char *names, size_t size)
{
	static struct bpf_func_info infos[MAX_FRAMES];
	struct bpf_prog_info info = {.func_info = (unsigned long)infos,
				     .nr_func_info = MAX_FRAMES,
				     .func_info_rec_size = sizeof(infos[0])};
	__u32 info_size = sizeof(info);
	struct frames frames = {.insns = bpf_program__insns(prog),
				.nr_insns = bpf_program__insn_cnt(prog)};
	unsigned int n = 0, largest = 0;

	for (char *end; n < MAX_FRAMES; depths = end + 1) {
		frames.depth[n] = strtoul(depths, &end, 10);
		if (frames.depth[n] > largest)
			largest = frames.depth[n];
		n++;
		if (*end != '+')
			break;
	}
	find_functions(&frames);
	/* Never seen: then the least that is certain. */
	if (frames.n != n)
		return ROUNDED(largest);
	if (bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &info_size) == 0 &&
	    info.nr_func_info == n)
		name_chain(&frames, 0, infos, btf, names, size);
	return chain(&frames, 0);
}

/* ---- loading ---- */

static struct report *report_of(struct reports *reports, const char *name)
{
	for (size_t i = 0; i < reports->n; i++)
		if (!strcmp(reports->report[i].name, name))
			return &reports->report[i];
	if (reports->n == MAX_PROGS)
		return NULL;
	snprintf(reports->report[reports->n].name, sizeof(reports->report[0].name), "%s", name);
	return &reports->report[reports->n++];
}

static unsigned long number_after(const char *log, const char *words)
{
	const char *at = strstr(log, words);

	return at ? strtoul(at + strlen(words), NULL, 10) : 0;
}

/* Of the verifier's words the last line before its numbers says why it refuses. */
static void note_refusal(struct report *report, const char *log)
{
	const char *end = strstr(log, "\nprocessed "), *begin;

	if (!end)
		end = log + strlen(log);
	for (begin = end; begin > log && begin[-1] != '\n'; begin--)
		;
	snprintf(report->refused, sizeof(report->refused), "%.*s", (int)(end - begin), begin);
	if (!report->refused[0])
		snprintf(report->refused, sizeof(report->refused), "without a word");
}

static int note(struct report *report, const struct bpf_program *prog, const struct btf *btf,
		const char *log)
{
	const char *depths = strstr(log, "stack depth ");
	unsigned long time_us = number_after(log, "verification time ");
	struct bpf_prog_info info = {};
	__u32 size = sizeof(info);

	if (bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &size) < 0)
		return -errno;
	report->insns = info.verified_insns;
	report->xlated = info.xlated_prog_len / sizeof(struct bpf_insn);
	report->jited = info.jited_prog_len;
	if (depths)
		report->stack = deepest_chain(prog, depths + strlen("stack depth "), btf,
					      report->chain, sizeof(report->chain));
	if (!report->time_us || time_us < report->time_us)
		report->time_us = time_us;
	return 0;
}

static struct bpf_object *open_object(const char *path)
{
	struct bpf_object *object = bpf_object__open_file(path, NULL);

	if (object && set_features(object, kernel_has("bpf_skb_ct_lookup")) < 0) {
		bpf_object__close(object);
		return NULL;
	}
	return object;
}

/* Its numbers alone do not say why: once more, with the steps of the way that ends in the refusal. */
static void ask_why(const char *path, struct report *report)
{
	struct bpf_object *object = open_object(path);
	struct bpf_program *prog =
	    object ? bpf_object__find_program_by_name(object, report->name) : NULL;
	char *log = prog ? calloc(1, STEPS_SIZE) : NULL;

	if (log) {
		bpf_program__set_log_level(prog, LOG_STEPS);
		bpf_program__set_log_buf(prog, log, STEPS_SIZE);
		bpf_object__load(object);
		note_refusal(report, log);
		if (verbose)
			fprintf(stderr, "%s\n",
				log + (strlen(log) > LAST_STEPS ? strlen(log) - LAST_STEPS : 0));
	}
	bpf_object__close(object);
	free(log);
}

static int measure(const char *path, struct reports *reports)
{
	struct bpf_object *object = open_object(path);
	struct bpf_program *prog;
	size_t i = 0;
	int err;

	if (!object)
		return -EINVAL;
	bpf_object__for_each_program(prog, object)
	{
		if (i == MAX_PROGS)
			break;
		memset(logs[i], 0, LOG_SIZE);
		bpf_program__set_log_level(prog, LOG_STATISTICS);
		bpf_program__set_log_buf(prog, logs[i++], LOG_SIZE);
	}
	err = bpf_object__load(object);
	i = 0;
	bpf_object__for_each_program(prog, object)
	{
		struct report *report = report_of(reports, bpf_program__name(prog));
		const char *log = logs[i++];

		if (!report)
			break;
		if (!err)
			err = note(report, prog, bpf_object__btf(object), log);
		else if (log[0] && bpf_program__fd(prog) < 0)
			ask_why(path, report);
	}
	bpf_object__close(object);
	return err;
}

static int say(const struct reports *reports)
{
	int status = 0;

	for (size_t i = 0; i < reports->n; i++) {
		const struct report *r = &reports->report[i];

		if (r->refused[0]) {
			printf("%s\trefused\t%s\n", r->name, r->refused);
			status = 1;
		} else if (r->insns) {
			printf("%s\t%lu\t%lu\t%lu\t%lu\t%lu\n", r->name, r->insns, r->stack,
			       r->time_us, r->xlated, r->jited);
			if (verbose)
				printf("\t%s\n", r->chain);
		}
	}
	return status;
}

int main(int argc, char **argv)
{
	static struct reports reports;
	int times = 3, first, option, err;

	while ((option = getopt(argc, argv, "n:v")) != -1) {
		if (option == 'n')
			times = atoi(optarg);
		else if (option == 'v')
			verbose = true;
		else
			times = 0;
	}
	first = optind;
	if (first >= argc || times < 1) {
		fprintf(stderr, "usage: measure [-v] [-n TIMES] OBJECT...\n");
		return 2;
	}
	libbpf_set_print(quiet);
	for (int i = first; i < argc; i++) {
		for (int n = 0; n < times; n++) {
			err = measure(argv[i], &reports);
			if (err) {
				fprintf(stderr, "measure: %s: %s\n", argv[i], strerror(-err));
				say(&reports);
				return 1;
			}
		}
	}
	return say(&reports);
}
