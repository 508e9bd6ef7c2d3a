// SPDX-License-Identifier: GPL-2.0-only
#include "cmd/naming.h"

#include <errno.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "audit/paths.h"
#include "base/mem.h"
#include "cmd/term.h"

#define QUICK_MS 400 /* so long nobody is told that anything is waited for */

/* ---- which names ---- */

const char *text_followed(enum item_kind kind, const char *name, char *buffer, size_t size)
{
	snprintf(buffer, size, "{%s: %s}", item_key(kind) ?: "?", name);
	return buffer;
}

static int count_one(void *arg, const struct item *item)
{
	++*(size_t *)arg;
	return 0;
}

size_t policy_follows(const struct policy *policy)
{
	size_t n = 0;

	policy_each_followed(policy, count_one, &n);
	return n;
}

/* ---- asking ---- */

static int open_by(int (*open)(const char *engine, const char *memory, struct followed **ret,
			       struct diag *diag),
		   const struct cmd_context *ctx, struct followed **ret, struct diag *diag)
{
	char path[PATH_MAX];
	int err = path_run(ctx->pin_dir, "names", path, sizeof(path));

	if (err)
		return diag_fail(diag, err, NULL, "no name for the state of %s", ctx->pin_dir);
	err = open(ctx->engine, path, ret, diag);
	return err == -EINVAL ? -EPROTONOSUPPORT : err; /* not the policy's fault */
}

int naming_open(const struct cmd_context *ctx, struct followed **ret, struct diag *diag)
{
	return open_by(names_open, ctx, ret, diag);
}

/* What has not answered yet, for people who wait. */
static int add_unanswered(void *arg, const struct name_state *state)
{
	char **text = arg, buffer[512];

	if (!state->known && !state->error)
		text_join(text, text_followed(state->kind, state->name, buffer, sizeof(buffer)));
	return 0;
}

static void say_waiting(struct followed *names, unsigned int wait_ms)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_free_ char *safe = NULL;
	struct engine_state engine = {};
	char wait[TEXT_LEN];

	if (!isatty(STDERR_FILENO))
		return;
	names_engine(names, &engine);
	if (engine.wanted && !engine.connected)
		text_join(&text, engine.socket);
	names_each(names, add_unanswered, &text);
	safe = term_safe(text ?: "names");
	fprintf(stderr, "weir: waiting up to %s for %s\n", text_span(wait_ms * 1000000ULL, wait),
		safe ?: "names");
}

int naming_ask(struct followed *names, const struct policy *policy, struct environment *env,
	       unsigned int wait_ms, bool patient, struct diag *diag)
{
	unsigned int quick = wait_ms < QUICK_MS ? wait_ms : QUICK_MS;
	int err = names_want(names, policy, diag);

	if (err) /* DOCKER_HOST may say what we cannot do: not the policy's fault */
		return err == -EINVAL ? -EPROTONOSUPPORT : err;
	err = wait_ms ? names_wait(names, quick) : 0;
	if (err == -ETIMEDOUT && wait_ms > quick) {
		if (patient)
			say_waiting(names, wait_ms);
		err = names_wait(names, wait_ms - quick);
	}
	if (err && err != -ETIMEDOUT)
		return diag_fail(diag, err, NULL, "names cannot be asked for: %s", strerror(-err));
	err = names_fill(names, env);
	return err ? diag_fail(diag, err, NULL, "out of memory") : 0;
}

/* ---- judging ---- */

struct judging {
	const struct policy *policy;
	bool engine_answers;
	struct diag *diag;
};

struct sought {
	enum item_kind kind;
	const char *name;
	const struct position *at;
};

static int is_sought(void *arg, const struct item *item)
{
	struct sought *sought = arg;

	if (item->kind != sought->kind || strcmp(item->name, sought->name) != 0)
		return 0;
	sought->at = &item->at;
	return 1;
}

static const struct position *place_of(const struct policy *policy, enum item_kind kind,
				       const char *name)
{
	struct sought sought = {kind, name, NULL};

	policy_each_followed(policy, is_sought, &sought);
	return sought.at;
}

static int judge_name(void *arg, const struct name_state *state)
{
	const struct judging *to = arg;
	const struct position *at = place_of(to->policy, state->kind, state->name);
	bool engines = state->kind != ITEM_NAME && state->kind != ITEM_UNIT;
	char text[512];

	text_followed(state->kind, state->name, text, sizeof(text));
	if (state->kind == ITEM_NAME && !state->known)
		return diag_fail(to->diag, -ENOENT, at, "%s has never been resolved: %s", text,
				 state->error ?: "no answer yet");
	/* Who stands for nobody is said where the policy is compiled, and of an engine that is gone, once. */
	if (!state->error || !state->n || (engines && !to->engine_answers))
		return 0;
	if (state->kind == ITEM_UNIT)
		diag_warn(to->diag, at, "%s stands for nobody now: %s", text, state->error);
	else
		diag_warn(to->diag, at, "%s: %s%s", text, state->error,
			  engines ? "" : "; the last answer counts");
	return 0;
}

static void judge_engine(const struct engine_state *engine, struct diag *diag)
{
	char since[TEXT_LEN];

	if (engine->since_ns)
		diag_warn(diag, NULL, "the engine at %s does not answer (%s): containers as of %s",
			  engine->socket, engine->error ?: "no answer yet",
			  text_clock(engine->since_ns, since));
	else
		diag_warn(diag, NULL,
			  "the engine at %s does not answer (%s): no container is known, those on "
			  "its networks stay closed until `weir run` hears from it",
			  engine->socket, engine->error ?: "no answer yet");
}

int naming_judge(struct followed *names, const struct policy *policy, struct diag *diag)
{
	struct judging to = {.policy = policy, .diag = diag};
	struct engine_state engine = {};

	names_engine(names, &engine);
	to.engine_answers = engine.connected;
	if (engine.wanted && !engine.connected)
		judge_engine(&engine, diag);
	return names_each(names, judge_name, &to);
}

int naming_recall(const struct cmd_context *ctx, const struct policy *policy,
		  struct environment *env, struct followed **ret_names, struct diag *diag)
{
	_cleanup_names_ struct followed *names = NULL;
	int err;

	if (ret_names)
		*ret_names = NULL;
	if (!policy_follows(policy))
		return 0;
	err = open_by(names_recall, ctx, &names, diag);
	if (!err)
		names_read_only(names);
	err = err ? err : naming_ask(names, policy, env, 0, false, diag);
	if (!err && ret_names)
		*ret_names = TAKE_PTR(names);
	return err;
}

/* ---- the names' part of an environment ---- */

void naming_swap(struct environment *a, struct environment *b)
{
	struct environment was = *a, *host[] = {a, b};
	const struct environment of[] = {was, *b};

	*a = *b;
	*b = was;
	for (size_t i = 0; i < ARRAY_SIZE(host); i++) {
		host[i]->interface = of[i].interface;
		host[i]->nr_interfaces = of[i].nr_interfaces;
		host[i]->forwarding4 = of[i].forwarding4;
		host[i]->forwarding6 = of[i].forwarding6;
		host[i]->tick_ns = of[i].tick_ns;
	}
}

struct fingerprint naming_digest(const struct environment *env)
{
	EVP_MD_CTX *hash = EVP_MD_CTX_new();
	struct fingerprint ret = {};

	if (hash && EVP_DigestInit_ex(hash, EVP_sha256(), NULL)) {
		for (size_t i = 0; i < env->nr_names; i++) {
			const struct env_name *name = &env->name[i];
			__u64 head[] = {name->kind, name->n};

			EVP_DigestUpdate(hash, head, sizeof(head));
			EVP_DigestUpdate(hash, name->name, strlen(name->name) + 1);
			EVP_DigestUpdate(hash, name->address, name->n * sizeof(*name->address));
		}
		EVP_DigestFinal_ex(hash, ret.byte, NULL);
	}
	EVP_MD_CTX_free(hash);
	return ret;
}

bool naming_same(const struct environment *a, const struct environment *b)
{
	if (a->nr_names != b->nr_names)
		return false;
	for (size_t i = 0; i < a->nr_names; i++) {
		const struct env_name *one = &a->name[i];
		const struct env_name *other = environment_name(b, one->kind, one->name);

		if (!other || other->n != one->n ||
		    memcmp(other->address, one->address, one->n * sizeof(*one->address)) != 0)
			return false;
	}
	return true;
}

int naming_copy_known(const struct environment *from, struct environment *to)
{
	to->name = calloc(from->nr_names + 1, sizeof(*to->name));
	if (!to->name)
		return -ENOMEM;
	for (size_t i = 0; i < from->nr_names; i++) {
		const struct env_name *name = &from->name[i];
		struct env_name *copy = &to->name[to->nr_names];

		if (!name->n)
			continue;
		*copy = (struct env_name){.kind = name->kind,
					  .n = name->n,
					  .known = name->known,
					  .name = strdup(name->name),
					  .address = calloc(name->n, sizeof(*name->address))};
		to->nr_names++;
		if (!copy->name || !copy->address)
			return -ENOMEM;
		memcpy(copy->address, name->address, name->n * sizeof(*name->address));
	}
	return 0;
}
