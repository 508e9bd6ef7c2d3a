// SPDX-License-Identifier: GPL-2.0-only
/* Bindings: which addresses sit behind a workload's veth, as its namespace says and its engine confirms. */
#include "kernel/internal.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <net/if.h>
#include <string.h>

const struct environment kernel_bind_as_is = {};

/*
 * @wants: all of them; NULL: one workload alone is bound, and what is bound to others is as weir_iface says
 * @self:  holds this node's addresses, and may hold others; NULL: @now does
 * @now:   what weir_local holds; NULL: not read, it is asked for what is of interest
 */
struct binder {
	const struct kernel *kernel;
	const struct wants *wants;
	const struct environment *env;
	const struct local_set *self, *now;
	struct local_set *ret;
};

static bool find_now(const struct binder *b, const struct weir_local_key *key,
		     struct weir_local *ret)
{
	const struct local_entry *entry;

	if (!b->now)
		return local_lookup(b->kernel, key, ret);
	entry = local_find(b->now, key);
	if (entry)
		*ret = entry->value;
	return entry != NULL;
}

static bool is_self(const struct binder *b, const struct weir_local_key *key)
{
	const struct local_entry *entry = b->self ? local_find(b->self, key) : NULL;
	struct weir_local now;

	if (!b->self)
		return find_now(b, key, &now) && now.kind == WEIR_SELF;
	return entry && entry->value.kind == WEIR_SELF;
}

static bool still_there(const struct binder *b, __u32 ifindex)
{
	char name[IF_NAMESIZE];
	struct weir_iface iface;
	const struct wanted *wanted;

	if (b->wants) {
		wanted = wants_find(b->wants, ifindex);
		return wanted && wanted->workload;
	}
	return iface_read(b->kernel, ifindex, &iface) && iface.flags & WEIR_IF_WORKLOAD &&
	       if_indextoname(ifindex, name);
}

/* Somebody else's, or withdrawn from this very veth and not given back by who knows: a dying namespace still answers. */
static bool held(const struct binder *b, __u32 ifindex, const struct weir_local_key *key)
{
	struct weir_local now;

	if (!find_now(b, key, &now))
		return false;
	if (now.kind == WEIR_WORKLOAD)
		return now.ifindex != ifindex && still_there(b, now.ifindex);
	return now.flags & WEIR_LOCAL_GONE && !b->env && now.ifindex == ifindex;
}

/* This node's, or another workload's: as it is bound now, or in this round. */
static bool taken(const struct binder *b, __u32 ifindex, const struct weir_local_key *key)
{
	if (is_self(b, key) || held(b, ifindex, key))
		return true;
	for (size_t i = 0; i < b->ret->n; i++)
		if (memcmp(&b->ret->entry[i].key, key, sizeof(*key)) == 0)
			return true;
	return false;
}

static int bind_key(const struct binder *b, __u32 ifindex, const struct weir_local_key *key)
{
	struct weir_local value = {.kind = WEIR_WORKLOAD, .ifindex = ifindex};

	return taken(b, ifindex, key) ? 0 : local_add(b->ret, key, &value);
}

/*
 * Who sits behind a veth may give itself any address: one that is this node's, or bound to another workload that is
 * still there, stays whose it is. A port's link-local address is known to its bridge as well.
 */
static int bind_address(const struct binder *b, const struct wanted *wanted,
			const struct link_address *address)
{
	__u32 ifindex = wanted->link->ifindex;
	struct weir_local_key key = local_key(address, ifindex), on_bridge = key;
	int err;

	if (local_loopback(address))
		return 0;
	if (b->env && !address->link_local && !environment_may_bind(b->env, &address->address))
		return 0;
	if (!address->link_local || !wanted->bridge)
		return bind_key(b, ifindex, &key);
	/* One link with the bridge and its other ports: what is theirs there is not its own at its veth either. */
	on_bridge.scope = wanted->bridge->ifindex;
	if (taken(b, ifindex, &on_bridge))
		return 0;
	err = bind_key(b, ifindex, &key);
	return err ? err : bind_key(b, ifindex, &on_bridge);
}

static bool anything_but_link_local(const struct local_set *set, size_t first)
{
	for (size_t i = first; i < set->n; i++)
		if (!set->entry[i].key.scope)
			return true;
	return false;
}

/* A namespace that does not answer for a moment does not cut its workload off. */
static int keep_bindings(const struct binder *b, __u32 ifindex)
{
	struct local_set read = {};
	const struct local_set *now = b->now ?: &read;
	int err = b->now ? 0 : local_read(b->kernel, &read);

	for (size_t i = 0; i < now->n && !err; i++) {
		const struct local_entry *entry = &now->entry[i];

		if (entry->value.kind == WEIR_WORKLOAD && entry->value.ifindex == ifindex &&
		    !is_self(b, &entry->key))
			err = local_add(b->ret, &entry->key, &entry->value);
	}
	local_free(&read);
	return err;
}

/* A port of a network of the engine's, or one behind which somebody sits of whom it has told. */
static bool engine_runs(const struct binder *b, const struct wanted *wanted,
			const struct link_addresses *behind)
{
	struct link_addresses bridge = {};
	bool found = false;

	if (!environment_has_engine(b->env))
		return false;
	for (size_t i = 0; i < behind->n && !found; i++)
		found = environment_told(b->env, &behind->address[i].address);
	if (found || !wanted->bridge || addresses_read(-1, wanted->bridge->ifindex, &bridge))
		return found;
	for (size_t i = 0; i < bridge.n && !found; i++)
		found = environment_engine_net(b->env, &bridge.address[i].address);
	addresses_free(&bridge);
	return found;
}

/*
 * What the engine runs has the addresses that the engine has told, and no other: whoever may set some there would else
 * become any machine outside.
 */
static bool is_given_by_itself(const struct binder *b, bool engine,
			       const struct link_address *address)
{
	return engine && !address->link_local && !environment_told(b->env, &address->address);
}

/* Whoever gives itself more than this many keeps the rest unbound: weir_local has room for all workloads, not for one. */
#define MOST_BINDINGS 256

static int bind_workload(const struct binder *b, const struct wanted *wanted)
{
	const struct link *link = wanted->link;
	struct link_addresses addresses = {};
	size_t first = b->ret->n;
	bool engine;
	int err;

	if (b->env == &kernel_bind_as_is)
		return keep_bindings(b, link->ifindex);
	if (link->nsid < 0 || !link->peer)
		return 0;
	err = addresses_read(link->nsid, link->peer, &addresses);
	if (err == -ENODEV || err == -EINVAL) /* interface or namespace are gone */
		return 0;
	if (err)
		return err == -ENOMEM ? err : keep_bindings(b, link->ifindex);
	engine = engine_runs(b, wanted, &addresses);
	for (size_t i = 0; i < addresses.n && b->ret->n - first < MOST_BINDINGS && !err; i++)
		if (!is_given_by_itself(b, engine, &addresses.address[i]))
			err = bind_address(b, wanted, &addresses.address[i]);
	/* Whose address the engine has not told yet is nobody, by its link-local address, too. */
	if (!err && environment_has_engine(b->env) && !anything_but_link_local(b->ret, first))
		b->ret->n = first;
	addresses_free(&addresses);
	return err;
}

static int keep_marks(const struct local_set *now, const struct local_set *self,
		      struct local_set *ret)
{
	size_t n = ret->n;
	int err = 0;

	for (size_t i = 0; i < now->n && !err; i++) {
		const struct local_entry *entry = &now->entry[i];
		bool taken = local_find(self, &entry->key) != NULL;

		if (!(entry->value.flags & WEIR_LOCAL_GONE))
			continue;
		for (size_t j = 0; j < n && !taken; j++)
			taken = memcmp(&ret->entry[j].key, &entry->key, sizeof(entry->key)) == 0;
		if (!taken)
			err = local_add(ret, &entry->key, &entry->value);
	}
	return err;
}

int local_build(const struct kernel *kernel, const struct bringing *b, const struct local_set *now,
		struct local_set *ret)
{
	struct local_set self = {}, bound = {};
	struct binder binder = {.kernel = kernel,
				.wants = b->wants,
				.env = b->env,
				.self = &self,
				.now = now,
				.ret = &bound};
	int err = local_self(&self);

	for (size_t i = 0; i < b->wants->n && !err; i++)
		if (b->wants->wanted[i].workload)
			err = bind_workload(&binder, &b->wants->wanted[i]);
	if (!err)
		err = keep_marks(now, &self, &bound);
	for (size_t i = 0; i < self.n && !err; i++)
		err = local_add(&bound, &self.entry[i].key, &self.entry[i].value);
	local_free(&self);
	if (err) {
		local_free(&bound);
		return err;
	}
	local_settle(&bound);
	*ret = bound;
	return 0;
}

/* Whom the engine has not told of, nothing is bound to: with that known, weir_local need not be searched. */
static bool has_bindings(const struct kernel *kernel, __u32 ifindex, const struct environment *env)
{
	struct weir_iface iface;

	if (!iface_read(kernel, ifindex, &iface) || !(iface.flags & WEIR_IF_WORKLOAD))
		return false;
	return !(iface.flags & WEIR_IF_CLOSED && environment_has_engine(env));
}

int bind_one(struct kernel *kernel, const struct wanted *wanted, const struct environment *env,
	     struct change *change, bool *ret_bound, struct diag *diag)
{
	bool any = has_bindings(kernel, wanted->link->ifindex, env);
	struct local_set now = {}, bound = {};
	struct binder binder = {
	    .kernel = kernel, .env = env, .now = any ? &now : NULL, .ret = &bound};
	int err = any ? local_read(kernel, &now) : 0;

	if (!err)
		err = bind_workload(&binder, wanted);
	if (err)
		diag_fail(diag, err, NULL, "cannot read the addresses behind %s: %s",
			  wanted->link->name, strerror(-err));
	else {
		local_settle(&bound);
		err = any ? local_sync(kernel, &now, &bound, wanted->link->ifindex, change, diag)
			  : local_put(kernel, &bound, change, diag);
	}
	*ret_bound = local_bound(&bound, wanted->link->ifindex);
	local_free(&now);
	local_free(&bound);
	return err;
}

int unbind(struct kernel *kernel, __u32 ifindex, const struct environment *env,
	   struct change *change, struct diag *diag)
{
	struct local_set now = {}, none = {};
	int err;

	if (!has_bindings(kernel, ifindex, env))
		return 0;
	err = local_read(kernel, &now);
	if (!err)
		err = local_sync(kernel, &now, &none, ifindex, change, diag);
	local_free(&now);
	return err;
}
