/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/policy.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "driver/base/num.h"

#define IDS_FIELDS 4 /* of a line, as far as they matter */

struct ids {
	uint64_t first;
	uint64_t last;
};

static bool ids_overlap(const struct ids *a, const struct ids *b)
{
	return a->first <= b->last && b->first <= a->last;
}

/* Where a line, split at ':', names ids. No such field: -1. */
struct ids_column {
	const char *file;
	int first;
	int count;
};

static const struct ids_column columns[] = {
	{ "passwd", 2, -1 }, { "passwd", 3, -1 }, { "group", 2, -1 },
	{ "subuid", 1, 2 },  { "subgid", 1, 2 },
};

/* What the line gives away; false when that is nothing. */
static bool line_ids(const char *line, const struct ids_column *column, struct ids *ret)
{
	char numbers[IDS_FIELDS][24] = { "" };
	uint64_t count = 1;
	size_t n;

	for (size_t i = 0; i < IDS_FIELDS && *line; i++) {
		n = strcspn(line, ":\n");
		snprintf(numbers[i], sizeof(numbers[i]), "%.*s", (int)n, line);
		line += n + (line[n] == ':');
	}
	if (num_parse_u64(numbers[column->first], UINT32_MAX, &ret->first))
		return false;
	if (column->count >= 0 && num_parse_u64(numbers[column->count], UINT32_MAX, &count))
		return false;
	ret->last = ret->first + count - 1;
	return count;
}

static int file_check_ids(const struct ids *worker, const char *dir,
			  const struct ids_column *column, struct err *e)
{
	char path[PATH_MAX];
	auto_fclose FILE *f = NULL;
	auto_free char *line = NULL;
	size_t size = 0;
	struct ids taken;

	snprintf(path, sizeof(path), "%s/%s", dir, column->file);
	f = fopen(path, "re");
	if (!f && errno == ENOENT)
		return 0;
	if (!f)
		return err_sys(e, errno, "%s", path);
	for (unsigned int number = 1; getline(&line, &size, f) >= 0; number++) {
		if (line_ids(line, column, &taken) && ids_overlap(worker, &taken))
			return err_set(e, EEXIST,
				       "worker_ids: %" PRIu64 " to %" PRIu64 " must be nobody "
				       "else's, but %s, line %u gives away %" PRIu64 " to %" PRIu64,
				       worker->first, worker->last, path, number, taken.first,
				       taken.last);
	}
	if (ferror(f))
		return err_sys(e, errno, "%s", path);
	return 0;
}

/* systemd's document UIDS-GIDS, and uid-classification.h of its source. */
static const struct {
	struct ids ids;
	const char *whose;
} reserved[] = {
	{ { 60001, 60513 }, "home directories" },
	{ { 60514, 60577 }, "users mapped into containers" },
	{ { 60578, 60705 }, "greeters" },
	{ { 61184, 65519 }, "dynamic users" },
	{ { 524288, 1879048191 }, "containers" },
	{ { 2147352576, 2147418111 }, "foreign files" },
};

int policy_check_ids(const struct policy *p, const char *etc_dir, struct err *e)
{
	const struct ids worker = {
		.first = policy_worker_ids_first(p),
		.last = (uint64_t)policy_worker_ids_first(p) + policy_worker_ids_count(p) - 1,
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(reserved); i++) {
		if (ids_overlap(&worker, &reserved[i].ids))
			return err_set(e, EEXIST,
				       "worker_ids: %" PRIu64 " to %" PRIu64 " must be nobody "
				       "else's, but systemd has %" PRIu64 " to %" PRIu64
				       " for %s; free by its documents are 1879048192 to "
				       "2147352575",
				       worker.first, worker.last, reserved[i].ids.first,
				       reserved[i].ids.last, reserved[i].whose);
	}
	for (size_t i = 0; i < ARRAY_SIZE(columns) && !r; i++)
		r = file_check_ids(&worker, etc_dir, &columns[i], e);
	return r;
}
