/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/containers.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/base/text.h"
#include "oci-hook/auto_json.h"
#include "oci-hook/names.h"
#include "oci-hook/quote.h"
#include "oci-hook/run.h"

#define CONTAINERS_TIMEOUT_MS 10000
#define CONTAINERS_OUTPUT_MAX (8u << 20)
#define CONTAINERS_PLACES_MAX 64

/*
 * Usual state directories. In each the runtime keeps one directory per
 * container, named as it is; so only those places are asked where the ID is.
 */
static const struct {
	const char *engine;
	const char *root;
	bool each; /* every directory in it is one, as containerd has one per namespace */
	bool ours; /* below $XDG_RUNTIME_DIR: rootless */
} usual_roots[] = {
	{ "crun", "/run/crun", false, false },
	{ "runc", "/run/runc", false, false },
	{ "runc", "/run/containerd/runc", true, false },
	{ "runc", "/run/docker/runtime-runc", true, false },
	{ "crun", "/run/docker/runtime-crun", true, false },
	{ "crun", "crun", false, true },
	{ "runc", "runc", false, true },
};

static const char *const engines[] = { "crun", "runc" };

static const struct {
	const char *status;
	const char *why_not; /* NULL: it can be given a device */
} statuses[] = {
	{ "created", NULL },
	{ "running", NULL },
	{ "creating", "is being created; a hook attaches at that time" },
	{ "paused", "is paused: it is frozen, and a device cannot be tried from inside" },
	{ "pausing", "is being paused" },
	{ "stopped", "is not running" },
};

/* One runtime with one state directory. */
struct place {
	const char *engine;
	char program[64];
	char root[PATH_MAX]; /* "": the runtime's default */
};

struct places {
	struct place rows[CONTAINERS_PLACES_MAX];
	size_t nr;
	char asked[128];  /* names, for people */
	char failed[192]; /* the first one that could not say */
};

/* A container that fits, and how many others there are. */
struct choice {
	struct container_row row;
	const struct place *place;
	bool exact;
	size_t nr;
	char all[160]; /* their IDs, for people */
};

void container_fini(struct container *c)
{
	close_fdp(&c->pidfd);
}

static bool row_parse(struct container_row *ret, struct json_object *o)
{
	const char *id = auto_json_text(o, "id"), *status = auto_json_text(o, "status");
	struct json_object *pid;

	if (!id || !status || !json_object_object_get_ex(o, "pid", &pid) ||
	    !json_object_is_type(pid, json_type_int))
		return false;
	if (!text_name_ok(id, sizeof(ret->id) - 1) || text_copy(ret->id, sizeof(ret->id), id) < 0 ||
	    text_copy(ret->status, sizeof(ret->status), status) < 0)
		return false;
	ret->pid = json_object_get_int(pid);
	return true;
}

int containers_parse(struct container_row **ret_rows, size_t *ret_nr, const char *text,
		     struct err *e)
{
	auto_free struct container_row *rows = NULL;
	auto_json struct json_object *list = NULL;
	enum json_tokener_error error;
	size_t nr = 0, most;

	list = json_tokener_parse_verbose(text, &error);
	if (!list && error != json_tokener_success)
		return err_set(e, EINVAL, "the list is not JSON: %s",
			       json_tokener_error_desc(error));
	/* runc prints null when there is none. */
	if (list && !json_object_is_type(list, json_type_array))
		return err_set(e, EINVAL, "the list is no JSON array");
	most = list ? json_object_array_length(list) : 0;
	rows = calloc(most + 1, sizeof(*rows));
	if (!rows)
		return err_sys(e, ENOMEM, "cannot keep the list");
	for (size_t i = 0; i < most; i++)
		nr += row_parse(&rows[nr], json_object_array_get_idx(list, i));
	*ret_rows = ptr_take(rows);
	*ret_nr = nr;
	return 0;
}

/* What a runtime prints for `list`, or for `state ID`. */
static int place_ask(const struct place *p, const char *id, int64_t deadline_ms, char **ret_text,
		     struct err *e)
{
	const char *argv[8] = { p->program };
	int timeout, nr = 1;

	if (*p->root) {
		argv[nr++] = "--root";
		argv[nr++] = p->root;
	}
	argv[nr++] = id ? "state" : "list";
	argv[nr++] = id ? id : "--format";
	argv[nr] = id ? NULL : "json";
	timeout = clock_left_ms(deadline_ms);
	if (timeout < 0 || timeout > CONTAINERS_TIMEOUT_MS)
		timeout = CONTAINERS_TIMEOUT_MS;
	return run_capture(argv, CONTAINERS_OUTPUT_MAX, timeout, ret_text, e);
}

static int place_list(const struct place *p, int64_t deadline_ms, struct container_row **ret_rows,
		      size_t *ret_nr, struct err *e)
{
	auto_free char *text = NULL;
	int r;

	r = place_ask(p, NULL, deadline_ms, &text, e);
	if (r < 0)
		return r;
	r = containers_parse(ret_rows, ret_nr, text, e);
	return r < 0 ? err_prefix(e, r, "%s", p->program) : 0;
}

static void places_add(struct places *ps, const char *engine, const char *program, const char *root)
{
	struct place *p = &ps->rows[ps->nr];

	if (ps->nr == ARRAY_SIZE(ps->rows) ||
	    text_copy(p->program, sizeof(p->program), program) < 0 ||
	    text_copy(p->root, sizeof(p->root), root) < 0)
		return;
	p->engine = engine;
	ps->nr++;
}

/* Is there an entry in dir whose name begins with id? */
static bool root_has(const char *dir_path, const char *id)
{
	auto_closedir DIR *dir = opendir(dir_path);
	struct dirent *d;

	while (dir && (d = readdir(dir))) {
		if (!strncmp(d->d_name, id, strlen(id)))
			return true;
	}
	return false;
}

static void places_add_each(struct places *ps, const char *engine, const char *program,
			    const char *parent, const char *id)
{
	auto_closedir DIR *dir = opendir(parent);
	struct dirent *d;

	while (dir && (d = readdir(dir))) {
		char root[PATH_MAX];

		if (d->d_name[0] != '.' &&
		    snprintf(root, sizeof(root), "%s/%s", parent, d->d_name) < (int)sizeof(root) &&
		    root_has(root, id))
			places_add(ps, engine, program, root);
	}
}

/* The usual roots of an engine where such a container is. */
static void places_add_usual(struct places *ps, const char *engine, const char *program,
			     const char *id)
{
	const char *runtime_dir = secure_getenv("XDG_RUNTIME_DIR");

	for (size_t i = 0; i < ARRAY_SIZE(usual_roots); i++) {
		char root[PATH_MAX];

		if (strcmp(usual_roots[i].engine, engine) != 0 ||
		    (usual_roots[i].ours && !runtime_dir))
			continue;
		snprintf(root, sizeof(root), "%s%s%s", usual_roots[i].ours ? runtime_dir : "",
			 usual_roots[i].ours ? "/" : "", usual_roots[i].root);
		if (usual_roots[i].each)
			places_add_each(ps, engine, program, root, id);
		else if (root_has(root, id))
			places_add(ps, engine, program, root);
	}
}

/* usual: only where the ID is to be seen; else the runtimes' own defaults. */
static int places_init(struct places *ps, const struct containers_query *q, const char *id,
		       bool usual, struct err *e)
{
	char program[64];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(engines); i++) {
		if (q->engine && strcmp(q->engine, engines[i]) != 0)
			continue;
		if (!run_find(engines[i], program, sizeof(program)))
			continue;
		n += (size_t)snprintf(ps->asked + n, sizeof(ps->asked) - n, "%s%s", n ? ", " : "",
				      engines[i]);
		if (usual && !q->root)
			places_add_usual(ps, engines[i], program, id);
		else
			places_add(ps, engines[i], program, q->root ? q->root : "");
	}
	if (n)
		return 0;
	if (q->engine)
		return err_set(e, ENOENT,
			       "the runtime %.32s is not known here, or not installed; "
			       "known are crun and runc",
			       q->engine);
	return err_set(e, ENOENT, "no runtime that could be asked is installed (crun, runc)");
}

static void choice_add(struct choice *c, const struct container_row *row, const struct place *place,
		       bool exact)
{
	size_t n = strlen(c->all);

	if (c->nr && c->exact == exact && c->row.pid == row->pid && !strcmp(c->row.id, row->id))
		return; /* the same, found through another root */
	if (c->nr && c->exact && !exact)
		return;
	if (exact && !c->exact) {
		c->nr = 0;
		n = 0;
	}
	snprintf(c->all + n, sizeof(c->all) - n, "%s%s (%s)", n ? ", " : "", row->id,
		 place->engine);
	if (!c->nr++) {
		c->row = *row;
		c->place = place;
		c->exact = exact;
	}
}

/* Asks everywhere; a runtime that cannot answer matters only if nobody knows the ID. */
static void choice_search(struct choice *c, struct places *ps, const char *id, int64_t deadline_ms)
{
	for (size_t i = 0; i < ps->nr; i++) {
		auto_free struct container_row *rows = NULL;
		struct err why;
		size_t nr = 0;

		if (place_list(&ps->rows[i], deadline_ms, &rows, &nr, &why) < 0) {
			if (!*ps->failed)
				quote_text(ps->failed, sizeof(ps->failed), why.text);
			continue;
		}
		for (size_t k = 0; k < nr; k++) {
			if (!strncmp(rows[k].id, id, strlen(id)))
				choice_add(c, &rows[k], &ps->rows[i], !rows[k].id[strlen(id)]);
		}
	}
}

static int status_check(const struct container_row *row, struct err *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		if (strcmp(row->status, statuses[i].status) != 0)
			continue;
		if (statuses[i].why_not)
			return err_set(e, ESRCH, "container %s %s", row->id, statuses[i].why_not);
		if (row->pid <= 0)
			return err_set(e, ESRCH, "container %s has no process", row->id);
		return 0;
	}
	return err_set(e, ESRCH, "container %s is in a state that is not known: %s", row->id,
		       row->status);
}

/* The pid may have been given to another process before pidfd_open(): is it still the one? */
static int container_pin(struct container *ret, const struct choice *c, int64_t deadline_ms,
			 struct err *e)
{
	auto_json struct json_object *state = NULL;
	struct container_row now;
	auto_free char *text = NULL;
	auto_close int pidfd = -1;
	int r;

	pidfd = (int)syscall(SYS_pidfd_open, c->row.pid, 0);
	if (pidfd < 0)
		return err_sys(e, errno, "cannot pin process %d of container %s", c->row.pid,
			       c->row.id);
	r = place_ask(c->place, c->row.id, deadline_ms, &text, e);
	if (r < 0)
		return r;
	state = json_tokener_parse(text);
	if (!row_parse(&now, state) || strcmp(now.id, c->row.id) != 0)
		return err_set(e, EINVAL, "%s does not tell the state of container %s",
			       c->place->program, c->row.id);
	r = status_check(&now, e);
	if (r < 0)
		return r;
	if (now.pid != c->row.pid)
		return err_set(e, ESRCH, "container %s was restarted just now; try again",
			       c->row.id);
	memcpy(ret->id, c->row.id, sizeof(ret->id));
	text_copy(ret->engine, sizeof(ret->engine), c->place->engine);
	ret->pid = c->row.pid;
	ret->pidfd = fd_take(&pidfd);
	return 0;
}

static int containers_search(struct choice *c, struct places *ps, const struct containers_query *q,
			     const char *id, int64_t deadline_ms, struct err *e)
{
	int r;

	for (int usual = 1; usual >= 0 && !c->nr; usual--) {
		memset(ps, 0, sizeof(*ps));
		r = places_init(ps, q, id, usual, e);
		if (r < 0)
			return r;
		choice_search(c, ps, id, deadline_ms);
	}
	return 0;
}

/* A whole ID counts more than a name, and that more than the beginning of an ID. */
static int containers_search_name(struct choice *c, struct places *ps,
				  const struct containers_query *q, const char *name,
				  int64_t deadline_ms, struct err *e)
{
	struct choice named = { 0 };
	char id[WIRE_CONTAINER_SIZE];
	int r;

	r = names_find(id, name, e);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	r = containers_search(&named, ps, q, id, deadline_ms, e);
	if (r < 0)
		return r;
	if (!named.nr)
		return err_set(e, ESRCH, "container %.60s (%.12s) is not running%s%s", name, id,
			       *ps->failed ? ", or who could say does not: " : "", ps->failed);
	*c = named;
	return 0;
}

int container_find(struct container *ret, const struct containers_query *q, const char *id,
		   struct err *e)
{
	int64_t deadline = clock_deadline_ms(q->timeout_ms);
	auto_free struct places *ps = calloc(1, sizeof(*ps));
	struct choice c = { 0 };
	char word[QUOTE_SIZE];
	int r;

	if (!ps)
		return err_sys(e, ENOMEM, "cannot look for the container");
	if (!text_name_ok(id, WIRE_CONTAINER_SIZE - 1))
		return err_set(e, EINVAL, "\"%s\" cannot be the ID of a container",
			       quote_text(word, sizeof(word), id));
	r = containers_search(&c, ps, q, id, deadline, e);
	if (r == 0 && !c.exact)
		r = containers_search_name(&c, ps, q, id, deadline, e);
	if (r < 0)
		return r;
	if (!c.nr && *ps->failed)
		return err_set(e, ENOENT,
			       "container %.60s is not known to %s; one could not say: %s", id,
			       ps->asked, ps->failed);
	if (!c.nr)
		return err_set(e, ENOENT,
			       "container %.60s is not known; asked were %s (--engine and --root "
			       "name others)",
			       id, ps->asked);
	if (c.nr > 1)
		return err_set(e, ENOTUNIQ, "container %.60s can be any of %s%s", id, c.all,
			       c.exact ? "; choose with --engine or --root" : "");
	r = status_check(&c.row, e);
	if (r < 0)
		return r;
	return container_pin(ret, &c, deadline, e);
}
