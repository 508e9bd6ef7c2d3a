// SPDX-License-Identifier: GPL-2.0-only
/* One slot's tables: how large, written, read back. */
#include "kernel/internal.h"

#include <errno.h>
#include <string.h>

#define CHUNK (4 << 20) /* bytes compared at a time */

struct source {
	const void *data;
	size_t n, size;
	__u32 usual; /* entries that a slot has at least */
};

static void sources_of(const struct tables *tables, struct source *source)
{
#define SOURCE(name, type, entries) \
	source[TABLE_##name] =      \
	    (struct source){tables->name, tables->nr_##name, sizeof(type), entries};
	WEIR_SLOT_MAPS(SOURCE)
#undef SOURCE
}

int slot_config(const struct kernel *kernel, unsigned int slot, struct weir_config *ret)
{
	return map_read(kernel->maps.fd[slot_map(TABLE_weir_cfg, slot)], 0, 1, ret, sizeof(*ret));
}

int slot_table(const struct kernel *kernel, unsigned int slot, enum slot_table table, size_t n,
	       void **ret)
{
	enum map_id id = slot_map(table, slot);
	_cleanup_free_ void *values = NULL;
	int err;

	if (n > kernel->maps.entries[id])
		return -EBADMSG;
	values = calloc(n + 1, kernel->maps.value_size[id]);
	if (!values)
		return -ENOMEM;
	err = n ? map_read(kernel->maps.fd[id], 0, n, values, kernel->maps.value_size[id]) : 0;
	if (err)
		return err;
	*ret = TAKE_PTR(values);
	return 0;
}

int slot_limits(const struct kernel *kernel, unsigned int slot, struct weir_limit **ret,
		size_t *ret_n)
{
	struct weir_config config;
	int err = slot_config(kernel, slot, &config);

	if (err)
		return err;
	*ret_n = config.generation ? config.nr_limits : 0;
	return slot_table(kernel, slot, TABLE_weir_limit, *ret_n, (void **)ret);
}

/* Room to grow by a quarter without loading programs again; tables whose size is fixed have none. */
static __u32 with_headroom(const struct source *source, enum slot_table table)
{
	size_t want = source->n ? source->n : 1;

	if (table == TABLE_weir_cfg || table == TABLE_weir_root || table == TABLE_weir_svc)
		return want > source->usual ? want : source->usual;
	want += want / 4;
	return want > source->usual ? want : source->usual;
}

void slot_sizes(const struct kernel *kernel, const struct tables *tables, unsigned int slot,
		__u32 *entries, bool *grows)
{
	struct source source[NR_TABLES];

	sources_of(tables, source);
	for (int i = 0; i < NR_TABLES; i++) {
		enum map_id id = slot_map(i, slot);
		__u32 want = with_headroom(&source[i], i), has = kernel->maps.entries[id];
		/* A table that shrank to an eighth gives its memory back. */
		bool waste = has / 8 > want && (size_t)has * source[i].size > 16 << 20;

		grows[id] = kernel->maps.fd[id] < 0 || source[i].n > has || waste;
		entries[id] = grows[id] ? want : has;
	}
}

void slot_room(const struct kernel *kernel, const struct tables *tables, unsigned int slot,
	       __u32 *entries, bool *grows)
{
	struct source source[NR_TABLES];

	sources_of(tables, source);
	for (int i = 0; i < NR_TABLES; i++) {
		enum map_id id = slot_map(i, slot);

		grows[id] = kernel->maps.fd[id] < 0 || source[i].n > kernel->maps.entries[id];
		entries[id] = grows[id] ? with_headroom(&source[i], i) : kernel->maps.entries[id];
	}
}

int slot_copy(const struct maps *from, const struct maps *to, unsigned int slot,
	      const bool *renewed)
{
	int err = 0;

	for (int i = 0; i < NR_TABLES && !err; i++) {
		enum map_id id = slot_map(i, slot);
		_cleanup_free_ void *values = NULL;

		if (!renewed[id])
			continue;
		values = calloc(from->entries[id], from->value_size[id]);
		if (!values)
			return -ENOMEM;
		err = map_read(from->fd[id], 0, from->entries[id], values, from->value_size[id]);
		if (!err)
			err = map_write(to->fd[id], 0, from->entries[id], values,
					from->value_size[id]);
	}
	return err;
}

static int compare(int fd, const struct source *source)
{
	size_t chunk = CHUNK / source->size ? CHUNK / source->size : 1;
	_cleanup_free_ char *back = malloc(chunk * source->size);

	if (!back)
		return -ENOMEM;
	for (size_t i = 0; i < source->n; i += chunk) {
		size_t n = source->n - i < chunk ? source->n - i : chunk;
		int err = map_read(fd, i, n, back, source->size);

		if (err)
			return err;
		if (memcmp(back, (const char *)source->data + i * source->size, n * source->size) ||
		    fault("compare"))
			return -EIO;
	}
	return 0;
}

/* What a longer policy left behind would only confuse who dumps the map. */
static int clear_rest(const struct maps *maps, enum map_id id, const struct source *source)
{
	size_t left = maps->entries[id] - source->n, chunk = CHUNK / source->size;
	_cleanup_free_ char *zero = NULL;
	int err = 0;

	if (!left)
		return 0;
	chunk = chunk < left ? chunk : left;
	zero = calloc(chunk ? chunk : 1, source->size);
	if (!zero)
		return -ENOMEM;
	for (size_t i = source->n; i < maps->entries[id] && !err; i += chunk) {
		left = maps->entries[id] - i;
		err = map_write(maps->fd[id], i, left < chunk ? left : chunk, zero, source->size);
	}
	return err;
}

static int fill_mapped(const struct maps *maps, enum map_id id, const struct source *source)
{
	size_t bytes = (size_t)maps->entries[id] * source->size, used = source->n * source->size;
	char *to = map_mmap(maps->fd[id], bytes);
	int err = fault("map_write");

	if (!to)
		return -errno;
	if (!err) {
		memcpy(to, source->data, used);
		memset(to + used, 0, bytes - used);
		if (memcmp(to, source->data, used) || fault("compare"))
			err = -EIO;
	}
	map_munmap(to, bytes);
	return err;
}

static int fill_table(const struct maps *maps, enum map_id id, const struct source *source)
{
	int err;

	if (maps->mapped[id])
		return fill_mapped(maps, id, source);
	err = map_write(maps->fd[id], 0, source->n, source->data, source->size);
	if (!err)
		err = clear_rest(maps, id, source);
	if (!err)
		err = compare(maps->fd[id], source);
	return err;
}

int slot_invalidate(struct kernel *kernel, unsigned int slot)
{
	struct weir_config none = {};

	return map_write(kernel->maps.fd[slot_map(TABLE_weir_cfg, slot)], 0, 1, &none,
			 sizeof(none));
}

/* ---- only what differs ---- */

bool slot_fits(const struct kernel *kernel, const struct tables *tables, unsigned int slot)
{
	struct source source[NR_TABLES];

	sources_of(tables, source);
	for (int i = 0; i < NR_TABLES; i++)
		if (source[i].n > kernel->maps.entries[slot_map(i, slot)])
			return false;
	return true;
}

#define RUN 64 /* bytes compared at a time */

static size_t amend_bytes(char *to, const char *from, size_t bytes)
{
	size_t written = 0;

	for (size_t at = 0; at < bytes; at += RUN) {
		size_t n = bytes - at < RUN ? bytes - at : RUN;

		if (memcmp(to + at, from + at, n) == 0)
			continue;
		memcpy(to + at, from + at, n);
		written += n;
	}
	return written;
}

static size_t clear_bytes(char *to, size_t bytes)
{
	static const char zero[RUN];
	size_t written = 0;

	for (size_t at = 0; at < bytes; at += RUN) {
		size_t n = bytes - at < RUN ? bytes - at : RUN;

		if (memcmp(to + at, zero, n) == 0)
			continue;
		memset(to + at, 0, n);
		written += n;
	}
	return written;
}

static int amend_mapped(const struct maps *maps, enum map_id id, const struct source *source,
			size_t *written)
{
	size_t bytes = (size_t)maps->entries[id] * source->size, used = source->n * source->size;
	int err = fault("map_write");
	char *to = err ? NULL : map_mmap(maps->fd[id], bytes);

	if (!to)
		return err ? err : -errno;
	*written += amend_bytes(to, source->data, used);
	*written += clear_bytes(to + used, bytes - used);
	if (memcmp(to, source->data, used) || fault("compare"))
		err = -EIO;
	map_munmap(to, bytes);
	return err;
}

/* Entries that differ lie together more often than not: from the first of them to the last is one write. */
static int amend_small(const struct maps *maps, enum map_id id, const struct source *source,
		       size_t *written)
{
	size_t all = maps->entries[id], size = source->size, first = all, last = 0;
	_cleanup_free_ char *now = malloc(all * size);
	_cleanup_free_ char *want = calloc(all, size);
	int err = now && want ? map_read(maps->fd[id], 0, all, now, size) : -ENOMEM;

	if (err)
		return err;
	if (source->n)
		memcpy(want, source->data, source->n * size);
	for (size_t i = 0; i < all; i++) {
		if (memcmp(now + i * size, want + i * size, size) == 0)
			continue;
		first = first == all ? i : first;
		last = i + 1;
	}
	if (first == all)
		return 0;
	*written += (last - first) * size;
	err = map_write(maps->fd[id], first, last - first, want + first * size, size);
	return err ? err : compare(maps->fd[id], source);
}

/* @written: NULL: everything, else only what differs, and how many bytes that was. */
static int write_table(const struct maps *maps, enum map_id id, const struct source *source,
		       size_t *written)
{
	if (!written)
		return fill_table(maps, id, source);
	return maps->mapped[id] ? amend_mapped(maps, id, source, written)
				: amend_small(maps, id, source, written);
}

static int write_tables(struct kernel *kernel, const struct tables *tables, unsigned int slot,
			size_t *written, struct diag *diag)
{
	struct source source[NR_TABLES];
	int err = slot_invalidate(kernel, slot);

	sources_of(tables, source);
	/* The config is table 0 and goes last: a slot without it holds no policy. */
	for (int i = NR_TABLES - 1; i >= 0 && !err; i--) {
		enum map_id id = slot_map(i, slot);

		err = write_table(&kernel->maps, id, &source[i], written);
		if (err)
			diag_fail(diag, err, NULL,
				  err == -EIO ? "%s reads back other than written: %s"
					      : "cannot fill %s: %s",
				  map_name(id), strerror(-err));
	}
	if (err)
		slot_invalidate(kernel, slot);
	return err;
}

int slot_fill(struct kernel *kernel, const struct tables *tables, unsigned int slot,
	      struct diag *diag)
{
	return write_tables(kernel, tables, slot, NULL, diag);
}

int slot_amend(struct kernel *kernel, const struct tables *tables, unsigned int slot,
	       size_t *ret_bytes, struct diag *diag)
{
	*ret_bytes = 0;
	return write_tables(kernel, tables, slot, ret_bytes, diag);
}
