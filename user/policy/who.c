// SPDX-License-Identifier: GPL-2.0-only
/* Who: items, segments; interfaces and workloads. */
#include "policy/reader.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <arpa/inet.h>

#include "base/mem.h"

/* The network that a prefix with host bits was probably meant to be. */
static int probable_network(const char *text, struct prefix *ret)
{
	char address[INET6_ADDRSTRLEN] = "";
	const char *slash = strchr(text, '/');

	memcpy(address, text, slash - text);
	if (addr_parse(address, &ret->address, NULL))
		return -EINVAL;
	ret->v6 = !addr_is_v4(&ret->address);
	ret->length = atoi(slash + 1);
	ret->address = addr_mask(&ret->address, ret->length);
	return 0;
}

int address_reject(struct reader *reader, const struct position *at, const char *text,
		   const char *why)
{
	char buffer[ADDR_TEXT_LEN];
	struct prefix network;

	if (why == PREFIX_WHY_HOST_BITS && !probable_network(text, &network))
		return reject(reader, at, "\"%.64s\" has host bits set; did you mean %s?", text,
			      prefix_format(&network, buffer));
	return reject(reader, at, "\"%.64s\" is no address: %s", text, why);
}

int range_parse(struct reader *reader, const struct position *at, const char *text,
		struct weir_addr *first, struct weir_addr *last)
{
	static const struct weir_addr mapped = {{[10] = 0xff, [11] = 0xff}};
	const char *dash = strchr(text, '-');
	char low[INET6_ADDRSTRLEN] = "";
	const char *why;

	if (!dash)
		return 1;
	if ((size_t)(dash - text) >= sizeof(low))
		return reject(reader, at, "\"%.64s\" is no range of addresses", text);
	memcpy(low, text, dash - text);
	if (addr_parse(low, first, &why))
		return address_reject(reader, at, low, why);
	if (addr_parse(dash + 1, last, &why))
		return address_reject(reader, at, dash + 1, why);
	if (addr_is_v4(first) != addr_is_v4(last))
		return reject(reader, at,
			      "range \"%.100s\" goes from one address family to the other", text);
	if (memcmp(first, last, sizeof(*first)) > 0)
		return reject(reader, at, "range \"%.100s\" ends before it begins", text);
	if (!addr_is_v4(first) && memcmp(first, &mapped, sizeof(mapped)) < 0 &&
	    memcmp(last, &mapped, sizeof(mapped)) > 0)
		return reject(reader, at,
			      "range \"%.100s\" includes ::ffff:0:0/96, which stands for IPv4",
			      text);
	return 0;
}

static int read_address(struct reader *reader, const struct node *node, struct item *item)
{
	struct weir_addr first, last;
	const char *why = "";
	int err;

	err = range_parse(reader, &node->at, node->text, &first, &last);
	if (err < 0)
		return err;
	item->kind = ITEM_PREFIX;
	if (err > 0) {
		if (prefix_parse(node->text, &item->prefix, &why))
			return address_reject(reader, &node->at, node->text, why);
		return 0;
	}
	if (!memcmp(&first, &last, sizeof(first))) {
		item->prefix.address = first;
		item->prefix.v6 = !addr_is_v4(&first);
		item->prefix.length = item->prefix.v6 ? 128 : 32;
		return 0;
	}
	item->kind = ITEM_RANGE;
	item->first = first;
	item->last = last;
	return 0;
}

static int read_word(struct reader *reader, const struct node *node, struct item *item)
{
	if (!strcmp(node->text, "any")) {
		item->kind = ITEM_ANY;
	} else if (!strcmp(node->text, "self")) {
		item->kind = ITEM_SELF;
	} else if (!strcmp(node->text, "workloads")) {
		item->kind = ITEM_WORKLOADS;
	} else if (!name_valid(node->text)) {
		return reject(
		    reader, &node->at,
		    "\"%.64s\" is neither an address nor a segment's name, which is like [a-z][a-z0-9_-]{0,62}",
		    node->text);
	} else {
		item->kind = ITEM_SEGMENT;
		item->name = strdup(node->text);
		if (!item->name)
			return -ENOMEM;
	}
	return 0;
}

static int item_interface(struct reader *reader, const struct node *key, const struct node *value,
			  void *into)
{
	struct item *item = into;
	int err;

	err = scalar(reader, value, "interface", "the name of an interface");
	if (!err)
		err = check_pattern(reader, value, value->text, true);
	if (err)
		return err;
	item->kind = ITEM_INTERFACE;
	item->name = strdup(value->text);
	return item->name ? 0 : -ENOMEM;
}

static int item_file(struct reader *reader, const struct node *key, const struct node *value,
		     void *into)
{
	struct item *item = into;
	int err;

	err = scalar(reader, value, "file", "a path");
	if (err)
		return err;
	item->kind = ITEM_FILE;
	return list_read(reader, value, item);
}

static const struct key item_keys[] = {
    {"interface", item_interface}, {"file", item_file},
    {"container", item_container}, {"network", item_network},
    {"compose", item_compose},	   {"name", item_name},
    {"unit", item_unit},	   {},
};
const struct scope scope_item = {"item", item_keys};

int read_item(struct reader *reader, const struct node *key, const struct node *value, void *into)
{
	struct items *items = into;
	struct item *item;
	const char *text = value->text;
	int err;

	if (value->kind != NODE_MAP) {
		err = scalar(
		    reader, value, key ? key->text : "item",
		    "an address, a prefix, a range, a segment's name, or one of {interface: NAME}, {file: PATH} and the like");
		if (err)
			return err;
	}
	item = mem_append(&items->item, &items->n, sizeof(*item));
	if (!item)
		return -ENOMEM;
	item->at = value->at;
	if (value->kind == NODE_SCALAR) {
		bool address = strchr(text, ':') || (text[0] >= '0' && text[0] <= '9');

		return address ? read_address(reader, value, item) : read_word(reader, value, item);
	}
	if (value->n != 1)
		return reject(reader, &value->at, "an item has one key, found %zu", value->n);
	return read_map(reader, value, &scope_item, item);
}

int read_items_or_none(struct reader *reader, const struct node *key, const struct node *value,
		       void *into)
{
	return read_each(reader, key, value, read_item, into);
}

int read_items(struct reader *reader, const struct node *key, const struct node *value, void *into)
{
	if (value->kind == NODE_LIST && !value->n)
		return reject(
		    reader, &value->at,
		    "%s: the list is empty; leave the key out where nobody is meant in particular",
		    key->text);
	return read_items_or_none(reader, key, value, into);
}

/** struct segment_draft - a segment while it is read. */
struct segment_draft {
	struct segment *segment;
	bool has_members;
};

static int segment_members(struct reader *reader, const struct node *key, const struct node *value,
			   void *into)
{
	struct segment_draft *draft = into;

	draft->has_members = true;
	return read_items_or_none(reader, key, value, &draft->segment->members);
}

static int segment_except(struct reader *reader, const struct node *key, const struct node *value,
			  void *into)
{
	return read_items_or_none(reader, key, value,
				  &((struct segment_draft *)into)->segment->except);
}

static int segment_proxy(struct reader *reader, const struct node *key, const struct node *value,
			 void *into)
{
	return read_bool(reader, value, "proxy", &((struct segment_draft *)into)->segment->proxy);
}

static const struct key segment_keys[] = {
    {"members", segment_members},
    {"except", segment_except},
    {"proxy", segment_proxy},
    {},
};
const struct scope scope_segment = {"segment", segment_keys};

static int read_segment(struct reader *reader, const struct node *key, const struct node *value)
{
	struct policy *policy = reader->policy;
	static const char *const built_in[] = {"any", "self", "workloads"};
	struct segment_draft draft = {};
	struct segment *segment;
	int err;

	for (size_t i = 0; i < ARRAY_SIZE(built_in); i++)
		if (!strcmp(key->text, built_in[i]))
			return reject(reader, &key->at,
				      "segment \"%s\" is built in; take another name", key->text);
	if (!name_valid(key->text))
		return reject(reader, &key->at, "name \"%.64s\" is not like [a-z][a-z0-9_-]{0,62}",
			      key->text);
	segment = mem_append(&policy->segment, &policy->nr_segments, sizeof(*segment));
	if (!segment)
		return -ENOMEM;
	segment->at = key->at;
	segment->name = strdup(key->text);
	if (!segment->name)
		return -ENOMEM;
	if (value->kind == NODE_LIST)
		return read_items_or_none(reader, key, value, &segment->members);
	if (value->kind != NODE_MAP)
		return reject_kind(
		    reader, value, key->text,
		    "a list of items, or {members: [...], except: [...], proxy: true}");
	draft.segment = segment;
	err = read_map(reader, value, &scope_segment, &draft);
	if (!err && !draft.has_members)
		err = reject(reader, &key->at, "segment \"%s\": members is missing", key->text);
	return err;
}

int read_segments(struct reader *reader, const struct node *key, const struct node *value,
		  void *into)
{
	int err;

	if (value->kind != NODE_MAP)
		return reject_kind(reader, value, "segments",
				   "a mapping of names to lists of items");
	for (const struct node *name = value->child; name; name = name->next->next) {
		err = read_segment(reader, name, name->next);
		if (err)
			return err;
	}
	return 0;
}

/* A name or a shell pattern of interfaces. */
int check_pattern(struct reader *reader, const struct node *node, const char *text, bool name_only)
{
	bool pattern = strpbrk(text, "*?[");

	if (pattern && name_only)
		return reject(reader, &node->at,
			      "\"%.64s\": wanted the name of one interface, found a pattern", text);
	if (strpbrk(text, " \t/:\\") || strlen(text) > 63)
		return reject(reader, &node->at, "\"%.64s\" is no name or pattern of interfaces",
			      text);
	if (!pattern && strlen(text) > 15)
		return reject(reader, &node->at,
			      "\"%.64s\": names of interfaces have at most 15 characters", text);
	return 0;
}

static int read_pattern(struct reader *reader, const struct node *key, const struct node *value,
			void *into)
{
	struct names *names = into;
	char **name;
	struct position *at;
	size_t n = names->n;
	int err;

	err = scalar(reader, value, key->text, "a name or pattern of interfaces");
	if (!err)
		err = check_pattern(reader, value, value->text, false);
	if (err)
		return err;
	at = mem_append(&names->at, &n, sizeof(*at));
	if (!at)
		return -ENOMEM;
	name = mem_append(&names->name, &names->n, sizeof(*name));
	if (!name)
		return -ENOMEM;
	*at = value->at;
	*name = strdup(value->text);
	return *name ? 0 : -ENOMEM;
}

int read_patterns(struct reader *reader, const struct node *key, const struct node *value,
		  void *into)
{
	if (value->kind == NODE_LIST && !value->n)
		return reject(
		    reader, &value->at,
		    "%s: the list is empty; leave the key out where no interface is meant in particular",
		    key->text);
	return read_each(reader, key, value, read_pattern, into);
}

static int interface_name(struct reader *reader, const struct node *key, const struct node *value,
			  void *into)
{
	struct interface_rule *rule = into;
	int err;

	err = scalar(reader, value, "name", "a name or pattern of interfaces");
	if (!err)
		err = check_pattern(reader, value, value->text, false);
	if (err)
		return err;
	rule->pattern = strdup(value->text);
	return rule->pattern ? 0 : -ENOMEM;
}

static const char *const xdp_modes[] = {"auto", "native", "generic", "off", NULL};

static int interface_xdp(struct reader *reader, const struct node *key, const struct node *value,
			 void *into)
{
	int mode = XDP_AUTO, err;

	err = read_choice(reader, value, "xdp", xdp_modes, &mode);
	((struct interface_rule *)into)->xdp = mode;
	return err;
}

static int interface_antispoof(struct reader *reader, const struct node *key,
			       const struct node *value, void *into)
{
	static const char *const choices[] = {[WEIR_ANTISPOOF_OFF] = "off",
					      [WEIR_ANTISPOOF_STRICT] = "strict",
					      [WEIR_ANTISPOOF_LOOSE] = "loose",
					      NULL};
	int choice = WEIR_ANTISPOOF_OFF, err;

	err = read_choice(reader, value, "antispoof", choices, &choice);
	((struct interface_rule *)into)->antispoof = choice;
	return err;
}

static const struct key interface_keys[] = {
    {"name", interface_name},
    {"xdp", interface_xdp},
    {"antispoof", interface_antispoof},
    {},
};
const struct scope scope_interface = {"interface", interface_keys};

/* One entry of interfaces or workloads; an entry that says again what another says already adds nothing. */
static int read_interface(struct reader *reader, const struct node *value,
			  struct interface_rule **rules, size_t *n)
{
	struct interface_rule *rule = mem_append(rules, n, sizeof(*rule));
	int err;

	if (!rule)
		return -ENOMEM;
	rule->at = value->at;
	if (value->kind == NODE_MAP)
		err = read_map(reader, value, &scope_interface, rule);
	else
		err = interface_name(reader, NULL, value, rule);
	if (err)
		return err;
	if (!rule->pattern)
		return reject(reader, &value->at, "interface: name is missing");
	return 0;
}

static int one_interface(struct reader *reader, const struct node *key, const struct node *value,
			 void *into)
{
	return read_interface(reader, value, &reader->policy->interface,
			      &reader->policy->nr_interfaces);
}

static int one_workload(struct reader *reader, const struct node *key, const struct node *value,
			void *into)
{
	for (const struct node *k = value->kind == NODE_MAP ? value->child : NULL; k;
	     k = k->next->next)
		if (!strcmp(k->text, "antispoof"))
			return reject(
			    reader, &k->at,
			    "antispoof is for interfaces: a workload's sources are the addresses bound to it in any case");
	return read_interface(reader, value, &reader->policy->workload,
			      &reader->policy->nr_workloads);
}

int read_interfaces(struct reader *reader, const struct node *key, const struct node *value,
		    void *into)
{
	return read_each(reader, key, value, one_interface, NULL);
}

int read_workloads(struct reader *reader, const struct node *key, const struct node *value,
		   void *into)
{
	return read_each(reader, key, value, one_workload, NULL);
}
