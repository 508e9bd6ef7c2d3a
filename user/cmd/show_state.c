// SPDX-License-Identifier: GPL-2.0-only
/* weir show flows, weir show blocks */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cmd/ranges.h"
#include "cmd/report.h"
#include "cmd/show.h"
#include "cmd/term.h"

/* A list in the making, of flows or of blocks. */
struct walk {
	struct view *view;
	const struct prefix *wanted; /* NULL: all */
	__u64 lines, shown, more;
	__u64 now, now_boot;
	struct table table;
	json_t *list;
};

static bool wanted_address(const struct walk *walk, const struct weir_addr *address)
{
	return !walk->wanted || prefix_contains(walk->wanted, address);
}

/* Counts a row; false when there is no room for it. */
static bool take_row(struct walk *walk)
{
	if (walk->lines && walk->shown >= walk->lines) {
		walk->more++;
		return false;
	}
	walk->shown++;
	return true;
}

static const char *protocol_name(__u8 proto, char *buffer)
{
	switch (proto) {
	case IPPROTO_TCP:
		return "tcp";
	case IPPROTO_UDP:
		return "udp";
	case IPPROTO_SCTP:
		return "sctp";
	case IPPROTO_ICMP:
		return "icmp";
	case IPPROTO_ICMPV6:
		return "icmpv6";
	}
	snprintf(buffer, 16, "proto/%u", proto);
	return buffer;
}

static const char *const region_names[WEIR_FLOW_REGIONS] = {
    [WEIR_FLOW_SELF] = "self",	     [WEIR_FLOW_WORKLOAD] = "workload",
    [WEIR_FLOW_TRANSIT] = "transit", [WEIR_FLOW_ANSWER] = "answer",
    [WEIR_FLOW_MASQ] = "masquerade",
};

static bool has_ports(__u8 proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP;
}

static const char *text_end(const struct weir_addr *address, __be16 port, __u8 proto, char *buffer,
			    size_t size)
{
	char text[ADDR_TEXT_LEN];

	addr_format(address, text);
	if (!has_ports(proto))
		snprintf(buffer, size, "%s", text);
	else if (addr_is_v4(address))
		snprintf(buffer, size, "%s:%u", text, ntohs(port));
	else
		snprintf(buffer, size, "[%s]:%u", text, ntohs(port));
	return buffer;
}

static const char *flow_state(const struct weir_flow *flow)
{
	if (flow->expires & WEIR_FLOW_CLOSING)
		return "closing";
	return flow->expires & WEIR_FLOW_REPLIED ? "replied" : "opening";
}

static __u64 flow_age_ns(const struct walk *walk, const struct weir_flow *flow)
{
	__u64 since = (__u64)flow->since * 1000000000ULL;

	return walk->now > since ? walk->now - since : 0;
}

static void flow_text(struct walk *walk, enum weir_flow_region region, const struct weir_flow *flow)
{
	char proto[16], end[ADDR_TEXT_LEN + 16], span[TEXT_LEN];
	__u64 expires = flow->expires & ~WEIR_FLOW_BUSY;

	table_cell(&walk->table, "%s", region_names[region]);
	table_cell(&walk->table, "%s", protocol_name(flow->proto, proto));
	table_cell(&walk->table, "%s",
		   text_end(&flow->local, flow->lport, flow->proto, end, sizeof(end)));
	table_cell(&walk->table, "%s",
		   text_end(&flow->remote, flow->rport, flow->proto, end, sizeof(end)));
	table_cell(&walk->table, "%s", flow_state(flow));
	table_cell(&walk->table, "%s", text_span(flow_age_ns(walk, flow), span));
	table_cell(&walk->table, "%s", text_span(expires - walk->now, span));
}

static void flow_json(struct walk *walk, enum weir_flow_region region, const struct weir_flow *flow)
{
	char proto[16], text[ADDR_TEXT_LEN], name[IF_NAMESIZE];
	bool ports = has_ports(flow->proto);
	json_t *object = json_object();

	json_put_text(object, "region", region_names[region]);
	json_put_text(object, "protocol", protocol_name(flow->proto, proto));
	json_put_text(object, "local", addr_format(&flow->local, text));
	json_put(object, "local_port", ports ? json_integer(ntohs(flow->lport)) : json_null());
	json_put_text(object, "remote", addr_format(&flow->remote, text));
	json_put(object, "remote_port", ports ? json_integer(ntohs(flow->rport)) : json_null());
	json_put_text(object, "state", flow_state(flow));
	json_put_text(object, "interface",
		      region == WEIR_FLOW_WORKLOAD && if_indextoname(flow->owner, name) ? name
											: NULL);
	json_put_int(object, "age_ns", flow_age_ns(walk, flow));
	json_put_int(object, "expires_in_ns", (flow->expires & ~WEIR_FLOW_BUSY) - walk->now);
	json_array_append_new(walk->list, object);
}

static int flow_each(void *arg, enum weir_flow_region region, const struct weir_flow *flow)
{
	struct walk *walk = arg;

	if ((flow->expires & ~WEIR_FLOW_BUSY) <= walk->now || region >= WEIR_FLOW_REGIONS)
		return 0;
	if (!wanted_address(walk, &flow->local) && !wanted_address(walk, &flow->remote))
		return 0;
	if (!take_row(walk))
		return 0;
	if (walk->list)
		flow_json(walk, region, flow);
	else
		flow_text(walk, region, flow);
	return 0;
}

/* ---- blocks ---- */

/* The name of the limit that an automatic block belongs to, and its text as an address. */
static const char *block_limit(const struct walk *walk, const struct block_entry *entry,
			       char *address)
{
	const struct limit_rule *rule;
	const struct weir_rule *name;

	for (size_t i = 0; (name = view_limit(walk->view, i)); i++) {
		if (name->id != entry->limit_id)
			continue;
		rule = view_limit_rule(walk->view, i);
		text_key(entry->key, rule ? rule->key4 : 32, rule ? rule->key6 : 64, address);
		return name->name;
	}
	text_key(entry->key, 32, 64, address);
	return NULL;
}

static bool wanted_block(const struct walk *walk, const char *text)
{
	struct range block, wanted;
	struct prefix prefix;
	const char *why;

	if (!walk->wanted)
		return true;
	if (prefix_parse(text, &prefix, &why) || prefix.v6 != walk->wanted->v6)
		return false;
	block = prefix_range(&prefix);
	wanted = prefix_range(walk->wanted);
	return memcmp(&block.first, &wanted.last, sizeof(block.first)) <= 0 &&
	       memcmp(&wanted.first, &block.last, sizeof(block.first)) <= 0;
}

static void block_text(struct walk *walk, const struct block_entry *entry, const char *address,
		       const char *limit)
{
	char text[TEXT_LEN];

	table_cell(&walk->table, "%s", address);
	table_cell(&walk->table, "%s",
		   entry->expires_boot_ns ? text_span(entry->expires_boot_ns - walk->now_boot, text)
					  : "for ever");
	table_cell(&walk->table, "%s", entry->since_ns ? text_clock(entry->since_ns, text) : "-");
	if (entry->automatic)
		table_cell(&walk->table, "limit %s", limit ? limit : "(no longer in the policy)");
	else
		table_cell(&walk->table, "weir block");
}

static void block_json(struct walk *walk, const struct block_entry *entry, const char *address,
		       const char *limit)
{
	json_t *object = json_object();
	__u64 expires = entry->expires_boot_ns;

	json_put_text(object, "address", address);
	json_put_bool(object, "automatic", entry->automatic);
	json_put_text(object, "limit", limit);
	json_put(object, "since", json_time(entry->since_ns));
	json_put(object, "expires", json_time(expires ? boot_to_real_ns(expires) : 0));
	json_put(object, "expires_in_ns",
		 expires ? json_integer((json_int_t)(expires - walk->now_boot)) : json_null());
	json_array_append_new(walk->list, object);
}

static int block_each(void *arg, const struct block_entry *entry)
{
	struct walk *walk = arg;
	char address[ADDR_TEXT_LEN];
	const char *limit = NULL;

	if (entry->expires_boot_ns && entry->expires_boot_ns <= walk->now_boot)
		return 0;
	if (entry->automatic)
		limit = block_limit(walk, entry, address);
	else
		prefix_format(&entry->prefix, address);
	if (!wanted_block(walk, address) || !take_row(walk))
		return 0;
	if (walk->list)
		block_json(walk, entry, address, limit);
	else
		block_text(walk, entry, address, limit);
	return 0;
}

/* ---- both ---- */

static int walk_begin(struct walk *walk, struct view *view, const struct show_options *options,
		      struct prefix *wanted, const char *const *heads)
{
	__u64 fake_ns = view->status.control.fake_ns;
	const char *why;

	*walk = (struct walk){
	    .view = view,
	    .lines = options->lines,
	    .now = fake_ns ? fake_ns : now_ns(CLOCK_MONOTONIC),
	    .now_boot = now_ns(CLOCK_BOOTTIME),
	};
	table_begin(&walk->table, heads);
	if (options->word && prefix_parse(options->word, wanted, &why))
		return usage_error(&command_show, "\"%s\": %s", options->word, why);
	walk->wanted = options->word ? wanted : NULL;
	walk->list = view->ctx->json ? json_array() : NULL;
	return EXIT_DONE;
}

static int walk_end(struct walk *walk, int err, const struct diag *diag)
{
	char text[TEXT_LEN];

	if (err) {
		json_decref(walk->list);
		return cmd_fail(walk->view->ctx, err, diag, NULL);
	}
	if (walk->list)
		return cmd_json(walk->list, EXIT_DONE);
	table_print(&walk->table, 0);
	if (!walk->shown)
		printf("%snone%s\n", term_begin(DIM), term_end(DIM));
	if (walk->more)
		printf("... and %s more (-n 0 shows all)\n", text_count(walk->more, text));
	return EXIT_DONE;
}

int show_flows(struct view *view, const struct show_options *options)
{
	static const char *const heads[] = {"REGION", "PROTO", "LOCAL",	   "REMOTE",
					    "STATE",  ">AGE",  ">EXPIRES", NULL};
	_cleanup_diag_ struct diag diag = {};
	struct prefix wanted;
	struct walk walk;
	int status = walk_begin(&walk, view, options, &wanted, heads);

	if (status)
		return status;
	return walk_end(&walk, kernel_each_flow(view->kernel, flow_each, &walk, &diag), &diag);
}

int show_blocks(struct view *view, const struct show_options *options)
{
	static const char *const heads[] = {"ADDRESS", ">LEFT", "SINCE", "BY", NULL};
	_cleanup_diag_ struct diag diag = {};
	struct prefix wanted;
	struct walk walk;
	int status = walk_begin(&walk, view, options, &wanted, heads);

	if (status)
		return status;
	return walk_end(&walk, kernel_each_block(view->kernel, block_each, &walk, &diag), &diag);
}
