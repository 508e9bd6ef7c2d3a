// SPDX-License-Identifier: GPL-2.0-only
/* What a compose file says about its services. */
#include "import/project.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/mem.h"

/** struct reading - one service while it is read; names of others are looked up when all are known. */
struct reading {
	struct import *im;
	struct project *project;
	struct service *service;
	struct ynode *node;
};

/* What has no bearing on who reaches whom. */
static const char *const silent[] = {
    "annotations",
    "attach",
    "blkio_config",
    "build",
    "cap_add",
    "cap_drop",
    "cgroup",
    "cgroup_parent",
    "command",
    "configs",
    "container_name",
    "cpu_count",
    "cpu_percent",
    "cpu_period",
    "cpu_quota",
    "cpu_rt_period",
    "cpu_rt_runtime",
    "cpu_shares",
    "cpus",
    "cpuset",
    "credential_spec",
    "depends_on",
    "deploy",
    "develop",
    "device_cgroup_rules",
    "devices",
    "dns",
    "dns_opt",
    "dns_search",
    "domainname",
    "entrypoint",
    "env_file",
    "environment",
    "expose",
    "extends",
    "external_links",
    "extra_hosts",
    "gpus",
    "group_add",
    "healthcheck",
    "hostname",
    "image",
    "init",
    "ipc",
    "isolation",
    "label_file",
    "labels",
    "links",
    "logging",
    "mac_address",
    "mem_limit",
    "mem_reservation",
    "mem_swappiness",
    "memswap_limit",
    "models",
    "network_mode",
    "networks",
    "oom_kill_disable",
    "oom_score_adj",
    "pid",
    "pids_limit",
    "platform",
    "ports",
    "post_start",
    "pre_stop",
    "privileged",
    "profiles",
    "provider",
    "pull_policy",
    "read_only",
    "restart",
    "runtime",
    "scale",
    "secrets",
    "security_opt",
    "shm_size",
    "stdin_open",
    "stop_grace_period",
    "stop_signal",
    "storage_opt",
    "sysctls",
    "tmpfs",
    "tty",
    "ulimits",
    "use_api_socket",
    "user",
    "userns_mode",
    "uts",
    "volume_driver",
    "volumes",
    "volumes_from",
    "working_dir",
};

static void check_keys(const struct reading *reading)
{
	const struct ynode *node = reading->node;

	for (size_t i = 0; i < node->n; i++) {
		const char *key = node->key[i]->text;
		bool known = !strncmp(key, "x-", 2);

		for (size_t j = 0; j < ARRAY_SIZE(silent) && !known; j++)
			known = !strcmp(key, silent[j]);
		if (!known)
			diag_warn(reading->im->diag, &node->key[i]->at,
				  "service %.64s: key \"%.64s\" is not known",
				  reading->service->key, key);
	}
}

static struct ynode *get(const struct reading *reading, const char *key)
{
	struct ynode *node = ynode_get(reading->node, key);

	return ynode_is_null(node) || node->reset ? NULL : node;
}

/* Call @each for what is a list's entries or a mapping's keys. */
static int each_name(const struct reading *reading, const char *what, struct ynode *node,
		     int (*each)(const struct reading *reading, const char *what,
				 struct ynode *name, struct ynode *value))
{
	int err = 0;

	if (node->kind == Y_SCALAR)
		return import_fail(reading->im, &node->at, "%s: wanted a list, found %s", what,
				   ynode_kind(node));
	for (size_t i = 0; i < node->n && !err; i++)
		err = each(reading, what, node->kind == Y_MAP ? node->key[i] : node->value[i],
			   node->kind == Y_MAP ? node->value[i] : NULL);
	return err;
}

/*
 * Networks
 */

static int attach(const struct reading *reading, size_t network)
{
	struct service *service = reading->service;
	size_t *slot;

	for (size_t i = 0; i < service->nr_networks; i++)
		if (service->network[i] == network)
			return 0;
	slot = import_append(reading->im, &service->network, &service->nr_networks,
			     &service->networks_room, sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	*slot = network;
	reading->project->network[network].used = true;
	return 0;
}

static int note(const struct reading *reading, const char *text)
{
	struct service *service = reading->service;

	service->detail = text ? import_format(reading->im, "%s, %s", service->detail, text) : NULL;
	return service->detail ? 0 : -ENOMEM;
}

/* A fixed address, for the comment. */
static int attach_address(const struct reading *reading, struct ynode *value, const char *key)
{
	struct ynode *address = ynode_get(value, key);
	const char *text;
	int err;

	if (ynode_is_null(address))
		return 0;
	err = ytext(reading->im, address, key, &text);
	return err ? err : note(reading, text);
}

static int on_network(const struct reading *reading, const char *what, struct ynode *name,
		      struct ynode *value)
{
	struct project *project = reading->project;
	const char *text;
	size_t i;
	int err = ytext(reading->im, name, what, &text);

	if (err)
		return err;
	for (i = 0; i < project->nr_networks; i++)
		if (!strcmp(project->network[i].key, text))
			break;
	if (i == project->nr_networks) {
		if (strcmp(text, "default"))
			return import_fail(
			    reading->im, &name->at,
			    "service \"%.64s\" is on network \"%.64s\", which `networks:` does not have",
			    reading->service->key, text);
		err = network_default(reading->im, project, &i);
	}
	if (!err)
		err = attach(reading, i);
	if (!err && value)
		err = attach_address(reading, value, "ipv4_address");
	if (!err && value)
		err = attach_address(reading, value, "ipv6_address");
	return err;
}

static int find_service(const struct reading *reading, const char *key, size_t *ret)
{
	const struct project *project = reading->project;

	for (*ret = 0; *ret < project->nr_services; ++*ret)
		if (!strcmp(project->service[*ret].key, key))
			return 0;
	return -ENOENT;
}

/* A network of the engine that no `networks:` names: the default bridge, or one by name. */
static int mode_engine(const struct reading *reading, const char *name, const struct position *at)
{
	struct project *project = reading->project;
	struct network *network;
	size_t i;
	int err;

	if (!engine_name_valid(name))
		return import_fail(reading->im, at, "network_mode: \"%.64s\" is none", name);
	for (i = 0; i < project->nr_networks; i++)
		if (!project->network[i].at.line && !strcmp(project->network[i].engine, name))
			return attach(reading, i);
	err = network_add(reading->im, project, name, &(struct position){.file = at->file}, &i);
	if (err)
		return err;
	network = &project->network[i];
	network->engine = name;
	network->external = true;
	network->detail = ", of the engine";
	diag_warn(
	    reading->im->diag, at,
	    "service %.64s: network_mode %.64s: it reaches, and is reached by, whatever else is on that network of the engine",
	    reading->service->key, name);
	return attach(reading, i);
}

static int read_mode(const struct reading *reading, struct ynode *node)
{
	struct service *service = reading->service;
	const char *text;
	int err = ytext(reading->im, node, "network_mode", &text);

	if (err)
		return err;
	service->mode_at = node->at;
	if (!strcmp(text, "host")) {
		service->mode = MODE_HOST;
	} else if (!strcmp(text, "none")) {
		service->mode = MODE_NONE;
	} else if (!strncmp(text, "service:", 8)) {
		service->mode = MODE_SERVICE;
		if (find_service(reading, text + 8, &service->shares))
			return import_fail(reading->im, &node->at,
					   "network_mode: there is no service \"%.64s\"", text + 8);
	} else if (!strncmp(text, "container:", 10)) {
		service->mode = MODE_CONTAINER;
		service->container = text + 10;
		if (!engine_name_valid(service->container))
			return import_fail(reading->im, &node->at,
					   "network_mode: \"%.64s\" is no container's name",
					   service->container);
	} else {
		return mode_engine(reading, text, &node->at);
	}
	return 0;
}

static int read_networks(const struct reading *reading)
{
	struct ynode *mode = get(reading, "network_mode"), *networks = get(reading, "networks");
	size_t index;
	int err;

	if (mode && networks)
		return import_fail(reading->im, &mode->at,
				   "service \"%.64s\" has both networks and network_mode",
				   reading->service->key);
	if (mode)
		return read_mode(reading, mode);
	if (networks) {
		err = each_name(reading, "networks", networks, on_network);
		if (err || reading->service->nr_networks)
			return err;
	}
	err = network_default(reading->im, reading->project, &index);
	return err ? err : attach(reading, index);
}

/*
 * Ports, and who needs whom
 */

static int read_ports(const struct reading *reading, const char *key, struct ports *ports,
		      int (*read)(struct import *im, const char *service, struct ynode *node,
				  struct ports *ports))
{
	struct ynode *list = get(reading, key);
	int err = 0;

	if (!list)
		return 0;
	if (list->kind != Y_LIST)
		return import_fail(reading->im, &list->at, "%s: wanted a list, found %s", key,
				   ynode_kind(list));
	for (size_t i = 0; i < list->n && !err; i++)
		err = read(reading->im, reading->service->key, list->value[i], ports);
	return err;
}

static int depend(const struct reading *reading, const char *how, const struct position *at,
		  const char *on)
{
	struct service *service = reading->service;
	struct dependency *dependency;
	size_t index;

	if (find_service(reading, on, &index))
		return import_fail(
		    reading->im, at,
		    "%s: service \"%.64s\" names \"%.64s\", which is no service here", how,
		    service->key, on);
	for (size_t i = 0; i < service->nr_dependencies; i++)
		if (service->dependency[i].service == index)
			return 0;
	dependency = import_append(reading->im, &service->dependency, &service->nr_dependencies,
				   &service->dependencies_room, sizeof(*dependency));
	if (!dependency)
		return -ENOMEM;
	*dependency = (struct dependency){.at = *at, .how = how, .on = on, .service = index};
	return 0;
}

static int on_depends(const struct reading *reading, const char *what, struct ynode *name,
		      struct ynode *value)
{
	struct ynode *required = value ? ynode_get(value, "required") : NULL;
	bool needed = true;
	const char *text;
	size_t index;
	int err = ytext(reading->im, name, what, &text);

	if (!err && required)
		err = ybool(reading->im, required, "required", &needed);
	if (err || (!needed && find_service(reading, text, &index)))
		return err;
	return depend(reading, what, &name->at, text);
}

/* SERVICE or SERVICE:ALIAS. */
static int on_link(const struct reading *reading, const char *what, struct ynode *name,
		   struct ynode *value)
{
	const char *text;
	int err = ytext(reading->im, name, what, &text);

	if (err)
		return err;
	text = import_text(reading->im, text, strcspn(text, ":"));
	return text ? depend(reading, what, &name->at, text) : -ENOMEM;
}

static int on_external_link(const struct reading *reading, const char *what, struct ynode *name,
			    struct ynode *value)
{
	const char *text;
	int err = ytext(reading->im, name, what, &text);

	if (!err)
		diag_warn(
		    reading->im->diag, &name->at,
		    "service %.64s: external_links to %.64s: not carried over but for networks that both are on",
		    reading->service->key, text);
	return err;
}

/* "name:host-gateway", or a mapping of names: what leads to this host itself. */
static int on_extra_host(const struct reading *reading, const char *what, struct ynode *name,
			 struct ynode *value)
{
	struct ynode *node = value ? value : name;
	const char *text = "";
	int err = node->kind == Y_SCALAR ? ytext(reading->im, node, what, &text) : 0;

	if (!err && strstr(text, "host-gateway"))
		diag_warn(
		    reading->im->diag, &node->at,
		    "service %.64s: host-gateway: this host's own ports stay closed to it; allow {from: %.64s, port: ...} opens one",
		    reading->service->key, reading->service->key);
	return err;
}

/*
 * Other keys that have a bearing
 */

static int on_profile(const struct reading *reading, const char *what, struct ynode *name,
		      struct ynode *value)
{
	const char *text;
	int err = ytext(reading->im, name, what, &text);

	return err ? err : note(reading, import_format(reading->im, "profile %s", text));
}

static int read_deploy(const struct reading *reading)
{
	static const char *const swarm[] = {"endpoint_mode", "placement"};
	struct ynode *deploy = get(reading, "deploy"), *replicas = get(reading, "scale");
	struct ynode *mode = ynode_get(deploy, "mode");
	const char *text;
	int err = 0;

	if (ynode_get(deploy, "replicas"))
		replicas = ynode_get(deploy, "replicas");
	if (replicas) {
		err = ytext(reading->im, replicas, "replicas", &text);
		if (!err && strcmp(text, "1"))
			err = note(reading, import_format(reading->im, "%s replicas", text));
	}
	for (size_t i = 0; i < ARRAY_SIZE(swarm); i++) {
		const struct ynode *node = ynode_get(deploy, swarm[i]);

		if (node)
			diag_warn(reading->im->diag, &node->at,
				  "service %.64s: deploy: %s is for swarm: not carried over",
				  reading->service->key, swarm[i]);
	}
	if (!err && mode)
		err = ytext(reading->im, mode, "mode", &text);
	if (!err && mode && !strstr(text, "replicated"))
		diag_warn(reading->im->diag, &mode->at,
			  "service %.64s: deploy: mode %.64s is for swarm: not carried over",
			  reading->service->key, text);
	return err;
}

static int read_rest(const struct reading *reading)
{
	static const struct {
		const char *key;
		int (*each)(const struct reading *reading, const char *what, struct ynode *name,
			    struct ynode *value);
	} lists[] = {
	    {"depends_on", on_depends},
	    {"links", on_link},
	    {"external_links", on_external_link},
	    {"extra_hosts", on_extra_host},
	    {"profiles", on_profile},
	};
	int err = 0;

	for (size_t i = 0; i < ARRAY_SIZE(lists) && !err; i++) {
		struct ynode *node = get(reading, lists[i].key);

		if (node)
			err = each_name(reading, lists[i].key, node, lists[i].each);
	}
	return err ? err : read_deploy(reading);
}

static int read_service(const struct reading *reading)
{
	int err;

	check_keys(reading);
	err = read_networks(reading);
	if (!err)
		err = read_ports(reading, "ports", &reading->service->published, ports_read);
	if (!err)
		err = read_ports(reading, "expose", &reading->service->exposed, expose_read);
	return err ? err : read_rest(reading);
}

static bool service_name_valid(const char *text)
{
	for (const char *p = text; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("._-", *p))
			return false;
	return *text && strlen(text) <= 200;
}

static int list_services(struct import *im, struct ynode *services, struct project *project)
{
	for (size_t i = 0; i < services->n; i++) {
		const struct ynode *key = services->key[i], *value = services->value[i];
		struct service *service;

		if (value->reset)
			continue;
		if (!service_name_valid(key->text))
			return import_fail(
			    im, &key->at,
			    "service \"%.64s\": names are made of letters, digits, \".\", \"_\" and \"-\"",
			    key->text);
		if (value->kind != Y_MAP)
			return import_fail(im, &value->at,
					   "service \"%.64s\": wanted a mapping, found %s",
					   key->text, ynode_kind(value));
		service = import_append(im, &project->service, &project->nr_services,
					&project->services_room, sizeof(*service));
		if (!service)
			return -ENOMEM;
		service->key = key->text;
		service->at = key->at;
		service->detail = "";
	}
	return 0;
}

const struct service *project_home(const struct project *project, const struct service *service)
{
	for (size_t i = 0; i <= project->nr_services; i++) {
		if (service->mode != MODE_SERVICE)
			return service;
		service = &project->service[service->shares];
	}
	return NULL;
}

int services_read(struct import *im, struct ynode *services, struct project *project)
{
	int err = list_services(im, services, project);

	for (size_t i = 0; i < project->nr_services && !err; i++) {
		struct service *service = &project->service[i];
		struct reading reading = {.im = im, .project = project, .service = service};

		reading.node = ynode_get(services, service->key);
		err = read_service(&reading);
	}
	for (size_t i = 0; i < project->nr_services && !err; i++)
		if (!project_home(project, &project->service[i]))
			err = import_fail(
			    im, &project->service[i].mode_at,
			    "network_mode: services share one another's networks in a circle");
	return err;
}
