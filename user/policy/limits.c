// SPDX-License-Identifier: GPL-2.0-only
/* How much: limits. */
#include "policy/reader.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "base/mem.h"
#include "base/units.h"

#define LIMIT_MAX_PER_S	      10000000ULL
#define LIMIT_MIN_BYTES_PER_S 1000ULL
#define LIMIT_MAX_BYTES_PER_S 12500000000ULL
#define LIMIT_MAX_ENTRIES     (1u << 24)
#define LIMIT_ENTRIES	      65536
#define LIMIT_MAX_DRAIN_NS    (366 * UNITS_NS_PER_DAY)

/** struct draft - a limit while it is read: what depends on another key waits until all are there. */
struct draft {
	struct limit_rule *rule;
	const struct node *rate, *burst, *overflow;
	bool has_count;
};

static int limit_name(struct reader *reader, const struct node *key, const struct node *value,
		      void *into)
{
	return read_name(reader, value, &((struct draft *)into)->rule->name);
}

static int limit_from(struct reader *reader, const struct node *key, const struct node *value,
		      void *into)
{
	struct limit_rule *rule = ((struct draft *)into)->rule;

	rule->has_from = true;
	return read_items(reader, key, value, &rule->from);
}

static int limit_to(struct reader *reader, const struct node *key, const struct node *value,
		    void *into)
{
	struct limit_rule *rule = ((struct draft *)into)->rule;

	rule->has_to = true;
	return read_items(reader, key, value, &rule->to);
}

static int limit_port(struct reader *reader, const struct node *key, const struct node *value,
		      void *into)
{
	return read_services(reader, key, value, &((struct draft *)into)->rule->port);
}

static int limit_on(struct reader *reader, const struct node *key, const struct node *value,
		    void *into)
{
	return read_patterns(reader, key, value, &((struct draft *)into)->rule->on);
}

static int limit_count(struct reader *reader, const struct node *key, const struct node *value,
		       void *into)
{
	static const char *const choices[] = {"packets", "bytes", "connections", NULL};
	int choice = 0, err;

	if (value->kind == NODE_SCALAR && !strcmp(value->text, "requests"))
		return reject(reader, &value->at, "count: requests is not supported yet");
	err = read_choice(reader, value, "count", choices, &choice);
	((struct draft *)into)->has_count = true;
	((struct draft *)into)->rule->count = choice;
	return err;
}

static int limit_rate(struct reader *reader, const struct node *key, const struct node *value,
		      void *into)
{
	((struct draft *)into)->rate = value;
	return 0;
}

static int limit_burst(struct reader *reader, const struct node *key, const struct node *value,
		       void *into)
{
	((struct draft *)into)->burst = value;
	return 0;
}

static int limit_overflow(struct reader *reader, const struct node *key, const struct node *value,
			  void *into)
{
	((struct draft *)into)->overflow = value;
	return 0;
}

static int limit_per(struct reader *reader, const struct node *key, const struct node *value,
		     void *into)
{
	static const char *const choices[] = {"source", "destination", "pair", "rule", NULL};
	int choice = 0, err;

	err = read_choice(reader, value, "per", choices, &choice);
	((struct draft *)into)->rule->per = choice;
	return err;
}

static int key_bits(struct reader *reader, const struct node *key, const struct node *value,
		    unsigned int max, __u8 *ret)
{
	__u64 bits = 0;
	int err = read_number(reader, value, key->text, 0, max, &bits);

	*ret = bits;
	return err;
}

static int key_ipv4(struct reader *reader, const struct node *key, const struct node *value,
		    void *into)
{
	return key_bits(reader, key, value, 32, &((struct draft *)into)->rule->key4);
}

static int key_ipv6(struct reader *reader, const struct node *key, const struct node *value,
		    void *into)
{
	return key_bits(reader, key, value, 128, &((struct draft *)into)->rule->key6);
}

static const struct key limit_key_keys[] = {{"ipv4", key_ipv4}, {"ipv6", key_ipv6}, {}};
const struct scope scope_limit_key = {"key", limit_key_keys};

static int limit_key(struct reader *reader, const struct node *key, const struct node *value,
		     void *into)
{
	return read_map(reader, value, &scope_limit_key, into);
}

static int limit_entries(struct reader *reader, const struct node *key, const struct node *value,
			 void *into)
{
	__u64 entries = 0;
	int err = read_number(reader, value, "entries", 1, LIMIT_MAX_ENTRIES, &entries);

	((struct draft *)into)->rule->entries = entries;
	return err;
}

static int on_exceed_block(struct reader *reader, const struct node *key, const struct node *value,
			   void *into)
{
	__u64 seconds = 0;
	int err = read_duration_s(reader, value, "block", 1, 366 * 86400, &seconds);

	((struct draft *)into)->rule->block_ns = seconds * UNITS_NS_PER_S;
	return err;
}

static const struct key on_exceed_keys[] = {{"block", on_exceed_block}, {}};
const struct scope scope_on_exceed = {"on_exceed", on_exceed_keys};

static int limit_on_exceed(struct reader *reader, const struct node *key, const struct node *value,
			   void *into)
{
	if (value->kind == NODE_SCALAR && !strcmp(value->text, "drop"))
		return 0;
	if (value->kind != NODE_MAP || !value->n)
		return reject_kind(reader, value, "on_exceed", "drop or {block: DURATION}");
	return read_map(reader, value, &scope_on_exceed, into);
}

static int limit_mode(struct reader *reader, const struct node *key, const struct node *value,
		      void *into)
{
	return read_mode_word(reader, value, &((struct draft *)into)->rule->monitor);
}

static int limit_log(struct reader *reader, const struct node *key, const struct node *value,
		     void *into)
{
	return read_bool(reader, value, "log", &((struct draft *)into)->rule->log);
}

static const struct key limit_keys[] = {
    {"name", limit_name},
    {"from", limit_from},
    {"to", limit_to},
    {"port", limit_port},
    {"on", limit_on},
    {"count", limit_count},
    {"rate", limit_rate},
    {"burst", limit_burst},
    {"per", limit_per},
    {"key", limit_key},
    {"entries", limit_entries},
    {"overflow", limit_overflow},
    {"on_exceed", limit_on_exceed},
    {"mode", limit_mode},
    {"log", limit_log},
    {"method", NULL},
    {"path", NULL},
    {},
};
const struct scope scope_limit = {"limit", limit_keys};

static int check_rate(struct reader *reader, const struct node *node, const char *what,
		      const struct rate *rate)
{
	unsigned __int128 per_s = (unsigned __int128)rate->amount * UNITS_NS_PER_S;

	if (rate->bytes) {
		if (per_s < (unsigned __int128)LIMIT_MIN_BYTES_PER_S * rate->period_ns ||
		    per_s > (unsigned __int128)LIMIT_MAX_BYTES_PER_S * rate->period_ns)
			return reject(reader, &node->at, "%s \"%.64s\" is not in 1KB/s..12.5GB/s",
				      what, node->text);
		return 0;
	}
	if (!rate->amount || per_s > (unsigned __int128)LIMIT_MAX_PER_S * rate->period_ns)
		return reject(reader, &node->at, "%s \"%.64s\" is not in 1..%llu", what, node->text,
			      LIMIT_MAX_PER_S * (rate->period_ns / UNITS_NS_PER_S));
	return 0;
}

/* A rate in the unit that the limit counts. */
int read_rate(struct reader *reader, const struct node *node, const char *what, bool bytes,
	      __u64 *ret_rate, __u64 *ret_period_ns)
{
	struct rate rate;
	const char *why;
	int err;

	err = scalar(reader, node, what, "a rate like 100/minute, or 10MB/s for bytes");
	if (err)
		return err;
	if (units_parse_rate(node->text, &rate, &why))
		return reject(reader, &node->at, "%s \"%.64s\" is no rate: %s", what, node->text,
			      why);
	if (rate.bytes && !bytes)
		return reject(reader, &node->at,
			      "%s \"%.64s\" counts bytes; that needs count: bytes", what,
			      node->text);
	if (bytes && !rate.bytes && rate.amount)
		return reject(reader, &node->at,
			      "%s \"%.64s\" has no unit; with count: bytes it is like 10MB/s", what,
			      node->text);
	rate.bytes = bytes;
	err = check_rate(reader, node, what, &rate);
	if (err)
		return err;
	*ret_rate = rate.amount;
	*ret_period_ns = rate.period_ns;
	return 0;
}

/* What a full bucket takes to drain is what the programs hold as a time: it has an upper bound. */
static int check_burst(struct reader *reader, const struct node *node,
		       const struct limit_rule *rule)
{
	unsigned __int128 drain = (unsigned __int128)rule->burst * rule->period_ns / rule->rate;

	if (drain > LIMIT_MAX_DRAIN_NS)
		return reject(reader, &node->at,
			      "burst \"%.64s\" takes longer than 366 days to drain at this rate",
			      node->text);
	return 0;
}

static int read_burst(struct reader *reader, const struct node *node, struct limit_rule *rule)
{
	bool bytes = rule->count == WEIR_COUNT_BYTES;
	const char *why;
	int err;

	err = scalar(reader, node, "burst", bytes ? "a size like 64KB" : "a number");
	if (err)
		return err;
	if (bytes)
		err = units_parse_size(node->text, &rule->burst, &why);
	else
		err = units_parse_number(node->text, &rule->burst, &why);
	if (err)
		return reject(reader, &node->at, "burst \"%.64s\" is no %s: %s", node->text,
			      bytes ? "size" : "number", why);
	return check_burst(reader, node, rule);
}

/* Connections are opening SYNs: a service that has none cannot be limited by them. */
static int check_connections(struct reader *reader, const struct limit_rule *rule)
{
	for (size_t i = 0; i < rule->port.n; i++) {
		const struct service *service = &rule->port.service[i];

		if (service->proto != PORT_ANY && service->proto != IPPROTO_TCP)
			return reject(
			    reader, &service->at,
			    "count: connections is for TCP only; count packets or bytes here");
	}
	return 0;
}

static int finish_limit(struct reader *reader, const struct node *node, struct draft *draft)
{
	struct limit_rule *rule = draft->rule;
	bool bytes = rule->count == WEIR_COUNT_BYTES;
	int err;

	if (!draft->has_count || !draft->rate)
		return reject(reader, &node->at, "limit: %s is missing",
			      draft->rate ? "count" : "rate");
	err = read_rate(reader, draft->rate, "rate", bytes, &rule->rate, &rule->period_ns);
	if (!err && draft->burst)
		err = read_burst(reader, draft->burst, rule);
	if (!err && draft->overflow)
		err = read_rate(reader, draft->overflow, "overflow", bytes, &rule->overflow_rate,
				&rule->overflow_period_ns);
	if (!err && rule->count == WEIR_COUNT_CONNECTIONS)
		err = check_connections(reader, rule);
	if (!err && !rule->port.n)
		err = fill_services(&rule->port, &rule->at);
	if (!err && !rule->has_from && !rule->has_to) {
		rule->has_to = true;
		err = fill_items(&rule->to, ITEM_SELF, &rule->at);
	}
	return err;
}

static int one_limit(struct reader *reader, const struct node *key, const struct node *value,
		     void *into)
{
	struct policy *policy = reader->policy;
	struct draft draft = {};
	int err;

	draft.rule = mem_append(&policy->limit, &policy->nr_limits, sizeof(*draft.rule));
	if (!draft.rule)
		return -ENOMEM;
	draft.rule->at = value->at;
	draft.rule->key4 = 32;
	draft.rule->key6 = 64;
	draft.rule->entries = LIMIT_ENTRIES;
	err = read_map(reader, value, &scope_limit, &draft);
	return err ? err : finish_limit(reader, value, &draft);
}

int read_limits(struct reader *reader, const struct node *key, const struct node *value, void *into)
{
	return read_list(reader, key, value, one_limit, NULL);
}
