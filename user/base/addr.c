// SPDX-License-Identifier: GPL-2.0-only
#include "base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char PREFIX_WHY_HOST_BITS[] = "bits beyond the prefix length are set";

static const __u8 mapped[12] = {[10] = 0xff, [11] = 0xff};

bool addr_is_v4(const struct weir_addr *address)
{
	return !memcmp(address->byte, mapped, sizeof(mapped));
}

static int refuse(const char **why, const char *text)
{
	if (why)
		*why = text;
	return -EINVAL;
}

/* One decimal number of at most three digits; returns what follows it, or NULL. */
static const char *decimal(const char *text, unsigned int *ret, const char **why)
{
	unsigned int value = 0;
	int digits = 0;

	for (; *text >= '0' && *text <= '9'; text++, digits++) {
		if (digits && !value) {
			refuse(why, "numbers in an address have no leading zeros");
			return NULL;
		}
		value = value * 10 + (*text - '0');
		if (digits == 3) {
			refuse(why, "numbers in an IPv4 address are 0..255");
			return NULL;
		}
	}
	if (!digits) {
		refuse(why, "an IPv4 address is four numbers with dots between them");
		return NULL;
	}
	*ret = value;
	return text;
}

static int parse_v4(const char *text, struct weir_addr *ret, const char **why)
{
	struct weir_addr address;

	memcpy(address.byte, mapped, sizeof(mapped));
	for (int i = 0; i < 4; i++) {
		unsigned int value;

		text = decimal(text, &value, why);
		if (!text)
			return -EINVAL;
		if (value > 255)
			return refuse(why, "numbers in an IPv4 address are 0..255");
		address.byte[12 + i] = value;
		if (*text != (i < 3 ? '.' : '\0'))
			return refuse(why,
				      "an IPv4 address is four numbers with dots between them");
		text++;
	}
	*ret = address;
	return 0;
}

int addr_parse(const char *text, struct weir_addr *ret, const char **why)
{
	struct weir_addr address;

	if (!strchr(text, ':'))
		return parse_v4(text, ret, why);
	if (strchr(text, '%'))
		return refuse(why, "an address has no scope (%) here");
	if (inet_pton(AF_INET6, text, address.byte) != 1)
		return refuse(why, "this is no IPv6 address");
	if (addr_is_v4(&address))
		return refuse(why, "IPv4 addresses are written without ::ffff:");
	*ret = address;
	return 0;
}

static int parse_length(const char *text, unsigned int max, unsigned int *ret, const char **why)
{
	unsigned int value;

	text = decimal(text, &value, NULL);
	if (!text || *text || value > max)
		return refuse(why, max == 32 ? "a prefix length is 0..32 for IPv4"
					     : "a prefix length is 0..128 for IPv6");
	*ret = value;
	return 0;
}

int prefix_parse(const char *text, struct prefix *ret, const char **why)
{
	const char *slash = strchr(text, '/');
	char address_text[INET6_ADDRSTRLEN];
	struct prefix prefix = {};
	struct weir_addr masked;
	unsigned int length, max;
	size_t n = slash ? (size_t)(slash - text) : strlen(text);
	int err;

	if (n >= sizeof(address_text))
		return refuse(why, "this is too long for an address");
	memcpy(address_text, text, n);
	address_text[n] = '\0';
	err = addr_parse(address_text, &prefix.address, why);
	if (err)
		return err;
	prefix.v6 = !addr_is_v4(&prefix.address);
	max = prefix.v6 ? 128 : 32;
	length = max;
	if (slash) {
		err = parse_length(slash + 1, max, &length, why);
		if (err)
			return err;
	}
	prefix.length = length;
	masked = addr_mask(&prefix.address, length);
	if (memcmp(&masked, &prefix.address, sizeof(masked)))
		return refuse(why, PREFIX_WHY_HOST_BITS);
	*ret = prefix;
	return 0;
}

const char *addr_format(const struct weir_addr *address, char *buffer)
{
	if (addr_is_v4(address))
		inet_ntop(AF_INET, address->byte + 12, buffer, ADDR_TEXT_LEN);
	else
		inet_ntop(AF_INET6, address->byte, buffer, ADDR_TEXT_LEN);
	return buffer;
}

const char *prefix_format(const struct prefix *prefix, char *buffer)
{
	char address[ADDR_TEXT_LEN];

	if (prefix->length == (prefix->v6 ? 128 : 32))
		return addr_format(&prefix->address, buffer);
	addr_format(&prefix->address, address);
	snprintf(buffer, ADDR_TEXT_LEN, "%.45s/%u", address, prefix->length);
	return buffer;
}

/* Bits of the 16 bytes that a prefix of @length keeps. */
static unsigned int kept_bits(bool v6, unsigned int length)
{
	return v6 ? length : 96 + length;
}

static struct weir_addr keep(const struct weir_addr *address, unsigned int bits)
{
	struct weir_addr masked = {};

	memcpy(masked.byte, address->byte, bits / 8);
	if (bits % 8)
		masked.byte[bits / 8] = address->byte[bits / 8] & (0xff00 >> (bits % 8));
	return masked;
}

struct weir_addr addr_mask(const struct weir_addr *address, unsigned int length)
{
	return keep(address, kept_bits(!addr_is_v4(address), length));
}

bool prefix_contains(const struct prefix *prefix, const struct weir_addr *address)
{
	struct weir_addr masked;

	if (prefix->v6 == addr_is_v4(address))
		return false;
	masked = keep(address, kept_bits(prefix->v6, prefix->length));
	return !memcmp(&masked, &prefix->address, sizeof(masked));
}

typedef unsigned __int128 u128;

static u128 number(const struct weir_addr *address)
{
	u128 value = 0;

	for (int i = 0; i < 16; i++)
		value = value << 8 | address->byte[i];
	return value;
}

static struct weir_addr from_number(u128 value)
{
	struct weir_addr address;

	for (int i = 15; i >= 0; i--, value >>= 8)
		address.byte[i] = value;
	return address;
}

int addr_range_to_prefixes(const struct weir_addr *first, const struct weir_addr *last,
			   struct prefix *ret)
{
	bool v4 = addr_is_v4(first);
	u128 low = number(first), high = number(last);
	int n = 0;

	if (v4 != addr_is_v4(last) || low > high)
		return -EINVAL;
	/* At each step the largest block that begins at @low and ends no later than @high. */
	for (;;) {
		unsigned int free_bits = 0, width = v4 ? 32 : 128;
		u128 block_last = low;

		while (free_bits < width && !(low >> free_bits & 1)) {
			u128 wider = low | ((((u128)1 << free_bits) << 1) - 1);

			if (wider > high)
				break;
			block_last = wider;
			free_bits++;
		}
		ret[n++] = (struct prefix){
		    .address = from_number(low),
		    .v6 = !v4,
		    .length = width - free_bits,
		};
		if (block_last == high)
			return n;
		low = block_last + 1;
	}
}

int prefix_compare(const void *a, const void *b)
{
	const struct prefix *x = a, *y = b;
	int order = memcmp(&x->address, &y->address, sizeof(x->address));

	/* ::/0 and 0.0.0.0/0 begin at different addresses: the family needs no look. */
	return order ? order : (int)x->length - (int)y->length;
}

size_t prefix_sort(struct prefix *list, size_t n)
{
	size_t kept = 0;

	if (n)
		qsort(list, n, sizeof(*list), prefix_compare);
	for (size_t i = 0; i < n; i++) {
		if (!kept || prefix_compare(&list[kept - 1], &list[i]))
			list[kept++] = list[i];
	}
	return kept;
}
