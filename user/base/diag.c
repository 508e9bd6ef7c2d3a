// SPDX-License-Identifier: GPL-2.0-only
#include "base/diag.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Texts quote input: nothing that a terminal would obey gets through. */
static void printable(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
}

int diag_fail(struct diag *diag, int err, const struct position *at, const char *format, ...)
{
	va_list args;

	if (!diag || diag->error[0])
		return err;
	if (at) {
		diag->at = *at;
		snprintf(diag->file, sizeof(diag->file), "%s", at->file ? at->file : "");
		diag->at.file = at->file ? diag->file : NULL;
	}
	va_start(args, format);
	vsnprintf(diag->error, sizeof(diag->error), format, args);
	va_end(args);
	printable(diag->error);
	return err;
}

static char *place(const struct position *at, const char *text)
{
	char *joined;
	int n;

	if (!at || !at->file)
		return strdup(text);
	if (at->line)
		n = asprintf(&joined, "%s:%u:%u: %s", at->file, at->line, at->column, text);
	else
		n = asprintf(&joined, "%s: %s", at->file, text);
	return n < 0 ? NULL : joined;
}

void diag_warn(struct diag *diag, const struct position *at, const char *format, ...)
{
	char text[1024];
	char **grown;
	va_list args;

	if (!diag)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	printable(text);
	grown = reallocarray(diag->warnings, diag->nr_warnings + 2, sizeof(*grown));
	if (!grown)
		return;
	diag->warnings = grown;
	grown[diag->nr_warnings] = place(at, text);
	if (grown[diag->nr_warnings])
		grown[++diag->nr_warnings] = NULL;
}

const char *diag_text(const struct diag *diag, char *buffer, size_t size)
{
	if (diag->at.file && diag->at.line)
		snprintf(buffer, size, "%s:%u:%u: %s", diag->at.file, diag->at.line,
			 diag->at.column, diag->error);
	else if (diag->at.file)
		snprintf(buffer, size, "%s: %s", diag->at.file, diag->error);
	else
		snprintf(buffer, size, "%s", diag->error);
	return buffer;
}

void diag_reset(struct diag *diag)
{
	for (size_t i = 0; i < diag->nr_warnings; i++)
		free(diag->warnings[i]);
	free(diag->warnings);
	memset(diag, 0, sizeof(*diag));
}
