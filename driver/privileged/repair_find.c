/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/repair.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "driver/base/log.h"
#include "driver/base/text.h"
#include "driver/privileged/cdi.h"
#include "driver/privileged/cgroup.h"
#include "driver/privileged/devfilter.h"
#include "driver/privileged/keep.h"
#include "driver/privileged/node_find.h"
#include "driver/privileged/stats_file.h"
#include "driver/privileged/ublk_ctl.h"

/* A helper that starts makes callers wait for who changes filters only so long. */
#define REPAIR_START_MS 300
#define REPAIR_ASKED_MS 5000

struct repair_search {
	struct orphans *out;
	const struct op *op;
	struct ublk_ctl *ctl; /* NULL: there is no driver */
	bool start;
	struct err e; /* why the last question was not answered */
};

void orphans_fini(struct orphans *o)
{
	free(o->list);
}

static bool repair_same(const struct orphan *a, const struct orphan *b)
{
	return a->key.kind == b->key.kind && a->key.generation == b->key.generation &&
	       a->key.major == b->key.major && a->key.minor == b->key.minor &&
	       a->key.cgroup_inode == b->key.cgroup_inode && a->pid == b->pid &&
	       a->ns_inode == b->ns_inode && !strcmp(a->path, b->path);
}

static int repair_add(struct repair_search *s, const struct orphan *o, const struct device *d)
{
	struct orphans *out = s->out;
	struct orphan *more = out->list;

	for (size_t i = 0; i < out->nr; i++) {
		if (repair_same(&out->list[i], o))
			return 0; /* two levels of one filter */
	}
	if (out->nr == WIRE_ORPHANS_MAX) {
		out->more = true;
		return 0;
	}
	if (!(out->nr & (out->nr - 1))) /* doubles whenever it is full */
		more = reallocarray(out->list, out->nr ? 2 * out->nr : 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	out->list = more;
	out->list[out->nr] = *o;
	orphan_describe(&out->list[out->nr++], d);
	return 0;
}

/* It was seen; whose it is is asked now. */
static int repair_judge(struct repair_search *s, const struct orphan *o)
{
	int r;

	if (orphan_owned(s->op->registry, &o->key))
		return 0;
	r = op_owned(s->op, &o->key, &s->e);
	if (r < 0)
		log_error("%s", s->e.text);
	return r == 0 ? repair_add(s, o, NULL) : r < 0 ? r : 0;
}

/* --- one kind after the other -------------------------------------------------------------- */

static int repair_find_records(struct repair_search *s, struct err *e)
{
	const struct registry *reg = s->op->registry;
	int r = 0;

	for (size_t i = 0; i < reg->nr_devices && r == 0; i++) {
		const struct device *d = reg->devices[i];
		struct orphan o = {
			.key = { WIRE_ORPHAN_RECORD, .generation = d->rec.generation },
			.dev_id = d->rec.dev_id,
		};

		if (orphan_abandoned(d))
			r = repair_add(s, &o, d);
	}
	return r < 0 ? err_sys(e, -r, "cannot list records") : 0;
}

static int repair_found_filter(void *arg, uint64_t cgroup_inode, uint32_t major, uint32_t minor)
{
	return repair_judge(arg,
			    &(struct orphan){
				    .key = { WIRE_ORPHAN_FILTER, major, minor, 0, cgroup_inode },
			    });
}

static int repair_find_filters(struct repair_search *s, struct err *e)
{
	return devfilter_each(s->op->helper->filter_dir,
			      op_left_ms(s->op, s->start ? REPAIR_START_MS : REPAIR_ASKED_MS),
			      repair_found_filter, s, e);
}

static int repair_found_node(void *arg, const struct node_id *id)
{
	struct orphan o = {
		.key = { WIRE_ORPHAN_NODE, id->major, id->minor, 0, 0 },
	};

	if (id->claim)
		o.key.generation = RECORD_GENERATION_MARK << 32 | id->claim;
	return repair_judge(arg, &o);
}

static int repair_find_nodes(struct repair_search *s, struct err *e)
{
	return node_store_each(s->op->helper->node_store, repair_found_node, s, e);
}

static int repair_found_place(void *arg, const struct node_found *f)
{
	struct orphan o = {
		.key = { WIRE_ORPHAN_PLACE, f->major, f->minor, 0, 0 },
		.pid = f->pid,
		.ns_inode = f->mount_ns_inode,
	};
	const char *why;

	/* What its owner moved elsewhere is theirs to keep: it was closed when its device went. */
	if (!text_device_path_ok(f->point, &why) || text_copy(o.path, sizeof(o.path), f->point) < 0)
		return 0;
	return repair_judge(arg, &o);
}

static int repair_find_places(struct repair_search *s, struct err *e)
{
	return node_find(s->op->helper->node_store, repair_found_place, s, e);
}

static int repair_look_device(struct repair_search *s, uint32_t dev_id)
{
	struct ublk_info info;
	struct orphan o = { .dev_id = dev_id };

	if (ublk_info(s->ctl, dev_id, &info, NULL) < 0 ||
	    info.cookie >> 32 != RECORD_GENERATION_MARK)
		return 0; /* gone, or another server's */
	o.key.kind = WIRE_ORPHAN_DEVICE;
	o.key.generation = info.cookie;
	if (ublk_block_number(s->ctl, dev_id, &o.key.major, &o.key.minor, NULL) < 0)
		o.key.major = o.key.minor = 0; /* never started */
	return repair_judge(s, &o);
}

static int repair_find_devices(struct repair_search *s, struct err *e)
{
	auto_closedir DIR *d = s->ctl ? opendir("/sys/class/ublk-char") : NULL;
	struct dirent *entry;
	unsigned int dev_id;
	int r = 0;

	while (d && r == 0 && (entry = readdir(d))) {
		if (sscanf(entry->d_name, "ublkc%u", &dev_id) == 1)
			r = repair_look_device(s, dev_id);
	}
	return r < 0 ? err_sys(e, -r, "cannot look at the driver's devices") : 0;
}

struct repair_cgroup {
	struct repair_search *s;
	const struct orphan *o;
};

static int repair_found_process(void *arg, pid_t pid)
{
	const struct repair_cgroup *c = arg;
	struct orphan o = {
		.key = { WIRE_ORPHAN_WORKER, .generation = c->o->key.generation },
		.dev_id = c->o->dev_id,
		.pid = pid,
	};

	return repair_judge(c->s, &o);
}

static int repair_found_cgroup(void *arg, const char *path, uint32_t dev_id, uint32_t number)
{
	struct repair_search *s = arg;
	struct orphan o = {
		.key = { WIRE_ORPHAN_CGROUP, .generation = RECORD_GENERATION_MARK << 32 | number },
		.dev_id = dev_id,
	};
	struct repair_cgroup c = { s, &o };
	int r;

	if (text_copy(o.path, sizeof(o.path), path) < 0)
		return 0;
	r = cgroup_each_process(path, repair_found_process, &c, NULL);
	return r < 0 ? r : repair_judge(s, &o);
}

static int repair_find_cgroups(struct repair_search *s, struct err *e)
{
	return cgroup_each_worker(s->op->helper->cgroup_base, repair_found_cgroup, s, e);
}

static int repair_found_kept(void *arg, uint64_t generation)
{
	return generation >> 32 == RECORD_GENERATION_MARK
		       ? repair_judge(arg,
				      &(struct orphan){
					      .key = { WIRE_ORPHAN_KEPT, .generation = generation },
				      })
		       : 0;
}

static int repair_find_kept(struct repair_search *s, struct err *e)
{
	int r = keep_each(repair_found_kept, s, e);

	return r == -EOPNOTSUPP ? 0 : r;
}

static int repair_found_counters(void *arg, uint64_t generation)
{
	return repair_judge(arg, &(struct orphan){
					 .key = { WIRE_ORPHAN_COUNTERS, .generation = generation },
				 });
}

static int repair_find_counters(struct repair_search *s, struct err *e)
{
	return stats_file_each(s->op->helper->stats_fd, repair_found_counters, s, e);
}

static int repair_found_file(void *arg, const char *name)
{
	struct orphan o = { .key = { .kind = WIRE_ORPHAN_FILE } };
	char *end;

	if (text_copy(o.path, sizeof(o.path), name) < 0)
		return 0;
	/* The main process writes those of devices on record, and no others. */
	end = strstr(o.path, ".tmp");
	if (end) {
		*end = '\0';
		o.key.generation = journal_generation(o.path);
		*end = '.';
	}
	return repair_judge(arg, &o);
}

static int repair_find_files(struct repair_search *s, struct err *e)
{
	return journal_each_stray(s->op->helper->journal_fd, repair_found_file, s, e);
}

static int repair_found_entry(void *arg, uint64_t generation)
{
	return repair_judge(arg, &(struct orphan){
					 .key = { WIRE_ORPHAN_ENTRY, .generation = generation },
				 });
}

/* A helper that starts has just written it. */
static int repair_find_entries(struct repair_search *s, struct err *e)
{
	return cdi_each(s->op->registry->cdi_fd, repair_found_entry, s, e);
}

/* --- all of them --------------------------------------------------------------------------- */

static const struct {
	int (*find)(struct repair_search *s, struct err *e);
	bool asked; /* not when a helper starts */
} repair_finds[] = {
	{ repair_find_records, true },	{ repair_find_filters, false },
	{ repair_find_nodes, false },	{ repair_find_places, false },
	{ repair_find_devices, false }, { repair_find_cgroups, false },
	{ repair_find_kept, false },	{ repair_find_counters, false },
	{ repair_find_files, true },	{ repair_find_entries, true },
};

int repair_find(struct orphans *ret, const struct op *op, bool start, struct err *e)
{
	auto_ublk_ctl struct ublk_ctl *ctl = NULL;
	struct repair_search s = { .out = ret, .op = op, .start = start };
	int r;

	r = ublk_ctl_open(&ctl, e);
	if (r < 0 && r != -ENOENT)
		return r;
	s.ctl = ctl;
	for (size_t i = 0; i < ARRAY_SIZE(repair_finds); i++) {
		if (start && repair_finds[i].asked)
			continue;
		r = repair_finds[i].find(&s, e);
		if (r < 0 && !start)
			return r;
		/* The rest is looked for all the same: nobody is there who could ask again. */
		if (r == -ETIMEDOUT)
			log_info("repair: somebody is at work there: it is not looked at");
		else if (r < 0)
			log_error("repair: %s", e->text);
	}
	if (ret->nr)
		qsort(ret->list, ret->nr, sizeof(*ret->list), orphan_order);
	return 0;
}
