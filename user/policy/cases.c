// SPDX-License-Identifier: GPL-2.0-only
/* The policy's own tests. */
#include "policy/reader.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"

/** struct case_draft - a test while it is read. */
struct case_draft {
	struct test_case *test;
	bool has_from, has_to, has_port, has_expect;
};

/* One end of a test: what stands for one address. */
static int read_end(struct reader *reader, const struct node *key, const struct node *value,
		    struct item *ret)
{
	struct items items = {};
	struct item *item;
	int err;

	if (value->kind == NODE_LIST)
		return reject_kind(reader, value, key->text,
				   "one address, self, {interface: NAME} or a segment");
	err = read_item(reader, key, value, &items);
	item = items.item;
	if (!err && (item->kind == ITEM_ANY || item->kind == ITEM_WORKLOADS ||
		     item->kind == ITEM_RANGE || item->kind == ITEM_FILE))
		err = reject(reader, &value->at,
			     "%s: a test needs one address, self, {interface: NAME} or a segment",
			     key->text);
	if (!err && item->kind == ITEM_PREFIX &&
	    item->prefix.length != (item->prefix.v6 ? 128 : 32))
		err = reject(reader, &value->at,
			     "%s: a test needs one address, found the prefix \"%.64s\"", key->text,
			     value->text);
	if (!err) {
		*ret = *item;
		free(item);
		return 0;
	}
	items_free(&items);
	return err;
}

static int test_from(struct reader *reader, const struct node *key, const struct node *value,
		     void *into)
{
	struct case_draft *draft = into;

	draft->has_from = true;
	return read_end(reader, key, value, &draft->test->from);
}

static int test_to(struct reader *reader, const struct node *key, const struct node *value,
		   void *into)
{
	struct case_draft *draft = into;

	draft->has_to = true;
	return read_end(reader, key, value, &draft->test->to);
}

static int test_port(struct reader *reader, const struct node *key, const struct node *value,
		     void *into)
{
	struct case_draft *draft = into;
	struct service *port = &draft->test->port;
	int err;

	draft->has_port = true;
	err = service_read_one(reader, value, port);
	if (err)
		return err;
	if (port->proto == PORT_ANY || port->first != port->last || service_lacks_port(port))
		return reject(reader, &value->at, "port \"%.64s\": a test needs one port or type",
			      value->text);
	return 0;
}

static int test_expect(struct reader *reader, const struct node *key, const struct node *value,
		       void *into)
{
	static const char *const choices[] = {"deny", "allow", NULL};
	struct case_draft *draft = into;
	int choice = 0, err;

	draft->has_expect = true;
	err = read_choice(reader, value, "expect", choices, &choice);
	draft->test->expect_allow = choice;
	return err;
}

static int read_home(struct reader *reader, const struct node *key, const struct node *value,
		     enum test_home *ret)
{
	static const char *const choices[] = {"self", "workload", "transit", NULL};
	int choice = 0, err;

	err = read_choice(reader, value, key->text, choices, &choice);
	*ret = HOME_SELF + choice;
	return err;
}

static int home_from(struct reader *reader, const struct node *key, const struct node *value,
		     void *into)
{
	return read_home(reader, key, value, &((struct case_draft *)into)->test->home_from);
}

static int home_to(struct reader *reader, const struct node *key, const struct node *value,
		   void *into)
{
	return read_home(reader, key, value, &((struct case_draft *)into)->test->home_to);
}

static const struct key home_keys[] = {{"from", home_from}, {"to", home_to}, {}};
const struct scope scope_home = {"home", home_keys};

static int test_home(struct reader *reader, const struct node *key, const struct node *value,
		     void *into)
{
	return read_map(reader, value, &scope_home, into);
}

static const struct key test_keys[] = {
    {"from", test_from},     {"to", test_to},	  {"port", test_port},
    {"expect", test_expect}, {"home", test_home}, {},
};
const struct scope scope_test = {"test", test_keys};

static int one_test(struct reader *reader, const struct node *key, const struct node *value,
		    void *into)
{
	struct policy *policy = reader->policy;
	struct case_draft draft = {};
	const char *missing;
	int err;

	draft.test = mem_append(&policy->test, &policy->nr_tests, sizeof(*draft.test));
	if (!draft.test)
		return -ENOMEM;
	draft.test->at = value->at;
	err = read_map(reader, value, &scope_test, &draft);
	if (err)
		return err;
	missing = !draft.has_from     ? "from"
		  : !draft.has_to     ? "to"
		  : !draft.has_port   ? "port"
		  : !draft.has_expect ? "expect"
				      : NULL;
	if (missing)
		return reject(reader, &value->at, "test: %s is missing", missing);
	return 0;
}

int read_tests(struct reader *reader, const struct node *key, const struct node *value, void *into)
{
	return read_list(reader, key, value, one_test, NULL);
}
