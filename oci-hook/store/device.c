/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/store/device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "oci-hook/store/remote.h"
#include "targets/catalog.h"

#define DEVICE_DIR "/dev/"
#define DEVICE_LIST_MS 10000

int device_list(struct client_devices *ret, struct err *e)
{
	return client_list(ret, DEVICE_LIST_MS, e);
}

const struct wire_device *device_find(const struct client_devices *d, const char *name)
{
	for (size_t i = 0; i < d->nr; i++) {
		const struct wire_device *row = &d->rows[i];

		if (row->flags & WIRE_AHEAD && row->peer_uid == geteuid() &&
		    !strcmp(row->path + strlen(DEVICE_DIR), name))
			return row;
	}
	return NULL;
}

int device_check_free(const char *name, bool reading, struct err *e)
{
	auto_client_devices struct client_devices d = { 0 };
	const struct wire_device *row;
	int r;

	r = device_list(&d, e);
	if (r < 0)
		return err_prefix(e, r, "cannot tell whether volume %s is attached", name);
	row = device_find(&d, name);
	if (!row || (reading && row->flags & WIRE_READ_ONLY))
		return 0;
	return err_set(e, EBUSY,
		       "volume %s is attached, as ublkb%u: end that first (ublk-oci volume detach "
		       "%s)",
		       name, row->dev_id, name);
}

int device_check_written(const char *name, bool *ret_written, struct err *e)
{
	int r = device_check_free(name, true, e);

	*ret_written = r == -EBUSY;
	return *ret_written ? 0 : r;
}

static int device_attach_file(const struct place *place, struct wire_attach *req,
			      struct wire_reply *ret, struct err *e)
{
	bool read_only = req->flags & WIRE_READ_ONLY;
	auto_close int fd = openat(place->dir_fd, VOLUME_DATA,
				   (read_only ? O_RDONLY : O_RDWR) | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, errno, "cannot open the data of volume %s", place->volume.name);
	req->target = TARGET_FILE;
	return client_attach(req, -1, &fd, 1, CLIENT_TIMEOUT_MS, ret, NULL, e);
}

/* After r, which may be that nobody heard what the helper did. */
static bool device_may_be(const char *name, int r)
{
	auto_client_devices struct client_devices d = { 0 };

	return r == -ETIMEDOUT || r == -ECONNRESET || device_list(&d, NULL) < 0 ||
	       device_find(&d, name);
}

/*
 * The server listens already when it is still opening the image, and is waited for. A
 * back end has room for so many: one that no device came of ends, and no other does.
 */
static int device_attach_remote(const struct volume *v, struct wire_attach *req,
				struct wire_reply *ret, struct err *e)
{
	int r = remote_ask(v, POOL_SERVE, 0, e);

	if (r < 0)
		return r;
	req->target = TARGET_NBD;
	remote_address(v, req->address);
	r = client_attach(req, -1, NULL, 0, CLIENT_TIMEOUT_MS, ret, NULL, e);
	if (r < 0 && r != -EEXIST && !device_may_be(v->name, r))
		remote_ask(v, POOL_STOP, 0, NULL);
	return r;
}

int device_attach(const struct place *place, const struct store_ask *ask, struct wire_reply *ret,
		  struct err *e)
{
	struct wire_attach req = {
		.flags = ask->device_flags | WIRE_AHEAD,
		.size_bytes = place->volume.size_bytes,
		.nr_queues = ask->nr_queues,
		.depth = ask->depth,
		.uid = ask->uid,
		.gid = ask->gid,
		.mode = ask->mode,
	};

	snprintf(req.path, sizeof(req.path), DEVICE_DIR "%s", place->volume.name);
	return remote_is(&place->volume) ? device_attach_remote(&place->volume, &req, ret, e)
					 : device_attach_file(place, &req, ret, e);
}

int device_grow(const char *name, uint64_t size_bytes, struct err *e)
{
	auto_client_devices struct client_devices d = { 0 };
	struct wire_upgraded grown;
	const struct wire_device *row;
	int r;

	r = device_list(&d, e);
	if (r < 0)
		return err_prefix(e, r, "cannot tell whether it is attached");
	row = device_find(&d, name);
	if (!row || row->size_bytes > size_bytes)
		return 0;
	/* As large already: what is mounted of it may not be. */
	r = client_resize(row->generation, size_bytes, CLIENT_TIMEOUT_MS, &grown, e);
	if (r == 0 || (r == -EOPNOTSUPP && row->size_bytes == size_bytes))
		return 0;
	return err_prefix(e, r,
			  "it is attached, and its device keeps its size until it is detached and "
			  "attached again");
}

int device_detach(const char *name, struct err *e)
{
	auto_client_devices struct client_devices d = { 0 };
	const struct wire_device *row;
	int r;

	r = device_list(&d, e);
	if (r < 0)
		return r;
	row = device_find(&d, name);
	if (!row)
		return err_set(e, ENODEV, "volume %s is not attached", name);
	return client_detach(row->generation, 0, CLIENT_TIMEOUT_MS, NULL, e);
}
