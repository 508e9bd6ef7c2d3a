// SPDX-License-Identifier: GPL-2.0-only
/* seeds DIRECTORY - the packets of tests/prog as inputs of the packet target, one file a packet. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "packets.h"

static const struct ends ENDS = {
    .smac = {2, 0, 0, 0, 0, 2},
    .dmac = {2, 0, 0, 0, 0, 1},
    .src4 = "198.51.100.7",
    .dst4 = "192.0.2.1",
    .src6 = "2001:db8:51::7",
    .dst6 = "2001:db8::1",
};

static void write_case(size_t number, const struct packet_case *c)
{
	const __u8 control[3] = {0, number * 7 >> 8, number * 7};
	struct frame frame;
	char name[32];
	FILE *file;

	frame_build(c->layers, &ENDS, &frame);
	snprintf(name, sizeof(name), "case-%03zu", number);
	file = fopen(name, "w");
	if (!file || fwrite(control, sizeof(control), 1, file) != 1 ||
	    fwrite(frame.byte, frame.len, 1, file) != 1 || fclose(file)) {
		perror(name);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	if (argc != 2 || chdir(argv[1])) {
		fprintf(stderr, "usage: seeds DIRECTORY\n");
		return 1;
	}
	for (size_t i = 0; i < nr_packet_cases; i++)
		write_case(i, &packet_cases[i]);
	return 0;
}
