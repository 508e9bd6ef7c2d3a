// SPDX-License-Identifier: GPL-2.0-only
/* What holds for the policy as a whole: defaults, mode, timeouts, audit. */
#include "policy/reader.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/units.h"

#define MAX_S (36500ULL * 86400)

static int read_direction(struct reader *reader, const struct node *value, const char *what,
			  enum policy_default *ret)
{
	static const char *const choices[] = {"deny", "allow", NULL};
	int choice = 0, err;

	err = read_choice(reader, value, what, choices, &choice);
	*ret = choice ? DEFAULT_ALLOW : DEFAULT_DENY;
	return err;
}

static int default_ingress(struct reader *reader, const struct node *key, const struct node *value,
			   void *into)
{
	int err = once(reader, "default.ingress", key);

	return err ? err
		   : read_direction(reader, value, key->text, &reader->policy->defaults.ingress);
}

static int default_egress(struct reader *reader, const struct node *key, const struct node *value,
			  void *into)
{
	int err = once(reader, "default.egress", key);

	return err ? err
		   : read_direction(reader, value, key->text, &reader->policy->defaults.egress);
}

static int default_forward(struct reader *reader, const struct node *key, const struct node *value,
			   void *into)
{
	int err = once(reader, "default.forward", key);

	return err ? err
		   : read_direction(reader, value, key->text, &reader->policy->defaults.forward);
}

static const struct key default_keys[] = {
    {"ingress", default_ingress},
    {"egress", default_egress},
    {"forward", default_forward},
    {},
};
const struct scope scope_default = {"default", default_keys};

int read_default(struct reader *reader, const struct node *key, const struct node *value,
		 void *into)
{
	int err;

	if (value->kind == NODE_MAP)
		return read_map(reader, value, &scope_default, NULL);
	if (value->kind == NODE_LIST)
		return reject_kind(reader, value, "default",
				   "deny, allow or {ingress, egress, forward}");
	err = default_ingress(reader, key, value, NULL);
	if (!err)
		err = default_egress(reader, key, value, NULL);
	if (!err)
		err = default_forward(reader, key, value, NULL);
	return err;
}

static int member_ingress(struct reader *reader, const struct node *key, const struct node *value,
			  void *into)
{
	return read_direction(reader, value, key->text,
			      &((struct segment_defaults *)into)->defaults.ingress);
}

static int member_egress(struct reader *reader, const struct node *key, const struct node *value,
			 void *into)
{
	return read_direction(reader, value, key->text,
			      &((struct segment_defaults *)into)->defaults.egress);
}

static const struct key member_keys[] = {
    {"ingress", member_ingress},
    {"egress", member_egress},
    {},
};
const struct scope scope_segment_default = {"defaults", member_keys};

static int one_default(struct reader *reader, const struct node *key, const struct node *value)
{
	struct policy *policy = reader->policy;
	struct segment_defaults *entry =
	    mem_append(&policy->segment_defaults, &policy->nr_segment_defaults, sizeof(*entry));
	int err;

	if (!entry)
		return -ENOMEM;
	entry->at = key->at;
	entry->segment = strdup(key->text);
	if (!entry->segment)
		return -ENOMEM;
	if (value->kind == NODE_MAP)
		return read_map(reader, value, &scope_segment_default, entry);
	if (value->kind == NODE_LIST)
		return reject_kind(reader, value, "defaults", "deny, allow or {ingress, egress}");
	err = member_ingress(reader, key, value, entry);
	return err ? err : member_egress(reader, key, value, entry);
}

int read_defaults(struct reader *reader, const struct node *key, const struct node *value,
		  void *into)
{
	int err;

	if (value->kind != NODE_MAP)
		return reject_kind(reader, value, "defaults",
				   "a mapping of segments to deny, allow or {ingress, egress}");
	for (const struct node *name = value->child; name; name = name->next->next) {
		err = one_default(reader, name, name->next);
		if (err)
			return err;
	}
	return 0;
}

int read_mode_word(struct reader *reader, const struct node *value, bool *ret_monitor)
{
	static const char *const choices[] = {"enforce", "monitor", NULL};
	int choice = 0, err;

	err = read_choice(reader, value, "mode", choices, &choice);
	*ret_monitor = choice;
	return err;
}

int read_mode(struct reader *reader, const struct node *key, const struct node *value, void *into)
{
	int err = once(reader, "mode", key);

	return err ? err : read_mode_word(reader, value, &reader->policy->monitor);
}

int read_survive(struct reader *reader, const struct node *key, const struct node *value,
		 void *into)
{
	int err = once(reader, "blocks_survive_reboot", key);

	return err ? err
		   : read_bool(reader, value, key->text, &reader->policy->blocks_survive_reboot);
}

int read_block(struct reader *reader, const struct node *key, const struct node *value, void *into)
{
	return read_items_or_none(reader, key, value, &reader->policy->block);
}

int read_never_block(struct reader *reader, const struct node *key, const struct node *value,
		     void *into)
{
	return read_items_or_none(reader, key, value, &reader->policy->never_block);
}

static int timeout(struct reader *reader, const struct node *key, const struct node *value,
		   const char *name, __u32 *ret)
{
	__u64 seconds = 0;
	int err = once(reader, name, key);

	if (!err)
		err = read_duration_s(reader, value, key->text, 1, 366 * 86400, &seconds);
	*ret = seconds;
	return err;
}

#define TIMEOUT(name)                                                            \
	static int timeout_##name(struct reader *reader, const struct node *key, \
				  const struct node *value, void *into)          \
	{                                                                        \
		return timeout(reader, key, value, "timeouts." #name,            \
			       &reader->policy->timeouts.name);                  \
	}
TIMEOUT(tcp)
TIMEOUT(tcp_closing)
TIMEOUT(udp)
TIMEOUT(udp_stream)
TIMEOUT(icmp)
TIMEOUT(half_open)

static const struct key timeout_keys[] = {
    {"tcp", timeout_tcp},
    {"tcp_closing", timeout_tcp_closing},
    {"udp", timeout_udp},
    {"udp_stream", timeout_udp_stream},
    {"icmp", timeout_icmp},
    {"half_open", timeout_half_open},
    {},
};
const struct scope scope_timeouts = {"timeouts", timeout_keys};

int read_timeouts(struct reader *reader, const struct node *key, const struct node *value,
		  void *into)
{
	return read_map(reader, value, &scope_timeouts, NULL);
}

static int audit_file(struct reader *reader, const struct node *key, const struct node *value,
		      void *into)
{
	int err = once(reader, "audit.file", key);

	if (!err)
		err = scalar(reader, value, "file", "a path");
	if (err)
		return err;
	if (value->text[0] != '/')
		return reject(reader, &value->at,
			      "file \"%.128s\": wanted a path that begins with /", value->text);
	reader->policy->audit.file = strdup(value->text);
	return reader->policy->audit.file ? 0 : -ENOMEM;
}

static int rotate_size(struct reader *reader, const struct node *key, const struct node *value,
		       void *into)
{
	__u64 *bytes = &reader->policy->audit.rotate_bytes;
	const char *why;
	int err = once(reader, "audit.rotate.size", key);

	if (!err)
		err = scalar(reader, value, "size", "a size like 100MB");
	if (err)
		return err;
	if (units_parse_size(value->text, bytes, &why))
		return reject(reader, &value->at, "size \"%.64s\" is no size: %s", value->text,
			      why);
	if (*bytes < 1000 || *bytes > 1000000000000ULL)
		return reject(reader, &value->at, "size \"%.64s\" is not in 1KB..1TB", value->text);
	return 0;
}

static int rotate_age(struct reader *reader, const struct node *key, const struct node *value,
		      void *into)
{
	int err = once(reader, "audit.rotate.age", key);

	return err ? err
		   : read_duration_s(reader, value, "age", 1, MAX_S,
				     &reader->policy->audit.rotate_s);
}

static const struct key rotate_keys[] = {{"size", rotate_size}, {"age", rotate_age}, {}};
const struct scope scope_rotate = {"rotate", rotate_keys};

static int audit_rotate(struct reader *reader, const struct node *key, const struct node *value,
			void *into)
{
	return read_map(reader, value, &scope_rotate, NULL);
}

static int audit_retention(struct reader *reader, const struct node *key, const struct node *value,
			   void *into)
{
	int err = once(reader, "audit.retention", key);

	return err ? err
		   : read_duration_s(reader, value, "retention", 1, MAX_S,
				     &reader->policy->audit.retention_s);
}

static int mask(struct reader *reader, const struct node *key, const struct node *value,
		const char *name, unsigned int max, int *ret)
{
	__u64 bits = 0;
	int err = once(reader, name, key);

	if (!err)
		err = read_number(reader, value, key->text, 0, max, &bits);
	*ret = bits;
	return err;
}

static int mask_ipv4(struct reader *reader, const struct node *key, const struct node *value,
		     void *into)
{
	return mask(reader, key, value, "audit.mask.ipv4", 32, &reader->policy->audit.mask4);
}

static int mask_ipv6(struct reader *reader, const struct node *key, const struct node *value,
		     void *into)
{
	return mask(reader, key, value, "audit.mask.ipv6", 128, &reader->policy->audit.mask6);
}

static const struct key mask_keys[] = {{"ipv4", mask_ipv4}, {"ipv6", mask_ipv6}, {}};
const struct scope scope_mask = {"mask", mask_keys};

static int audit_mask(struct reader *reader, const struct node *key, const struct node *value,
		      void *into)
{
	return read_map(reader, value, &scope_mask, NULL);
}

static int events(struct reader *reader, const struct node *key, const struct node *value,
		  const char *name, __u32 *ret)
{
	__u64 n = 0;
	int err = once(reader, name, key);

	if (!err)
		err = read_number(reader, value, key->text, 1, 10000000, &n);
	*ret = n;
	return err;
}

static int audit_events(struct reader *reader, const struct node *key, const struct node *value,
			void *into)
{
	return events(reader, key, value, "audit.events_per_second",
		      &reader->policy->audit.events_per_second);
}

static int audit_per_source(struct reader *reader, const struct node *key, const struct node *value,
			    void *into)
{
	return events(reader, key, value, "audit.per_source_per_second",
		      &reader->policy->audit.per_source_per_second);
}

static int one_pass(struct reader *reader, const struct node *key, const struct node *value,
		    void *into)
{
	struct names *names = &reader->policy->audit.pass;
	size_t n = names->n;
	struct position *at = mem_append(&names->at, &n, sizeof(*at));
	char **name = at ? mem_append(&names->name, &names->n, sizeof(*name)) : NULL;

	if (!name)
		return -ENOMEM;
	*at = value->at;
	return read_name(reader, value, name);
}

static int audit_pass(struct reader *reader, const struct node *key, const struct node *value,
		      void *into)
{
	return read_each(reader, key, value, one_pass, NULL);
}

static const struct key audit_keys[] = {
    {"file", audit_file},
    {"rotate", audit_rotate},
    {"retention", audit_retention},
    {"mask", audit_mask},
    {"events_per_second", audit_events},
    {"per_source_per_second", audit_per_source},
    {"pass", audit_pass},
    {"syslog", NULL},
    {"journal", NULL},
    {"pcap", NULL},
    {},
};
const struct scope scope_audit = {"audit", audit_keys};

int read_audit(struct reader *reader, const struct node *key, const struct node *value, void *into)
{
	if (!reader->policy->audit.at.file)
		reader->policy->audit.at = key->at;
	return read_map(reader, value, &scope_audit, NULL);
}
