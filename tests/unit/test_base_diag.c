// SPDX-License-Identifier: GPL-2.0-only
/* Errors keep their first text and their own copy of the file's name; arrays grow without losing what is in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "base/mem.h"

static void the_first_error_stays(void **state)
{
	struct position at = {"kato.yaml", 12, 9};
	struct diag diag = {};
	char text[2048];

	assert_int_equal(diag_fail(&diag, -EINVAL, &at, "rate \"%s\" is wrong", "0/s"), -EINVAL);
	assert_int_equal(diag_fail(&diag, -EIO, NULL, "later"), -EIO);
	assert_string_equal(diag_text(&diag, text, sizeof(text)),
			    "kato.yaml:12:9: rate \"0/s\" is wrong");
	diag_reset(&diag);
	assert_string_equal(diag.error, "");
}

static void the_name_of_the_file_outlives_its_owner(void **state)
{
	char *name = strdup("kato.yaml");
	struct position at = {name, 1, 2};
	struct diag diag = {};
	char text[2048];

	diag_fail(&diag, -EINVAL, &at, "wrong");
	memset(name, 'x', strlen(name));
	free(name);
	assert_string_equal(diag_text(&diag, text, sizeof(text)), "kato.yaml:1:2: wrong");
	diag_reset(&diag);
}

static void places_are_named_as_far_as_they_are_known(void **state)
{
	struct position no_line = {"kato.yaml", 0, 0}, nowhere = {};
	struct diag diag = {};
	char text[2048];

	diag_fail(&diag, -EINVAL, &no_line, "wrong");
	assert_string_equal(diag_text(&diag, text, sizeof(text)), "kato.yaml: wrong");
	diag_reset(&diag);
	diag_fail(&diag, -EINVAL, &nowhere, "wrong");
	assert_string_equal(diag_text(&diag, text, sizeof(text)), "wrong");
	diag_reset(&diag);
	diag_fail(&diag, -EINVAL, NULL, "wrong");
	assert_string_equal(diag_text(&diag, text, sizeof(text)), "wrong");
	diag_reset(&diag);
}

static void control_characters_do_not_reach_a_terminal(void **state)
{
	struct position at = {"kato.yaml", 3, 4};
	struct diag diag = {};

	diag_fail(&diag, -EINVAL, NULL, "a\x1b[31mb\nc\x7f");
	assert_string_equal(diag.error, "a?[31mb?c?");
	diag_warn(&diag, &at, "w\x1b%d", 1);
	assert_int_equal(diag.nr_warnings, 1);
	assert_string_equal(diag.warnings[0], "kato.yaml:3:4: w?1");
	assert_null(diag.warnings[1]);
	diag_reset(&diag);
	assert_int_equal(diag.nr_warnings, 0);
}

static void nobody_has_to_listen(void **state)
{
	assert_int_equal(diag_fail(NULL, -EPERM, NULL, "wrong"), -EPERM);
	diag_warn(NULL, NULL, "careful");
}

static void appended_elements_are_zeroed_and_stay(void **state)
{
	struct {
		size_t value;
		char rest[24];
	} *array = NULL, *added;
	size_t n = 0;

	for (size_t i = 0; i < 1000; i++) {
		added = mem_append(&array, &n, sizeof(*array));
		assert_non_null(added);
		assert_ptr_equal(added, &array[i]);
		assert_int_equal(n, i + 1);
		assert_int_equal(added->value, 0);
		assert_int_equal(added->rest[23], 0);
		added->value = i;
		added->rest[23] = 1;
	}
	for (size_t i = 0; i < n; i++)
		assert_int_equal(array[i].value, i);
	free(array);
}

static void grown_elements_are_zeroed_and_stay(void **state)
{
	size_t *array = NULL;
	size_t n = 0, capacity = 0;

	while (n < 1000) {
		assert_int_equal(mem_grow(&array, n, &capacity, sizeof(*array)), 0);
		assert_true(capacity > n);
		assert_int_equal(array[n], 0);
		array[n] = n;
		n++;
	}
	for (size_t i = 0; i < n; i++)
		assert_int_equal(array[i], i);
	free(array);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_first_error_stays),
	    cmocka_unit_test(the_name_of_the_file_outlives_its_owner),
	    cmocka_unit_test(places_are_named_as_far_as_they_are_known),
	    cmocka_unit_test(control_characters_do_not_reach_a_terminal),
	    cmocka_unit_test(nobody_has_to_listen),
	    cmocka_unit_test(appended_elements_are_zeroed_and_stay),
	    cmocka_unit_test(grown_elements_are_zeroed_and_stay),
	};

	return cmocka_run_group_tests_name("base_diag", tests, NULL, NULL);
}
