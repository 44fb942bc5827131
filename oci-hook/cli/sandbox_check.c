/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "oci-hook/cli/sandbox.h"
#include "targets/catalog.h"

/* What a worker needs and no more. */
#define CHECK_OPEN_FILES 64
#define CHECK_PROCESSES 4096
#define CHECK_MEMORY_ROOM_BYTES (UINT64_C(64) << 20)
#define CHECK_OOM_SCORE (-999)
#define CHECK_SECCOMP_FILTER 2 /* of /proc/PID/status */

/* Each predicate: is this value, which is there, as it must be? */
typedef bool check_value(struct json_object *value, const struct wire_details *d);

/* Real, effective, saved and filesystem id: the one the helper gave it, which is not root's. */
static bool check_ids(struct json_object *value, const struct wire_details *d)
{
	if (!d->device.worker_uid || json_object_array_length(value) != 4)
		return false;
	for (size_t i = 0; i < 4; i++) {
		if (json_object_get_int64(json_object_array_get_idx(value, i)) !=
		    (int64_t)d->device.worker_uid)
			return false;
	}
	return true;
}

static bool check_empty(struct json_object *value, const struct wire_details *d)
{
	return json_object_array_length(value) == 0;
}

static bool check_no_capability(struct json_object *value, const struct wire_details *d)
{
	const char *text = json_object_get_string(value);

	return *text && strspn(text, "0") == strlen(text);
}

static bool check_true(struct json_object *value, const struct wire_details *d)
{
	return json_object_get_boolean(value);
}

static bool check_false(struct json_object *value, const struct wire_details *d)
{
	return !json_object_get_boolean(value);
}

static bool check_filtered(struct json_object *value, const struct wire_details *d)
{
	return json_object_get_int64(value) == CHECK_SECCOMP_FILTER;
}

/* The worker's own; the helper's unit may have added some. */
static bool check_some(struct json_object *value, const struct wire_details *d)
{
	return json_object_get_int64(value) >= 1;
}

static bool check_zero(struct json_object *value, const struct wire_details *d)
{
	return json_object_is_type(value, json_type_int) && json_object_get_uint64(value) == 0;
}

static bool check_one(struct json_object *value, const struct wire_details *d)
{
	return json_object_get_uint64(value) == 1;
}

static bool check_at_most(struct json_object *value, uint64_t most)
{
	/* "unlimited" is no number. */
	return json_object_is_type(value, json_type_int) && json_object_get_uint64(value) <= most;
}

static bool check_file_size(struct json_object *value, const struct wire_details *d)
{
	return check_at_most(value,
			     d->device.flags & WIRE_READ_ONLY
				     ? 0
				     : catalog_file_bytes(d->device.target, d->device.size_bytes));
}

/* Its buffers, all of its backing, and room for the program and its ring. */
static bool check_memory(struct json_object *value, const struct wire_details *d)
{
	uint64_t buffers = (uint64_t)d->device.nr_queues * d->device.depth * d->max_io_bytes;

	return check_at_most(value,
			     buffers + catalog_file_bytes(d->device.target, d->device.size_bytes) +
				     CHECK_MEMORY_ROOM_BYTES);
}

static bool check_open_files(struct json_object *value, const struct wire_details *d)
{
	return check_at_most(value, CHECK_OPEN_FILES);
}

static bool check_processes(struct json_object *value, const struct wire_details *d)
{
	return check_at_most(value, CHECK_PROCESSES);
}

static bool check_oom_score(struct json_object *value, const struct wire_details *d)
{
	return json_object_get_int64(value) == CHECK_OOM_SCORE;
}

/* Nothing but a ring for each thread: what it serves is registered there. */
static bool check_rings_alone(struct json_object *value, const struct wire_details *d)
{
	const char *link;

	if (json_object_array_length(value) != show_threads(&d->device))
		return false;
	for (size_t i = 0; i < json_object_array_length(value); i++) {
		link = strchr(json_object_get_string(json_object_array_get_idx(value, i)), ':');
		if (!link || strcmp(link, ":anon_inode:[io_uring]") != 0)
			return false;
	}
	return true;
}

/* The one the helper made for this device; never the container's. */
static bool check_cgroup(struct json_object *value, const struct wire_details *d)
{
	uint64_t place = d->device.flags & WIRE_NO_CONTAINER ? 0 : d->container_mount_ns_inode;
	const char *path = json_object_get_string(value);
	char end[80];
	size_t n, length = strlen(path);

	n = (size_t)snprintf(end, sizeof(end), "/workers/%016" PRIx64 "-ublk%" PRIu32 "-%08" PRIx32,
			     place, d->device.dev_id, (uint32_t)d->device.generation);
	/* The second one, which a worker that took over from a living one is in. */
	if (length > 2 && !strcmp(path + length - 2, "-b"))
		length -= 2;
	return length >= n && !strncmp(path + length - n, end, n);
}

static struct json_object *check_member(struct json_object *o, const char *key)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(o, key, &value);
	return value;
}

static bool check_not_host(struct json_object *value, const struct wire_details *d)
{
	return !json_object_get_boolean(check_member(value, "host"));
}

/* Empty ones are shared among workers; these hold a worker itself. */
static bool check_alone(struct json_object *value, const struct wire_details *d)
{
	return check_not_host(value, d) &&
	       json_object_get_uint64(check_member(value, "other_workers")) == 0;
}

static const struct {
	const char *group; /* NULL: the worker itself */
	const char *key;
	check_value *ok;
} checks[] = {
	{ NULL, "uids", check_ids },
	{ NULL, "gids", check_ids },
	{ NULL, "groups", check_empty },
	{ "capabilities", "inheritable", check_no_capability },
	{ "capabilities", "permitted", check_no_capability },
	{ "capabilities", "effective", check_no_capability },
	{ "capabilities", "bounding", check_no_capability },
	{ "capabilities", "ambient", check_no_capability },
	{ NULL, "no_new_privs", check_true },
	{ NULL, "seccomp", check_filtered },
	{ NULL, "seccomp_filters", check_some },
	{ NULL, "unlike_threads", check_zero },
	{ "namespaces", "mnt", check_not_host },
	{ "namespaces", "net", check_not_host },
	{ "namespaces", "ipc", check_not_host },
	{ "namespaces", "uts", check_not_host },
	{ "namespaces", "user", check_alone },
	{ "namespaces", "pid", check_alone },
	{ "limits", "file_size_bytes", check_file_size },
	{ "limits", "core_bytes", check_zero },
	{ "limits", "open_files", check_open_files },
	{ "limits", "processes", check_processes },
	{ "limits", "memory_bytes", check_memory },
	/* Not limited, so that all it needs can be locked in memory: memory_bytes holds for that.
	 */
	{ "limits", "locked_bytes", NULL },
	{ NULL, "dumpable", check_false },
	{ NULL, "oom_score_adj", check_oom_score },
	{ NULL, "cgroup", check_cgroup },
	{ NULL, "mounts", check_one },
	{ NULL, "root", check_empty },
	{ NULL, "fds", check_rings_alone },
	{ NULL, "environment_bytes", check_zero },
};

/* "a, b, c", cut where the reason ends. */
static void check_words(struct json_object *list, char text[ERR_TEXT_SIZE])
{
	size_t n = 0;

	*text = '\0';
	for (size_t i = 0; i < json_object_array_length(list) && n < ERR_TEXT_SIZE; i++)
		n += (size_t)snprintf(text + n, ERR_TEXT_SIZE - n, "%s%s", i ? ", " : "",
				      json_object_get_string(json_object_array_get_idx(list, i)));
}

int sandbox_check(struct json_object *worker, const struct wire_details *d, struct err *e)
{
	struct json_object *faults = json_object_new_array(), *unseen = json_object_new_array();
	char name[64], text[ERR_TEXT_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		const char *group = checks[i].group;
		struct json_object *at = group ? check_member(worker, group) : worker;
		struct json_object *value = at ? check_member(at, checks[i].key) : NULL;

		if (value && (!checks[i].ok || checks[i].ok(value, d)))
			continue;
		snprintf(name, sizeof(name), "%s%s%s", group ? group : "", group ? "." : "",
			 checks[i].key);
		json_object_array_add(value ? faults : unseen, json_object_new_string(name));
	}
	json_object_object_add(worker, "faults", faults);
	json_object_object_add(worker, "unseen", unseen);
	if (json_object_array_length(faults)) {
		check_words(faults, text);
		return err_set(e, EPERM,
			       "the worker of ublkb%" PRIu32 " is not sealed as it must be: %s",
			       d->device.dev_id, text);
	}
	if (json_object_array_length(unseen)) {
		check_words(unseen, text);
		return err_set(e, EACCES,
			       "not all of the worker of ublkb%" PRIu32
			       " can be seen with these rights, root's are needed: %s",
			       d->device.dev_id, text);
	}
	return 0;
}
