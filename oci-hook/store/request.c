/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/store/request.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "oci-hook/store/volume.h"

/* What a request needs or may have; what is neither must be empty. */
enum request_part {
	PART_NAME = 1 << 0,
	PART_FROM = 1 << 1,
	PART_POOL = 1 << 2,
	PART_SIZE = 1 << 3,
	PART_DEVICE = 1 << 4,
	PART_WIPE = 1 << 5,
	PART_FILESYSTEM = 1 << 6,
	PART_LOOK = 1 << 7,
};

static const struct {
	const char *name;
	unsigned int needs;
	unsigned int may;
	unsigned int fds_least;
	unsigned int fds_most;
} requests[STORE_END] = {
	[STORE_LIST] = { "list" },
	[STORE_INSPECT] = { "inspect", PART_NAME, PART_LOOK },
	[STORE_CREATE] = { "create", PART_NAME, PART_FROM | PART_POOL | PART_SIZE | PART_FILESYSTEM,
			   0, 1 },
	[STORE_SNAPSHOT] = { "snapshot", PART_NAME | PART_FROM, PART_POOL },
	[STORE_RESIZE] = { "resize", PART_NAME | PART_SIZE },
	[STORE_EXPORT] = { "export", PART_NAME, 0, 1, 1 },
	[STORE_DELETE] = { "delete", PART_NAME, PART_WIPE },
	[STORE_ATTACH] = { "attach", PART_NAME, PART_DEVICE },
	[STORE_DETACH] = { "detach", PART_NAME },
	[STORE_FORMAT] = { "format", PART_NAME | PART_FILESYSTEM },
	[STORE_CHECK] = { "check", PART_NAME },
	[STORE_CAPACITY] = { "capacity", 0, PART_POOL },
};

const char *request_name(unsigned int type)
{
	return type < STORE_END ? requests[type].name : NULL;
}

static unsigned int request_parts(const struct store_ask *ask)
{
	return (*ask->name ? PART_NAME : 0u) | (*ask->from ? PART_FROM : 0u) |
	       (*ask->pool ? PART_POOL : 0u) | (ask->size_bytes ? PART_SIZE : 0u) |
	       (ask->flags & STORE_WIPE ? PART_WIPE : 0u) |
	       (ask->flags & STORE_LOOK ? PART_LOOK : 0u) |
	       (ask->filesystem ? PART_FILESYSTEM : 0u) |
	       (ask->device_flags || ask->uid || ask->gid || ask->mode || ask->nr_queues ||
				ask->depth
			? PART_DEVICE
			: 0u);
}

static int request_check(const struct store_ask *ask, unsigned int nr_fds, struct err *e)
{
	unsigned int parts = request_parts(ask), type = ask->head.type;

	if (ask->flags & ~(uint32_t)(STORE_WIPE | STORE_LOOK) ||
	    ask->device_flags & ~(uint32_t)STORE_DEVICE_FLAGS)
		return err_set(e, EINVAL, "the request has flags this store does not know");
	if (requests[type].needs & ~parts)
		return err_set(e, EINVAL, "the request %s lacks a name, a size or a file system",
			       requests[type].name);
	if (parts & ~(requests[type].needs | requests[type].may))
		return err_set(e, EINVAL, "the request %s has more than belongs to it",
			       requests[type].name);
	if (parts & PART_FILESYSTEM && (parts & PART_FROM || nr_fds))
		return err_set(
			e, EINVAL,
			"a file system is made in an empty volume, not over what it is made of");
	if (ask->pad || (ask->filesystem && !catalog_filesystem(ask->filesystem)))
		return err_set(e, EINVAL, "there is no file system number %u", ask->filesystem);
	if (parts & PART_FROM && nr_fds)
		return err_set(e, EINVAL, "a volume is made of a volume or of a file");
	if (parts & PART_NAME && !text_device_name_ok(ask->name))
		return err_set(e, EINVAL,
			       "a volume's name is 1 to %d characters of A-Z a-z 0-9 _ . : -, the "
			       "first and the last a letter or a digit",
			       TEXT_DEVICE_NAME_MAX);
	if (parts & PART_SIZE && !volume_size_ok(ask->size_bytes))
		return err_set(e, EINVAL, "the size must be a multiple of %d bytes",
			       VOLUME_BLOCK_BYTES);
	return 0;
}

int request_admit(const struct packet *p, struct store_ask *ret, struct err *e)
{
	const struct wire_head *head = (const void *)p->bytes;

	if (p->size < sizeof(*head) || head->magic != STORE_MAGIC || head->size != p->size ||
	    head->nr_fds != p->nr_fds)
		return -EBADMSG;
	if (head->version != STORE_VERSION)
		return err_set(e, EPROTONOSUPPORT,
			       "the store speaks version %d of its protocol: install ublk-oci and "
			       "ublk-oci-store of the same release",
			       STORE_VERSION);
	if (p->size != sizeof(*ret) || !request_name(head->type) ||
	    p->nr_fds < requests[head->type].fds_least || p->nr_fds > requests[head->type].fds_most)
		return -EBADMSG;
	memcpy(ret, p->bytes, sizeof(*ret));
	if (!text_padded_ok(ret->name, sizeof(ret->name)) ||
	    !text_padded_ok(ret->from, sizeof(ret->from)) ||
	    !text_padded_ok(ret->pool, sizeof(ret->pool)))
		return -EBADMSG;
	return request_check(ret, p->nr_fds, e);
}
