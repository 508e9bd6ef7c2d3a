// SPDX-License-Identifier: GPL-2.0-only
#include "kernel/internal.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

static const char *const names[NR_MAPS] = {
#define MAP_NAME(name, ...) [MAP_##name] = #name,
    STATE_MAPS(MAP_NAME) USER_MAPS(MAP_NAME)
#undef MAP_NAME
#define SLOT_NAMES(name, type, entries)              \
	[MAP_SLOTS + TABLE_##name * 2] = #name "_0", \
				    [MAP_SLOTS + TABLE_##name * 2 + 1] = #name "_1",
	WEIR_SLOT_MAPS(SLOT_NAMES)
#undef SLOT_NAMES
};

const char *map_name(enum map_id id)
{
	return names[id];
}

int map_by_name(const char *name)
{
	for (int i = 0; i < NR_MAPS; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return -1;
}

/* FNV-1a over the sizes of everything that is shared: another layout is another number. */
__u64 maps_layout(void)
{
	static const size_t sizes[] = {
#define SIZE_OF(name, type, entries) sizeof(type),
	    WEIR_SLOT_MAPS(SIZE_OF)
#undef SIZE_OF
		sizeof(struct weir_control),
	    sizeof(struct weir_iface),
	    sizeof(struct weir_local_key),
	    sizeof(struct weir_local),
	    sizeof(struct weir_unit),
	    sizeof(struct weir_tat),
	    sizeof(struct weir_cookie),
	    sizeof(struct weir_flow_set),
	    sizeof(struct weir_block_key),
	    sizeof(struct weir_block),
	    sizeof(struct weir_autoblk_key),
	    sizeof(struct weir_autoblk),
	    sizeof(struct weir_count),
	    sizeof(struct weir_books),
	    sizeof(struct weir_reader),
	    sizeof(struct weir_event),
	    WEIR_RULE_FIRST,
	    WEIR_NR_REASONS,
	    WEIR_OVERFLOWS,
	};
	__u64 hash = 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		hash = (hash ^ sizes[i]) * 0x100000001b3ULL;
	return hash;
}

void maps_init(struct maps *maps)
{
	memset(maps, 0, sizeof(*maps));
	for (int i = 0; i < NR_MAPS; i++)
		maps->fd[i] = -1;
}

void maps_close(struct maps *maps)
{
	for (int i = 0; i < NR_MAPS; i++)
		mem_close_p(&maps->fd[i]);
	maps_init(maps);
}

int maps_stat(struct maps *maps, enum map_id id)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);

	if (bpf_obj_get_info_by_fd(maps->fd[id], &info, &len) < 0)
		return -errno;
	maps->entries[id] = info.max_entries;
	maps->value_size[id] = info.value_size;
	maps->mapped[id] = info.map_flags & BPF_F_MMAPABLE;
	return 0;
}

/* ---- what each must be: programs of ours hold no others, but a name can be given to any map ---- */

struct shape {
	__u32 type, key_size, value_size;
};

#define ARRAY_OF(type)                              \
	{                                           \
		BPF_MAP_TYPE_ARRAY, 4, sizeof(type) \
	}
#define PERCPU_OF(type)                                    \
	{                                                  \
		BPF_MAP_TYPE_PERCPU_ARRAY, 4, sizeof(type) \
	}
#define HASH_OF(key, type)                                   \
	{                                                    \
		BPF_MAP_TYPE_HASH, sizeof(key), sizeof(type) \
	}

static const struct shape shapes[NR_MAPS] = {
    [MAP_weir_control] = ARRAY_OF(struct weir_control),
    [MAP_weir_iface] = HASH_OF(__u32, struct weir_iface),
    [MAP_weir_local] = HASH_OF(struct weir_local_key, struct weir_local),
    [MAP_weir_unit] = HASH_OF(__u64, struct weir_unit),
    [MAP_weir_tat] = ARRAY_OF(struct weir_tat),
    [MAP_weir_over] = ARRAY_OF(__u64),
    [MAP_weir_cookie] = ARRAY_OF(struct weir_cookie),
    [MAP_weir_proved] = ARRAY_OF(__u64),
    [MAP_weir_flow] = ARRAY_OF(struct weir_flow_set),
    [MAP_weir_block] = {BPF_MAP_TYPE_LPM_TRIE, sizeof(struct weir_block_key),
			sizeof(struct weir_block)},
    [MAP_weir_autoblk] = HASH_OF(struct weir_autoblk_key, struct weir_autoblk),
    [MAP_weir_rulecnt] = PERCPU_OF(struct weir_count),
    [MAP_weir_limcnt] = PERCPU_OF(struct weir_count),
    [MAP_weir_rsncnt] = PERCPU_OF(struct weir_count),
    [MAP_weir_homecnt] = PERCPU_OF(struct weir_count),
    [MAP_weir_events] = {BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4},
    [MAP_weir_books] = PERCPU_OF(struct weir_books),
    [MAP_weir_evlim] = ARRAY_OF(__u64),
    [MAP_weir_reader] = ARRAY_OF(struct weir_reader),
    [MAP_weir_meta] = ARRAY_OF(struct weir_meta),
    [MAP_weir_carry] = ARRAY_OF(struct weir_count),
    [MAP_weir_lcarry] = ARRAY_OF(struct weir_count),
#define SLOT_SHAPES(name, type, entries)                 \
	[MAP_SLOTS + TABLE_##name * 2] = ARRAY_OF(type), \
				    [MAP_SLOTS + TABLE_##name * 2 + 1] = ARRAY_OF(type),
    WEIR_SLOT_MAPS(SLOT_SHAPES)
#undef SLOT_SHAPES
};

static int open_one(const struct kernel *kernel, struct maps *maps, enum map_id id)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);

	maps->fd[id] = pin_get(kernel, "maps", names[id]);
	if (maps->fd[id] < 0)
		return maps->fd[id];
	/* A program in place of a map says nothing that this could be. */
	if (bpf_obj_get_info_by_fd(maps->fd[id], &info, &len) < 0)
		return -errno;
	if (info.type != shapes[id].type || info.key_size != shapes[id].key_size ||
	    info.value_size != shapes[id].value_size)
		return -EBADMSG;
	return maps_stat(maps, id);
}

int maps_open(const struct kernel *kernel, struct maps *ret)
{
	struct maps maps;
	int found = 0, err = 0;

	maps_init(&maps);
	for (int i = 0; i < NR_MAPS && !err; i++) {
		err = open_one(kernel, &maps, i);
		if (err == -ENOENT)
			err = 0;
		else
			found++;
	}
	if (!err && found != 0 && found != NR_MAPS)
		err = -EBADMSG;
	if (err || !found) {
		maps_close(&maps);
		return err;
	}
	*ret = maps;
	return 1;
}

/* ---- maps of user space alone: their BTF is made here, so that bpftool shows their fields all the same ---- */

struct user_map {
	enum map_id id;
	const char *type;
	__u32 value_size;
	const char *const *field; /* all __u64, NULL-terminated */
};

static const char *const reader_fields[] = {"delivered", "lost_reader", "pid", "pad", NULL};
static const char *const meta_fields[] = {"version", "layout", "generation", "flags", "pad0",
					  "pad1",    "pad2",   "pad3",	     NULL};
static const char *const count_fields[] = {"passed_packets", "passed_bytes", "dropped_packets",
					   "dropped_bytes", NULL};

static const struct user_map user_maps[] = {
    {MAP_weir_reader, "weir_reader", sizeof(struct weir_reader), reader_fields},
    {MAP_weir_meta, "weir_meta", sizeof(struct weir_meta), meta_fields},
    {MAP_weir_carry, "weir_count", sizeof(struct weir_count), count_fields},
    {MAP_weir_lcarry, "weir_count", sizeof(struct weir_count), count_fields},
};

static int struct_btf(struct btf *btf, const struct user_map *map, int *ret_key, int *ret_value)
{
	int key = btf__add_int(btf, "__u32", 4, 0), word = btf__add_int(btf, "__u64", 8, 0);
	int value = btf__add_struct(btf, map->type, map->value_size), err = 0;

	for (int i = 0; map->field[i] && !err; i++)
		err = btf__add_field(btf, map->field[i], word, i * 64, 0);
	if (key < 0 || word < 0 || value < 0 || err)
		return -ENOMEM;
	*ret_key = key;
	*ret_value = value;
	return btf__load_into_kernel(btf);
}

static int create_user(const struct user_map *map, __u32 entries)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	struct btf *btf = btf__new_empty();
	int key = 0, value = 0, fd = -1, err;

	if (!btf)
		return -ENOMEM;
	err = struct_btf(btf, map, &key, &value);
	if (!err) {
		opts.btf_fd = btf__fd(btf);
		opts.btf_key_type_id = key;
		opts.btf_value_type_id = value;
		fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, map_name(map->id), 4, map->value_size,
				    entries, &opts);
		if (fd < 0)
			err = -errno;
	}
	btf__free(btf);
	return err ? err : fd;
}

/* Carried counts have the same indices as the counters. */
static __u32 user_entries(const struct maps *maps, enum map_id id)
{
	if (id == MAP_weir_carry)
		return maps->entries[MAP_weir_rulecnt];
	if (id == MAP_weir_lcarry)
		return maps->entries[MAP_weir_limcnt];
	return 1;
}

int maps_create_user(struct maps *maps, struct diag *diag)
{
	for (size_t i = 0; i < ARRAY_SIZE(user_maps); i++) {
		enum map_id id = user_maps[i].id;
		int fd;

		if (maps->fd[id] >= 0)
			continue;
		fd = create_user(&user_maps[i], user_entries(maps, id));
		if (fd < 0)
			return diag_fail(diag, fd, NULL, "cannot create map %s: %s", map_name(id),
					 strerror(-fd));
		maps->fd[id] = fd;
		maps_stat(maps, id);
	}
	return 0;
}

static size_t page_round(size_t bytes)
{
	size_t page = sysconf(_SC_PAGESIZE);

	return (bytes + page - 1) / page * page;
}

void *map_mmap(int fd, size_t bytes)
{
	void *p = mmap(NULL, page_round(bytes), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

void map_munmap(void *p, size_t bytes)
{
	if (p)
		munmap(p, page_round(bytes));
}

/* ---- contents ---- */

#define BATCH 8192

static int write_each(int fd, __u32 first, __u32 n, const char *values, size_t value_size)
{
	for (__u32 i = 0; i < n; i++) {
		__u32 index = first + i;

		if (bpf_map_update_elem(fd, &index, values + i * value_size, BPF_ANY) < 0)
			return -errno;
	}
	return 0;
}

int map_write(int fd, __u32 first, __u32 n, const void *values, size_t value_size)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts, .elem_flags = BPF_ANY);
	const char *from = values;
	__u32 key[BATCH];
	int err = fault("map_write");

	if (err)
		return err;
	while (n) {
		__u32 want = n < BATCH ? n : BATCH, count = want;

		for (__u32 i = 0; i < want; i++)
			key[i] = first + i;
		if (bpf_map_update_batch(fd, key, from, &count, &opts) < 0) {
			/* Not every kernel has batches for every map; and one that failed midway wrote only some. */
			err = write_each(fd, first, want, from, value_size);
			if (err)
				return err;
		}
		first += want;
		n -= want;
		from += want * value_size;
	}
	return 0;
}

static int read_each(int fd, __u32 first, __u32 n, char *values, size_t value_size)
{
	for (__u32 i = 0; i < n; i++) {
		__u32 index = first + i;

		if (bpf_map_lookup_elem(fd, &index, values + i * value_size) < 0)
			return -errno;
	}
	return 0;
}

int map_read(int fd, __u32 first, __u32 n, void *values, size_t value_size)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts);
	__u32 key[BATCH], in = first - 1, out;
	char *to = values;

	while (n) {
		__u32 want = n < BATCH ? n : BATCH, count = want;
		int got =
		    bpf_map_lookup_batch(fd, first ? &in : NULL, &out, key, to, &count, &opts);

		if ((got < 0 && errno != ENOENT) || count != want || key[0] != first) {
			int err = read_each(fd, first, want, to, value_size);

			if (err)
				return err;
		}
		first += want;
		in = first - 1;
		n -= want;
		to += want * value_size;
	}
	return 0;
}

int map_each(int fd, size_t key_size, size_t value_size,
	     int (*each)(void *arg, const void *key, const void *value), void *arg)
{
	_cleanup_free_ char *key = calloc(2, key_size);
	_cleanup_free_ char *value = calloc(1, value_size);
	char *next = key + key_size;
	bool more;
	int err = 0;

	if (!key || !value)
		return -ENOMEM;
	more = bpf_map_get_next_key(fd, NULL, next) == 0;
	while (more && !err) {
		memcpy(key, next, key_size);
		/* Step on before the callback: it may delete the entry. */
		more = bpf_map_get_next_key(fd, key, next) == 0;
		if (bpf_map_lookup_elem(fd, key, value) == 0)
			err = each(arg, key, value);
	}
	return err;
}

/* ---- a whole hash by few calls ---- */

struct gathering {
	char *entry; /* key and value, one behind the other */
	size_t n, capacity, key_size, value_size;
};

static int gather_room(struct gathering *g, size_t more)
{
	size_t size = g->key_size + g->value_size;
	size_t want = g->n + more < 2 * g->capacity ? 2 * g->capacity : g->n + more;
	char *entry;

	if (g->n + more <= g->capacity)
		return 0;
	entry = realloc(g->entry, want * size);
	if (!entry)
		return -ENOMEM;
	g->entry = entry;
	g->capacity = want;
	return 0;
}

static int gather_one(void *arg, const void *key, const void *value)
{
	struct gathering *g = arg;
	char *to;

	if (gather_room(g, 1))
		return -ENOMEM;
	to = g->entry + g->n++ * (g->key_size + g->value_size);
	memcpy(to, key, g->key_size);
	memcpy(to + g->key_size, value, g->value_size);
	return 0;
}

#define GATHER 1024

/* -ENOSPC and other refusals are for the walk entry by entry. */
static int gather_batches(int fd, struct gathering *g)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts);
	_cleanup_free_ char *key = calloc(GATHER, g->key_size);
	_cleanup_free_ char *value = calloc(GATHER, g->value_size);
	__u64 in[8], out[8];
	bool first = true, more = true;

	if (!key || !value)
		return -ENOMEM;
	while (more) {
		__u32 count = GATHER;

		if (bpf_map_lookup_batch(fd, first ? NULL : in, out, key, value, &count, &opts) <
		    0) {
			if (errno != ENOENT)
				return -errno;
			more = false;
		}
		for (__u32 i = 0; i < count; i++)
			if (gather_one(g, key + i * g->key_size, value + i * g->value_size))
				return -ENOMEM;
		memcpy(in, out, sizeof(in));
		first = false;
	}
	return 0;
}

int hash_each(int fd, size_t key_size, size_t value_size,
	      int (*each)(void *arg, const void *key, const void *value), void *arg)
{
	struct gathering g = {.key_size = key_size, .value_size = value_size};
	int err = gather_batches(fd, &g);

	if (err && err != -ENOMEM) {
		g.n = 0;
		err = map_each(fd, key_size, value_size, gather_one, &g);
	}
	for (size_t i = 0; i < g.n && !err; i++) {
		const char *entry = g.entry + i * (key_size + value_size);

		err = each(arg, entry, entry + key_size);
	}
	free(g.entry);
	return err;
}
