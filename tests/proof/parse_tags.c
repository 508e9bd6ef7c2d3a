/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tags change nothing: what is behind them is judged as without, for 1 to 8 tags, frames of any length, 16 extension headers
 * and 40 bytes of options.
 *
 * Two runs are compared, the second with everything `shift` bytes farther back. Unrolled as a whole that is out of reach, so it
 * is cut where the parser's functions meet, and each loop is a step:
 *
 *   prove_tags_link       a priority tag more, at any place among the others: parse_link() says the same, 4 bytes later
 *   prove_tags_ip4, _ip6  parse_network() up to options, chain and transport, which stand for anything that says the same twice
 *   prove_tags_options    one step of parse_options4() from any state, prove_tags_chain: one of parse_chain6()
 *   prove_tags_transport  parse_transport() at any offset
 *   prove_tags_arp
 *
 * A step that says the same from the same state, one after the other, is the loop that says the same. tests/proof/run.sh
 * makes a copy of parse.h in which the two loops end after one step and the three functions are called by stand-ins.
 */
#define TWICE
#define WINDOW 96

#include "weir/reason.h"

static unsigned int step;    /* the chain's counter */
static unsigned int step_at; /* where the next option would begin */

struct view;
struct packet;
static enum weir_reason stand_in_options4(const struct view *view, struct packet *pkt,
					  unsigned int at, unsigned int end);
static enum weir_reason stand_in_chain6(const struct view *view, struct packet *pkt,
					unsigned int end);
static enum weir_reason stand_in_transport(const struct view *view, struct packet *pkt,
					   unsigned int end, unsigned char hops);

#include "frame.h"

struct packet nondet_packet(void);

static __u32 shift;
static int second; /* which run it is */

/* All that is known of a packet but where in the frame its headers are. */
static int same(const struct packet *a, const struct packet *b)
{
	return address_same(&a->src, &b->src) && address_same(&a->dst, &b->dst) &&
	       address_same(&a->inner_src, &b->inner_src) &&
	       address_same(&a->inner_dst, &b->inner_dst) && a->sport == b->sport &&
	       a->dport == b->dport && a->inner_sport == b->inner_sport &&
	       a->inner_dport == b->inner_dport && a->flags == b->flags && a->ip_len == b->ip_len &&
	       a->port == b->port && a->headers == b->headers && a->family == b->family &&
	       a->proto == b->proto && a->inner_proto == b->inner_proto && a->type == b->type &&
	       a->mac[0] == b->mac[0] && a->mac[1] == b->mac[1] && a->mac[2] == b->mac[2] &&
	       a->mac[3] == b->mac[3] && a->mac[4] == b->mac[4] && a->mac[5] == b->mac[5] &&
	       a->extended == b->extended && a->tags == b->tags && a->ethertype == b->ethertype &&
	       a->fragment_id == b->fragment_id && a->seq == b->seq && a->ack == b->ack &&
	       a->mac_to == b->mac_to && a->mac_to_end == b->mac_to_end && a->vlan == b->vlan;
}

/* ---- stand-ins: the first run gets any answer, the second must ask the same and gets the same ---- */

enum { OPTIONS, CHAIN, TRANSPORT, NR_PARTS };

static struct asked {
	int times;
	struct packet before, after;
	__u32 at, end, hops;
	enum weir_reason why;
} asked[NR_PARTS];

static enum weir_reason stand_in(int part, struct packet *pkt, __u32 at, __u32 end, __u32 hops)
{
	struct asked *a = &asked[part];

	if (!second) {
		a->times++;
		a->before = *pkt;
		a->at = at;
		a->end = end;
		a->hops = hops;
		a->after = nondet_packet();
		a->why = nondet_u8();
		ASSUME(a->after.offset <= PARSE_MAX_OFFSET - 4 * PARSE_MAX_TAGS);
		ASSUME(a->after.offset >= pkt->offset); /* prove_chain6 */
		*pkt = a->after;
		return a->why;
	}
	PROVE(a->times == 1);
	PROVE(same(pkt, &a->before) && at == a->at + shift && end == a->end + shift &&
	      hops == a->hops);
	/* Options leave an offset that nobody reads. */
	PROVE(part == OPTIONS || pkt->offset == a->before.offset + shift);
	a->times--;
	*pkt = a->after;
	pkt->offset += shift;
	return a->why;
}

static enum weir_reason stand_in_options4(const struct view *view, struct packet *pkt, __u32 at,
					  __u32 end)
{
	return stand_in(OPTIONS, pkt, at, end, 0);
}

static enum weir_reason stand_in_chain6(const struct view *view, struct packet *pkt, __u32 end)
{
	return stand_in(CHAIN, pkt, second * shift, end, 0);
}

static enum weir_reason stand_in_transport(const struct view *view, struct packet *pkt, __u32 end,
					   __u8 hops)
{
	return stand_in(TRANSPORT, pkt, second * shift, end, hops);
}

/* ---- two runs ---- */

struct frames {
	struct view plain_view, view;
	struct packet plain, tagged;
	__u64 shown; /* bytes that can be read of what they share */
};

/* Two frames, equal but for `shift` bytes before @at; packets in any state that is the same. */
static void any_frames(struct frames *f, __u32 at)
{
	__CPROVER_havoc_object(content);
	any_frame(&f->plain_view);
	ASSUME(readable >= at);
	f->shown = readable - at;
	f->view = f->plain_view;
	f->view.len += shift;
	ASSUME(f->view.len < 0x80000000u);
	f->plain = nondet_packet();
	f->plain.offset = at;
	f->tagged = f->plain;
	f->tagged.offset = at + shift;
}

static void first_run(const struct frames *f)
{
	second = 0;
	origin = f->plain.offset;
	readable = f->shown;
}

static void second_run(const struct frames *f)
{
	second = 1;
	origin = f->tagged.offset;
	readable = f->shown;
}

static void any_shift(void)
{
	shift = nondet_u8();
	ASSUME(shift >= 4 && shift <= 4 * PARSE_MAX_TAGS && shift % 4 == 0);
}

static void prove_network(__be16 type)
{
	struct frames f;
	enum weir_reason why;

	any_shift();
	any_frames(&f, 14);
	f.plain.flags = f.tagged.flags &= PKT_L2_MULTI;
	first_run(&f);
	why = parse_network(&f.plain_view, &f.plain, type);
	second_run(&f);
	PROVE(parse_network(&f.view, &f.tagged, type) == why);
	for (int i = 0; i < NR_PARTS; i++)
		PROVE(asked[i].times == 0);
	if (why != WEIR_OK)
		return;
	PROVE(same(&f.plain, &f.tagged));
	REACHED(1, shift == 4 * PARSE_MAX_TAGS && f.view.len > 100000);
	REACHED(2, f.plain.flags & PKT_LATER);
	REACHED(3, f.plain.headers == 60 && f.view.gso);
}

void prove_tags_ip4(void)
{
	prove_network(BE16(0x0800));
}

void prove_tags_ip6(void)
{
	prove_network(BE16(0x86dd));
}

void prove_tags_arp(void)
{
	prove_network(BE16(0x0806));
}

void prove_tags_options(void)
{
	__u32 at = nondet_u8(), end = nondet_u8(), next;
	enum weir_reason why;
	struct frames f;

	any_shift();
	ASSUME(at >= 14 + 20 && at <= end && end <= 14 + 60);
	any_frames(&f, at);
	step_at = at;
	first_run(&f);
	why = parse_options4(&f.plain_view, &f.plain, at, end);
	next = step_at;
	step_at = at + shift;
	second_run(&f);
	PROVE(parse_options4(&f.view, &f.tagged, at + shift, end + shift) == why);
	PROVE(same(&f.plain, &f.tagged));
	PROVE(why != WEIR_OK || step_at == next + shift);
	REACHED(1, why == WEIR_OK && next == at + 40 && shift == 32);
	REACHED(2, why == WEIR_IP_OPTIONS);
}

void prove_tags_chain(void)
{
	__u32 at = nondet_u16(), end = nondet_u32();
	enum weir_reason why;
	struct frames f;
	__u8 type;

	any_shift();
	step = nondet_u8();
	ASSUME(step <= PARSE_MAX_EXT && at >= 14 + 40 && at <= end);
	/* Farther back than any chain of 16 that ends within 16 KiB: there, a tagged frame is dropped earlier. */
	ASSUME(at <= PARSE_MAX_OFFSET - 2048 - 4 * PARSE_MAX_TAGS - 8);
	any_frames(&f, at);
	ASSUME(end <= f.plain_view.len);
	type = f.plain.proto;
	first_run(&f);
	why = parse_chain6(&f.plain_view, &f.plain, end);
	second_run(&f);
	PROVE(parse_chain6(&f.view, &f.tagged, end + shift) == why);
	PROVE(same(&f.plain, &f.tagged));
	PROVE(f.tagged.offset == f.plain.offset + shift);
	REACHED(1, type == 60 && f.plain.offset == at + 2048 && step == 15);
	REACHED(2, f.plain.flags & PKT_LATER && why == WEIR_OK && end > 100000);
	REACHED(3, why == WEIR_BAD_FRAGMENT);
}

void prove_tags_transport(void)
{
	__u32 at = nondet_u16(), end = nondet_u32();
	__u8 hops = nondet_u8();
	enum weir_reason why;
	struct frames f;

	any_shift();
	ASSUME(at >= 14 + 20 && at <= PARSE_MAX_OFFSET - 4 * PARSE_MAX_TAGS);
	any_frames(&f, at);
	ASSUME(end <= f.plain_view.len);
#ifdef PROTOCOL
	ASSUME(f.plain.proto == PROTOCOL);
#endif
	first_run(&f);
	why = parse_transport(&f.plain_view, &f.plain, end, hops);
	second_run(&f);
	PROVE(parse_transport(&f.view, &f.tagged, end + shift, hops) == why);
	PROVE(same(&f.plain, &f.tagged));
	PROVE(f.tagged.offset == f.plain.offset + shift);
	REACHED(1, why == WEIR_OK && f.plain.flags & PKT_INNER && f.plain.inner_proto == PROTO_TCP);
	REACHED(2, why == WEIR_OK && f.plain.proto == PROTO_TCP && f.plain.flags & PKT_OPENS);
	REACHED(3, why == WEIR_OK && f.plain.flags & PKT_DHCP_OFFER && shift == 32);
}

/* ---- the Ethernet header: content[] is the first frame; the second has a tag more, before that of number @place ---- */

void prove_tags_link(void)
{
	__u32 place = nondet_u8(), extra, tags;
	__be16 type = 0, tagged_type = 0;
	__u8 with[WINDOW], without[WINDOW];
	struct frames f;
	enum weir_reason why;

	shift = 4;
	any_frames(&f, 0);
	f.plain.flags = f.tagged.flags = 0;
	f.plain.offset = f.tagged.offset = 0;
	ASSUME(f.plain.tags <= PARSE_MAX_TAGS && f.plain.vlan < 4096);
	origin = 0;
	why = parse_link(&f.plain_view, &f.plain, &type);
	if (why == WEIR_TRUNCATED && readable < 14)
		return;
	/* How many it has, a cut one included; a ninth is too many in both. */
	for (tags = 0; tags < 12; tags++)
		if (12 + 4 * tags + 2 > readable ||
		    !is_tag(content[12 + 4 * tags] | content[13 + 4 * tags] << 8))
			break;
	extra = tags + f.plain.tags;
	ASSUME(place <= tags && extra < PARSE_MAX_TAGS && 12 + 4 * place + 2 <= readable);
	for (int i = 0; i < WINDOW; i++)
		without[i] = content[i];
	for (int i = 0; i < WINDOW; i++)
		with[i] = i < 12 + 4 * place	    ? without[i]
			  : i >= 12 + 4 * place + 4 ? without[i - 4]
						    : nondet_u8();
	ASSUME((with[12 + 4 * place] == 0x81 && with[13 + 4 * place] == 0) ||
	       (with[12 + 4 * place] == 0x88 && with[13 + 4 * place] == 0xa8));
	ASSUME(!(with[14 + 4 * place] & 15) && !with[15 + 4 * place]);
	for (int i = 0; i < WINDOW; i++)
		content[i] = with[i];
	readable = f.shown + 4;
	PROVE(parse_link(&f.view, &f.tagged, &tagged_type) == why);
	if (why != WEIR_OK)
		return;
	PROVE(tagged_type == type && f.tagged.flags == f.plain.flags);
	PROVE(f.tagged.offset == f.plain.offset + 4 && f.tagged.vlan == f.plain.vlan);
	PROVE(f.tagged.mac_to == f.plain.mac_to && f.tagged.mac_to_end == f.plain.mac_to_end);
	REACHED(1, tags == 7 && place == 3 && f.plain.vlan == 4095);
	REACHED(2, tags == 0 && f.plain.flags & PKT_CONTROL);
}
