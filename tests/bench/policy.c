// SPDX-License-Identifier: GPL-2.0-only
/* The policy of a benchmark, as text: it goes through the parser like any other. */
#include <stdio.h>
#include <stdlib.h>

#include "policy.h"

#include "bench.h"

char *bench_policy(unsigned int rules)
{
	char *text = NULL;
	size_t size = 0;
	FILE *file = open_memstream(&text, &size);

	if (!file)
		die(0, "out of memory");
	fprintf(file, "interfaces: [" BENCH_NIC "]\n");
	fprintf(file, "default: {ingress: deny, egress: allow, forward: deny}\n");
	fprintf(file,
		"limits:\n  - {name: bench, to: self, port: tcp/%d, count: packets, "
		"rate: 100/minute, burst: %llu, entries: 4194304}\n",
		BENCH_LIMITED, BENCH_BURST);
	fprintf(file, "allow:\n  - {to: self, port: tcp/%d}\n  - {to: self, port: tcp/%d}\n",
		BENCH_LIMITED, BENCH_FREE);
	for (unsigned int i = 0; i + 2 < rules; i++) {
		__u32 a = rule_prefix(i);

		fprintf(file, "  - {from: %u.%u.%u.%u/28, to: self, port: tcp/%u}\n", a >> 24,
			a >> 16 & 255, a >> 8 & 255, a & 255, rule_port(i));
	}
	if (fclose(file))
		die(0, "out of memory");
	return text;
}
