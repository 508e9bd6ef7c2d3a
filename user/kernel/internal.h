/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of this folder share; nobody else includes it, tests of this folder aside. */
#ifndef WEIR_KERNEL_INTERNAL_H
#define WEIR_KERNEL_INTERNAL_H

#include <limits.h>

#include "base/mem.h"
#include "kernel/kernel.h"
#include "kernel/link.h"
#include "kernel/region.h"

/* Layout of pins that this version understands; anything else is refused with -EBADMSG. */
#define WEIR_PIN_VERSION 2

/**
 * struct weir_meta - the one entry of weir_meta, mmapable, user space only.
 * @layout:     hash of the sizes of all shared types: pins of another build are refused
 * @generation: last one given, so that a number is never used twice
 * @flags:      META_*
 */
struct weir_meta {
	__u64 version;
	__u64 layout;
	__u64 generation;
	__u64 flags;
	__u64 pad[4];
};
#define META_FAKE_CLOCK 0x1
#define META_GRACE	0x2 /* the idle slot judged until a moment ago: grace() before it is written */
#define META_STALE	0x4 /* the idle slot: the policy in force, addresses of before; no way back */
#define META_ENGINE	0x8 /* an engine says who may be bound: unasked, bindings stay as they are */
#define META_CT		0x10 /* programs look flows up in conntrack */
#define META_MARKS	0x20 /* weir_local may hold marks (mark.c) */

/* Maps outside the slots that programs declare. */
#define STATE_MAPS(X)   \
	X(weir_control) \
	X(weir_iface)   \
	X(weir_local)   \
	X(weir_unit)    \
	X(weir_tat)     \
	X(weir_over)    \
	X(weir_cookie)  \
	X(weir_proved)  \
	X(weir_flow)    \
	X(weir_block)   \
	X(weir_autoblk) \
	X(weir_rulecnt) \
	X(weir_limcnt)  \
	X(weir_rsncnt)  \
	X(weir_homecnt) \
	X(weir_events)  \
	X(weir_books)   \
	X(weir_evlim)

/*
 * Maps that only user space touches: the reader's books, the pins' version, and what the per-CPU counters held when
 * they were replaced by larger ones (weir_carry: rules, weir_lcarry: limits; indices as in weir_rulecnt, weir_limcnt).
 */
#define USER_MAPS(X)           \
	X(weir_reader, reader) \
	X(weir_meta, meta)     \
	X(weir_carry, carry)   \
	X(weir_lcarry, lcarry)

enum slot_table {
#define SLOT_TABLE(name, type, entries) TABLE_##name,
	WEIR_SLOT_MAPS(SLOT_TABLE)
#undef SLOT_TABLE
	    NR_TABLES
};

enum map_id {
#define MAP_ID(name, ...) MAP_##name,
	STATE_MAPS(MAP_ID) USER_MAPS(MAP_ID)
#undef MAP_ID
	    MAP_SLOTS,
	NR_MAPS = MAP_SLOTS + NR_TABLES * WEIR_NR_SLOTS
};

static inline enum map_id slot_map(enum slot_table table, unsigned int slot)
{
	return MAP_SLOTS + table * WEIR_NR_SLOTS + slot;
}

/** struct maps - descriptors of all maps, -1 where there is none yet, and their sizes. */
struct maps {
	int fd[NR_MAPS];
	__u32 entries[NR_MAPS];
	__u32 value_size[NR_MAPS];
	bool mapped[NR_MAPS]; /* BPF_F_MMAPABLE */
};

enum prog_id {
	PROG_weir_xdp,
	PROG_weir_nic_in,
	PROG_weir_nic_out,
	PROG_weir_wl_out,
	PROG_weir_wl_in,
	PROG_weir_l3_in,
	PROG_weir_l3_out,
	PROG_weir_br_in,
	PROG_weir_br_out,
	NR_PROGS
};

struct programs {
	int fd[NR_PROGS];
};

/** struct naming_read - a policy's part about interfaces as it was read last, and what it says. */
struct naming_read {
	char *part;
	struct policy *policy;
};

/** struct folder_seen - a folder of pins: another one, or one in which pins changed, has other numbers. */
struct folder_seen {
	__u64 inode;
	__s64 s, ns; /* of its last change */
};

struct kernel {
	char dir[PATH_MAX];
	bool write;
	bool loaded;
	bool made_dir; /* by this process: an apply that fails removes it again */
	int lock_fd;
	struct maps maps;
	struct programs programs;
	struct weir_control *control; /* mapped; NULL unless loaded */
	struct weir_meta *meta;	      /* mapped; NULL unless loaded */
	struct naming_read naming[WEIR_NR_SLOTS];
	struct folder_seen folder[2]; /* maps, progs: as they were when they were opened */
	bool may_resume;	      /* .folder tells every change since */
	bool recovered;		      /* opened for a change: no reload was left unfinished */
};

/* Points where tests make the kernel refuse: a non-zero return is taken for the call's result. NULL: never. */
extern int (*kernel_fault)(const char *point);
static inline int fault(const char *point)
{
	return kernel_fault ? kernel_fault(point) : 0;
}

/* ---- lock.c ---- */
/** lock_take() - flock on /run/weir/<pin dir>.@suffix; waits up to @wait_ms. Returns a descriptor, -EBUSY or -errno. */
int lock_take(const char *dir, const char *suffix, unsigned int wait_ms);
/** lock_holder() - " (process 123, weir, holds its lock)" into @ret, or "" when that cannot be said; returns @ret. */
const char *lock_holder(const char *dir, const char *suffix, char *ret, size_t size);
/** run_path() - RUN_DIR/NAME.@suffix into @ret (PATH_MAX); NAME is @dir below /sys/fs/bpf with '+' for '/'. */
int run_path(const char *dir, const char *suffix, char *ret);
/** lock_remove() - unlink the lock file that the caller holds. */
void lock_remove(const char *dir, const char *suffix);

/* ---- open.c ---- */
/** kernel_lock() - take the lock for a change; -EBUSY: somebody else keeps it. */
int kernel_lock(struct kernel *kernel, struct diag *diag);

/* ---- reopen.c ---- */
/** pins_note() - remember what is there before it is opened, for kernel_resume(). */
void pins_note(struct kernel *kernel);

/* ---- pin.c ---- */
#define PIN_TEMPNAME "~" /* in front of a pin that is about to take the place of another */
int pin_path(const struct kernel *kernel, const char *folder, const char *name, char *ret);
/** pin_mount() - mount bpffs at /sys/fs/bpf when @dir lies there and it is missing. */
int pin_mount(const char *dir, struct diag *diag);
/** pin_ensure_dirs() - make the pin directory and its folders, 0700. */
int pin_ensure_dirs(struct kernel *kernel, struct diag *diag);
/** pin_check_dir() - 1: there; 0: not there; -EBADMSG: not ours; -EPERM. */
int pin_check_dir(const char *dir, struct diag *diag);
int pin_get(const struct kernel *kernel, const char *folder, const char *name);
/** pin_put() - pin @fd, replacing what bears the name: readers see the old or the new one, never none. */
int pin_put(const struct kernel *kernel, const char *folder, const char *name, int fd);
int pin_remove(const struct kernel *kernel, const char *folder, const char *name);
int pin_rename(const struct kernel *kernel, const char *folder, const char *from, const char *to);
/** pin_is_folder() - somebody made a directory among the pins. */
bool pin_is_folder(const struct kernel *kernel, const char *folder, const char *name);
/** pin_remove_dirs() - the folders and the pin directory itself, where empty. */
void pin_remove_dirs(const struct kernel *kernel);
/** pin_each() - call @each for every name in a folder; a non-zero return ends the walk and is returned. */
int pin_each(const struct kernel *kernel, const char *folder,
	     int (*each)(void *arg, const char *name), void *arg);

/* ---- maps.c ---- */
const char *map_name(enum map_id id);
int map_by_name(const char *name); /* enum map_id or -1 */
__u64 maps_layout(void);
void maps_init(struct maps *maps);
void maps_close(struct maps *maps);
/** maps_open() - every pinned map. Returns 1: all there; 0: none; -EBADMSG: some. */
int maps_open(const struct kernel *kernel, struct maps *ret);
/** maps_stat() - fill in entries and value_size from the descriptor. */
int maps_stat(struct maps *maps, enum map_id id);
/** maps_create_user() - make the maps that no program declares, where @maps has none. */
int maps_create_user(struct maps *maps, struct diag *diag);
void *map_mmap(int fd, size_t bytes);
void map_munmap(void *p, size_t bytes);
/** map_write() - entries [first, first + n) of an array map from @values; map_read() the reverse. */
int map_write(int fd, __u32 first, __u32 n, const void *values, size_t value_size);
int map_read(int fd, __u32 first, __u32 n, void *values, size_t value_size);
/** map_each() - walk a hash or trie; entries that vanish meanwhile are skipped. */
int map_each(int fd, size_t key_size, size_t value_size,
	     int (*each)(void *arg, const void *key, const void *value), void *arg);
/** hash_each() - the same for a hash that fits in memory: few calls, and @each sees what was there when it began. */
int hash_each(int fd, size_t key_size, size_t value_size,
	      int (*each)(void *arg, const void *key, const void *value), void *arg);

/* ---- load.c ---- */
const char *prog_name(enum prog_id id);
void programs_init(struct programs *programs);
void programs_close(struct programs *programs);
struct load_settings {
	bool fake_clock;
	bool has_ct; /* programs may call bpf_skb_ct_lookup() */
	__u32 tick_ns;
};
/**
 * load_programs() - load all programs over @maps; a map without a descriptor is created with @entries of its id.
 * On an error @maps may hold new descriptors: the caller closes them. Nothing is pinned.
 */
int load_programs(struct maps *maps, const __u32 *entries, const struct load_settings *settings,
		  struct programs *ret, struct diag *diag);
/** libbpf_quiet() - keep what libbpf says to ourselves; libbpf_said() is the last of it, on one line. */
void libbpf_quiet(void);
const char *libbpf_said(void);

/* ---- reload.c ---- */
int kernel_map_shared(struct kernel *kernel);
void kernel_unmap_shared(struct kernel *kernel);
/** load_first() - make the pin directory, load, pin. On an error nothing is left of it. */
int load_first(struct kernel *kernel, const __u32 *entries, const struct load_settings *settings,
	       struct diag *diag);
/** load_again() - new programs, and new maps where @grows says so, in place of those that run; changes no verdict. */
int load_again(struct kernel *kernel, const __u32 *entries, const bool *grows,
	       const struct load_settings *settings, struct diag *diag);
/** load_recover() - finish or forget a reload that a crash cut short. 1: did so, pins have to be opened again. */
int load_recover(struct kernel *kernel, struct diag *diag);
/** load_remove() - all pins and the directories. */
void load_remove(struct kernel *kernel);

/* ---- attach.c, attachment of one interface; change.c: how it is taken back ---- */
enum hook { HOOK_XDP, HOOK_IN, HOOK_OUT, NR_HOOKS };

/**
 * struct wanted - an interface that some policy in force names, or a bridge of such.
 * @guard:  a bridge all of whose ports are workloads (WEIR_IF_GUARD)
 * @units:  the policy names units: XDP knows no sockets' cgroups, TC judges
 * @below:  of a VLAN: what it is on is wanted, and judges in its place
 * @quick:  a TC hook that is not there yet becomes a clsact filter at first (settle.c)
 * @bridge: of a workload: the guarded bridge that it is a port of, or NULL
 */
struct wanted {
	const struct link *link;
	bool workload, guard, units, quick, below;
	enum xdp_mode xdp;
	const struct link *bridge;
};

/** struct pinned_link - one pin in links/. @ifindex 0: its interface is gone or somebody detached it. */
struct pinned_link {
	char name[64];
	int fd;
	__u32 prog_id;
	__u32 ifindex;
	enum hook hook;
};
struct pinned_links {
	struct pinned_link *pin;
	size_t n;
};
int pinned_links_read(const struct kernel *kernel, struct pinned_links *ret);
/** pinned_links_of() - those that bear the name of one interface. */
int pinned_links_of(const struct kernel *kernel, const char *ifname, struct pinned_links *ret);
void pinned_links_free(struct pinned_links *pins);
/** pin_name() - name in links/ of a hook's pin. */
void pin_name(const char *ifname, enum hook hook, char *ret, size_t size);
const struct pinned_link *pinned_link_find(const struct pinned_links *pins, __u32 ifindex,
					   enum hook hook);

/* What a change has done so far, newest last, so that it can be taken back. */
enum undo_kind {
	UNDO_LINK_MADE,
	UNDO_LINK_PROG,
	UNDO_FILTER_MADE,
	UNDO_FILTER_PROG,
	UNDO_XDP_GONE,
	UNDO_IFACE,
	UNDO_LOCAL,
};
struct undo {
	enum undo_kind kind;
	int fd; /* link, or program that was there before */
	int prog_fd;
	__u32 ifindex;
	enum hook hook;
	bool existed, made_qdisc;
	__u32 flags; /* of an XDP link */
	char name[64];
	struct weir_iface iface;
	struct weir_local_key key;
	struct weir_local local;
};
struct change {
	struct undo *undo;
	size_t n, capacity;
	unsigned int count; /* changes made, for kernel_follow_links() */
};
struct undo *change_note(struct change *change, enum undo_kind kind);
void change_undo(struct kernel *kernel, struct change *change);
void change_keep(struct change *change);

/** pins_follow_names() - pins bear the names that their interfaces have now. */
int pins_follow_names(const struct kernel *kernel, struct pinned_links *pins,
		      const struct links *links);
/** tcx_link() - attach at the head of a TC hook's chain. Returns a link; -EINVAL where the kernel has no tcx. */
int tcx_link(int prog_fd, __u32 ifindex, enum hook hook);
/** tcx_has() - is a program (0: any) attached there by a tcx link, whoever's? */
bool tcx_has(__u32 ifindex, enum hook hook, __u32 prog_id);
int prog_for(const struct wanted *wanted, enum hook hook); /* enum prog_id or -1 */
/** attach_check() - would attaching @wanted collide with another XDP program? -EBUSY names it. */
int attach_check(const struct pinned_links *pins, const struct wanted *wanted, struct diag *diag);
/** attach_interface() - every hook of @wanted in place with @programs; idempotent. */
int attach_interface(struct kernel *kernel, const struct programs *programs,
		     const struct pinned_links *pins, const struct wanted *wanted,
		     struct change *change, struct diag *diag);
/** attach_settle() - a tcx link in place of our filter. @nothing_fd: program_nothing() */
int attach_settle(struct kernel *kernel, const struct wanted *wanted, enum hook hook,
		  int nothing_fd);
/** attach_replace() - all hooks that are in place now go to @programs; @between (or NULL) is called after each. */
int attach_replace(struct kernel *kernel, const struct programs *programs,
		   const struct pinned_links *pins, const struct links *links,
		   int (*between)(void *arg), void *arg, struct change *change, struct diag *diag);
__u32 prog_id_of(int fd);
/** detach_hook() - remove a hook of ours; what is not there is no error. */
int detach_pin(struct kernel *kernel, const struct pinned_link *pin);
/** pins_sweep() - remove pins of interfaces that are gone. */
int pins_sweep(struct kernel *kernel);
/** detach_named() - remove the pins that bear the interface's name, whatever hook they are of. */
int detach_named(struct kernel *kernel, const struct link *link);
int detach_filter(const struct kernel *kernel, __u32 ifindex, enum hook hook, bool qdisc);
int filter_put(const struct kernel *kernel, __u32 ifindex, enum hook hook, int prog_fd,
	       bool replace);
/** filter_query() - program id of our clsact filter at that hook, 0: none. */
__u32 filter_query(const struct kernel *kernel, __u32 ifindex, enum hook hook);
#define IFACE_CLSACT 0x80000000u /* weir_iface.flags, user space only: the qdisc is of our making */

/* ---- counters.c ---- */
struct counters_plan {
	__u32 *rule; /* counter of each allow and deny rule */
	__u32 *limit;
	bool *rule_fresh, *limit_fresh; /* to be zeroed */
	size_t nr_rules, nr_limits;
	__u32 rule_entries, limit_entries; /* that the maps must have */
};
/** counters_assign() - pure: give each of @n ids a counter; ids that @old holds keep theirs. See counters.c. */
int counters_assign(const __u64 *id, size_t n, const __u64 *old_id, const __u32 *old_index,
		    size_t nr_old, size_t nr_running, __u32 first, __u32 *ret, bool *ret_fresh,
		    __u32 *ret_entries);
int counters_plan(struct kernel *kernel, const struct tables *tables, unsigned int running,
		  struct counters_plan *ret, struct diag *diag);
void counters_plan_free(struct counters_plan *plan);
int counters_zero(struct kernel *kernel, const struct counters_plan *plan, struct diag *diag);
/** counters_carry() - add what @old counted to the carry map of @new. */
int counters_carry(const struct maps *old, const struct maps *new);
int counters_sum(int fd, __u32 index, void *ret, size_t nr_u64);

/* ---- protect.c ---- */
/** struct protects_plan - states in weir_cookie that begin anew. */
struct protects_plan {
	bool fresh[WEIR_NR_COOKIES];
};
/**
 * protects_plan() - give each of @prot (@n entries, those in use first) its state: the one that the slot which judges, or
 * else the other one, has for what it protects; or one that nobody uses.
 */
int protects_plan(struct kernel *kernel, unsigned int running, struct weir_protect *prot, size_t n,
		  struct protects_plan *ret);
/** protects_begin() - clear what begins anew, and tell programs what this host's sockets announce. */
int protects_begin(struct kernel *kernel, const struct protects_plan *plan, struct diag *diag);
/** protects_used() - how many of @n entries of weir_prot are in use. */
size_t protects_used(const struct weir_protect *prot, size_t n);
/** slot_protects() - weir_prot of @slot; @ret has WEIR_MAX_PROTECTS entries. */
int slot_protects(const struct kernel *kernel, unsigned int slot, struct weir_protect *ret,
		  size_t *ret_n);
/** window_scale() - what a socket of this host announces: tcp_select_initial_window() for the largest buffers. */
unsigned int window_scale(void);
/** cookie_options() - weir_control.cookie_wscale: that, and what this host's sockets do not do. */
unsigned int cookie_options(void);
unsigned int window_scale_of(__u64 tcp_rmem_max, __u64 rmem_max);

/* ---- sysctl.c ---- */
#define SYSCTLS_FLAGS (WEIR_CFG_ANTISPOOF | WEIR_CFG_PROTECT) /* policies that need settings */
/**
 * sysctls_hold() - every setting that a policy with @flags (of its config) needs is as it needs it, and what it was
 * before is noted. -EOPNOTSUPP: one cannot be, @diag names it, and all are as they were.
 */
int sysctls_hold(const char *dir, __u32 flags, struct diag *diag);
/** sysctls_release() - settings that weir changed and that @flags do not need are as they were; what fails is a warning. */
void sysctls_release(const char *dir, __u32 flags, struct diag *diag);
/** sysctls_settle() - sysctls_release() by what judges and what may come back. */
void sysctls_settle(struct kernel *kernel, struct diag *diag);
/** sysctls_keep() - as settle, and what the policy in force needs is set again where somebody changed it. */
int sysctls_keep(struct kernel *kernel, struct diag *diag);
/** sysctls_list() - those that weir changed; @ret has KERNEL_MAX_SYSCTLS entries. */
int sysctls_list(const char *dir, struct sysctl_status *ret, size_t *ret_n);

/* ---- slot.c ---- */
int slot_config(const struct kernel *kernel, unsigned int slot, struct weir_config *ret);
int slot_limits(const struct kernel *kernel, unsigned int slot, struct weir_limit **ret,
		size_t *ret_n);
/** slot_table() - the first @n entries of a table; *@ret is malloc'ed. */
int slot_table(const struct kernel *kernel, unsigned int slot, enum slot_table table, size_t n,
	       void **ret);
/** slot_sizes() - sizes that the maps of @slot shall have; @grows[id]: the one there does not fit. */
void slot_sizes(const struct kernel *kernel, const struct tables *tables, unsigned int slot,
		__u32 *entries, bool *grows);
/** slot_room() - the same for the slot that judges: it may grow to hold @tables one day, and nothing of it goes. */
void slot_room(const struct kernel *kernel, const struct tables *tables, unsigned int slot,
	       __u32 *entries, bool *grows);
/** slot_copy() - contents of a slot's maps that were @renewed, which are no smaller. */
int slot_copy(const struct maps *from, const struct maps *to, unsigned int slot,
	      const bool *renewed);
/** slot_fill() - write @tables into @slot, its config last, read all back and compare. */
int slot_fill(struct kernel *kernel, const struct tables *tables, unsigned int slot,
	      struct diag *diag);
int slot_invalidate(struct kernel *kernel, unsigned int slot);
/** slot_fits() - have the maps of @slot room for @tables? */
bool slot_fits(const struct kernel *kernel, const struct tables *tables, unsigned int slot);
/** slot_amend() - slot_fill(), writing only what differs; *@ret_bytes: how much that was. */
int slot_amend(struct kernel *kernel, const struct tables *tables, unsigned int slot,
	       size_t *ret_bytes, struct diag *diag);

/* ---- carry.c ---- */
struct carry;
/**
 * carry_begin() - before a rollback: limits that both slots have, in regions of their own, owe no less in the slot that
 * comes back than in @from_slot, which judges. carry_pass() after the flip, and again when nobody judges by @from_slot
 * any more, adds what was charged there meanwhile.
 */
int carry_begin(struct kernel *kernel, unsigned int from_slot, struct carry **ret);
int carry_pass(struct carry *carry);
void carry_free(struct carry *carry);

/* ---- swap.c ---- */
/* Clocks as programs read them: those of a kernel loaded with a fake clock read weir_control.fake_ns. */
__u64 boot_ns(const struct kernel *kernel);
__u64 mono_ns(const struct kernel *kernel);
/** grace() - wait until no program that began before still runs. */
int grace(void);
/** word_settle() - the word as it is now: a trial whose deadline has passed is swapped back first. */
__u64 word_settle(struct kernel *kernel);
/** word_peek() - the same without writing: what the next packet will make of it. */
__u64 word_peek(const struct kernel *kernel);
/** word_make() - @deadline_ms: of CLOCK_BOOTTIME; 0: no trial */
__u64 word_make(unsigned int slot, __u32 generation, __u64 deadline_ms);
/**
 * word_fallback() - what the first packet past the deadline makes of @word: the other slot, as a generation of its
 * own; @held: that slot holds a policy, else generation 0, and everything passes.
 */
__u64 word_fallback(__u64 word, bool held);
__u32 generation_next(__u32 generation);
bool word_expired(__u64 word, __u64 now_ms);
static inline unsigned int word_slot(__u64 word)
{
	return word & WEIR_WORD_SLOT;
}
static inline __u32 word_generation(__u64 word)
{
	return word >> WEIR_WORD_GEN_SHIFT & WEIR_WORD_GEN_MASK;
}
static inline __u64 word_deadline(__u64 word)
{
	return word >> WEIR_WORD_DEADLINE_SHIFT;
}
/** may_come_back() - the other slot holds a policy that a trial's end or kernel_rollback() would put in force. */
bool may_come_back(struct kernel *kernel, __u64 word);
/** word_swap() - compare-and-swap; -EAGAIN: it was not @expected. */
int word_swap(struct kernel *kernel, __u64 expected, __u64 desired);

/* ---- local.c ---- */
struct local_set {
	struct local_entry {
		struct weir_local_key key;
		struct weir_local value;
	} * entry;
	size_t n, capacity;
};
struct bringing;
void local_free(struct local_set *set);
int local_read(const struct kernel *kernel, struct local_set *ret);
/** local_find() - in a sorted set; NULL: not there. */
const struct local_entry *local_find(const struct local_set *set, const struct weir_local_key *key);
/** local_lookup() - one entry of weir_local as it is now; false: there is none. */
bool local_lookup(const struct kernel *kernel, const struct weir_local_key *key,
		  struct weir_local *ret);
int local_add(struct local_set *set, const struct weir_local_key *key,
	      const struct weir_local *value);
/** local_key() - link-local addresses are scoped to @scope, all others to 0. */
struct weir_local_key local_key(const struct link_address *address, __u32 scope);
bool local_loopback(const struct link_address *address);
/** local_settle() - sorted, one entry a key; a real address wins over a broadcast address. */
void local_settle(struct local_set *set);
/** local_self() - this node's own addresses. */
int local_self(struct local_set *set);
/** local_without() - but for bindings of the interfaces that @leave_out says. */
int local_without(const struct local_set *set, bool (*leave_out)(void *arg, __u32 ifindex),
		  void *arg, struct local_set *ret);
/**
 * local_sync() - make weir_local hold @want: additions first, then single deletes.
 * @only: of what is there now, only bindings of this interface go; 0: all that @want has not
 */
int local_sync(struct kernel *kernel, const struct local_set *now, const struct local_set *want,
	       __u32 only, struct change *change, struct diag *diag);
/** local_put() - what @want has; nothing that is there goes. */
int local_put(struct kernel *kernel, const struct local_set *want, struct change *change,
	      struct diag *diag);
bool local_bound(const struct local_set *set, __u32 ifindex);

/* ---- bind.c ---- */
/** local_build() - bindings of the wanted workloads, addresses of this node, marks; @now: what weir_local holds. */
int local_build(const struct kernel *kernel, const struct bringing *b, const struct local_set *now,
		struct local_set *ret);
/** bind_one() - what is behind one workload, without a look at the others. */
int bind_one(struct kernel *kernel, const struct wanted *wanted, const struct environment *env,
	     struct change *change, bool *ret_bound, struct diag *diag);
int unbind(struct kernel *kernel, __u32 ifindex, const struct environment *env,
	   struct change *change, struct diag *diag);

static inline bool environment_has_engine(const struct environment *env)
{
	return env && (env->engine_unknown || env->nr_engine_subnets);
}

/* ---- mark.c ---- */
/**
 * marks_clear() - remove marks of addresses (WEIR_LOCAL_GONE) that no tables in reach name any more; @env: what those of
 * the policy in force were compiled with.
 */
int marks_clear(struct kernel *kernel, const struct environment *env, struct diag *diag);

/* ---- iface.c ---- */
struct naming;
/** iface_read() - false, and zeroes, where there is no entry. */
bool iface_read(const struct kernel *kernel, __u32 ifindex, struct weir_iface *ret);
/** iface_put() - an entry for @link. @bridge: the guarded bridge that it is a port of, or NULL */
int iface_put(struct kernel *kernel, const struct link *link, const struct link *bridge,
	      __u32 flags, const struct naming *naming, size_t n, struct change *change);
int iface_put_wanted(struct kernel *kernel, const struct wanted *wanted, bool closed,
		     const struct naming *naming, size_t n, struct change *change);
/** iface_own_qdisc() - remember that the clsact qdisc there is of our making, where the change says so. */
int iface_own_qdisc(struct kernel *kernel, __u32 ifindex, struct change *change);
/** ifaces_put() - entries for all interfaces; workloads that @local has no binding for are closed. */
int ifaces_put(struct kernel *kernel, const struct bringing *b, const struct local_set *local);

/* ---- state.c ---- */
/** overflows_in_use() - overflow entries that somebody owes to. */
int overflows_in_use(struct kernel *kernel, size_t *ret, struct diag *diag);

/* ---- zone.c ---- */
struct wants;
/** struct zones_found - interfaces that weir_iface does not have yet, and their zones, in the shape of struct naming. */
struct zones_found {
	struct environment env;
	__u16 *zone;
};
/** zones_find() - zones in @slot of the interfaces that are new; cheap where no rule says `on:`. */
int zones_find(struct kernel *kernel, unsigned int slot, const struct links *links,
	       const struct wants *wants, struct zones_found *ret);
/** zone_find_workload() - of a workload that is new; the other interfaces are looked at only where a rule's `on:` names it. */
int zone_find_workload(struct kernel *kernel, unsigned int slot, const struct link *link,
		       struct zones_found *ret);
void zones_found_clear(struct zones_found *found);

/* ---- wants.c ---- */
/** struct naming - what one policy names: patterns, and the zones of its slot. */
struct naming {
	const struct policy *policy;
	bool units; /* WEIR_CFG_UNITS */
	bool
	    protect; /* WEIR_CFG_PROTECT: XDP answers; a veth's own cannot, but for its peer's sake */
	int slot;    /* whose zones these are */
	const struct environment *env;
	const __u16 *zone; /* by index in @env; NULL: keep what weir_iface says */
};
struct wants {
	struct wanted *wanted;
	size_t n, capacity;
};
/** wants_match() - what @link is to the first of @naming that names it. */
bool wants_match(const struct naming *naming, size_t n, const struct link *link,
		 struct wanted *ret);
/** naming_antispoof() - enum weir_antispoof of @link, as a NIC. */
__u8 naming_antispoof(const struct naming *naming, const struct link *link);
/** wants_build() - what @naming names, and guards. */
int wants_build(const struct links *links, const struct naming *naming, size_t n,
		struct wants *ret);
/** wants_below() - of a VLAN device: the wanted NIC that it is on, where its packets are judged; NULL: none. */
const struct link *wants_below(const struct links *links, const struct wants *wants,
			       const struct link *link);
/** wants_watched() - what weir_iface says is watched now, role and XDP as they are. */
int wants_watched(const struct kernel *kernel, const struct links *links, struct wants *ret);
/** wants_add() - those of @more that @wants does not have. */
int wants_add(struct wants *wants, const struct wants *more);
/**
 * wants_hurry() - new hooks of workloads and their bridges come as quickly as can be (settle.c): somebody waits. All but
 * the first @patience of them: a host with hundreds would wait long for its first policy.
 */
void wants_hurry(struct wants *wants, size_t patience);
void wants_free(struct wants *wants);
const struct wanted *wants_find(const struct wants *wants, __u32 ifindex);
/** wanted_alike() - the same role, and so the same programs. */
bool wanted_alike(const struct wanted *a, const struct wanted *b);
/** wants_missing() - -ENODEV: a NIC that @policy names without a pattern is not there. */
int wants_missing(const struct links *links, const struct policy *policy, struct diag *diag);
/**
 * named_missing() - call @each for NICs that the policy in @slot names without a pattern and that are not there.
 * @links: all there are; NULL: the kernel is asked for each
 */
int named_missing(struct kernel *kernel, unsigned int slot, const struct links *links,
		  int (*each)(void *arg, const char *name), void *arg);

/* ---- naming.c ---- */
struct namings {
	struct naming naming[WEIR_NR_SLOTS];
	size_t n;
};
/** naming_policy() - the policy in @slot as far as interfaces go, and nothing else of it; @kernel's until the next call. */
int naming_policy(struct kernel *kernel, unsigned int slot, const struct weir_config *config,
		  const struct policy **ret, struct diag *diag);
void naming_forget(struct kernel *kernel, unsigned int slot);
/** namings_read() - what the policy in force names, with @both that in the other slot as well; without zones. */
int namings_read(struct kernel *kernel, bool both, struct namings *ret, struct diag *diag);

/* ---- feature.c ---- */
/** program_nothing() - a TC program that leaves every packet to the next one. Returns a descriptor or -errno. */
int program_nothing(void);
/** features_missing() - -EOPNOTSUPP: @tables need what this kernel has not, @diag names it. */
int features_missing(const struct tables *tables, struct diag *diag);
/** feature_ct() - is bpf_skb_ct_lookup() there? A module that has it is loaded, where the kernel can. */
bool feature_ct(void);
/** feature_cookies() - may XDP programs make SYN cookies? */
bool feature_cookies(void);
/** feature_units() - do sockets have a cgroup, and may TC programs ask for it? */
bool feature_units(void);

/* ---- conntrack.c ---- */
/** conntrack_load() - make the kernel load its conntrack module, if it is one. */
void conntrack_load(void);

/* ---- settle.c ---- */
/** settle_filters() - begin no more once @budget_ns are over; what fails stays as it is. */
void settle_filters(struct kernel *kernel, const struct wants *wants, __u64 budget_ns);

/* ---- guard.c ---- */
/** bridge_watched() - a bridge all of whose ports are wanted, whatever they are. */
bool bridge_watched(const struct links *links, const struct wants *wants,
		    const struct link *bridge);
/** guard_possible() - a bridge that may have a guard, if all its ports are workloads. */
bool guard_possible(const struct naming *naming, size_t n, const struct link *bridge);
/** guards_add() - guards for all bridges of workloads. */
int guards_add(const struct links *links, const struct naming *naming, size_t n,
	       struct wants *wants);
/** guard_drop() - its hooks go at once; its entry is an unwatched bridge's. */
int guard_drop(struct kernel *kernel, const struct link *link, const struct weir_iface *iface,
	       struct change *change);
/** guards_check() - guards that are wanted but may no longer be are none; ports know their bridge. */
void guards_check(const struct links *links, struct wants *wants);

/* ---- follow.c ---- */

/**
 * struct bringing - arguments of follow_bring() and follow_drop().
 * @since_ns:   when the links were read
 * @env:        who may be bound; NULL: everybody
 * @keep_going: an interface that fails does not keep the others from their hooks; the first error is returned
 * @hooks_first: a workload that nobody knew is bound when its hooks are in place, not before
 */
struct bringing {
	const struct programs *programs;
	const struct links *links;
	const struct wants *wants;
	const struct naming *naming;
	size_t nr_naming;
	const struct environment *env;
	struct change *change;
	__u64 since_ns;
	bool keep_going, hooks_first;
	unsigned int *ret_closed;
	__u64 *ret_window_ns;
	struct diag *diag;
};
/** follow_bring() - addresses, weir_iface, then hooks for all that is wanted; what it did is in the change. */
int follow_bring(struct kernel *kernel, const struct bringing *b);
/** follow_drop() - hooks and entries of what is not wanted. */
int follow_drop(struct kernel *kernel, const struct bringing *b);
/** follow_begin() - how both ways of following begin: results 0, -ENOENT without a policy, is one on trial? */
int follow_begin(struct kernel *kernel, unsigned int *ret_changes, __u64 *ret_window_ns,
		 bool *ret_trial, struct diag *diag);
/** follow_slots() - both of these for the policy in force, with @both for those of both slots. */
int follow_slots(struct kernel *kernel, bool both, const struct environment *env,
		 unsigned int *ret_changes, __u64 *ret_window_ns, struct diag *diag);

#endif
