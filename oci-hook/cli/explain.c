/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/cli/explain.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/num.h"
#include "driver/base/text.h"
#include "oci-hook/cli/cli.h"
#include "oci-hook/cli/explain_show.h"
#include "oci-hook/keys_check.h"
#include "oci-hook/keys_set.h"
#include "oci-hook/quote.h"

#define EXPLAIN_ID_MAX (UINT32_MAX - 1) /* 2^32 - 1 means "no id" to the kernel */

enum explain_option {
	OPTION_NONE,
	OPTION_UID,
	OPTION_GID,
	OPTION_POLICY,
	OPTION_JSON,
	OPTION_HOST,
	OPTION_AHEAD,
	OPTION_CGROUP,
	OPTION_OWNER,
	OPTION_BACKING_OWNER,
	OPTION_DEVICES_IN_CONTAINER,
	OPTION_BYTES_IN_CONTAINER,
	OPTION_DEVICES,
	OPTION_BYTES,
	OPTION_POOL,
	OPTION_ADDRESS,
	OPTION_ZERO_COPY,
	OPTION_READ_ONLY,
	OPTION_CONTAINER,
	OPTION_ENGINE,
	OPTION_ROOT,
	OPTION_END,
};

/*
 * --uid and --gid are the caller's before the act and the node's behind it, as for
 * attach; the options in the middle of this list are taken at both places.
 */
static const struct cli_option explain_options[] = {
	{ "uid", "NAME|N", OPTION_UID, "who asks; default: you" },
	{ "gid", "NAME|N", OPTION_GID,
	  "a group of theirs, may be repeated; default: all they have" },
	/* at both places from here */
	{ "policy", "FILE", OPTION_POLICY, "default " POLICY_FILE },
	{ "json", NULL, OPTION_JSON, "the result as JSON" },
	{ "host", NULL, OPTION_HOST, "no container: a device for the host" },
	{ "ahead", NULL, OPTION_AHEAD, "a device made ahead: its container is not known yet" },
	{ "cgroup", "PATH", OPTION_CGROUP, "the container's, from the root of the hierarchy" },
	{ "owner", "NAME|N", OPTION_OWNER, "of the container's user namespace; default: who asks" },
	{ "backing-owner", "NAME|N", OPTION_BACKING_OWNER,
	  "of the backing file; default: the owner it has" },
	{ "devices-in-container", "N", OPTION_DEVICES_IN_CONTAINER,
	  "devices the container has already; default 0" },
	{ "bytes-in-container", "BYTES", OPTION_BYTES_IN_CONTAINER, "their size; default 0" },
	{ "devices", "N", OPTION_DEVICES, "devices there are at all; default 0" },
	{ "bytes", "BYTES", OPTION_BYTES, "their size; default 0" },
	/* behind the act only from here */
	{ "read-only", NULL, OPTION_READ_ONLY, "short for --access ro" },
	{ "pool", "NAME", OPTION_POOL, "the pool of the volume" },
	{ "address", "ADDRESS", OPTION_ADDRESS, "of the server, unix:PATH or tcp:HOST:PORT" },
	{ "zero-copy", NULL, OPTION_ZERO_COPY, "data is not copied on its way to the worker" },
	{ "container", "ID", OPTION_CONTAINER, "as for attach; not looked for" },
	{ "engine", "NAME", OPTION_ENGINE, "as for attach; says nothing here" },
	{ "root", "DIR", OPTION_ROOT, "as for attach; says nothing here" },
};

#define EXPLAIN_WHO 2	 /* options of that list that are about who asks */
#define EXPLAIN_WHERE 13 /* and with the next ones, that are taken before the act */

#define EXPLAIN_FORMS                                                                              \
	"policy explain [OPTION]... attach --target NAME [OPTION OF ATTACH]...\n"                  \
	"policy explain [OPTION]... mount|resize|snapshot|delete|create --target NAME [OPTION]..."

static const struct cli_page who_page = {
	.command = "policy explain",
	.synopsis = EXPLAIN_FORMS,
	.about = "Says which rule decides this request, and what each rule before it lacks.\n"
		 "What may follow the act: " CLI_NAME " policy explain attach --help",
	.options = explain_options,
	.nr_options = EXPLAIN_WHERE,
	.first_word = true,
};

static const struct cli_page what_page = {
	.command = "policy explain attach",
	.synopsis = EXPLAIN_FORMS,
	.about = "What is asked for, as for " CLI_NAME " attach, and what the helper would find.",
	.options = explain_options + EXPLAIN_WHO,
	.nr_options = ARRAY_SIZE(explain_options) - EXPLAIN_WHO,
	.keys = true,
};

static const char *const acts[POLICY_ACT_END] = {
	[POLICY_ATTACH] = "attach",	[POLICY_MOUNT] = "mount",   [POLICY_RESIZE] = "resize",
	[POLICY_SNAPSHOT] = "snapshot", [POLICY_DELETE] = "delete", [POLICY_CREATE] = "create",
};

const char *explain_act(unsigned int act)
{
	return act < POLICY_ACT_END ? acts[act] : NULL;
}

/* --- options ----------------------------------------------------------------- */

static int find_id(const char *value, int (*find)(const char *name, uint32_t *ret_id),
		   uint32_t *ret, struct err *e)
{
	char word[QUOTE_SIZE];
	uint64_t n = 0;
	int r;

	quote_text(word, sizeof(word), value);
	if (!num_parse_u64(value, EXPLAIN_ID_MAX, &n)) {
		*ret = (uint32_t)n;
		return 0;
	}
	r = find(value, ret);
	if (r == -ENOENT)
		return err_set(e, ENOENT, "\"%s\" is neither a name nor a number here", word);
	return r < 0 ? err_sys(e, -r, "cannot look up \"%s\"", word) : 0;
}

static int set_uid(void *field, const char *value, struct err *e)
{
	return find_id(value, policy_names_system.find_user, field, e);
}

static int set_flag(void *field, const char *value, struct err *e)
{
	*(bool *)field = true;
	return 0;
}

static int set_text(void *field, const char *value, struct err *e)
{
	if (!*value)
		return err_set(e, EINVAL, "it is empty");
	*(const char **)field = value;
	return 0;
}

static int set_path(void *field, const char *value, struct err *e)
{
	if (*value != '/')
		return err_set(e, EINVAL, "it has to begin with /");
	return set_text(field, value, e);
}

static int set_count(void *field, const char *value, struct err *e)
{
	char word[QUOTE_SIZE];
	uint64_t n = 0;

	if (num_parse_u64(value, UINT32_MAX, &n) < 0)
		return err_set(e, EINVAL, "\"%s\" is not a number",
			       quote_text(word, sizeof(word), value));
	*(unsigned int *)field = (unsigned int)n;
	return 0;
}

static int set_bytes(void *field, const char *value, struct err *e)
{
	char word[QUOTE_SIZE];

	if (num_parse_size(value, field) < 0)
		return err_set(e, EINVAL, "\"%s\" is not a size; write 64M or 10G",
			       quote_text(word, sizeof(word), value));
	return 0;
}

static int set_nothing(void *field, const char *value, struct err *e)
{
	return 0;
}

#define FACT(set, member)                                                                          \
	{                                                                                          \
		set, offsetof(struct explain, member)                                              \
	}

/* Where an option goes; the others have code of their own in explain_set(). */
static const struct {
	int (*set)(void *field, const char *value, struct err *e);
	size_t off;
} facts[OPTION_END] = {
	[OPTION_UID] = FACT(set_uid, claim.uid),
	[OPTION_POLICY] = FACT(set_text, policy),
	[OPTION_JSON] = FACT(set_flag, json),
	[OPTION_HOST] = FACT(set_flag, claim.host),
	[OPTION_AHEAD] = FACT(set_flag, claim.ahead),
	[OPTION_CGROUP] = FACT(set_path, claim.cgroup),
	[OPTION_OWNER] = FACT(set_uid, claim.owner_uid),
	[OPTION_BACKING_OWNER] = FACT(set_uid, claim.backing_uid),
	[OPTION_DEVICES_IN_CONTAINER] = FACT(set_count, claim.devices_in_container),
	[OPTION_BYTES_IN_CONTAINER] = FACT(set_bytes, claim.bytes_in_container),
	[OPTION_DEVICES] = FACT(set_count, claim.devices_in_all),
	[OPTION_BYTES] = FACT(set_bytes, claim.bytes_in_all),
	[OPTION_POOL] = FACT(set_text, claim.pool),
	[OPTION_ADDRESS] = FACT(set_text, claim.address),
	[OPTION_ZERO_COPY] = FACT(set_flag, claim.zero_copy),
	[OPTION_CONTAINER] = FACT(set_nothing, claim),
	[OPTION_ENGINE] = FACT(set_nothing, claim),
	[OPTION_ROOT] = FACT(set_nothing, claim),
};

static int add_gid(struct explain *x, const char *value, struct err *e)
{
	if (x->nr_gids == EXPLAIN_GIDS_MAX)
		return err_set(e, E2BIG, "more than %d groups", EXPLAIN_GIDS_MAX);
	return find_id(value, policy_names_system.find_group, &x->gids[x->nr_gids++], e);
}

static const char *option_name(int code)
{
	for (size_t i = 0; i < ARRAY_SIZE(explain_options); i++) {
		if (explain_options[i].code == code)
			return explain_options[i].name;
	}
	return "";
}

static int explain_set(struct explain *x, int code, const char *value, struct err *e)
{
	int r;

	if (code > CLI_KEY_CODE)
		return keys_set(&x->keys, (enum catalog_key)(code - CLI_KEY_CODE), value, e);
	if (code == OPTION_READ_ONLY)
		return keys_set(&x->keys, KEY_ACCESS, "ro", e);
	if (code == OPTION_GID)
		r = add_gid(x, value, e);
	else
		r = facts[code].set((char *)x + facts[code].off, value, e);
	x->uid_given |= code == OPTION_UID;
	x->owner_given |= code == OPTION_OWNER;
	x->backing_owner_given |= code == OPTION_BACKING_OWNER;
	return err_prefix(e, r, "--%s", option_name(code));
}

/* The options of one of the two pages. CLI_DONE, or the exit status when *ret_leave is set. */
static int explain_options_take(struct explain *x, const struct cli_page *page, int argc,
				char **argv, bool *ret_leave)
{
	int c, status = CLI_DONE;
	struct err e;

	*ret_leave = true;
	while ((c = cli_next(page, argc, argv, &status)) != 0) {
		if (c < 0)
			return status;
		if (explain_set(x, c, optarg, &e) < 0)
			return cli_misuse(page, "%s", e.text);
	}
	*ret_leave = false;
	return CLI_DONE;
}

static int explain_parse(struct explain *x, int argc, char **argv, bool *ret_leave)
{
	unsigned int act = 0;
	int status;

	status = explain_options_take(x, &who_page, argc, argv, ret_leave);
	if (*ret_leave)
		return status;
	*ret_leave = true;
	while (optind < argc && act < POLICY_ACT_END && strcmp(argv[optind], acts[act]) != 0)
		act++;
	if (optind == argc || act == POLICY_ACT_END)
		return cli_misuse(&who_page,
				  "expected what is asked for: attach, mount, resize, snapshot, "
				  "delete or create, and its options behind it");
	x->claim.act = (enum policy_act)act;
	argc -= optind;
	argv += optind;
	optind = 0; /* getopt starts anew */
	status = explain_options_take(x, &what_page, argc, argv, ret_leave);
	if (*ret_leave)
		return status;
	*ret_leave = optind < argc;
	return *ret_leave ? cli_misuse(&what_page, "there is one word too many") : CLI_DONE;
}

/* --- who asks ---------------------------------------------------------------- */

static_assert(sizeof(gid_t) == sizeof(uint32_t), "groups are what the kernel calls groups");

/* Who runs this, as the kernel says. */
static int who_self(struct explain *x, struct err *e)
{
	int n;

	x->claim.uid = getuid();
	if (x->nr_gids)
		return 0;
	n = getgroups(EXPLAIN_GIDS_MAX - 1, x->gids + 1);
	if (n < 0)
		return err_sys(e, errno, "cannot learn your groups");
	x->gids[0] = getgid();
	x->nr_gids = 1 + (size_t)n;
	return 0;
}

/* The groups somebody has after logging in. Nobody we know has none. */
static int who_groups(struct explain *x, struct err *e)
{
	int n = EXPLAIN_GIDS_MAX;
	struct passwd *pw;

	if (x->nr_gids)
		return 0;
	pw = getpwuid(x->claim.uid);
	if (!pw)
		return 0;
	if (getgrouplist(pw->pw_name, pw->pw_gid, x->gids, &n) < 0)
		return err_set(e, E2BIG, "more than %d groups", EXPLAIN_GIDS_MAX);
	x->nr_gids = (size_t)n;
	return 0;
}

static int who_find(struct explain *x, struct err *e)
{
	int r;

	r = x->uid_given ? who_groups(x, e) : who_self(x, e);
	if (r < 0)
		return r;
	x->claim.gids = x->gids;
	x->claim.nr_gids = x->nr_gids;
	if (!x->owner_given)
		x->claim.owner_uid = x->claim.uid;
	return 0;
}

/* --- what is asked for ------------------------------------------------------- */

/* 0 if it cannot be learned: a block device has to be nobody's business but the kernel's. */
static uint64_t backing_bytes(const struct stat *st)
{
	unsigned long long sectors = 0;
	auto_fclose FILE *f = NULL;
	char path[64];

	if (S_ISREG(st->st_mode))
		return (uint64_t)st->st_size;
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/size", major(st->st_rdev),
		 minor(st->st_rdev));
	f = S_ISBLK(st->st_mode) ? fopen(path, "re") : NULL;
	if (!f || fscanf(f, "%llu", &sectors) != 1)
		return 0;
	return (uint64_t)sectors << 9;
}

/* What a file that is there says of itself; of one that is not, what was said of it. */
static int backing_look(struct explain *x, struct err *e)
{
	const char *given = x->keys.backing;
	bool written = false;
	char word[QUOTE_SIZE];
	struct stat st;

	quote_text(word, sizeof(word), given);
	x->claim.backing = x->backing;
	if (realpath(given, x->backing) && !stat(x->backing, &st)) {
		if (!x->claim.size_bytes)
			x->claim.size_bytes = backing_bytes(&st);
		if (!x->backing_owner_given)
			x->claim.backing_uid = st.st_uid;
		written |= st.st_mode & (S_ISREG(st.st_mode) ? S_IWGRP | S_IWOTH : S_IWOTH);
	} else if (*given != '/') {
		return err_sys(e, errno, "backing: cannot look at \"%s\"; give its whole path",
			       word);
	} else {
		text_copy(x->backing, sizeof(x->backing), given);
		if (!x->backing_owner_given) {
			x->claim.backing_uid = x->claim.uid;
			snprintf(x->note, sizeof(x->note),
				 "cannot look at %s: taken as it is written, and as owned by who "
				 "asks",
				 word);
		}
	}
	if (x->claim.act == POLICY_MOUNT)
		x->claim.raw_writers |= written || x->claim.backing_uid != 0;
	return 0;
}

/* What a delta is over gives the size; whose it is does not matter. */
static int base_look(struct explain *x, struct err *e)
{
	const char *given = x->keys.base;
	char word[QUOTE_SIZE];
	struct stat st;

	x->claim.base = x->base;
	if (realpath(given, x->base) && !stat(x->base, &st)) {
		if (!x->claim.size_bytes)
			x->claim.size_bytes = backing_bytes(&st);
		return 0;
	}
	if (*given != '/')
		return err_sys(e, errno, "base: cannot look at \"%s\"; give its whole path",
			       quote_text(word, sizeof(word), given));
	text_copy(x->base, sizeof(x->base), given);
	return 0;
}

/* An attach that mounts is decided as a mount. */
static void what_mounts(struct explain *x)
{
	const struct attach_options *keys = &x->keys;

	if (keys->given[KEY_MOUNT])
		x->claim.mount_path = keys->path;
	if (keys->given[KEY_FS])
		x->claim.mount_filesystem = catalog_filesystem(keys->filesystem);
	if (x->claim.act == POLICY_ATTACH && keys->given[KEY_MOUNT] && keys->given[KEY_FS])
		x->claim.act = POLICY_MOUNT;
	x->claim.raw_writers =
		x->claim.act == POLICY_MOUNT && (x->claim.uid != 0 || x->claim.address);
}

static int what_find(struct explain *x, struct err *e)
{
	const struct attach_options *keys = &x->keys;
	struct policy_claim *claim = &x->claim;
	struct attach_options asked = { .target = keys->target };
	int r;

	/* Where it is in the container, and whose its node is there, is no rule's business. */
	asked.given[KEY_BACKING] = keys->given[KEY_BACKING];
	/* Of a volume its pool stands for the file. */
	if (claim->pool && catalog_target(keys->target) && catalog_target(keys->target)->nr_fds)
		asked.given[KEY_BACKING] = true;
	asked.given[KEY_BASE] = keys->given[KEY_BASE];
	asked.given[KEY_SIZE] = keys->given[KEY_SIZE];
	asked.given[KEY_FORMAT] = keys->given[KEY_FORMAT];
	claim->format = keys->format;
	asked.given[KEY_BASE_FORMAT] = keys->given[KEY_BASE_FORMAT];
	claim->base_format = keys->base_format;
	asked.given[KEY_NBD] = keys->given[KEY_NBD] || claim->address;
	r = keys_check(&asked, true, e);
	if (r < 0)
		return r;
	claim->target = keys->target;
	if (keys->given[KEY_NBD])
		claim->address = keys->address;
	claim->read_only = keys->read_only;
	claim->zero_copy |= !!(keys->path_flags & WIRE_ZERO_COPY);
	claim->size_bytes = keys->size_bytes;
	claim->nr_queues = keys->nr_queues ? keys->nr_queues : EXPLAIN_QUEUES;
	claim->depth = keys->depth ? keys->depth : EXPLAIN_DEPTH;
	what_mounts(x);
	r = keys->given[KEY_BASE] ? base_look(x, e) : 0;
	if (!r && keys->given[KEY_BACKING])
		r = backing_look(x, e);
	if (!r && !claim->size_bytes)
		r = err_set(e, EINVAL, "the size cannot be learned here; give --size");
	return r;
}

/* Without an answer the exit status is not that of a refusal. */
static int explain_decide(struct explain *x)
{
	auto_policy struct policy *policy = NULL;
	struct err e;
	bool allowed;

	if (policy_load(&policy, x->policy, getuid(), &policy_names_system, &e) < 0) {
		cli_fail(&who_page, &e);
		return CLI_USAGE;
	}
	allowed = explain_show(x, policy);
	if (cli_end(&who_page) != CLI_DONE)
		return CLI_USAGE;
	return allowed ? CLI_DONE : CLI_FAILED;
}

int explain_main(int argc, char **argv)
{
	auto_free struct explain *x = calloc(1, sizeof(*x));
	struct err e;
	bool leave;
	int status;

	if (!x)
		return CLI_FAILED;
	x->policy = POLICY_FILE;
	keys_init(&x->keys);
	status = explain_parse(x, argc, argv, &leave);
	if (leave)
		return status;
	if (who_find(x, &e) < 0 || what_find(x, &e) < 0)
		return cli_misuse(&who_page, "%s", e.text);
	return explain_decide(x);
}
