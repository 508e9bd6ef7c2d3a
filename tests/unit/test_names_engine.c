// SPDX-License-Identifier: GPL-2.0-only
/* Containers by name through an engine's API: an engine that behaves, one that does not, and one that goes away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/units.h"
#include "fake_engine.h"
#include "names/engine.h"
#include "names/internal.h"

#define SOON_MS 5000

static struct fake engine;
static char dir[64], path[96], memory[96];
static struct followed *names;
static struct policy *policy;

/* "c7" to an id that looks like one. */
static const char *id(const char *name)
{
	static char text[4][80];
	static unsigned int next;
	char *at = text[next++ % 4];
	__u64 hash = 14695981039346656037ULL;

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 1099511628211ULL;
	snprintf(at, 80, "%016llx%016llx%032x", (unsigned long long)hash,
		 (unsigned long long)(hash * 31), 7);
	return at;
}

static void open_names(void)
{
	struct diag diag = {0};
	struct engine_pace *pace;

	assert_int_equal(names_open(path, memory, &names, &diag), 0);
	pace = names_pace(names);
	pace->retry_ns = 5 * UNITS_NS_PER_MS;
}

static void follow(const char *items)
{
	struct diag diag = {0};

	policy_free(policy);
	policy = policy_that_names(items);
	assert_int_equal(names_want(names, policy, &diag), 0);
}

static int begin(void **state)
{
	strcpy(dir, "/tmp/test_names_engine.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/socket", dir);
	snprintf(memory, sizeof(memory), "%s/memory", dir);
	fake_begin(&engine, "fake-engine.py", path);
	fake_tell(&engine, "network %s front 10.1.0.0/16 2001:db8:1::/64", id("front"));
	fake_tell(&engine, "network %s kato_back 10.2.0.0/16 label=back", id("back"));
	fake_tell(&engine, "network %s host driver=host", id("host"));
	open_names();
	return 0;
}

static int end(void **state)
{
	char command[96];

	names_close(names);
	names = NULL;
	policy_free(policy);
	policy = NULL;
	fake_end(&engine);
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

static bool container_is(const char *name, const char *addresses)
{
	return becomes(names, ITEM_CONTAINER, name, addresses, SOON_MS);
}

static bool network_is(const char *name, const char *addresses)
{
	return becomes(names, ITEM_NETWORK, name, addresses, SOON_MS);
}

static bool gone_has(const char *address)
{
	_cleanup_free_ struct prefix *gone = NULL;
	char text[ADDR_TEXT_LEN];
	size_t n;
	bool has = false;

	assert_int_equal(names_gone(names, &gone, &n), 0);
	for (size_t i = 0; i < n; i++)
		has = has || strcmp(prefix_format(&gone[i], text), address) == 0;
	return has;
}

/* ---- names ---- */

static void names_stand_for_what_the_engine_says(void **state)
{
	fake_tell(&engine, "up %s web %s 10.1.0.2 2001:db8:1::2", id("web"), id("front"));
	fake_tell(&engine, "connect %s %s 10.2.0.2", id("web"), id("back"));
	fake_tell(&engine, "create %s kato_db_1 project=kato service=db", id("db"));
	fake_tell(&engine, "connect %s %s 10.2.0.3", id("db"), id("back"));
	fake_tell(&engine, "start %s", id("db"));
	fake_tell(&engine, "create %s side mode=container:%s", id("side"), id("web"));
	fake_tell(&engine, "start %s", id("side"));
	fake_tell(&engine, "create %s onhost mode=host", id("onhost"));
	fake_tell(&engine, "connect %s %s", id("onhost"), id("host"));
	fake_tell(&engine, "start %s", id("onhost"));
	follow(
	    "{container: web}, {container: side}, {container: onhost}, {container: nobody}, "
	    "{network: front}, {network: back}, {network: kato_back}, {compose: kato/db}, {compose: kato/x}");
	assert_string_equal(state_text(names, ITEM_CONTAINER, "web"), "?");
	assert_int_equal(names_wait(names, SOON_MS), 0);
	assert_string_equal(state_text(names, ITEM_CONTAINER, "web"),
			    "10.1.0.2 10.2.0.2 2001:db8:1::2");
	assert_string_equal(state_text(names, ITEM_CONTAINER, "side"),
			    "10.1.0.2 10.2.0.2 2001:db8:1::2");
	assert_string_equal(state_text(names, ITEM_CONTAINER, "onhost"), "");
	assert_string_equal(state_text(names, ITEM_CONTAINER, "nobody"), "");
	assert_string_equal(error_text(names, ITEM_CONTAINER, "nobody"),
			    "the engine has no container of this name");
	assert_string_equal(state_text(names, ITEM_NETWORK, "front"), "10.1.0.2 2001:db8:1::2");
	assert_string_equal(state_text(names, ITEM_NETWORK, "kato_back"), "10.2.0.2 10.2.0.3");
	assert_string_equal(state_text(names, ITEM_NETWORK, "back"), "10.2.0.2 10.2.0.3");
	assert_string_equal(state_text(names, ITEM_COMPOSE, "kato/db"), "10.2.0.3");
	assert_string_equal(state_text(names, ITEM_COMPOSE, "kato/x"), "");
}

static void an_environment_has_the_names_the_subnets_and_who_may_be_bound(void **state)
{
	struct environment env = {0};
	struct weir_addr address;
	const char *why;

	fake_tell(&engine, "up %s web %s 10.1.0.2", id("web"), id("front"));
	fake_tell(&engine, "up %s other %s 10.2.0.9", id("other"), id("back"));
	follow("{container: web}");
	assert_int_equal(names_fill(names, &env), 0);
	assert_true(env.engine_unknown);
	assert_false(environment_name(&env, ITEM_CONTAINER, "web")->known);
	assert_int_equal(names_wait(names, SOON_MS), 0);
	assert_true(names_dispatch(names) & NAMES_CHANGED);
	assert_int_equal(names_fill(names, &env), 0);
	assert_false(env.engine_unknown);
	assert_int_equal(env.nr_engine_subnets, 3);
	assert_int_equal(env.nr_engine_addresses, 2);
	assert_int_equal(environment_name(&env, ITEM_CONTAINER, "web")->n, 1);
	assert_int_equal(addr_parse("10.2.0.9", &address, &why), 0);
	assert_true(environment_may_bind(&env, &address));
	assert_int_equal(addr_parse("10.2.0.10", &address, &why), 0);
	assert_false(environment_may_bind(&env, &address));
	assert_int_equal(names_dispatch(names) & NAMES_CHANGED, 0);
	environment_free(&env);
}

static void engines_name_goes_before_label(void **state)
{
	fake_tell(&engine, "network %s back 10.3.0.0/16", id("plain"));
	fake_tell(&engine, "up %s a %s 10.2.0.2", id("a"), id("back"));
	fake_tell(&engine, "up %s b %s 10.3.0.2", id("b"), id("plain"));
	follow("{network: back}");
	assert_true(network_is("back", "10.3.0.2"));
	fake_tell(&engine, "gone %s", id("b"));
	fake_tell(&engine, "network-rm %s", id("plain"));
	assert_true(network_is("back", "10.2.0.2"));
	fake_tell(&engine, "network %s other_back 10.4.0.0/16 label=back", id("second"));
	fake_tell(&engine, "up %s c %s 10.4.0.2", id("c"), id("second"));
	assert_true(network_is("back", "10.2.0.2 10.4.0.2"));
	assert_string_equal(error_text(names, ITEM_NETWORK, "back"),
			    "several networks have this name; all of them are meant");
}

static void nothing_is_asked_where_no_container_is_named(void **state)
{
	struct environment env = {0};

	follow("192.0.2.1");
	assert_int_equal(names_wait(names, SOON_MS), 0);
	for (int i = 0; i < 5; i++)
		turn(names, 10);
	assert_int_equal(names_asked(names), 0);
	assert_int_equal(names_fill(names, &env), 0);
	assert_false(env.engine_unknown);
	environment_free(&env);
	fake_tell(&engine, "up %s web %s 10.1.0.2", id("web"), id("front"));
	follow("{container: web}");
	assert_true(container_is("web", "10.1.0.2"));
	follow("192.0.2.1");
	assert_string_equal(state_text(names, ITEM_CONTAINER, "web"), "not followed");
	assert_int_equal(names_fill(names, &env), 0);
	assert_int_equal(env.nr_engine_subnets + env.nr_engine_addresses, 0);
	environment_free(&env);
}

/* ---- events ---- */

static void a_container_counts_from_connect_until_it_dies(void **state)
{
	__u64 asked;
	int bits = 0;

	follow("{container: web}, {network: front}");
	assert_int_equal(names_wait(names, SOON_MS), 0);
	fake_tell(&engine, "create %s web", id("web"));
	for (int i = 0; i < 10; i++)
		turn(names, 10);
	asked = names_asked(names);
	fake_tell(&engine, "connect %s %s 10.1.0.2", id("web"), id("front"));
	assert_true(container_is("web", "10.1.0.2"));
	assert_string_equal(state_text(names, ITEM_NETWORK, "front"), "10.1.0.2");
	fake_tell(&engine, "start %s", id("web"));
	for (int i = 0; i < 10; i++)
		turn(names, 10);
	assert_int_equal(names_asked(names) - asked, 1);

	fake_tell(&engine, "die %s", id("web")); /* the engine still lists it */
	for (int i = 0; i < 10 && !(bits & NAMES_GONE); i++)
		bits |= turn(names, 10);
	assert_true(bits & NAMES_GONE);
	assert_true(gone_has("10.1.0.2"));
	assert_string_equal(state_text(names, ITEM_CONTAINER, "web"), "");
	assert_int_equal(names_asked(names) - asked, 1);

	fake_tell(&engine, "network %s other 10.7.0.0/16", id("other"));
	fake_tell(&engine, "up %s x %s 10.1.0.3", id("x"),
		  id("front")); /* the network is asked, and tells of the dead */
	assert_true(network_is("front", "10.1.0.3"));
	fake_tell(&engine, "disconnect %s %s", id("web"), id("front"));
	fake_tell(&engine, "stopped %s", id("web"));
	fake_tell(&engine, "connect %s %s 10.1.0.9", id("web"), id("front"));
	assert_true(container_is("web", "10.1.0.9"));
	fake_tell(&engine, "rename %s new", id("web"));
	assert_true(container_is("web", ""));
	fake_tell(&engine, "rename %s web", id("web"));
	assert_true(container_is("web", "10.1.0.9"));
}

static void who_shares_a_network_has_its_addresses_while_it_runs(void **state)
{
	fake_tell(&engine, "up %s web %s 10.1.0.2", id("web"), id("front"));
	follow("{container: side}");
	assert_int_equal(names_wait(names, SOON_MS), 0);
	fake_tell(&engine, "create %s side mode=container:%s", id("side"), id("web"));
	assert_true(container_is("side", "10.1.0.2"));
	fake_tell(&engine, "start %s", id("side"));
	fake_tell(&engine, "die %s", id("side"));
	assert_true(container_is("side", ""));
	assert_false(gone_has("10.1.0.2"));
	fake_tell(&engine, "start %s", id("side"));
	assert_true(container_is("side", "10.1.0.2"));
	fake_tell(&engine, "die %s", id("web"));
	assert_true(container_is("side", ""));
}

static void an_address_taken_over_is_not_withdrawn(void **state)
{
	fake_tell(&engine, "up %s web %s 10.1.0.2", id("web"), id("front"));
	follow("{container: web}, {container: next}");
	assert_true(container_is("web", "10.1.0.2"));
	fake_tell(&engine, "gone %s", id("web"));
	fake_tell(&engine, "up %s next %s 10.1.0.2", id("next"), id("front"));
	assert_true(container_is("next", "10.1.0.2"));
	assert_false(gone_has("10.1.0.2"));
}

/* Engines without events of networks: a container that started is asked for itself. */
static void a_start_without_a_connect_is_understood(void **state)
{
	follow("{container: pod}");
	assert_int_equal(names_wait(names, SOON_MS), 0);
	fake_tell(&engine, "create %s pod", id("pod"));
	fake_tell(&engine, "connect %s %s 10.1.0.4 quiet=1", id("pod"), id("front"));
	fake_tell(&engine, "start %s", id("pod"));
	assert_true(container_is("pod", "10.1.0.4"));
}

/* ---- answers that come too late ---- */

static void an_answer_from_before_an_event_does_not_undo_it(void **state)
{
	fake_tell(&engine, "up %s web %s 10.1.0.2", id("web"), id("front"));
	follow("{container: web}, {container: b}, {network: front}");
	assert_true(network_is("front", "10.1.0.2"));
	fake_tell(&engine, "fault delay /networks/ 150");
	fake_tell(&engine, "up %s b %s 10.1.0.3", id("b"), id("front"));
	for (int i = 0; i < 5; i++)
		turn(names, 10); /* the question is under way, and both are in its answer */
	fake_tell(&engine, "gone %s", id("web"));
	fake_tell(&engine, "die %s", id("b"));
	assert_true(network_is("front", ""));
	for (__u64 until = now_ns() + 500 * UNITS_NS_PER_MS; now_ns() < until;) {
		turn(names, 10);
		assert_string_equal(state_text(names, ITEM_NETWORK, "front"), "");
	}
}

/* So that nothing but its network is asked. */
static void connect_alone(const char *name, const char *address)
{
	fake_tell(&engine, "create %s %s", id(name), name);
	fake_tell(&engine, "connect %s %s %s", id(name), id("front"), address);
}

/* Only the event tells that it left: it runs on, and was listed when the question was asked. */
static void who_left_a_network_is_not_brought_back(void **state)
{
	fake_tell(&engine, "up %s web %s 10.1.0.2", id("web"), id("front"));
	fake_tell(&engine, "up %s b %s 10.1.0.3", id("b"), id("front"));
	follow("{container: web}, {network: front}");
	assert_true(network_is("front", "10.1.0.2 10.1.0.3"));
	fake_tell(&engine, "fault delay /networks/ 150");
	connect_alone("c", "10.1.0.4");
	for (int i = 0; i < 5; i++)
		turn(names, 10);
	fake_tell(&engine, "disconnect %s %s", id("web"), id("front"));
	assert_true(network_is("front", "10.1.0.3"));
	for (__u64 until = now_ns() + 600 * UNITS_NS_PER_MS; now_ns() < until;) {
		turn(names, 10);
		assert_string_equal(state_text(names, ITEM_CONTAINER, "web"), "");
	}
	assert_string_equal(state_text(names, ITEM_NETWORK, "front"), "10.1.0.3 10.1.0.4");
}

/* Connected while the question was under way: another one follows. */
static void who_came_too_late_for_an_answer_is_asked_for_again(void **state)
{
	follow("{network: front}");
	assert_int_equal(names_wait(names, SOON_MS), 0);
	fake_tell(&engine, "fault delay /networks/ 100");
	connect_alone("a", "10.1.0.2");
	for (int i = 0; i < 5; i++)
		turn(names, 10);
	connect_alone("b", "10.1.0.3");
	assert_true(network_is("front", "10.1.0.2"));
	assert_true(network_is("front", "10.1.0.2 10.1.0.3"));
}

static void events_while_everything_is_listed_count(void **state)
{
	fake_tell(&engine, "up %s web %s 10.1.0.2", id("web"), id("front"));
	fake_tell(&engine, "up %s stays %s 10.1.0.3", id("stays"), id("front"));
	fake_tell(&engine, "fault delay /networks/ 100");
	fake_tell(&engine, "fault delay /containers/json 100");
	follow("{container: web}, {container: new}, {container: stays}, {network: front}");
	for (int i = 0; i < 5; i++)
		turn(names, 10);
	fake_tell(&engine, "gone %s", id("web"));
	fake_tell(&engine, "up %s new %s 10.1.0.4", id("new"), id("front"));
	assert_true(network_is("front", "10.1.0.3 10.1.0.4"));
	assert_true(container_is("new", "10.1.0.4"));
	assert_true(container_is("stays", "10.1.0.3"));
	assert_true(container_is("web", ""));
	for (__u64 until = now_ns() + 400 * UNITS_NS_PER_MS; now_ns() < until;) {
		turn(names, 10);
		assert_string_equal(state_text(names, ITEM_NETWORK, "front"), "10.1.0.3 10.1.0.4");
		assert_string_equal(error_text(names, ITEM_CONTAINER, "web"),
				    "the engine has no container of this name");
	}
}

/* ---- an engine that goes away ---- */

static void what_was_known_stays_while_the_engine_is_gone(void **state)
{
	struct engine_state was;
	int bits = 0;

	fake_tell(&engine, "up %s web %s 10.1.0.2", id("web"), id("front"));
	follow("{container: web}");
	assert_true(container_is("web", "10.1.0.2"));
	fake_tell(&engine, "close");
	for (int i = 0; i < 50 && !(bits & NAMES_SAID); i++)
		bits |= turn(names, 10);
	names_engine(names, &was);
	assert_true(was.wanted);
	assert_false(was.connected);
	assert_non_null(was.error);
	assert_true(was.since_ns > 0);
	assert_string_equal(state_text(names, ITEM_CONTAINER, "web"), "10.1.0.2");
	fake_tell(&engine, "gone %s", id("web"));
	fake_tell(&engine, "up %s web %s 10.1.0.7", id("web2"), id("front"));
	for (int i = 0; i < 20; i++)
		turn(names, 10);
	assert_string_equal(state_text(names, ITEM_CONTAINER, "web"), "10.1.0.2");
	fake_tell(&engine, "open");
	assert_true(container_is("web", "10.1.0.7"));
	assert_true(gone_has("10.1.0.2"));
	names_engine(names, &was);
	assert_true(was.connected);
	assert_null(was.error);
}

static void a_later_process_goes_on_from_the_memory(void **state)
{
	struct engine_state was;
	struct stat st;

	fake_tell(&engine, "up %s web %s 10.1.0.2 2001:db8:1::2", id("web"), id("front"));
	fake_tell(&engine, "create %s kato_db_1 project=kato service=db", id("db"));
	fake_tell(&engine, "connect %s %s 10.2.0.3", id("db"), id("back"));
	fake_tell(&engine, "start %s", id("db"));
	follow("{container: web}");
	assert_true(container_is("web", "10.1.0.2 2001:db8:1::2"));
	names_close(names);
	assert_int_equal(stat(memory, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	fake_tell(&engine, "close");
	open_names();
	follow("{container: web}, {compose: kato/db}, {network: back}");
	assert_string_equal(state_text(names, ITEM_CONTAINER, "web"), "10.1.0.2 2001:db8:1::2");
	assert_string_equal(state_text(names, ITEM_COMPOSE, "kato/db"), "10.2.0.3");
	assert_string_equal(state_text(names, ITEM_NETWORK, "back"), "10.2.0.3");
	names_engine(names, &was);
	assert_true(was.connected); /* as the file says; nobody has tried it since */
	assert_int_equal(names_wait(names, SOON_MS), 0);
	names_engine(names, &was);
	assert_false(was.connected);
	assert_true(was.since_ns > 0);
	assert_string_equal(state_text(names, ITEM_CONTAINER, "web"), "10.1.0.2 2001:db8:1::2");
	fake_tell(&engine, "gone %s", id("web"));
	fake_tell(&engine, "open");
	assert_true(container_is("web", ""));
	assert_true(gone_has("2001:db8:1::2"));
}

static void rewrite_memory(const char *sed)
{
	char command[300];

	snprintf(command, sizeof(command), "sed -i '%s' '%s' && chmod 600 '%s'", sed, memory,
		 memory);
	assert_int_equal(system(command), 0);
}

static void memory_is_believed(const char *addresses)
{
	names_close(names);
	open_names();
	follow("{container: web}");
	assert_string_equal(state_text(names, ITEM_CONTAINER, "web"), addresses);
}

static void a_memory_that_is_not_ours_is_not_believed(void **state)
{
	char other[128];

	fake_tell(&engine, "up %s web %s 10.1.0.2", id("web"), id("front"));
	follow("{container: web}");
	assert_true(container_is("web", "10.1.0.2"));
	memory_is_believed("10.1.0.2");
	assert_int_equal(chmod(memory, 0622), 0);
	memory_is_believed("?");
	assert_int_equal(chmod(memory, 0600), 0);
	memory_is_believed("10.1.0.2");
	rewrite_memory("s/10\\.1\\.0\\.2/10.1.0/");
	memory_is_believed("?");
	rewrite_memory("s/10\\.1\\.0\"/10.1.0.3\"/");
	memory_is_believed("10.1.0.3");
	snprintf(other, sizeof(other), "s|%s|/run/another.sock|", path);
	rewrite_memory(other);
	memory_is_believed("?");
	snprintf(other, sizeof(other), "s|/run/another.sock|%s|", path);
	rewrite_memory(other);
	memory_is_believed("10.1.0.3");
	rewrite_memory("s/boot_id\":\"./boot_id\":\"x/");
	memory_is_believed("?");
	rewrite_memory("s/}//");
	memory_is_believed("?");
}

/* ---- an engine that misbehaves ---- */

static void goes_away_because(const char *fault, const char *error)
{
	struct engine_state was = {0};

	fake_tell(&engine, "no-fault");
	follow("{container: web}");
	assert_true(container_is("web", "10.1.0.2"));
	for (int i = 0; i < 300 && !was.connected; i++) {
		turn(names, 10);
		names_engine(names, &was);
	}
	assert_true(was.connected);
	fake_tell(&engine, "fault %s", fault);
	fake_tell(&engine, "cut-all");
	for (__u64 until = now_ns() + SOON_MS * UNITS_NS_PER_MS; now_ns() < until;) {
		turn(names, 10);
		names_engine(names, &was);
		if (was.error && strcmp(was.error, error) == 0)
			break;
	}
	assert_string_equal(was.error ? was.error : "none", error);
	assert_false(was.connected);
	assert_string_equal(state_text(names, ITEM_CONTAINER, "web"), "10.1.0.2");
	fake_tell(&engine, "no-fault");
	for (int i = 0; i < 500 && !was.connected; i++) {
		turn(names, 10);
		names_engine(names, &was);
	}
	assert_true(was.connected);
	assert_null(was.error);
	assert_true(container_is("web", "10.1.0.2"));
}

static void answers_that_are_none_change_nothing(void **state)
{
	fake_tell(&engine, "up %s web %s 10.1.0.2", id("web"), id("front"));
	names_pace(names)->timeout_ms = 300;
	names_pace(names)->open_ns = 300 * UNITS_NS_PER_MS;
	goes_away_because("status /events 500", "GET /events: HTTP status 500");
	goes_away_because("hang /events", "GET /events: no answer in time");
	goes_away_because("status /containers/json 503", "GET /containers/json: HTTP status 503");
	goes_away_because("hang /networks/", "GET /networks/ID: no answer in time");
	goes_away_because("truncate /networks/ 300",
			  "GET /networks/ID: the engine closed the connection");
	goes_away_because("truncate /networks 250",
			  "GET /networks: the engine closed the connection");
	goes_away_because("raw /networks HTTP/1.1 200 OK\\r\\nContent-Length: 3\\r\\n\\r\\n[{}",
			  "GET /networks: the answer makes no sense");
	goes_away_because("raw /networks/ HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\n{}",
			  "GET /networks/ID: the answer makes no sense");
	goes_away_because(
	    "raw /containers/json HTTP/1.1 200 OK\\r\\nContent-Length: 4\\r\\n\\r\\n[{}]",
	    "GET /containers/json: the answer makes no sense");
	goes_away_because("raw /containers/json nonsense\\r\\n\\r\\n",
			  "GET /containers/json: the answer makes no sense");
	goes_away_because(
	    "raw /events HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n5\\r\\n{\"a\"\\n\\r\\n",
	    "GET /events: the stream makes no sense");
	names_pace(names)->timeout_ms = 10000;
	goes_away_because("huge /containers/json 17000000",
			  "GET /containers/json: more than 16 MiB");
}

static void a_slow_engine_is_waited_for(void **state)
{
	fake_tell(&engine, "up %s web %s 10.1.0.2", id("web"), id("front"));
	fake_tell(&engine, "fault slow /networks");
	fake_tell(&engine, "fault slow /containers");
	follow("{container: web}");
	assert_true(container_is("web", "10.1.0.2"));
}

static void a_half_dead_engine_is_noticed(void **state)
{
	struct engine_state was = {.connected = true};
	__u64 begun;

	names_pace(names)->timeout_ms = 200;
	names_pace(names)->ping_ns = 50 * UNITS_NS_PER_MS;
	fake_tell(&engine, "up %s web %s 10.1.0.2", id("web"), id("front"));
	follow("{container: web}");
	assert_true(container_is("web", "10.1.0.2"));
	for (int i = 0; i < 30; i++)
		turn(names, 10);
	names_engine(names, &was);
	assert_true(was.connected);
	fake_tell(&engine, "fault hang /_ping"); /* the stream stays, and is silent */
	begun = now_ns();
	while (was.connected && now_ns() < begun + SOON_MS * UNITS_NS_PER_MS) {
		turn(names, 10);
		names_engine(names, &was);
	}
	assert_false(was.connected);
	assert_string_equal(was.error, "GET /_ping: no answer in time");
	assert_string_equal(state_text(names, ITEM_CONTAINER, "web"), "10.1.0.2");
}

static void events_that_were_lost_are_made_up_for(void **state)
{
	names_pace(names)->sync_ns = 100 * UNITS_NS_PER_MS;
	follow("{container: web}");
	assert_int_equal(names_wait(names, SOON_MS), 0);
	fake_tell(&engine, "create %s web quiet=1", id("web"));
	fake_tell(&engine, "connect %s %s 10.1.0.2 quiet=1", id("web"), id("front"));
	fake_tell(&engine, "start %s quiet=1", id("web"));
	assert_true(container_is("web", "10.1.0.2"));
	fake_tell(&engine, "disconnect %s %s quiet=1", id("web"), id("front"));
	assert_true(container_is("web", ""));
}

static void one_network_that_cannot_tell_spoils_nothing_else(void **state)
{
	struct engine_state was = {0};

	fake_tell(&engine, "up %s web %s 10.1.0.2", id("web"), id("front"));
	fake_tell(&engine, "up %s db %s 10.2.0.2", id("db"), id("back"));
	fake_tell(&engine, "fault status /networks/%s 500", id("back"));
	follow("{container: web}, {container: db}");
	assert_true(container_is("web", "10.1.0.2"));
	for (int i = 0; i < 100 && !was.connected; i++) {
		turn(names, 10);
		names_engine(names, &was);
	}
	assert_true(was.connected);
	assert_string_equal(was.error, "network kato_back: the engine cannot say who is attached");
}

static void events_with_anything_in_them_are_survived(void **state)
{
	static const char *const events[] = {
	    "{}",
	    "[]",
	    "7",
	    "null",
	    "{\"Type\":\"container\"}",
	    "{\"Type\":\"container\",\"Action\":\"start\"}",
	    "{\"Type\":\"container\",\"Action\":\"start\",\"Actor\":{}}",
	    "{\"Type\":\"container\",\"Action\":7,\"Actor\":{\"ID\":[]}}",
	    "{\"Type\":\"container\",\"Action\":\"start\",\"Actor\":{\"ID\":\"../../etc\",\"Attributes\":null}}",
	    "{\"Type\":\"container\",\"Action\":\"die\",\"Actor\":{\"ID\":\"unheard\",\"Attributes\":{\"name\":{}}}}",
	    "{\"Type\":\"container\",\"Action\":\"health_status: x\",\"Actor\":{\"ID\":\"u2\"}}",
	    "{\"Type\":\"network\",\"Action\":\"connect\",\"Actor\":{\"ID\":\"nowhere\",\"Attributes\":{\"container\":\"u3\"}}}",
	    "{\"Type\":\"network\",\"Action\":\"connect\",\"Actor\":{\"ID\":\"a b\",\"Attributes\":{}}}",
	    "{\"Type\":\"network\",\"Action\":\"disconnect\",\"Actor\":{\"ID\":\"nowhere\",\"Attributes\":{}}}",
	    "{\"Type\":\"network\",\"Action\":\"update\",\"Actor\":{\"ID\":\"nowhere\"}}",
	    "{\"Type\":\"volume\",\"Action\":\"mount\",\"Actor\":{\"ID\":\"v\"}}",
	    "{\"Type\":\"network\",\"Action\":\"destroy\",\"Actor\":{\"ID\":\"nowhere\"},\"more\":[[[[1]]]]}",
	};
	struct engine_state was;

	follow("{container: web}");
	assert_int_equal(names_wait(names, SOON_MS), 0);
	for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
		fake_tell(&engine, "event %s", events[i]);
		turn(names, 5);
	}
	fake_tell(&engine, "up %s web %s 10.1.0.2", id("web"), id("front"));
	assert_true(container_is("web", "10.1.0.2"));
	names_engine(names, &was);
	assert_true(was.connected);
}

/* ---- the stream is cut anywhere ---- */

#define CUTS	    100
#define NR_ACTORS   6
#define NR_NETWORKS 3

static struct {
	bool exists, attached[NR_NETWORKS];
	int address[NR_NETWORKS];
	int round; /* a container that is made again has another id */
} actor[NR_ACTORS];
static unsigned int seed;

static unsigned int below(unsigned int n)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 16) % n;
}

static const char *actor_id(int i)
{
	char text[32];

	snprintf(text, sizeof(text), "actor%d.%d", i, actor[i].round);
	return id(text);
}

static const char *network_id(int i)
{
	char text[32];

	snprintf(text, sizeof(text), "net%d", i);
	return id(text);
}

static void connect_actor(int i, int net)
{
	actor[i].attached[net] = true;
	actor[i].address[net] = 2 + (int)below(200) * NR_ACTORS + i;
	fake_tell(&engine, "connect %s %s 10.%d.%d.%d", actor_id(i), network_id(net), 20 + net,
		  actor[i].address[net] / 256, actor[i].address[net] % 256);
}

static void disconnect_actor(int i)
{
	for (int net = 0; net < NR_NETWORKS; net++) {
		if (actor[i].attached[net])
			fake_tell(&engine, "disconnect %s %s", actor_id(i), network_id(net));
		actor[i].attached[net] = false;
	}
}

static void something_happens(void)
{
	int i = (int)below(NR_ACTORS), net = (int)below(NR_NETWORKS);

	if (!actor[i].exists) {
		actor[i].round++;
		actor[i].exists = true;
		fake_tell(&engine, "create %s actor%d project=p service=s%d", actor_id(i), i,
			  i % 2);
		connect_actor(i, net);
		if (below(2))
			connect_actor(i, (net + 1) % NR_NETWORKS);
		fake_tell(&engine, "start %s", actor_id(i));
		return;
	}
	switch (below(4)) {
	case 0:
		fake_tell(&engine, "die %s", actor_id(i));
		disconnect_actor(i);
		fake_tell(&engine, "stopped %s", actor_id(i));
		fake_tell(&engine, "destroy %s", actor_id(i));
		actor[i].exists = false;
		break;
	case 1: /* restart, with another address */
		fake_tell(&engine, "die %s", actor_id(i));
		disconnect_actor(i);
		fake_tell(&engine, "stopped %s", actor_id(i));
		connect_actor(i, net);
		fake_tell(&engine, "start %s", actor_id(i));
		break;
	case 2:
		if (actor[i].attached[net])
			disconnect_actor(i);
		else
			connect_actor(i, net);
		break;
	default: /* the actor's name wanders away and back */
		fake_tell(&engine, "rename %s other%d", actor_id(i), i);
		fake_tell(&engine, "rename %s actor%d", actor_id(i), i);
		break;
	}
}

static int by_prefix(const void *a, const void *b)
{
	return prefix_compare(a, b);
}

/* What one name must stand for: addresses of the actors that @takes says. */
static const char *expected(int of_actor, int of_network, int of_service)
{
	static char text[1024];
	struct prefix list[NR_ACTORS * NR_NETWORKS];
	char one[ADDR_TEXT_LEN];
	size_t n = 0;

	for (int i = 0; i < NR_ACTORS; i++) {
		for (int net = 0; net < NR_NETWORKS; net++) {
			const char *why;

			if (!actor[i].attached[net] || (of_actor >= 0 && i != of_actor) ||
			    (of_network >= 0 && net != of_network) ||
			    (of_service >= 0 && i % 2 != of_service))
				continue;
			snprintf(one, sizeof(one), "10.%d.%d.%d", 20 + net,
				 actor[i].address[net] / 256, actor[i].address[net] % 256);
			assert_int_equal(prefix_parse(one, &list[n++], &why), 0);
		}
	}
	qsort(list, n, sizeof(*list), by_prefix);
	*text = '\0';
	for (size_t i = 0; i < n; i++) {
		strcat(text, i ? " " : "");
		strcat(text, prefix_format(&list[i], one));
	}
	return text;
}

static bool all_as_expected(bool wait)
{
	int ms = wait ? SOON_MS : 0;
	char name[32];

	for (int i = 0; i < NR_ACTORS; i++) {
		snprintf(name, sizeof(name), "actor%d", i);
		if (!becomes(names, ITEM_CONTAINER, name, expected(i, -1, -1), ms))
			return false;
	}
	for (int i = 0; i < NR_NETWORKS; i++) {
		snprintf(name, sizeof(name), "net%d", i);
		if (!becomes(names, ITEM_NETWORK, name, expected(-1, i, -1), ms))
			return false;
	}
	for (int i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), "p/s%d", i);
		if (!becomes(names, ITEM_COMPOSE, name, expected(-1, -1, i), ms))
			return false;
	}
	return true;
}

/* Settled: as expected, connected, and still so a moment later, when answers under way have come in. */
static void settles(int cut)
{
	struct engine_state was = {0};
	__u64 until = now_ns() + 2 * SOON_MS * UNITS_NS_PER_MS;

	do {
		assert_true(turn(names, 20) >= 0);
		names_engine(names, &was);
	} while (!was.connected && now_ns() < until);
	if (!was.connected || !all_as_expected(true))
		fail_msg("cut %d, seed of it %u: the end state is wrong (%s)", cut, seed,
			 was.error ? was.error : "connected");
	for (int i = 0; i < 5; i++)
		turn(names, 10);
	if (!all_as_expected(false))
		fail_msg("cut %d, seed %u: a late answer undid what was right", cut, seed);
}

static void a_stream_cut_anywhere_ends_in_the_right_state(void **state)
{
	const char *given = getenv("SEED");

	seed = given ? (unsigned int)strtoul(given, NULL, 10) : (unsigned int)time(NULL);
	print_message("SEED=%u\n", seed);
	memset(actor, 0, sizeof(actor));
	for (int i = 0; i < NR_NETWORKS; i++)
		fake_tell(&engine, "network %s net%d 10.%d.0.0/16", network_id(i), i, 20 + i);
	follow(
	    "{container: actor0}, {container: actor1}, {container: actor2}, {container: actor3}, "
	    "{container: actor4}, {container: actor5}, {network: net0}, {network: net1}, {network: net2}, "
	    "{compose: p/s0}, {compose: p/s1}");
	assert_int_equal(names_wait(names, SOON_MS), 0);
	for (int cut = 0; cut < CUTS; cut++) {
		/* Answers that are old when they come, on top of it. */
		fake_tell(&engine, "no-fault");
		if (below(2)) {
			fake_tell(&engine, "fault delay /networks/ %u", below(20));
			fake_tell(&engine, "fault delay /containers/json %u", below(20));
		}
		fake_tell(&engine, "cut %u", below(1500));
		for (unsigned int i = below(6) + 1; i > 0; i--) {
			something_happens();
			if (below(3) == 0)
				assert_true(turn(names, (int)below(3)) >= 0);
		}
		if (below(3) == 0)
			fake_tell(&engine, "cut 0"); /* whatever has not run out */
		for (unsigned int i = below(4); i > 0; i--) {
			assert_true(turn(names, (int)below(8)) >= 0);
			something_happens();
		}
		settles(cut);
	}
}

/* ---- what it costs ---- */

static __u64 cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec * UNITS_NS_PER_S + now.tv_nsec;
}

static void one_start_among_500_containers_costs_little(void **state)
{
	struct environment env = {0};
	__u64 worst = 0, sum = 0, asked;
	char text[32];

	fake_tell(&engine, "many 500 %s", id("front"));
	follow("{container: fresh}, {network: front}, {compose: many/s1}");
	assert_int_equal(names_wait(names, SOON_MS), 0);
	assert_int_equal(names_fill(names, &env), 0);
	for (int i = 0; i < 20; i++)
		turn(names, 1);
	asked = names_asked(names);
	for (int i = 0; i < 20; i++) {
		__u64 before, spent = 0;
		int bits = 0;

		snprintf(text, sizeof(text), "fresh%d", i);
		fake_tell(&engine, "create %s fresh", id(text));
		fake_tell(&engine, "connect %s %s 10.1.9.%d", id(text), id("front"), i + 1);
		snprintf(text, sizeof(text), "10.1.9.%d", i + 1);
		while (strcmp(state_text(names, ITEM_CONTAINER, "fresh"), text) != 0) {
			before = cpu_ns();
			bits |= turn(names, 100);
			spent += cpu_ns() - before;
		}
		assert_true(bits & NAMES_CHANGED);
		before = cpu_ns();
		assert_int_equal(names_fill(names, &env), 0);
		spent += cpu_ns() - before;
		assert_int_equal(environment_name(&env, ITEM_CONTAINER, "fresh")->n, 1);
		assert_int_equal(environment_name(&env, ITEM_NETWORK, "front")->n, 501);
		sum += spent;
		worst = spent > worst ? spent : worst;
		snprintf(text, sizeof(text), "fresh%d", i);
		fake_tell(&engine, "gone %s", id(text));
		assert_true(container_is("fresh", ""));
		names_fill(names, &env);
	}
	print_message(
	    "one start among 500 containers: %.2f ms of CPU on average, %.2f at worst, %.1f questions\n",
	    (double)sum / 20 / 1e6, (double)worst / 1e6, (double)(names_asked(names) - asked) / 20);
	environment_free(&env);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	    TEST(names_stand_for_what_the_engine_says),
	    TEST(an_environment_has_the_names_the_subnets_and_who_may_be_bound),
	    TEST(engines_name_goes_before_label),
	    TEST(nothing_is_asked_where_no_container_is_named),
	    TEST(a_container_counts_from_connect_until_it_dies),
	    TEST(who_shares_a_network_has_its_addresses_while_it_runs),
	    TEST(an_address_taken_over_is_not_withdrawn),
	    TEST(a_start_without_a_connect_is_understood),
	    TEST(an_answer_from_before_an_event_does_not_undo_it),
	    TEST(who_left_a_network_is_not_brought_back),
	    TEST(who_came_too_late_for_an_answer_is_asked_for_again),
	    TEST(events_while_everything_is_listed_count),
	    TEST(what_was_known_stays_while_the_engine_is_gone),
	    TEST(a_later_process_goes_on_from_the_memory),
	    TEST(a_memory_that_is_not_ours_is_not_believed),
	    TEST(answers_that_are_none_change_nothing),
	    TEST(a_slow_engine_is_waited_for),
	    TEST(a_half_dead_engine_is_noticed),
	    TEST(events_that_were_lost_are_made_up_for),
	    TEST(one_network_that_cannot_tell_spoils_nothing_else),
	    TEST(events_with_anything_in_them_are_survived),
	    TEST(a_stream_cut_anywhere_ends_in_the_right_state),
	    TEST(one_start_among_500_containers_costs_little),
	};

	cmocka_set_test_filter(getenv("TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
