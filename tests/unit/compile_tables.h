/* SPDX-License-Identifier: GPL-2.0-only */
/* One policy made by hand and its tables: what most tests of the compiler begin and end with. */
#ifndef COMPILE_TABLES_H
#define COMPILE_TABLES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "compile_policy.h"

static struct made made;
static struct tables *tables;
static struct diag diag;

static inline int begin(void **state)
{
	made_init(&made, 1);
	return 0;
}

static inline int end(void **state)
{
	tables_free(tables);
	tables = NULL;
	diag_reset(&diag);
	made_free(&made);
	return 0;
}

/* Fails the test where the policy does not compile. */
static inline void build(void)
{
	tables_free(tables);
	tables = NULL;
	diag_reset(&diag);
	if (tables_build(&made.policy, &made.env, &tables, &diag))
		fail_msg("%s", diag.error);
}

#endif
