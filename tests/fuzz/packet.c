// SPDX-License-Identifier: GPL-2.0-only
/*
 * Frames into bpf/parse.h: it says what a second parser says, and what does not matter changes nothing.
 *
 * An input is three bytes and a frame. The first: 1 an aggregate, 2 the IPv4 header checksum is put right, 4 the IP length
 * fields are; the others say where the frame is cut. Most changed bytes would else end at the same two checks.
 */
#include <string.h>

#include "fuzz.h"
#include "parse.h"
#include "reference.h"

#define FRAME_MAX 4096
#define AGGREGATE 1
#define CHECKSUM  2
#define LENGTHS	  4

/* What an error is about and whose lease is offered may lie where it cannot be read yet. */
#define READ_LATER (PKT_INNER | PKT_DHCP_OFFER)

struct parsed {
	enum weir_reason why;
	struct packet pkt;
};

/* @readable bytes of a frame of @len, in memory that ends there: what is read behind it is seen. */
static struct parsed parse(const __u8 *frame, size_t readable, size_t len, bool aggregate)
{
	__u8 *exact = malloc(readable ? readable : 1);
	struct view view = {.data = exact, .end = exact + readable, .len = len, .gso = aggregate};
	struct parsed ret = {};

	FUZZ_CHECK(exact);
	memcpy(exact, frame, readable);
	ret.why = parse_frame(&view, &ret.pkt);
	free(exact);
	return ret;
}

static const char *reason_of(enum weir_reason why)
{
	switch (why) {
#define NAME(value, id, name, help) \
	case WEIR_##id:             \
		return name;
		WEIR_REASONS(NAME)
#undef NAME
	}
	return "a reason that does not exist";
}

static bool is_tag_at(const __u8 *frame, size_t len, size_t at)
{
	return at + 2 <= len && ((frame[at] == 0x81 && frame[at + 1] == 0) ||
				 (frame[at] == 0x88 && frame[at + 1] == 0xa8));
}

/* Where the IP header is, whatever it says; 0: behind the frame's end. */
static size_t network_offset(const __u8 *frame, size_t len)
{
	size_t at = 12;

	while (at + 4 <= len && is_tag_at(frame, len, at))
		at += 4;
	return at + 2 <= len ? at + 2 : 0;
}

static void put_right(__u8 *frame, size_t len, int what)
{
	size_t at = network_offset(frame, len), n = len - at, header;
	__u8 *ip = frame + at;
	__u32 sum = 0;

	if (!at || n < 20)
		return;
	if (what & LENGTHS && ip[0] >> 4 == 4) {
		ip[2] = n >> 8;
		ip[3] = n;
	}
	if (what & LENGTHS && ip[0] >> 4 == 6 && n >= 40) {
		ip[4] = (n - 40) >> 8;
		ip[5] = n - 40;
	}
	header = (ip[0] & 15) * 4;
	if (!(what & CHECKSUM) || ip[0] >> 4 != 4 || header < 20 || header > n)
		return;
	ip[10] = ip[11] = 0;
	for (size_t i = 0; i < header; i += 2)
		sum += ip[i] << 8 | ip[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	ip[10] = ~sum >> 8;
	ip[11] = ~sum;
}

/* ---- invariants ---- */

static void check_address(const union address *ours, const __u8 *theirs, const char *what)
{
	if (memcmp(ours, theirs, 16) != 0)
		FUZZ_FAIL("%s differs from the second parser's", what);
}

static void check_inner(const struct packet *pkt, const struct heard *heard)
{
	check_address(&pkt->inner_src, heard->inner_source, "source of the quoted packet");
	check_address(&pkt->inner_dst, heard->inner_destination,
		      "destination of the quoted packet");
	FUZZ_CHECK(pkt->inner_proto == heard->inner_proto);
	FUZZ_CHECK(BE16(pkt->inner_sport) == heard->inner_source_port);
	FUZZ_CHECK(BE16(pkt->inner_dport) == heard->inner_destination_port);
}

static void check_reference(const __u8 *frame, size_t len, bool aggregate,
			    const struct parsed *ours)
{
	const struct packet *pkt = &ours->pkt;
	struct heard heard;
	bool passes = reference_parse(frame, len, aggregate, &heard);

	if (passes != (ours->why == WEIR_OK))
		FUZZ_FAIL("the parser says %s, the second one that it %s", reason_of(ours->why),
			  passes ? "passes" : "must not pass");
	if (!passes)
		return;
	if (pkt->flags != heard.flags)
		FUZZ_FAIL("flags %#x, of the second parser %#x", pkt->flags, heard.flags);
	FUZZ_CHECK(pkt->vlan == heard.vlan);
	FUZZ_CHECK(pkt->family == heard.family);
	if (heard.flags & PKT_CONTROL)
		return;
	check_address(&pkt->src, heard.source, "source");
	check_address(&pkt->dst, heard.destination, "destination");
	if (!heard.family)
		return;
	FUZZ_CHECK(pkt->proto == heard.proto);
	FUZZ_CHECK(BE16(pkt->sport) == heard.source_port);
	FUZZ_CHECK(BE16(pkt->dport) == heard.destination_port);
	FUZZ_CHECK(pkt->port == heard.port);
	FUZZ_CHECK(pkt->type == heard.type);
	FUZZ_CHECK(pkt->ip_len == heard.length);
	FUZZ_CHECK(pkt->headers == heard.headers);
	FUZZ_CHECK(BE32(pkt->seq) == heard.seq && BE32(pkt->ack) == heard.ack);
	if (heard.flags & PKT_FRAGMENT)
		FUZZ_CHECK((heard.family == 4 ? BE16((__u16)pkt->fragment_id)
					      : BE32(pkt->fragment_id)) == heard.fragment_id);
	if (heard.flags & PKT_DHCP_OFFER)
		FUZZ_CHECK(memcmp(pkt->mac, heard.client_mac, 6) == 0);
	if (heard.flags & PKT_INNER)
		check_inner(pkt, &heard);
	if (heard.flags & PKT_ND && (heard.type == 135 || heard.type == 136))
		check_address(&pkt->inner_src, heard.inner_source, "target");
}

/* Flow, flags, lengths: all that a verdict depends on but where in the frame it was. */
static bool same_packet(struct packet a, struct packet b)
{
	a.offset = b.offset = 0;
	if (!a.family && !b.family) /* without an IP header the frame's own length stands */
		a.ip_len = b.ip_len = 0;
	return memcmp(&a, &b, sizeof(a)) == 0;
}

/* One that is cut counts. */
static int tags_of(const __u8 *frame, size_t len)
{
	int n = 0;

	while (is_tag_at(frame, len, 12 + 4 * n))
		n++;
	return n;
}

/* One more priority tag, anywhere among the others: the same packet. */
static void check_tagged(const __u8 *frame, size_t len, bool aggregate, const struct parsed *plain,
			 unsigned int cut)
{
	__u8 tagged[FRAME_MAX + 4];
	int tags = tags_of(frame, len);
	size_t at = 12 + 4 * (tags ? cut % (tags + 1) : 0);
	struct parsed with;

	if (len < 14 || tags >= PARSE_MAX_TAGS || at + 2 > len)
		return;
	memcpy(tagged, frame, at);
	memcpy(tagged + at, cut & 1 ? "\x81\x00\xe0\x00" : "\x88\xa8\x10\x00", 4);
	memcpy(tagged + at + 4, frame + at, len - at);
	with = parse(tagged, len + 4, len + 4, aggregate);
	if (with.why != plain->why)
		FUZZ_FAIL("%s, with a priority tag more %s", reason_of(plain->why),
			  reason_of(with.why));
	if (with.why == WEIR_OK && !same_packet(with.pkt, plain->pkt))
		FUZZ_FAIL("another packet with a priority tag more");
}

static size_t datagram_end(const __u8 *frame, size_t len, const struct packet *pkt)
{
	size_t l3 = network_offset(frame, len);

	if (!l3)
		return len;
	return pkt->flags & PKT_ARP ? l3 + 28 : pkt->family ? l3 + pkt->ip_len : len;
}

/* What follows the datagram is a trailer, there or not, of any content. */
static void check_trailer(const __u8 *frame, size_t len, const struct parsed *whole)
{
	size_t end = datagram_end(frame, len, &whole->pkt);
	__u8 other[FRAME_MAX];
	struct parsed without, with;

	if (end >= len)
		return;
	without = parse(frame, end, end, false);
	FUZZ_CHECK(without.why == whole->why && same_packet(without.pkt, whole->pkt));
	memcpy(other, frame, len);
	for (size_t i = end; i < len; i++)
		other[i] = ~other[i];
	with = parse(other, len, len, false);
	FUZZ_CHECK(with.why == whole->why && same_packet(with.pkt, whole->pkt));
}

/*
 * A shorter frame passes only as the very packet that the whole one is: cutting never makes a flow of a drop, nor one of
 * another. Where only a part can be read, the rest is asked for.
 */
static void check_cut(const __u8 *frame, size_t len, bool aggregate, size_t cut,
		      const struct parsed *whole)
{
	struct parsed shorter = parse(frame, cut, cut, false), part;
	__u32 unsure = whole->pkt.flags & READ_LATER;

	if (!aggregate && shorter.why == WEIR_OK && !(shorter.pkt.flags & PKT_CONTROL)) {
		FUZZ_CHECK(whole->why == WEIR_OK);
		FUZZ_CHECK(same_packet(shorter.pkt, whole->pkt));
	}
	part = parse(frame, cut, len, aggregate);
	if (part.why == WEIR_TRUNCATED)
		return;
	if (part.why != whole->why)
		FUZZ_FAIL("%s, of which %zu bytes are readable %s", reason_of(whole->why), cut,
			  reason_of(part.why));
	if (part.why == WEIR_OK && (part.pkt.flags | unsure) != whole->pkt.flags)
		FUZZ_FAIL("flags %#x, of which %zu bytes are readable %#x", whole->pkt.flags, cut,
			  part.pkt.flags);
}

static void check_fields(const struct packet *pkt, size_t len)
{
	if (pkt->flags & PKT_PORTS) {
		FUZZ_CHECK(!(pkt->flags & PKT_LATER));
		FUZZ_CHECK(pkt->dport && pkt->port == BE16(pkt->dport));
	}
	if (pkt->flags & PKT_LATER) {
		FUZZ_CHECK(pkt->flags & PKT_FRAGMENT);
		FUZZ_CHECK(!pkt->sport && !pkt->dport && !pkt->port && !pkt->type);
		FUZZ_CHECK(!pkt->seq && !pkt->ack);
	}
	FUZZ_CHECK(!(pkt->flags & PKT_OPENS && pkt->flags & PKT_CLOSES));
	FUZZ_CHECK(pkt->ip_len <= len && pkt->headers <= pkt->ip_len);
	FUZZ_CHECK(pkt->vlan < 4096);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	__u8 frame[FRAME_MAX];
	size_t len = size - 3, cut;
	struct parsed whole;
	bool aggregate;

	if (size < 3 || len > FRAME_MAX)
		return -1;
	aggregate = data[0] & AGGREGATE;
	cut = data[1] << 8 | data[2];
	memcpy(frame, data + 3, len);
	put_right(frame, len, data[0]);
	whole = parse(frame, len, len, aggregate);
	check_reference(frame, len, aggregate, &whole);
	check_tagged(frame, len, aggregate, &whole, cut);
	if (whole.why == WEIR_OK) {
		check_fields(&whole.pkt, len);
		if (!aggregate)
			check_trailer(frame, len, &whole);
	}
	check_cut(frame, len, aggregate, cut % (len + 1), &whole);
	return 0;
}
