/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/attach_check.h"

#include <errno.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "driver/base/text.h"
#include "driver/wire/start.h"
#include "targets/catalog.h"
#include "targets/image_format.h"

static int attach_check_path(const struct wire_attach *ask, const struct catalog_target *target,
			     struct err *e)
{
	const char *why = "it is not a string";

	if (ask->filesystem && ask->flags & WIRE_AHEAD)
		return err_set(e, EINVAL,
			       "a file system is mounted in a container, or on the host");
	if (ask->flags & WIRE_HOST && !ask->filesystem)
		return *ask->path ? err_set(e, EINVAL, "a device for the host has no path") : 0;
	if (ask->filesystem && !catalog_filesystem(ask->filesystem))
		return err_set(e, EINVAL, "there is no file system number %u", ask->filesystem);
	if (ask->filesystem && !target->nr_fds && !target->by_address)
		return err_set(e, EINVAL, "target %s has no file system to mount", target->name);
	if (!text_padded_ok(ask->path, sizeof(ask->path)) ||
	    !(ask->filesystem ? text_mount_path_ok(ask->path, &why)
			      : text_device_path_ok(ask->path, &why)))
		return err_set(e, EINVAL, "the %s path is not one: %s",
			       ask->filesystem ? "mount" : "device", why);
	if (ask->flags & WIRE_AHEAD && !text_device_name_ok(ask->path + strlen("/dev/")))
		return err_set(e, EINVAL,
			       "a device's name is 1 to %d characters of A-Z a-z 0-9 _ . : -, the "
			       "first and the last a letter or a digit",
			       TEXT_DEVICE_NAME_MAX);
	return 0;
}

static int attach_check_labels(const struct wire_attach *ask, const struct catalog_target *target,
			       struct err *e)
{
	if ((ask->flags & WIRE_NO_CONTAINER) == WIRE_NO_CONTAINER)
		return err_set(e, EINVAL, "a device is for the host, or for a container to come");
	if (!text_padded_ok(ask->container, sizeof(ask->container)) ||
	    !text_padded_ok(ask->engine, sizeof(ask->engine)) ||
	    (*ask->engine && !text_name_ok(ask->engine, WIRE_ENGINE_SIZE - 1)) ||
	    (ask->flags & WIRE_NO_CONTAINER
		     ? !!*ask->container
		     : !text_name_ok(ask->container, WIRE_CONTAINER_SIZE - 1)))
		return err_set(e, EINVAL, "the container's ID is not one");
	return attach_check_path(ask, target, e);
}

static bool attach_fault_ok(const struct wire_attach *ask, const struct catalog_target *target)
{
	static const struct wire_fault none;
	const struct wire_fault *f = &ask->fault;

	if (!target->faults)
		return !memcmp(f, &none, sizeof(none));
	return f->delay_us <= WIRE_FAULT_DELAY_MAX && f->error_ppm <= WIRE_FAULT_PPM_MAX &&
	       f->error_len <= UINT64_MAX - f->error_off;
}

static bool attach_server_ok(const struct wire_attach *ask, const struct catalog_target *target)
{
	return text_padded_ok(ask->address, sizeof(ask->address)) &&
	       text_padded_ok(ask->export_name, sizeof(ask->export_name)) &&
	       (target->image ? !!image_format_name(ask->format) : !ask->format) &&
	       (target->image && ask->base_format ? !!image_format_name(ask->base_format)
						  : !ask->base_format) &&
	       ask->nr_connections <= WIRE_CONNECTIONS_MAX &&
	       !*ask->address == !target->by_address &&
	       (target->by_address || (!*ask->export_name && !ask->nr_connections));
}

int attach_check(const struct wire_attach *ask, unsigned int nr_fds, struct err *e)
{
	const struct catalog_target *target = catalog_target(ask->target);
	unsigned int placed = !(ask->flags & WIRE_NO_CONTAINER) || ask->filesystem;
	unsigned int wanted;
	int r;

	if (!target)
		return err_set(e, EINVAL, "there is no target number %u", ask->target);
	if (ask->flags & ~(uint32_t)WIRE_FLAGS_ALL)
		return err_set(e, EINVAL, "the request has flags this helper does not know");
	if ((ask->flags & WIRE_COPY && ask->flags & WIRE_ZERO_COPY) ||
	    (ask->flags & WIRE_BY_HAND && !(ask->flags & WIRE_ZERO_COPY)))
		return err_set(e, EINVAL, "data can travel one way only");
	wanted = placed + target->nr_fds + (target->image && ask->base_format);
	if (nr_fds != wanted)
		return err_set(e, EINVAL,
			       "the request came with %u descriptors, target %s takes %u", nr_fds,
			       target->name, wanted);
	r = attach_check_labels(ask, target, e);
	if (r < 0)
		return r;
	if (target->needs_size && !ask->size_bytes)
		return err_set(e, EINVAL, "target %s needs a size", target->name);
	if (ask->size_bytes % 512 || ask->size_bytes > INT64_MAX)
		return err_set(e, EINVAL, "the size must be a multiple of 512");
	if (ask->nr_queues > START_QUEUES_MAX || ask->depth > START_DEPTH_MAX)
		return err_set(e, EINVAL, "at most %d queues of depth %d", START_QUEUES_MAX,
			       START_DEPTH_MAX);
	if (!attach_server_ok(ask, target))
		return err_set(e, EINVAL, "target %s is reached by %s address, and has %s format",
			       target->name, target->by_address ? "an" : "no",
			       target->image ? "a" : "no");
	if (!attach_fault_ok(ask, target))
		return err_set(e, EINVAL, "target %s cannot fail like this", target->name);
	if (ask->mode & ~0777u || ask->uid == UINT32_MAX || ask->gid == UINT32_MAX)
		return err_set(e, EINVAL,
			       "the node's mode has bits other than permissions, or its "
			       "owner is no id");
	return 0;
}
