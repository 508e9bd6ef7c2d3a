// SPDX-License-Identifier: GPL-2.0-only
/* Names whose addresses are followed: containers, networks, compose services, hosts, units. Here only how they look. */
#include "policy/reader.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>

#define NAME_MAX_LEN  255 /* of what an engine or systemd calls something */
#define HOST_MAX_LEN  253 /* RFC 1035, without the final dot */
#define LABEL_MAX_LEN 63

#define LETTERS	 "abcdefghijklmnopqrstuvwxyz"
#define CAPITALS "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS	 "0123456789"

/* The names that an engine gives: [a-zA-Z0-9][a-zA-Z0-9_.-]*. */
static bool engine_name(const char *text, size_t len)
{
	return len && len <= NAME_MAX_LEN && isalnum((unsigned char)text[0]) &&
	       strspn(text, LETTERS CAPITALS DIGITS "_.-") >= len;
}

static int read_engine_name(struct reader *reader, const struct node *key, const struct node *value,
			    void *into, enum item_kind kind)
{
	struct item *item = into;
	int err = scalar(reader, value, key->text, "a name");

	if (err)
		return err;
	if (!engine_name(value->text, strlen(value->text)))
		return reject(reader, &value->at,
			      "%s \"%.64s\" is not like [a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}",
			      key->text, value->text);
	item->kind = kind;
	item->name = strdup(value->text);
	return item->name ? 0 : -ENOMEM;
}

int item_container(struct reader *reader, const struct node *key, const struct node *value,
		   void *into)
{
	return read_engine_name(reader, key, value, into, ITEM_CONTAINER);
}

int item_network(struct reader *reader, const struct node *key, const struct node *value,
		 void *into)
{
	return read_engine_name(reader, key, value, into, ITEM_NETWORK);
}

int item_compose(struct reader *reader, const struct node *key, const struct node *value,
		 void *into)
{
	struct item *item = into;
	const char *slash;
	int err = scalar(reader, value, "compose", "PROJECT/SERVICE");

	if (err)
		return err;
	slash = strchr(value->text, '/');
	if (!slash || strchr(slash + 1, '/'))
		return reject(reader, &value->at, "compose \"%.64s\": wanted PROJECT/SERVICE",
			      value->text);
	if (!engine_name(value->text, (size_t)(slash - value->text)) ||
	    strcspn(value->text, CAPITALS ".") < (size_t)(slash - value->text))
		return reject(
		    reader, &value->at,
		    "compose \"%.64s\": the project is not like [a-z0-9][a-z0-9_-]{0,254}",
		    value->text);
	if (!engine_name(slash + 1, strlen(slash + 1)))
		return reject(
		    reader, &value->at,
		    "compose \"%.64s\": the service is not like [a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}",
		    value->text);
	item->kind = ITEM_COMPOSE;
	item->name = strdup(value->text);
	return item->name ? 0 : -ENOMEM;
}

/* One label of a host's name; the end is returned, or NULL where it is none. */
static const char *host_label(const char *text)
{
	size_t n = strspn(text, LETTERS CAPITALS DIGITS "-");

	if (!n || n > LABEL_MAX_LEN || text[0] == '-' || text[n - 1] == '-')
		return NULL;
	return text + n;
}

/* What is wrong with the name of a host by RFC 1123, or NULL. */
static const char *host_wrong(const char *text)
{
	const char *label = text, *end;

	if (strlen(text) > HOST_MAX_LEN)
		return "it is longer than 253 characters";
	for (;; label = end + 1) {
		end = host_label(label);
		if (!end || (*end && *end != '.'))
			return label[0] ? "parts are 1 to 63 letters, digits and inner hyphens"
					: "it ends with a dot";
		if (!*end)
			break;
	}
	/* Else 10.0.0.1, or what is nearly that, would be asked of the DNS. */
	if (strspn(label, DIGITS) == strlen(label))
		return "its last part is a number, as of an address";
	return NULL;
}

int item_name(struct reader *reader, const struct node *key, const struct node *value, void *into)
{
	struct item *item = into;
	struct weir_addr address;
	const char *wrong;
	int err = scalar(reader, value, "name", "the name of a host");

	if (err)
		return err;
	if (!addr_parse(value->text, &address, NULL))
		return reject(reader, &value->at,
			      "name \"%.64s\" is an address; write it without {name: ...}",
			      value->text);
	wrong = host_wrong(value->text);
	if (wrong)
		return reject(reader, &value->at, "name \"%.64s\" is no host's name: %s",
			      value->text, wrong);
	item->kind = ITEM_NAME;
	item->name = strdup(value->text);
	if (!item->name)
		return -ENOMEM;
	/* The DNS makes no difference, and one name is asked for once. */
	for (char *c = item->name; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return 0;
}

/* Units that have processes of their own. */
static const char *const unit_types[] = {".service", ".scope", ".slice", NULL};

int item_unit(struct reader *reader, const struct node *key, const struct node *value, void *into)
{
	struct item *item = into;
	const char *dot, *at;
	bool known = false;
	int err = scalar(reader, value, "unit", "the name of a unit, like nginx.service");

	if (err)
		return err;
	dot = strrchr(value->text, '.');
	for (size_t i = 0; dot && unit_types[i]; i++)
		known |= !strcmp(dot, unit_types[i]);
	if (!known)
		return reject(reader, &value->at,
			      "unit \"%.64s\" does not end with .service, .scope or .slice",
			      value->text);
	if (dot == value->text || strlen(value->text) > NAME_MAX_LEN ||
	    strspn(value->text, LETTERS CAPITALS DIGITS ":-_.\\@") != strlen(value->text))
		return reject(reader, &value->at,
			      "unit \"%.64s\" is no name of a unit: letters, digits and :-_.\\@",
			      value->text);
	at = strchr(value->text, '@');
	if (at && at + 1 == dot)
		return reject(
		    reader, &value->at,
		    "unit \"%.64s\" is a template, which has no sockets; name an instance of it",
		    value->text);
	item->kind = ITEM_UNIT;
	item->name = strdup(value->text);
	return item->name ? 0 : -ENOMEM;
}
