// SPDX-License-Identifier: GPL-2.0-only
/*
 * Records of the ring: whatever they hold, and whatever names the maps hold, one record is one line of JSON with the keys
 * that others rely on and nothing that a terminal would obey.
 *
 * An input is four bytes (names or none, mask, mask, interface), a record, and behind it rules and a file's name.
 */
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "audit/decode.h"
#include "audit/format.h"
#include "base/addr.h"
#include "fuzz.h"

#define NR_RULES 3
#define MONO	 1700000000000000000LL

static const char *const keys[] = {
#define KEY(key) #key,
    AUDIT_KEYS(KEY)
#undef KEY
};
#define NR_KEYS (sizeof(keys) / sizeof(keys[0]))

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static void names_of(const uint8_t *data, size_t size, struct audit_names *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->rule = calloc(NR_RULES, sizeof(*ret->rule));
	ret->file = calloc(1, sizeof(*ret->file));
	FUZZ_CHECK(ret->rule && ret->file);
	ret->nr_rules = NR_RULES;
	ret->nr_files = 1;
	/* As maps hold them: the last byte of a text need not be NUL. */
	memcpy(ret->file, data, least(size, sizeof(*ret->file)));
	if (size > sizeof(*ret->file)) {
		data += sizeof(*ret->file);
		size -= sizeof(*ret->file);
		memcpy(ret->rule, data, least(size, NR_RULES * sizeof(*ret->rule)));
	}
	FUZZ_CHECK(audit_names_index(ret) == 0);
}

static void check_string(const json_t *value, size_t most)
{
	if (json_is_null(value))
		return;
	FUZZ_CHECK(json_is_string(value));
	FUZZ_CHECK(json_string_length(value) > 0 && json_string_length(value) <= 3 * most);
}

static void check_number(const json_t *value, json_int_t most, bool may_be_null)
{
	if (may_be_null && json_is_null(value))
		return;
	FUZZ_CHECK(json_is_integer(value));
	FUZZ_CHECK(json_integer_value(value) >= 0 && json_integer_value(value) <= most);
}

/* An address reads back as the one that was meant; a masked one is a prefix that says no more than the mask lets it. */
static void check_address(const json_t *value, const struct audit_address *address,
			  const struct audit_mask *mask)
{
	char text[ADDR_TEXT_LEN];
	struct prefix prefix;
	const char *why;
	int most;

	FUZZ_CHECK(json_is_null(value) == !address->known);
	if (!address->known)
		return;
	snprintf(text, sizeof(text), "%s", json_string_value(value));
	/* ::ffff:0:0/96 in part, or cut: such text is no address of a policy. */
	if (prefix_parse(text, &prefix, &why)) {
		FUZZ_CHECK(strstr(text, "::ffff:") || strchr(text, '/'));
		return;
	}
	FUZZ_CHECK(memcmp(&prefix.address, &address->address, sizeof(prefix.address)) == 0);
	most = prefix.v6 ? mask->ipv6 : mask->ipv4;
	FUZZ_CHECK(most < 0 || prefix.length <= most);
}

static void check_object(const json_t *object, const struct audit_record *record,
			 const struct audit_mask *mask)
{
	const char *key;
	json_t *value;
	size_t n = 0;

	FUZZ_CHECK(json_is_object(object));
	json_object_foreach((json_t *)object, key, value)
	    FUZZ_CHECK(n < NR_KEYS && strcmp(key, keys[n++]) == 0);
	FUZZ_CHECK(n == NR_KEYS);
	check_address(json_object_get(object, "client_ip"), &record->client, mask);
	check_address(json_object_get(object, "source"), &record->source, mask);
	check_address(json_object_get(object, "destination"), &record->destination, mask);
	check_string(json_object_get(object, "verdict"), 24);
	check_string(json_object_get(object, "reason"), 32);
	check_string(json_object_get(object, "rule"), WEIR_NAME_LEN);
	check_string(json_object_get(object, "file"), 256);
	check_string(json_object_get(object, "direction"), 16);
	check_string(json_object_get(object, "hook"), 24);
	check_string(json_object_get(object, "interface"), 32);
	check_string(json_object_get(object, "protocol"), 16);
	check_number(json_object_get(object, "line"), 0xffffffff, true);
	check_number(json_object_get(object, "source_port"), 65535, true);
	check_number(json_object_get(object, "destination_port"), 65535, true);
	check_number(json_object_get(object, "length"), 0xffffffff, false);
	check_number(json_object_get(object, "generation"), 0xffffffff, false);
}

/* The line for people: one line, nothing below 0x20, no DEL, no C1. */
static void check_human(const char *line, size_t len)
{
	char text[AUDIT_LINE_MAX];
	int n = audit_format_human(line, len, text, sizeof(text));

	FUZZ_CHECK(n > 1 && text[n - 1] == '\n' && text[n] == '\0' && strlen(text) == (size_t)n);
	for (int i = 0; i < n - 1; i++) {
		const unsigned char *p = (const unsigned char *)text + i;

		FUZZ_CHECK(p[0] >= 0x20 && p[0] != 0x7f);
		FUZZ_CHECK(!(p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0));
	}
}

static void check_line(const struct audit_record *record, const struct audit_mask *mask)
{
	char line[AUDIT_LINE_MAX], small[64];
	json_error_t error;
	__u64 read_ns = 0;
	json_t *object;
	int n;

	n = audit_format_json(record, line, sizeof(line));
	FUZZ_CHECK(n > 2 && n < AUDIT_LINE_MAX && line[n] == '\0' && line[n - 1] == '\n');
	for (int i = 0; i < n - 1; i++)
		FUZZ_CHECK(line[i] >= 0x20 && line[i] < 0x7f);
	object = json_loadb(line, n, JSON_REJECT_DUPLICATES, &error);
	if (!object)
		FUZZ_FAIL("no JSON, %s at %d: %s", error.text, error.position, line);
	check_object(object, record, mask);
	json_decref(object);
	FUZZ_CHECK(audit_line_time(line, n, &read_ns) == 0);
	FUZZ_CHECK(read_ns == record->time_ns / 1000 * 1000);
	check_human(line, n);
	FUZZ_CHECK(audit_format_json(record, small, sizeof(small)) < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct audit_names names = {};
	struct audit_record record;
	struct audit_mask mask;
	const uint8_t *event;
	char interface[16];
	size_t n;
	int err;

	if (size < 4)
		return -1;
	mask.ipv4 = data[1] % 34 - 1;
	mask.ipv6 = data[2] % 130 - 1;
	memset(interface, data[3], sizeof(interface));
	interface[data[3] % sizeof(interface)] = '\0';
	n = least(size - 4, sizeof(struct weir_event) + data[0] / 64);
	event = data + 4;
	if (data[0] & 1)
		names_of(event + n, size - 4 - n, &names);
	err = audit_decode(event, n, data[0] & 1 ? &names : NULL, data[0] & 2 ? interface : NULL,
			   data[0] & 4 ? MONO : 0, &mask, &record);
	FUZZ_CHECK(err == (n < sizeof(struct weir_event) ? -EBADMSG : 0));
	if (!err)
		check_line(&record, &mask);
	audit_names_clear(&names);
	return 0;
}
