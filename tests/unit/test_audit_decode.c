// SPDX-License-Identifier: GPL-2.0-only
/* Events into records and lines: bounds, names, masks, and the schema that others rely on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "audit/decode.h"
#include "audit/format.h"
#include "base/addr.h"

static const struct audit_mask whole = {-1, -1};

static struct weir_addr addr(const char *text)
{
	struct weir_addr ret;
	const char *why;

	assert_int_equal(addr_parse(text, &ret, &why), 0);
	return ret;
}

static struct weir_event event_of(const char *source, const char *destination)
{
	struct weir_event event = {
	    .time_ns = 5000001000ULL,
	    .source = addr(source),
	    .destination = addr(destination),
	    .client = addr(source),
	    .source_port = htons(51234),
	    .destination_port = htons(27017),
	    .rule = WEIR_RULE_FIRST + 1,
	    .limit = WEIR_NONE,
	    .length = 60,
	    .ifindex = 3,
	    .generation = 7,
	    .reason = WEIR_DENY,
	    .verdict = WEIR_EVENT_DROP,
	    .direction = WEIR_DIR_INGRESS,
	    .hook = WEIR_HOOK_WL_IN,
	    .protocol = IPPROTO_TCP,
	    .fields = WEIR_EVENT_ADDRS | WEIR_EVENT_PORTS,
	    .ip_version = strchr(source, ':') ? 6 : 4,
	};

	return event;
}

/* Counters are not in the order of the rules, and a limit shares its number with a rule. */
static struct audit_names names_of(void)
{
	static const struct weir_rule rules[] = {
	    {.name = "late", .counter = WEIR_RULE_FIRST + 9, .kind = WEIR_RULE_ALLOW, .line = 30},
	    {.name = "no databases",
	     .counter = WEIR_RULE_FIRST + 1,
	     .kind = WEIR_RULE_DENY,
	     .file = 1,
	     .line = 12},
	    {.name = "edge_limit",
	     .counter = WEIR_RULE_FIRST + 1,
	     .kind = WEIR_RULE_LIMIT,
	     .line = 20},
	    {.name = "lost file", .counter = 40, .kind = WEIR_RULE_ALLOW, .file = 77, .line = 1},
	};
	struct audit_names names = {.generation = 7, .nr_rules = 4, .nr_files = 2};

	names.rule = malloc(sizeof(rules));
	memcpy(names.rule, rules, sizeof(rules));
	names.file = calloc(2, sizeof(*names.file));
	strcpy(names.file[0], "/etc/weir/a.yaml");
	strcpy(names.file[1], "/etc/weir/b.yaml");
	assert_int_equal(audit_names_index(&names), 0);
	return names;
}

static void decode(const struct weir_event *event, const struct audit_mask *mask,
		   struct audit_record *ret)
{
	struct audit_names names = names_of();

	assert_int_equal(audit_decode(event, sizeof(*event), &names, "veth1", 0, mask, ret), 0);
	audit_names_clear(&names);
}

static const char *line_of(const struct audit_record *record)
{
	static char line[AUDIT_LINE_MAX];

	assert_true(audit_format_json(record, line, sizeof(line)) > 0);
	return line;
}

static void golden_line(void **state)
{
	struct weir_event event = event_of("203.0.113.9", "10.42.3.10");
	struct audit_record record;

	event.time_ns = 1764000000123456789ULL;
	decode(&event, &whole, &record);
	assert_string_equal(
	    line_of(&record),
	    "{\"timestamp\":\"2025-11-24T16:00:00.123456Z\",\"client_ip\":\"203.0.113.9\","
	    "\"verdict\":\"drop\",\"reason\":\"deny\",\"rule\":\"no databases\","
	    "\"file\":\"/etc/weir/b.yaml\",\"line\":12,\"direction\":\"ingress\","
	    "\"hook\":\"workload_in\",\"interface\":\"veth1\",\"source\":\"203.0.113.9\","
	    "\"source_port\":51234,\"destination\":\"10.42.3.10\",\"destination_port\":27017,"
	    "\"protocol\":\"tcp\",\"length\":60,\"generation\":7}\n");
}

static void golden_line_of_an_unreadable_frame(void **state)
{
	struct weir_event event = {.time_ns = 1764000000000000000ULL,
				   .rule = WEIR_NONE,
				   .limit = WEIR_NONE,
				   .length = 14,
				   .ifindex = 3,
				   .reason = WEIR_TRUNCATED,
				   .verdict = WEIR_EVENT_DROP,
				   .direction = WEIR_DIR_NONE,
				   .hook = WEIR_HOOK_XDP};
	struct audit_record record;

	decode(&event, &whole, &record);
	assert_string_equal(
	    line_of(&record),
	    "{\"timestamp\":\"2025-11-24T16:00:00.000000Z\",\"client_ip\":null,"
	    "\"verdict\":\"drop\",\"reason\":\"truncated\",\"rule\":null,\"file\":null,"
	    "\"line\":null,\"direction\":\"none\",\"hook\":\"xdp\",\"interface\":\"veth1\","
	    "\"source\":null,\"source_port\":null,\"destination\":null,"
	    "\"destination_port\":null,\"protocol\":null,\"length\":14,\"generation\":0}\n");
}

static void every_line_has_every_key_in_order(void **state)
{
	static const char *const keys[] = {
#define KEY(key) #key,
	    AUDIT_KEYS(KEY)
#undef KEY
	};
	struct weir_event event;
	struct audit_record record;

	for (unsigned int filling = 0; filling < 256; filling += 5) {
		json_t *object, *value;
		const char *key;
		size_t n = 0;

		memset(&event, filling, sizeof(event));
		decode(&event, &whole, &record);
		object = json_loads(line_of(&record), JSON_REJECT_DUPLICATES, NULL);
		assert_non_null(object);
		json_object_foreach(object, key, value)
		{
			assert_true(n < 17);
			assert_string_equal(key, keys[n++]);
		}
		assert_int_equal(n, 17);
		json_decref(object);
	}
}

static void short_records_are_refused(void **state)
{
	struct weir_event event = event_of("203.0.113.9", "10.42.3.10");
	struct audit_record record;

	/* On the heap, exactly as long: a read beyond it is seen. */
	for (size_t size = 0; size < sizeof(event); size++) {
		void *data = malloc(size ? size : 1);

		memcpy(data, &event, size);
		assert_int_equal(audit_decode(data, size, NULL, NULL, 0, &whole, &record),
				 -EBADMSG);
		free(data);
	}
}

static void longer_records_of_later_versions_are_read(void **state)
{
	struct weir_event event = event_of("203.0.113.9", "10.42.3.10");
	unsigned char data[sizeof(event) + 44];
	struct audit_record record;

	memset(data, 0xff, sizeof(data));
	memcpy(data, &event, sizeof(event));
	assert_int_equal(audit_decode(data, sizeof(data), NULL, "eth0", 0, &whole, &record), 0);
	assert_string_equal(record.reason, "deny");
	assert_int_equal(record.destination_port, 27017);
}

static void unknown_values_stand_as_numbers(void **state)
{
	struct weir_event event = event_of("203.0.113.9", "10.42.3.10");
	struct audit_record record;

	event.reason = 60000;
	event.verdict = 200;
	event.direction = 201;
	event.hook = 202;
	event.protocol = 47;
	event.rule = 4000000000u;
	assert_int_equal(audit_decode(&event, sizeof(event), NULL, NULL, 0, &whole, &record), 0);
	assert_string_equal(record.reason, "#60000");
	assert_string_equal(record.verdict, "#200");
	assert_string_equal(record.direction, "#201");
	assert_string_equal(record.hook, "#202");
	assert_string_equal(record.protocol, "47");
	assert_string_equal(record.rule, "#4000000000");
	assert_string_equal(record.interface, "#3");
	assert_int_equal(record.line, 0);
}

static void a_limit_is_named_before_the_rule(void **state)
{
	struct weir_event event = event_of("203.0.113.9", "10.42.3.10");
	struct audit_record record;

	event.limit = WEIR_RULE_FIRST + 1;
	decode(&event, &whole, &record);
	assert_string_equal(record.rule, "edge_limit");
	assert_string_equal(record.file, "/etc/weir/a.yaml");
	assert_int_equal(record.line, 20);
}

static void defaults_have_names_and_no_place(void **state)
{
	struct weir_event event = event_of("203.0.113.9", "10.42.3.10");
	struct audit_record record;

	event.rule = WEIR_RULE_DEFAULT_FORWARD;
	decode(&event, &whole, &record);
	assert_string_equal(record.rule, "default forward");
	assert_string_equal(record.file, "");
	assert_int_equal(record.line, 0);
}

static void a_file_out_of_range_is_null(void **state)
{
	struct weir_event event = event_of("203.0.113.9", "10.42.3.10");
	struct audit_record record;

	event.rule = 40;
	decode(&event, &whole, &record);
	assert_string_equal(record.rule, "lost file");
	assert_string_equal(record.file, "");
}

/* What fills its field to the last byte has no NUL of its own. */
static void unterminated_names_are_bounded(void **state)
{
	struct weir_event event = event_of("203.0.113.9", "10.42.3.10");
	struct audit_names names = names_of();
	struct audit_record record;

	memset(names.rule[1].name, 'x', sizeof(names.rule[1].name));
	memset(names.file[1], 'y', sizeof(names.file[1]));
	assert_int_equal(audit_decode(&event, sizeof(event), &names, "veth1", 0, &whole, &record),
			 0);
	assert_int_equal(strlen(record.rule), WEIR_NAME_LEN - 1);
	assert_int_equal(strlen(record.file), 255);
	line_of(&record);
	audit_names_clear(&names);
}

static void odd_names_are_escaped(void **state)
{
	static const struct {
		const char *name, *json;
	} table[] = {
	    {"a\"b\\c", "\"rule\":\"a\\\"b\\\\c\""},
	    {"line\nbreak\r\t", "\"rule\":\"line\\nbreak\\r\\t\""},
	    {"\x1b[2J", "\"rule\":\"\\u001B[2J\""},
	    {"caf\xc3\xa9", "\"rule\":\"caf\\u00E9\""},
	    {"bad\xff\xfe", "\"rule\":\"bad\\uFFFD\\uFFFD\""},
	    {"cut\xe2\x82", "\"rule\":\"cut\\uFFFD\\uFFFD\""},
	    {"over\xc0\xaf", "\"rule\":\"over\\uFFFD\\uFFFD\""},
	    {"surrogate\xed\xa0\x80", "\"rule\":\"surrogate\\uFFFD\\uFFFD\\uFFFD\""},
	    {"del\x7f", "\"rule\":\"del\\uFFFD\""},
	    {"c1\xc2\x9b", "\"rule\":\"c1\\u009B\""},
	    {"\xf0\x9f\x98\x80", "\"rule\":\"\\uD83D\\uDE00\""},
	};
	struct weir_event event = event_of("203.0.113.9", "10.42.3.10");
	char human[AUDIT_LINE_MAX];

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct audit_names names = names_of();
		struct audit_record record;
		const char *line;
		int n;

		strcpy(names.rule[1].name, table[i].name);
		audit_decode(&event, sizeof(event), &names, table[i].name, 0, &whole, &record);
		audit_names_clear(&names);
		line = line_of(&record);
		assert_non_null(strstr(line, table[i].json));
		for (const char *c = line; *c; c++)
			assert_true((*c >= 0x20 && *c < 0x7f) || (*c == '\n' && !c[1]));
		n = audit_format_human(line, strlen(line), human, sizeof(human));
		assert_true(n > 0);
		for (int j = 0; j < n - 1; j++) {
			assert_true((unsigned char)human[j] >= 0x20 && human[j] != 0x7f);
			assert_false((unsigned char)human[j] == 0xc2 &&
				     (unsigned char)human[j + 1] < 0xa0);
		}
	}
}

static void masks_apply_to_every_address(void **state)
{
	static const struct audit_mask mask = {24, 48};
	struct weir_event event = event_of("203.0.113.9", "10.42.3.10");
	struct audit_record record;
	const char *line;

	decode(&event, &mask, &record);
	line = line_of(&record);
	assert_non_null(strstr(line, "\"client_ip\":\"203.0.113.0/24\""));
	assert_non_null(strstr(line, "\"source\":\"203.0.113.0/24\""));
	assert_non_null(strstr(line, "\"destination\":\"10.42.3.0/24\""));
	assert_null(strstr(line, "203.0.113.9"));
	assert_null(strstr(line, "10.42.3.10"));

	event = event_of("2001:db8:1:2:3::9", "2001:db8:ffff:ff::1");
	decode(&event, &mask, &record);
	line = line_of(&record);
	assert_non_null(strstr(line, "\"client_ip\":\"2001:db8:1::/48\""));
	assert_non_null(strstr(line, "\"source\":\"2001:db8:1::/48\""));
	assert_non_null(strstr(line, "\"destination\":\"2001:db8:ffff::/48\""));
}

static void masks_of_nothing_and_of_all(void **state)
{
	static const struct audit_mask nothing = {0, 0}, all = {32, 128};
	struct weir_event event = event_of("203.0.113.9", "10.42.3.10");
	struct audit_record record;

	decode(&event, &nothing, &record);
	assert_non_null(strstr(line_of(&record), "\"source\":\"0.0.0.0/0\""));
	decode(&event, &all, &record);
	assert_non_null(strstr(line_of(&record), "\"source\":\"203.0.113.9\""));
}

static void client_is_who_opened(void **state)
{
	struct weir_event event = event_of("10.42.3.10", "203.0.113.9");
	struct audit_record record;

	event.client = addr("203.0.113.9");
	decode(&event, &whole, &record);
	assert_non_null(strstr(line_of(&record), "\"client_ip\":\"203.0.113.9\""));
}

static void times_go_there_and_back(void **state)
{
	static const struct {
		__u64 ns;
		const char *text;
	} table[] = {
	    {0, "1970-01-01T00:00:00.000000Z"},
	    {1709164800000001000ULL, "2024-02-29T00:00:00.000001Z"},
	    {1767225599999999000ULL, "2025-12-31T23:59:59.999999Z"},
	};
	char text[32];
	__u64 ns;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		assert_string_equal(audit_format_time(table[i].ns, text), table[i].text);
		assert_int_equal(audit_parse_time(text, &ns), 0);
		assert_true(ns == table[i].ns);
	}
	assert_int_equal(audit_parse_time("yesterday", &ns), -EINVAL);
}

static void people_read_one_line(void **state)
{
	struct weir_event event = event_of("2001:db8::9", "2001:db8::1");
	struct audit_record record;
	char text[AUDIT_LINE_MAX];
	const char *line;

	event.time_ns = 1764000000123456789ULL;
	decode(&event, &whole, &record);
	line = line_of(&record);
	assert_true(audit_format_human(line, strlen(line), text, sizeof(text)) > 0);
	assert_string_equal(text,
			    "2025-11-24T16:00:00.123456Z drop       tcp [2001:db8::9]:51234 -> "
			    "[2001:db8::1]:27017, deny, rule no databases (/etc/weir/b.yaml:12), "
			    "ingress on veth1 (workload_in), 60 bytes, generation 7\n");
	event.protocol = IPPROTO_ICMPV6;
	event.destination_port = htons(128);
	decode(&event, &whole, &record);
	line = line_of(&record);
	assert_true(audit_format_human(line, strlen(line), text, sizeof(text)) > 0);
	assert_non_null(strstr(text, " icmpv6 2001:db8::9 -> 2001:db8::1 type 128, "));
	assert_int_equal(audit_format_human("{\"timestamp\":", 13, text, sizeof(text)), -EBADMSG);
	assert_int_equal(audit_format_human("[1]", 3, text, sizeof(text)), -EBADMSG);
	/* Values of other types than expected, as a broken file could hold them. */
	assert_true(audit_format_human("{\"timestamp\":1,\"line\":\"x\"}", 26, text, sizeof(text)) >
		    0);
}

static void a_line_that_does_not_fit_is_an_error(void **state)
{
	struct weir_event event = event_of("203.0.113.9", "10.42.3.10");
	struct audit_record record;
	char small[64];

	decode(&event, &whole, &record);
	assert_int_equal(audit_format_json(&record, small, sizeof(small)), -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(golden_line),
	    cmocka_unit_test(golden_line_of_an_unreadable_frame),
	    cmocka_unit_test(every_line_has_every_key_in_order),
	    cmocka_unit_test(short_records_are_refused),
	    cmocka_unit_test(longer_records_of_later_versions_are_read),
	    cmocka_unit_test(unknown_values_stand_as_numbers),
	    cmocka_unit_test(a_limit_is_named_before_the_rule),
	    cmocka_unit_test(defaults_have_names_and_no_place),
	    cmocka_unit_test(a_file_out_of_range_is_null),
	    cmocka_unit_test(unterminated_names_are_bounded),
	    cmocka_unit_test(odd_names_are_escaped),
	    cmocka_unit_test(masks_apply_to_every_address),
	    cmocka_unit_test(masks_of_nothing_and_of_all),
	    cmocka_unit_test(client_is_who_opened),
	    cmocka_unit_test(times_go_there_and_back),
	    cmocka_unit_test(people_read_one_line),
	    cmocka_unit_test(a_line_that_does_not_fit_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
