// SPDX-License-Identifier: GPL-2.0-only
/*
 * The policy of a compose file means what the file means: random projects, imported, compiled for addresses that an engine
 * could give, and asked about every source, destination and port. What is expected is computed from the project alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "compile/compile.h"
#include "import/import.h"
#include "policy/model.h"

#define MAX_NETWORKS 4
#define MAX_SERVICES 5
#define PROJECTS     400

enum bound { BOUND_NONE, BOUND_V4, BOUND_V6, BOUND_LOOPBACK, BOUND_ADDRESS, NR_BOUND };
static const char *const bound_text[NR_BOUND] = {"",
						 "0.0.0.0:", "[::]:", "127.0.0.1:", "192.0.2.1:"};

/** struct shape - a project. A service's port, where @port is not 0, is published at 1000 + its number. */
struct shape {
	unsigned int networks, services;
	bool internal[MAX_NETWORKS], apart[MAX_NETWORKS];
	bool on[MAX_SERVICES][MAX_NETWORKS];
	unsigned int port[MAX_SERVICES];
	enum bound bound[MAX_SERVICES];
	int needs[MAX_SERVICES]; /* depends_on; -1: nobody */
};

/** struct end - @service, @network: whose address; else it is this host (at @second its other address) or outside. */
struct end {
	struct weir_addr address;
	enum weir_kind kind;
	bool v6;
	unsigned int service, network;
	bool second;
};

#define MAX_ENDS (MAX_NETWORKS * MAX_SERVICES * 2 + 8)

static void make_shape(struct shape *shape, unsigned int *seed)
{
	memset(shape, 0, sizeof(*shape));
	shape->networks = 1 + (unsigned int)rand_r(seed) % MAX_NETWORKS;
	shape->services = 1 + (unsigned int)rand_r(seed) % MAX_SERVICES;
	for (unsigned int n = 0; n < shape->networks; n++) {
		shape->internal[n] = rand_r(seed) % 3 == 0;
		shape->apart[n] = rand_r(seed) % 8 == 0;
	}
	for (unsigned int s = 0; s < shape->services; s++) {
		shape->on[s][(unsigned int)rand_r(seed) % shape->networks] = true;
		for (unsigned int n = 0; n < shape->networks; n++)
			shape->on[s][n] |= rand_r(seed) % 3 == 0;
		if (rand_r(seed) % 2)
			shape->port[s] = 80 + (unsigned int)rand_r(seed) % 3;
		shape->bound[s] = (enum bound)((unsigned int)rand_r(seed) % NR_BOUND);
		shape->needs[s] = rand_r(seed) % (int)(shape->services + 1) - 1;
	}
}

static void write_compose(const struct shape *shape, FILE *out)
{
	fprintf(out, "name: t\nservices:\n");
	for (unsigned int s = 0; s < shape->services; s++) {
		fprintf(out, "  s%u:\n    networks: [", s);
		for (unsigned int n = 0; n < shape->networks; n++)
			if (shape->on[s][n])
				fprintf(out, "n%u,", n);
		fprintf(out, "]\n");
		if (shape->port[s])
			fprintf(out, "    ports: [\"%s%u:%u\"]\n", bound_text[shape->bound[s]],
				1000 + s, shape->port[s]);
		if (shape->needs[s] >= 0 && shape->needs[s] != (int)s)
			fprintf(out, "    depends_on: [s%d]\n", shape->needs[s]);
	}
	fprintf(out, "networks:\n");
	for (unsigned int n = 0; n < shape->networks; n++) {
		fprintf(out, "  n%u:\n    internal: %s\n", n,
			shape->internal[n] ? "true" : "false");
		if (shape->apart[n])
			fprintf(
			    out,
			    "    driver_opts: {com.docker.network.bridge.enable_icc: \"false\"}\n");
	}
}

static struct weir_addr address_of(const char *format, unsigned int a, unsigned int b)
{
	struct weir_addr address;
	char text[64];

	snprintf(text, sizeof(text), format, a, b);
	assert_int_equal(addr_parse(text, &address, NULL), 0);
	return address;
}

/* Everybody who may be an end: containers on each of their networks, this host with two addresses, the outside. */
static size_t list_ends(const struct shape *shape, struct end *ends)
{
	size_t n = 0;

	for (unsigned int s = 0; s < shape->services; s++)
		for (unsigned int i = 0; i < 2 * shape->networks; i++) {
			const char *format = i & 1 ? "fd00:%u::%u" : "172.20.%u.%u";

			if (shape->on[s][i / 2])
				ends[n++] =
				    (struct end){.address = address_of(format, 1 + i / 2, 10 + s),
						 .kind = WEIR_WORKLOAD,
						 .v6 = i & 1,
						 .service = s,
						 .network = i / 2};
		}
	ends[n++] = (struct end){.address = address_of("192.0.2.%u", 1, 0), .kind = WEIR_SELF};
	ends[n++] = (struct end){
	    .address = address_of("192.0.2.%u", 2, 0), .kind = WEIR_SELF, .second = true};
	ends[n++] = (struct end){.address = address_of("2001:db8::%u", 1, 0),
				 .kind = WEIR_SELF,
				 .v6 = true,
				 .second = true};
	ends[n++] = (struct end){.address = address_of("203.0.113.%u", 9, 0), .kind = WEIR_OTHER};
	ends[n++] = (struct end){
	    .address = address_of("2001:db8:113::%u", 9, 0), .kind = WEIR_OTHER, .v6 = true};
	return n;
}

/* What an engine would say: each network's and each service's addresses. */
static void fill_names(const struct shape *shape, const struct end *ends, size_t nr_ends,
		       struct environment *env)
{
	size_t n = 0;

	env->name = calloc(shape->networks + shape->services, sizeof(*env->name));
	assert_non_null(env->name);
	for (unsigned int i = 0; i < shape->networks + shape->services; i++) {
		bool network = i < shape->networks;
		struct env_name *name = &env->name[n++];

		name->kind = network ? ITEM_NETWORK : ITEM_COMPOSE;
		name->known = true;
		assert_true(asprintf(&name->name, network ? "t_n%u" : "t/s%u",
				     network ? i : i - shape->networks) > 0);
		name->address = calloc(nr_ends, sizeof(*name->address));
		for (size_t e = 0; e < nr_ends; e++)
			if (ends[e].kind == WEIR_WORKLOAD &&
			    (network ? ends[e].network == i
				     : ends[e].service == i - shape->networks))
				name->address[name->n++] = (struct prefix){
				    ends[e].address, ends[e].v6, ends[e].v6 ? 128 : 32};
	}
	env->nr_names = n;
}

/* Is the service's port published at all, and by this network? */
static bool published_by(const struct shape *shape, unsigned int service, unsigned int network)
{
	return shape->port[service] && shape->on[service][network] && !shape->internal[network];
}

static bool published(const struct shape *shape, unsigned int service)
{
	for (unsigned int n = 0; n < shape->networks; n++)
		if (published_by(shape, service, n))
			return true;
	return false;
}

static bool depends(const struct shape *shape, unsigned int a, unsigned int b)
{
	return shape->needs[a] == (int)b && a != b;
}

static bool share(const struct shape *shape, unsigned int a, unsigned int b)
{
	for (unsigned int n = 0; n < shape->networks; n++)
		if (shape->on[a][n] && shape->on[b][n] && !shape->apart[n])
			return true;
	return false;
}

/* Who opens the host's own port of @service? */
static bool own_port(const struct shape *shape, unsigned int service, const struct end *from,
		     const struct end *to, bool tight)
{
	enum bound bound = shape->bound[service];

	if (!published(shape, service) || bound == BOUND_LOOPBACK)
		return false;
	if (bound == BOUND_ADDRESS && to->second)
		return false;
	if (from->kind == WEIR_WORKLOAD)
		return !tight && published_by(shape, service, from->network);
	return (bound != BOUND_V4 || !from->v6) && (bound != BOUND_V6 || from->v6);
}

enum { NO, YES, NOBODY_SAYS };

static int to_self(const struct shape *shape, const struct end *from, const struct end *to,
		   unsigned int port, bool tight)
{
	unsigned int service = port - 1000;

	if (from->kind == WEIR_SELF)
		return NOBODY_SAYS;
	return port >= 1000 && service < shape->services &&
	       own_port(shape, service, from, to, tight);
}

static int to_container(const struct shape *shape, const struct end *from, const struct end *to,
			unsigned int port, bool tight)
{
	enum bound bound = shape->bound[to->service];

	if (from->kind == WEIR_WORKLOAD && from->service == to->service)
		return NOBODY_SAYS;
	if (from->kind == WEIR_WORKLOAD && !tight)
		return from->network == to->network && !shape->apart[to->network];
	if (from->kind == WEIR_WORKLOAD)
		return depends(shape, from->service, to->service) &&
		       share(shape, from->service, to->service) &&
		       (!shape->port[to->service] || port == shape->port[to->service]);
	if (!published_by(shape, to->service, to->network) || port != shape->port[to->service])
		return NO;
	if (from->kind == WEIR_SELF)
		return YES;
	return bound != BOUND_LOOPBACK && (bound != BOUND_V4 || !from->v6) &&
	       (bound != BOUND_V6 || from->v6);
}

static int meant(const struct shape *shape, const struct end *from, const struct end *to,
		 unsigned int port, bool tight)
{
	if (to->kind == WEIR_SELF)
		return to_self(shape, from, to, port, tight);
	if (to->kind == WEIR_WORKLOAD)
		return to_container(shape, from, to, port, tight);
	if (from->kind == WEIR_OTHER)
		return NO;
	if (from->kind == WEIR_SELF)
		return YES;
	return !shape->internal[from->network] && (!tight || port == 53);
}

/** struct world - one project, imported and compiled. */
struct world {
	struct shape shape;
	struct policy *policy;
	struct environment env;
	struct tables *tables;
	struct end ends[MAX_ENDS];
	size_t nr_ends;
	char *text;
};

static void build_world(struct world *world, bool tight, unsigned int *seed)
{
	struct import_options options = {.tight = tight};
	char path[] = "/tmp/weir-import-XXXXXX";
	_cleanup_fclose_ FILE *file = fdopen(mkstemp(path), "w");
	_cleanup_free_ char *project = NULL;
	const char *paths[] = {path};
	struct diag diag = {};
	char said[2048];

	assert_non_null(file);
	memset(world, 0, sizeof(*world));
	make_shape(&world->shape, seed);
	write_compose(&world->shape, file);
	assert_int_equal(fflush(file), 0);
	if (import_compose(paths, 1, &options, &world->text, &project, &diag) ||
	    policy_parse_text(world->text, strlen(world->text), "policy", &world->policy, &diag))
		fail_msg("%s", diag_text(&diag, said, sizeof(said)));
	unlink(path);
	world->nr_ends = list_ends(&world->shape, world->ends);
	fill_names(&world->shape, world->ends, world->nr_ends, &world->env);
	if (tables_build(world->policy, &world->env, &world->tables, &diag))
		fail_msg("%s", diag.error);
	diag_reset(&diag);
}

static void free_world(struct world *world)
{
	tables_free(world->tables);
	environment_free(&world->env);
	policy_free(world->policy);
	free(world->text);
}

static void check_one(const struct world *world, const struct end *from, const struct end *to,
		      unsigned int port, bool tight, unsigned int counts[2])
{
	struct question question = {.source = from->address,
				    .destination = to->address,
				    .source_kind = from->kind,
				    .destination_kind = to->kind,
				    .proto = IPPROTO_TCP,
				    .port = (__u16)port};
	int wanted = meant(&world->shape, from, to, port, tight);
	char a[ADDR_TEXT_LEN], b[ADDR_TEXT_LEN];
	struct answer answer = {};

	if (wanted == NOBODY_SAYS || from == to || from->v6 != to->v6)
		return;
	assert_int_equal(tables_eval(world->tables, &question, &answer), 0);
	counts[wanted]++;
	if (answer.allow != (wanted == YES))
		fail_msg("%s to %s tcp/%u: %s, wanted %s\n%s", addr_format(&from->address, a),
			 addr_format(&to->address, b), port, answer.allow ? "allow" : "deny",
			 wanted == YES ? "allow" : "deny", world->text);
}

static void check_projects(bool tight)
{
	static const unsigned int ports[] = {80, 81, 82, 53, 9, 1000, 1001, 1002, 1003, 1004, 1005};
	unsigned int seed = tight ? 3 : 1, counts[2] = {};

	for (unsigned int i = 0; i < PROJECTS; i++) {
		struct world world;

		build_world(&world, tight, &seed);
		for (size_t f = 0; f < world.nr_ends; f++)
			for (size_t t = 0; t < world.nr_ends; t++)
				for (size_t p = 0; p < ARRAY_SIZE(ports); p++)
					check_one(&world, &world.ends[f], &world.ends[t], ports[p],
						  tight, counts);
		free_world(&world);
	}
	assert_true(counts[YES] > 10000);
	assert_true(counts[NO] > 10000);
}

static void a_policy_means_what_its_compose_file_means(void **state)
{
	check_projects(false);
}

static void a_tight_policy_means_what_depends_on_says(void **state)
{
	check_projects(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_policy_means_what_its_compose_file_means),
	    cmocka_unit_test(a_tight_policy_means_what_depends_on_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
