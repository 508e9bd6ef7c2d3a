// SPDX-License-Identifier: GPL-2.0-only
#include "audit/format.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/addr.h"
#include "base/mem.h"

const char *audit_format_time(__u64 realtime_ns, char *ret)
{
	time_t seconds = realtime_ns / 1000000000;
	struct tm tm;

	gmtime_r(&seconds, &tm);
	snprintf(ret, 32, "%04u-%02u-%02uT%02u:%02u:%02u.%06uZ",
		 (unsigned int)(tm.tm_year + 1900) % 10000, (unsigned int)(tm.tm_mon + 1) % 100,
		 (unsigned int)tm.tm_mday % 100, (unsigned int)tm.tm_hour % 100,
		 (unsigned int)tm.tm_min % 100, (unsigned int)tm.tm_sec % 100,
		 (unsigned int)(realtime_ns % 1000000000 / 1000));
	return ret;
}

int audit_parse_time(const char *text, __u64 *ret_realtime_ns)
{
	unsigned int micro = 0;
	struct tm tm = {0};
	time_t seconds;

	if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d.%6uZ", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
		   &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &micro) < 6)
		return -EINVAL;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	seconds = timegm(&tm);
	if (seconds < 0)
		return -EINVAL;
	*ret_realtime_ns = (__u64)seconds * 1000000000 + (__u64)micro * 1000;
	return 0;
}

int audit_line_time(const char *line, size_t len, __u64 *ret_realtime_ns)
{
	static const char key[] = "{\"timestamp\":\"";
	size_t skip = sizeof(key) - 1;
	char text[40];

	/* Our own lines begin so; no need to parse the rest. */
	if (len < skip + 20 || memcmp(line, key, skip) != 0)
		return -EINVAL;
	len -= skip;
	snprintf(text, sizeof(text), "%.*s", (int)(len < 32 ? len : 32), line + skip);
	return audit_parse_time(text, ret_realtime_ns);
}

/* Length of the UTF-8 sequence at @text, 0 when it is none (or DEL, which no line should carry). */
static int utf8_length(const unsigned char *text)
{
	static const unsigned int least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned int value;
	int n;

	if (text[0] < 0x7f)
		return 1;
	n = text[0] >= 0xf0 && text[0] < 0xf5 ? 4 : text[0] >= 0xe0 ? 3 : text[0] >= 0xc2 ? 2 : 0;
	if (n == 0 || text[0] >= 0xf5)
		return 0;
	value = text[0] & (0x7f >> n);
	for (int i = 1; i < n; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		value = value << 6 | (text[i] & 0x3f);
	}
	if (value < least[n] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000))
		return 0;
	return n;
}

/* "" is null; bytes that are no UTF-8 are replaced, since jansson (and JSON) would refuse them. */
static json_t *string_or_null(const char *text)
{
	char clean[3 * 256 + 1];
	size_t n = 0;

	if (!text[0])
		return json_null();
	for (const unsigned char *p = (const unsigned char *)text; *p && n + 4 < sizeof(clean);) {
		int length = utf8_length(p);

		memcpy(clean + n, length ? (const char *)p : "\xef\xbf\xbd", length ? length : 3);
		n += length ? length : 3;
		p += length ? length : 1;
	}
	return json_stringn(clean, n);
}

static json_t *address_or_null(const struct audit_address *address)
{
	struct prefix prefix = {.address = address->address, .length = address->length};
	char text[ADDR_TEXT_LEN];

	if (!address->known)
		return json_null();
	if (!address->masked)
		return json_string(addr_format(&address->address, text));
	prefix.v6 = !addr_is_v4(&address->address);
	return json_string(prefix_format(&prefix, text));
}

static json_t *number_or_null(long long value, bool null)
{
	return null ? json_null() : json_integer(value);
}

static int dump(json_t *object, char *ret, size_t size)
{
	size_t n;

	n = json_dumpb(object, ret, size, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_ENSURE_ASCII);
	if (n == 0)
		return -ENOMEM;
	if (n + 2 > size)
		return -E2BIG;
	ret[n++] = '\n';
	ret[n] = '\0';
	return n;
}

int audit_format_json(const struct audit_record *record, char *ret, size_t size)
{
	json_t *value_timestamp, *object = json_object();
	char time[32];
	int err = 0, n;

	if (!object)
		return -ENOMEM;
	value_timestamp = json_string(audit_format_time(record->time_ns, time));
	json_t *value_client_ip = address_or_null(&record->client);
	json_t *value_verdict = string_or_null(record->verdict);
	json_t *value_reason = string_or_null(record->reason);
	json_t *value_rule = string_or_null(record->rule);
	json_t *value_file = string_or_null(record->file);
	json_t *value_line = number_or_null(record->line, record->line == 0);
	json_t *value_direction = string_or_null(record->direction);
	json_t *value_hook = string_or_null(record->hook);
	json_t *value_interface = string_or_null(record->interface);
	json_t *value_source = address_or_null(&record->source);
	json_t *value_source_port = number_or_null(record->source_port, record->source_port < 0);
	json_t *value_destination = address_or_null(&record->destination);
	json_t *value_destination_port =
	    number_or_null(record->destination_port, record->destination_port < 0);
	json_t *value_protocol = string_or_null(record->protocol);
	json_t *value_length = json_integer(record->length);
	json_t *value_generation = json_integer(record->generation);

#define SET(key) err |= json_object_set_new(object, #key, value_##key);
	AUDIT_KEYS(SET)
#undef SET
	n = err ? -ENOMEM : dump(object, ret, size);
	json_decref(object);
	return n;
}

int audit_format_note(const char *text, char *ret, size_t size)
{
	json_t *object = json_object();
	int n;

	if (!object)
		return -ENOMEM;
	n = json_object_set_new(object, "note", string_or_null(text)) ? -ENOMEM
								      : dump(object, ret, size);
	json_decref(object);
	return n;
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "-";
}

/* "ADDR:PORT", "[ADDR]:PORT"; of ICMP "ADDR type N" for the destination. */
static void endpoint(const json_t *object, const char *address, const char *port, char *ret,
		     size_t size)
{
	bool icmp = strncmp(text_of(object, "protocol"), "icmp", 4) == 0;
	const json_t *number = json_object_get(object, port);
	const char *text = text_of(object, address);
	const char *format = icmp ? "%s type %lld" : strchr(text, ':') ? "[%s]:%lld" : "%s:%lld";

	if (!json_is_integer(number) || (icmp && port[0] == 's'))
		snprintf(ret, size, "%s", text);
	else
		snprintf(ret, size, format, text, (long long)json_integer_value(number));
}

/* Copies nothing that a terminal would obey: C0, DEL, and C1, which in UTF-8 is 0xc2 0x80..0x9f. */
static size_t copy_printable(const char *text, char *ret, size_t size)
{
	size_t n = 0;

	for (const unsigned char *p = (const unsigned char *)text; *p && n + 2 < size; p++) {
		bool c1 = p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0;

		ret[n++] = *p < 0x20 || *p == 0x7f || c1 ? '?' : *p;
		p += c1;
	}
	return n;
}

static void human(const json_t *object, char *text, size_t size)
{
	const json_t *line = json_object_get(object, "line");
	char from[ADDR_TEXT_LEN + 16], to[ADDR_TEXT_LEN + 16], place[300] = "";

	endpoint(object, "source", "source_port", from, sizeof(from));
	endpoint(object, "destination", "destination_port", to, sizeof(to));
	if (json_is_integer(line))
		snprintf(place, sizeof(place), " (%s:%lld)", text_of(object, "file"),
			 (long long)json_integer_value(line));
	snprintf(text, size,
		 "%s %-10s %s %s -> %s, %s, rule %s%s, %s on %s (%s), %lld bytes, generation %lld",
		 text_of(object, "timestamp"), text_of(object, "verdict"),
		 text_of(object, "protocol"), from, to, text_of(object, "reason"),
		 text_of(object, "rule"), place, text_of(object, "direction"),
		 text_of(object, "interface"), text_of(object, "hook"),
		 (long long)json_integer_value(json_object_get(object, "length")),
		 (long long)json_integer_value(json_object_get(object, "generation")));
}

int audit_format_human(const char *line, size_t len, char *ret, size_t size)
{
	json_t *object = json_loadb(line, len, 0, NULL);
	char text[AUDIT_LINE_MAX];
	size_t n;

	if (!json_is_object(object)) {
		json_decref(object);
		return -EBADMSG;
	}
	if (json_object_get(object, "note"))
		snprintf(text, sizeof(text), "note: %s", text_of(object, "note"));
	else
		human(object, text, sizeof(text));
	json_decref(object);
	n = copy_printable(text, ret, size);
	if (n + 2 > size)
		return -E2BIG;
	ret[n++] = '\n';
	ret[n] = '\0';
	return n;
}
