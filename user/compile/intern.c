// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "compile/builder.h"
#include "weir/hash.h"

struct sig sig_of(__u64 what, __u64 salt)
{
	__u64 a = weir_mix(what, 0x9e3779b97f4a7c15ULL * (salt + 1));

	return (struct sig){a, weir_mix(a + what, 0xd1b54a32d192ed03ULL ^ salt)};
}

struct sig sig_bytes(const void *data, size_t size)
{
	const unsigned char *byte = data;
	struct sig sig = sig_of(size, 99);
	__u64 word;

	while (size) {
		size_t n = size < sizeof(word) ? size : sizeof(word);

		word = 0;
		memcpy(&word, byte, n);
		sig.a = weir_mix(sig.a + word, 0x8ebc6af09c88c6e3ULL);
		sig.b = weir_mix(sig.b ^ word, 0x589965cc75374cc3ULL);
		byte += n;
		size -= n;
	}
	return sig;
}

static size_t place(const struct intern *intern, struct sig key)
{
	size_t i = (key.a ^ key.b >> 7) & (intern->nr_slots - 1);

	while (intern->slot[i] && !sig_equal(intern->key[intern->slot[i] - 1], key))
		i = (i + 1) & (intern->nr_slots - 1);
	return i;
}

static int grow(struct intern *intern)
{
	size_t nr = intern->nr_slots ? intern->nr_slots * 2 : 64;
	__u32 *slot = calloc(nr, sizeof(*slot));

	if (!slot)
		return -ENOMEM;
	free(intern->slot);
	intern->slot = slot;
	intern->nr_slots = nr;
	for (size_t i = 0; i < intern->n; i++)
		slot[place(intern, intern->key[i])] = i + 1;
	return 0;
}

int intern_get(struct intern *intern, struct sig key, __u32 *ret, bool *ret_fresh)
{
	size_t i;

	if (intern->n * 2 >= intern->nr_slots && grow(intern))
		return -ENOMEM;
	i = place(intern, key);
	if (ret_fresh)
		*ret_fresh = !intern->slot[i];
	if (!intern->slot[i]) {
		if (mem_grow(&intern->key, intern->n, &intern->capacity, sizeof(key)))
			return -ENOMEM;
		intern->key[intern->n++] = key;
		intern->slot[i] = intern->n;
	}
	*ret = intern->slot[i] - 1;
	return 0;
}

__u32 intern_find(const struct intern *intern, struct sig key)
{
	return intern->n ? intern->slot[place(intern, key)] - 1 : WEIR_NONE;
}

void intern_clear(struct intern *intern)
{
	free(intern->key);
	free(intern->slot);
	memset(intern, 0, sizeof(*intern));
}

int u32s_add(struct u32s *list, __u32 value)
{
	if (mem_grow(&list->at, list->n, &list->capacity, sizeof(value)))
		return -ENOMEM;
	list->at[list->n++] = value;
	return 0;
}
