// SPDX-License-Identifier: GPL-2.0-only
/* Files to policy. */
#include "policy/model.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "policy/reader.h"

static const struct key policy_keys[] = {
    {"interfaces", read_interfaces},
    {"workloads", read_workloads},
    {"vlans", read_vlans},
    {"default", read_default},
    {"defaults", read_defaults},
    {"failsafe", read_failsafe},
    {"mode", read_mode},
    {"segments", read_segments},
    {"allow", read_allow},
    {"deny", read_deny},
    {"block", read_block},
    {"never_block", read_never_block},
    {"blocks_survive_reboot", read_survive},
    {"limits", read_limits},
    {"protect", read_protect},
    {"services", read_service_rules},
    {"timeouts", read_timeouts},
    {"audit", read_audit},
    {"tests", read_tests},
    {},
};
const struct scope scope_policy = {"policy", policy_keys};

static struct policy *policy_new(void)
{
	struct policy *policy = calloc(1, sizeof(*policy));

	if (!policy)
		return NULL;
	policy->timeouts = (struct timeouts){
	    .tcp = 7200,
	    .tcp_closing = 30,
	    .udp = 30,
	    .udp_stream = 120,
	    .icmp = 10,
	    .half_open = 30,
	};
	policy->audit.mask4 = policy->audit.mask6 = -1;
	policy->audit.events_per_second = 1000;
	policy->audit.per_source_per_second = 10;
	return policy;
}

static int reader_init(struct reader *reader, struct diag *diag)
{
	*reader = (struct reader){.diag = diag, .policy = policy_new(), .hash = EVP_MD_CTX_new()};
	return reader->policy && reader->hash ? 0 : -ENOMEM;
}

static void reader_release(struct reader *reader)
{
	policy_free(reader->policy);
	EVP_MD_CTX_free(reader->hash);
	free(reader->digests);
}

static int read_document(struct reader *reader, const struct node *root)
{
	if (root->kind == NODE_MAP)
		for (const struct node *key = root->child; key; key = key->next->next)
			if (!strcmp(key->text, "apiVersion") || !strcmp(key->text, "kind"))
				return reject(
				    reader, &key->at,
				    "NetworkPolicy and other Kubernetes documents are not supported yet");
	return read_map(reader, root, &scope_policy, NULL);
}

static int add_file(struct reader *reader, const char *name)
{
	struct policy *policy = reader->policy;
	char **slot = mem_append(&policy->file, &policy->nr_files, sizeof(*slot));

	if (!slot)
		return -ENOMEM;
	*slot = strdup(name);
	reader->file = *slot;
	return *slot ? 0 : -ENOMEM;
}

/* Add one file's text to the policy. */
static int read_text(struct reader *reader, const char *text, size_t len)
{
	struct tree *tree = NULL;
	int err;

	err = digest_begin(reader);
	if (!err)
		err = digest_add(reader, text, len);
	if (!err)
		err = digest_end(reader);
	if (!err)
		err = yaml_parse(text, len, reader->file, &tree, reader->diag);
	if (!err)
		err = read_document(reader, tree_root(tree));
	tree_free(tree);
	return err;
}

static int read_file(struct reader *reader, const char *path)
{
	_cleanup_free_ char *text = malloc(POLICY_MAX_BYTES + 1);
	_cleanup_close_ int opened = -1;
	struct position at = {};
	size_t len = 0;
	int fd = STDIN_FILENO;
	int err;

	if (!text || add_file(reader, path))
		return -ENOMEM;
	at.file = reader->file;
	if (strcmp(path, "-")) {
		fd = opened = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0) {
			err = -errno;
			return diag_fail(reader->diag, err, &at, "cannot be read: %s",
					 strerror(-err));
		}
	}
	err = file_slurp(fd, text, POLICY_MAX_BYTES, &len);
	if (err == -EFBIG)
		return diag_fail(reader->diag, err, &at, "is larger than %d bytes",
				 POLICY_MAX_BYTES);
	if (err)
		return diag_fail(reader->diag, err, &at, "cannot be read: %s", strerror(-err));
	return read_text(reader, text, len);
}

static int finish(struct reader *reader, struct policy **ret)
{
	struct policy *policy = reader->policy;
	int err = 0;

	if (reader->nr_digests == 1)
		memcpy(policy->sha256, reader->digests, sizeof(policy->sha256));
	else if (EVP_Digest(reader->digests, reader->nr_digests * sizeof(*reader->digests),
			    policy->sha256, NULL, EVP_sha256(), NULL) != 1)
		err = -ENOMEM;
	if (!err)
		err = policy_resolve(policy, reader->diag);
	if (!err)
		*ret = TAKE_PTR(reader->policy);
	return err;
}

int policy_parse(const char *const *paths, size_t n, struct policy **ret, struct diag *diag)
{
	struct reader reader;
	int err;

	if (!n)
		return diag_fail(diag, -EINVAL, NULL, "no policy file");
	err = reader_init(&reader, diag);
	for (size_t i = 0; i < n && !err; i++)
		err = read_file(&reader, paths[i]);
	if (!err)
		err = finish(&reader, ret);
	reader_release(&reader);
	return err;
}

static int parse_text(const char *text, size_t len, const char *name, bool outline,
		      struct policy **ret, struct diag *diag)
{
	struct position at = {.file = name};
	struct reader reader;
	int err;

	if (len > POLICY_MAX_TEXT)
		return diag_fail(diag, -EFBIG, &at, "is larger than %d bytes", POLICY_MAX_TEXT);
	err = reader_init(&reader, diag);
	reader.outline = outline;
	if (!err)
		err = add_file(&reader, name);
	if (!err)
		err = read_text(&reader, text, len);
	if (!err)
		err = finish(&reader, ret);
	reader_release(&reader);
	return err;
}

int policy_parse_text(const char *text, size_t len, const char *name, struct policy **ret,
		      struct diag *diag)
{
	return parse_text(text, len, name, false, ret, diag);
}

int policy_parse_outline(const char *text, size_t len, const char *name, struct policy **ret,
			 struct diag *diag)
{
	return parse_text(text, len, name, true, ret, diag);
}
