// SPDX-License-Identifier: GPL-2.0-only
#include "cmd/fingerprint.h"

#include <fnmatch.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/mem.h"
#include "policy/model.h"

struct hashing {
	EVP_MD_CTX *hash;
	const struct environment *env;
	size_t item;
};

/* Of an item that leads elsewhere: what it leads to, and where in the policy that stands. */
static int hash_item(void *arg, struct item *item)
{
	struct hashing *to = arg;

	to->item++;
	if (item->kind != ITEM_FILE && item->kind != ITEM_INTERFACE)
		return 0;
	EVP_DigestUpdate(to->hash, &to->item, sizeof(to->item));
	if (item->kind == ITEM_FILE)
		EVP_DigestUpdate(to->hash, item->list, item->nr_list * sizeof(*item->list));
	for (size_t i = 0; item->kind == ITEM_INTERFACE && i < to->env->nr_interfaces; i++) {
		const struct env_interface *interface = &to->env->interface[i];

		if (strcmp(item->name, interface->name) == 0)
			EVP_DigestUpdate(to->hash, interface->address,
					 interface->nr_addresses * sizeof(*interface->address));
	}
	return 0;
}

/* `on` names interfaces, by pattern: which there are decides what a rule is about. */
static void hash_names(struct hashing *to, const struct names *on)
{
	for (size_t i = 0; i < on->n; i++)
		for (size_t j = 0; j < to->env->nr_interfaces; j++) {
			const struct env_interface *interface = &to->env->interface[j];

			if (fnmatch(on->name[i], interface->name, 0) != 0)
				continue;
			EVP_DigestUpdate(to->hash, interface->name, strlen(interface->name) + 1);
			EVP_DigestUpdate(to->hash, &interface->ifindex, sizeof(interface->ifindex));
		}
}

/* Endpoints of service addresses that are this node's own are judged otherwise than those of others. */
static void hash_endpoint(struct hashing *to, const struct endpoint *endpoint)
{
	bool own = false;

	for (size_t i = 0; i < to->env->nr_interfaces; i++)
		for (size_t j = 0; j < to->env->interface[i].nr_addresses; j++)
			own |=
			    !prefix_compare(&to->env->interface[i].address[j], &endpoint->address);
	EVP_DigestUpdate(to->hash, &own, sizeof(own));
}

static bool depends_on_names(const struct policy *policy)
{
	bool any = false;

	for (size_t i = 0; i < policy->nr_rules; i++)
		any |= policy->rule[i].on.n != 0;
	for (size_t i = 0; i < policy->nr_limits; i++)
		any |= policy->limit[i].on.n != 0;
	return any;
}

/* The text in canonical form: what the kernel gives back has the fingerprint of the files that it came from. */
struct fingerprint fingerprint_of(const struct policy *policy, const struct environment *env)
{
	struct hashing to = {.hash = EVP_MD_CTX_new(), .env = env};
	_cleanup_free_ char *text = NULL;
	struct fingerprint ret = {};

	if (to.hash && !policy_print(policy, &text) &&
	    EVP_DigestInit_ex(to.hash, EVP_sha256(), NULL)) {
		EVP_DigestUpdate(to.hash, text, strlen(text));
		EVP_DigestUpdate(to.hash, &env->forwarding4, sizeof(env->forwarding4));
		EVP_DigestUpdate(to.hash, &env->forwarding6, sizeof(env->forwarding6));
		policy_each_item(policy, hash_item, &to);
		for (size_t i = 0; i < policy->nr_rules; i++)
			hash_names(&to, &policy->rule[i].on);
		for (size_t i = 0; i < policy->nr_limits; i++)
			hash_names(&to, &policy->limit[i].on);
		for (size_t i = 0; i < policy->nr_services; i++)
			for (size_t j = 0; j < policy->service[i].nr_endpoints; j++)
				hash_endpoint(&to, &policy->service[i].endpoint[j]);
		EVP_DigestFinal_ex(to.hash, ret.byte, NULL);
	}
	EVP_MD_CTX_free(to.hash);
	return ret;
}

bool fingerprint_same(const struct fingerprint *a, const struct fingerprint *b)
{
	static const struct fingerprint unknown;

	return memcmp(a, b, sizeof(*a)) == 0 && memcmp(a, &unknown, sizeof(*a)) != 0;
}

/* Does more than its text decide what it says? */
static int leads_elsewhere(void *arg, struct item *item)
{
	return item->kind == ITEM_FILE || item->kind == ITEM_INTERFACE;
}

bool fingerprint_needs_host(const struct policy *policy)
{
	return depends_on_names(policy) || policy->nr_services ||
	       policy_each_item(policy, leads_elsewhere, NULL);
}
