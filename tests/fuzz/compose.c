// SPDX-License-Identifier: GPL-2.0-only
/* Compose files: what is imported is a policy that is read, what is refused is refused with a reason and a place. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "import/import.h"
#include "policy/model.h"

#define TEXT_MAX 8192
#define NR_FILES 3

/* A folder of its own, with what `include` and `extends` may name, and variables. */
static char directory[] = "/tmp/weir-fuzz-XXXXXX";
static char path[NR_FILES][64];

FUZZ_LIBRARY_LEAKS

static void leave(void)
{
	for (int i = 0; i < NR_FILES; i++)
		unlink(path[i]);
	rmdir(directory);
}

static void write_file(const char *name, const void *bytes, size_t n)
{
	FILE *file = fopen(name, "w");

	FUZZ_CHECK(file && fwrite(bytes, 1, n, file) == n);
	FUZZ_CHECK(fclose(file) == 0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const char *const name[NR_FILES] = {"compose.yaml", "other.yaml", ".env"};
	static const char other[] =
	    "services:\n  base: {image: i, ports: ['80:80'], expose: [81]}\n"
	    "  web: {image: j}\n";
	static const char variables[] = "PORT=8080\nEMPTY=\nNAME=shop\n";

	FUZZ_CHECK(mkdtemp(directory));
	for (int i = 0; i < NR_FILES; i++)
		snprintf(path[i], sizeof(path[i]), "%s/%s", directory, name[i]);
	write_file(path[1], other, sizeof(other) - 1);
	write_file(path[2], variables, sizeof(variables) - 1);
	atexit(leave);
	return 0;
}

static void check_printable(const char *text)
{
	FUZZ_CHECK(text && text[0]);
	for (const char *p = text; *p; p++)
		FUZZ_CHECK((unsigned char)*p >= 0x20 && *p != 0x7f);
}

static void check_policy(const char *text)
{
	struct policy *policy = NULL;
	struct diag diag = {};

	for (const char *p = text; *p; p++)
		FUZZ_CHECK((unsigned char)*p >= 0x20 || *p == '\n');
	if (policy_parse_text(text, strlen(text), "imported", &policy, &diag))
		FUZZ_FAIL("what was imported is refused, %u:%u: %s\n%s", diag.at.line,
			  diag.at.column, diag.error, text);
	policy_free(policy);
	diag_reset(&diag);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *const paths[] = {path[0]};
	struct import_options options = {.tight = size & 1};
	char *text = NULL, *project = NULL;
	struct diag diag = {};
	int err;

	if (size > TEXT_MAX)
		return -1;
	write_file(path[0], data, size);
	err = import_compose(paths, 1, &options, &text, &project, &diag);
	if (err) {
		FUZZ_CHECK(!text && !project);
		check_printable(diag.error);
		FUZZ_CHECK(err != -EINVAL || (diag.at.file && diag.at.file[0]));
	} else {
		check_policy(text);
		check_printable(project);
	}
	for (size_t i = 0; i < diag.nr_warnings; i++)
		check_printable(diag.warnings[i]);
	diag_reset(&diag);
	free(text);
	free(project);
	return 0;
}
