// SPDX-License-Identifier: GPL-2.0-only
/* What a compose file says about the project and its networks. */
#include "import/project.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define PROJECT_WANTED "lower-case letters, digits, - and _, the first a letter or a digit"

/* What the engine takes as the name of a network or container. */
bool engine_name_valid(const char *text)
{
	static const char rest[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";

	return isalnum((unsigned char)text[0]) && strspn(text, rest) == strlen(text) &&
	       strlen(text) <= 200;
}

static bool project_name_valid(const char *text)
{
	return (islower((unsigned char)text[0]) || isdigit((unsigned char)text[0])) &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-") == strlen(text) &&
	       strlen(text) <= 100;
}

/* The directory's name as compose makes a project's name of it. */
static int name_of_directory(struct import *im, const char **ret)
{
	_cleanup_free_ char *real = realpath(im->directory, NULL);
	const char *from = real ? strrchr(real, '/') : NULL;
	char *to, *name;

	if (!real)
		return diag_fail(im->diag, -errno, NULL, "%s: %s", im->directory, strerror(errno));
	name = to = import_text(im, from ? from + 1 : real, strlen(from ? from + 1 : real));
	if (!name)
		return -ENOMEM;
	for (const char *p = name; *p; p++) {
		char c = (char)tolower((unsigned char)*p);

		if (islower((unsigned char)c) || isdigit((unsigned char)c) ||
		    (to > name && strchr("_-", c)))
			*to++ = c;
	}
	*to = '\0';
	if (!*name)
		return import_fail(
		    im, NULL,
		    "the directory's name gives no name for the project: give one with --project");
	*ret = name;
	return 0;
}

static int project_name(struct import *im, const struct ynode *root, const char **ret)
{
	struct ynode *node = ynode_get(root, "name");
	const char *name = im->options->project, *from = "--project";
	const struct position *at = NULL;
	int err;

	if (!name) {
		name = variable_get(im, "COMPOSE_PROJECT_NAME");
		from = "COMPOSE_PROJECT_NAME";
	}
	if (!name || !*name) {
		if (ynode_is_null(node))
			return name_of_directory(im, ret);
		from = "name";
		at = &node->at;
		err = ytext(im, node, from, &name);
		if (err)
			return err;
	}
	if (!project_name_valid(name))
		return import_fail(im, at, "%s: wanted " PROJECT_WANTED "; found \"%.64s\"", from,
				   name);
	*ret = name;
	return 0;
}

/*
 * Networks
 */

static int driver_option(struct import *im, struct network *network, const char *key,
			 struct ynode *value)
{
	static const char icc[] = "com.docker.network.bridge.enable_icc";
	static const char *const unseen[] = {"com.docker.network.bridge.host_binding_ipv4",
					     "com.docker.network.bridge.gateway_mode_ipv4",
					     "com.docker.network.bridge.gateway_mode_ipv6"};
	bool yes = true;
	int err = 0;

	if (!strcmp(key, icc)) {
		err = ybool(im, value, icc, &yes);
		network->isolated = !yes;
	}
	for (size_t i = 0; i < ARRAY_SIZE(unseen); i++)
		if (!strcmp(key, unseen[i]))
			diag_warn(im->diag, &value->at, "network %.64s: %s is not carried over",
				  network->key, key);
	return err;
}

static int network_options(struct import *im, struct network *network, struct ynode *value)
{
	int err = 0;

	for (size_t i = 0; value->kind == Y_MAP && i < value->n && !err; i++)
		err = driver_option(im, network, value->key[i]->text, value->value[i]);
	return err;
}

/* Subnets, for the comment. */
static int network_ipam(struct import *im, struct network *network, struct ynode *value)
{
	struct ynode *config = ynode_get(value, "config");
	const char *text;

	for (size_t i = 0; config && config->kind == Y_LIST && i < config->n; i++) {
		struct ynode *subnet = ynode_get(config->value[i], "subnet");
		int err = subnet ? ytext(im, subnet, "subnet", &text) : 0;

		if (err)
			return err;
		if (subnet)
			network->detail = import_format(im, "%s, %s", network->detail, text);
		if (!network->detail)
			return -ENOMEM;
	}
	return 0;
}

/* true, or, as old files have it, {name: NAME}. */
static int network_external(struct import *im, struct network *network, struct ynode *value)
{
	struct ynode *name = ynode_get(value, "name");

	if (value->kind != Y_MAP)
		return ybool(im, value, "external", &network->external);
	network->external = true;
	return name ? ytext(im, name, "external: name", &network->engine) : 0;
}

static int network_key(struct import *im, struct network *network, const char *key,
		       struct ynode *value)
{
	static const char *const silent[] = {"attachable", "enable_ipv4", "labels"};

	if (ynode_is_null(value))
		return 0;
	if (!strcmp(key, "name"))
		return ytext(im, value, key, &network->engine);
	if (!strcmp(key, "driver"))
		return ytext(im, value, key, &network->driver);
	if (!strcmp(key, "internal"))
		return ybool(im, value, key, &network->internal);
	if (!strcmp(key, "enable_ipv6"))
		return ybool(im, value, key, &network->ipv6);
	if (!strcmp(key, "external"))
		return network_external(im, network, value);
	if (!strcmp(key, "driver_opts"))
		return network_options(im, network, value);
	if (!strcmp(key, "ipam"))
		return network_ipam(im, network, value);
	for (size_t i = 0; i < ARRAY_SIZE(silent); i++)
		if (!strcmp(key, silent[i]))
			return 0;
	if (strncmp(key, "x-", 2))
		diag_warn(im->diag, &value->at, "network %.64s: key \"%.64s\" is not known",
			  network->key, key);
	return 0;
}

/* What is no bridge of this host. */
static void judge_driver(struct import *im, struct network *network, const struct position *at)
{
	const char *driver = network->driver;

	if (network->external && !strcmp(network->engine, "host"))
		driver = "host";
	if (network->external && !strcmp(network->engine, "none"))
		driver = "null";
	if (!driver[0] || !strcmp(driver, "bridge") || !strcmp(driver, "default"))
		return;
	network->driver = driver;
	network->hidden = true;
	diag_warn(
	    im->diag, at,
	    "network %.64s: driver %.64s is not carried over: its traffic does not pass a bridge of this host",
	    network->key, driver);
}

static int network_finish(struct import *im, const struct project *project, struct network *network,
			  const struct position *at)
{
	if (!network->engine)
		network->engine = network->external
				      ? network->key
				      : import_format(im, "%s_%s", project->name, network->key);
	if (!network->engine)
		return -ENOMEM;
	if (!engine_name_valid(network->engine))
		return import_fail(im, at, "network name \"%.64s\" is none that the engine takes",
				   network->engine);
	judge_driver(im, network, at);
	if (network->external && !network->hidden)
		diag_warn(
		    im->diag, at,
		    "network %.64s is external: whether it is internal is not known here; its containers may go out as far as the engine lets them",
		    network->key);
	if (network->isolated)
		diag_warn(
		    im->diag, at,
		    "network %.64s: enable_icc is false: its containers do not reach one another",
		    network->key);
	return 0;
}

int network_add(struct import *im, struct project *project, const char *key,
		const struct position *at, size_t *ret)
{
	struct network *network = import_append(im, &project->network, &project->nr_networks,
						&project->networks_room, sizeof(*network));

	if (!network)
		return -ENOMEM;
	*network = (struct network){.key = key, .driver = "", .detail = "", .at = *at};
	*ret = project->nr_networks - 1;
	return 0;
}

static int read_network(struct import *im, struct project *project, struct ynode *key,
			struct ynode *value)
{
	struct network *network;
	size_t index;
	int err;

	if (!ynode_is_null(value) && value->kind != Y_MAP)
		return import_fail(im, &value->at, "network \"%.64s\": wanted a mapping, found %s",
				   key->text, ynode_kind(value));
	err = network_add(im, project, key->text, &key->at, &index);
	if (err)
		return err;
	network = &project->network[index];
	for (size_t i = 0; value->kind == Y_MAP && i < value->n && !err; i++)
		err = network_key(im, network, value->key[i]->text, value->value[i]);
	return err ? err : network_finish(im, project, network, &key->at);
}

int network_default(struct import *im, struct project *project, size_t *ret)
{
	static const struct position nowhere;
	int err;

	for (*ret = 0; *ret < project->nr_networks; ++*ret)
		if (!strcmp(project->network[*ret].key, "default"))
			return 0;
	err = network_add(im, project, "default", &nowhere, ret);
	return err ? err : network_finish(im, project, &project->network[*ret], NULL);
}

static int read_networks(struct import *im, struct ynode *root, struct project *project)
{
	struct ynode *networks = ynode_get(root, "networks");
	int err = 0;

	if (ynode_is_null(networks))
		return 0;
	if (networks->kind != Y_MAP)
		return import_fail(im, &networks->at, "networks: wanted a mapping, found %s",
				   ynode_kind(networks));
	for (size_t i = 0; i < networks->n && !err; i++)
		if (!networks->value[i]->reset)
			err = read_network(im, project, networks->key[i], networks->value[i]);
	return err;
}

/* Keys of the whole file: a mistyped one would lose what it holds without a word. */
static void check_keys(struct import *im, const struct ynode *root)
{
	static const char *const known[] = {"version", "name",	  "services", "networks", "volumes",
					    "secrets", "configs", "include",  "models"};

	for (size_t i = 0; i < root->n; i++) {
		bool found = !strncmp(root->key[i]->text, "x-", 2);

		for (size_t j = 0; j < ARRAY_SIZE(known); j++)
			found |= !strcmp(root->key[i]->text, known[j]);
		if (!found)
			diag_warn(im->diag, &root->key[i]->at, "key \"%.64s\" is not known",
				  root->key[i]->text);
	}
}

int project_read(struct import *im, struct ynode *root, struct project *ret)
{
	struct ynode *services = ynode_get(root, "services");
	int err = project_name(im, root, &ret->name);

	if (err)
		return err;
	if (ynode_is_null(services))
		return import_fail(
		    im, services ? &services->at : &root->at,
		    "services: missing; a file of compose's first version needs its services under this key");
	if (services->kind != Y_MAP)
		return import_fail(im, &services->at, "services: wanted a mapping, found %s",
				   ynode_kind(services));
	check_keys(im, root);
	err = read_networks(im, root, ret);
	if (!err)
		err = services_read(im, services, ret);
	if (err)
		return err;
	for (size_t i = 0; i < ret->nr_networks; i++)
		if (!ret->network[i].used)
			diag_warn(im->diag, &ret->network[i].at,
				  "network %.64s: no service is on it; left out",
				  ret->network[i].key);
	return 0;
}
