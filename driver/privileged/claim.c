/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/claim.h"

#include <errno.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "driver/base/log.h"
#include "driver/base/text.h"
#include "driver/privileged/place.h"
#include "driver/privileged/request.h"
#include "driver/privileged/undo.h"
#include "targets/catalog.h"

static int claim_check_host(const struct wire_claim *ask, struct err *e)
{
	const char *why = "it is not a string";

	if (ask->filesystem && !catalog_filesystem(ask->filesystem))
		return err_set(e, EINVAL, "there is no file system number %u", ask->filesystem);
	if (*ask->container || *ask->engine ||
	    !text_padded_ok(ask->container, WIRE_CONTAINER_SIZE) ||
	    !text_padded_ok(ask->engine, WIRE_ENGINE_SIZE))
		return err_set(e, EINVAL, "it is for the host, not for a container");
	if (!text_padded_ok(ask->path, sizeof(ask->path)) || !text_mount_path_ok(ask->path, &why))
		return err_set(e, EINVAL, "the mount path is not one: %s", why);
	return 0;
}

int claim_check(const struct wire_claim *ask, unsigned int nr_fds, struct err *e)
{
	const char *why = "it is not a string";

	if (nr_fds != 1)
		return err_set(e, EINVAL, "the request came with %u descriptors, it takes 1",
			       nr_fds);
	if (ask->flags & ~(uint32_t)WIRE_FLAGS_CLAIM || ask->pad)
		return err_set(e, EINVAL, "the request has flags this helper does not know");
	if (ask->flags & WIRE_HOST)
		return claim_check_host(ask, e);
	if (ask->flags || ask->filesystem)
		return err_set(e, EINVAL,
			       "a file system, or to have it read-only, is for the host, not for a "
			       "container");
	if (!text_padded_ok(ask->container, sizeof(ask->container)) ||
	    !text_padded_ok(ask->engine, sizeof(ask->engine)) ||
	    (*ask->engine && !text_name_ok(ask->engine, WIRE_ENGINE_SIZE - 1)) ||
	    !text_name_ok(ask->container, WIRE_CONTAINER_SIZE - 1))
		return err_set(e, EINVAL, "the container's ID is not one");
	if (!text_padded_ok(ask->path, sizeof(ask->path)) ||
	    (*ask->path && !text_device_path_ok(ask->path, &why)))
		return err_set(e, EINVAL, "the device path is not one: %s", why);
	return 0;
}

static void claim_note(const struct op *op, const struct wire_claim *ask, struct record *rec)
{
	*rec = (struct record){
		.generation = ask->generation,
		.peer_uid = op->uid,
		.peer_gid = op->gid,
		.flags = ask->flags | WIRE_CLAIMED,
		.filesystem = ask->filesystem,
	};
	memcpy(rec->container, ask->container, sizeof(rec->container));
	memcpy(rec->engine, ask->engine, sizeof(rec->engine));
	memcpy(rec->path, ask->path, sizeof(rec->path));
}

static int claim_make(const struct op *op, const struct container *c, struct record *rec,
		      struct err *e)
{
	struct err why;
	int r;

	r = place_run(op, c, rec, e);
	timing_mark(op->timing, WIRE_STEP_NODE);
	if (r == 0) {
		rec->state = WIRE_STATE_LIVE;
		r = op_update(op, rec, e);
	}
	if (r == 0)
		return 0;
	op_begin_undo(op, rec);
	if (undo_run(op, rec, false, &why) < 0)
		log_error("ublkb%u: %s; trying again", rec->dev_id, why.text);
	return r;
}

/*
 * Asked twice (prestart and createRuntime) is one claim. What was taken from it is given again,
 * also where the host's directory, or file, is another one by now.
 */
static int claim_again(const struct op *op, const struct container *c, const struct host_dir *dir,
		       struct record *rec, struct err *e)
{
	int r;

	r = op_take(op, rec->generation, rec, e);
	if (r < 0 || c->cgroup_inode != rec->cgroup_inode)
		return r;
	rec->dir = *dir;
	return place_again(op, c, rec, e);
}

int claim_serve(struct op *op, struct packet *p, struct err *e)
{
	auto_container struct container c = CONTAINER_INIT;
	auto_close int dir_fd = -1;
	struct host_dir dir;
	struct wire_claim ask;
	struct record rec;
	int r;

	memcpy(&ask, p->bytes, sizeof(ask));
	r = claim_check(&ask, p->nr_fds, e);
	if (r < 0) {
		request_refused(op, "claim", NULL, e->text);
		return r;
	}
	r = op_shorten(op, ask.timeout_ms, e);
	if (r < 0)
		return r;
	claim_note(op, &ask, &rec);
	if (record_on_host(&rec)) {
		dir_fd = fd_take(&p->fds[0]);
		r = place_look_host(op, &c, &rec, dir_fd, e);
	} else {
		r = place_look(op, &c, &rec, fd_take(&p->fds[0]), e);
	}
	if (r < 0) {
		request_refused(op, "claim", &rec, e->text);
		return r;
	}
	dir = rec.dir;
	r = op_claim(op, &rec, e);
	if (r == 0)
		r = claim_make(op, &c, &rec, e);
	else if (r == -EALREADY)
		r = claim_again(op, &c, &dir, &rec, e);
	close_fdp(&dir_fd); /* what is open of a file system that is mounted is a use of it */
	if (r < 0)
		return r;
	request_done(op, &rec);
	return 0;
}
