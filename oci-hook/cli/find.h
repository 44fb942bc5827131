/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which device is meant: by its own name, or by container and path. Only the
 * helper's list is asked, so that a container that is gone is no obstacle.
 */
#pragma once

#include "oci-hook/client.h"

/* "7", "ublkb7", "/dev/ublkb7", or a generation of 16 hex digits. */
int find_by_name(struct wire_device *ret, const char *name, int timeout_ms, struct err *e);

/* The same in a list one has. -EINVAL: no device can have this name. */
int find_among(struct wire_device *ret, const struct client_devices *all, const char *name,
	       struct err *e);

/* By its own name, or, where that is NULL, by container and path. */
int find_either(struct wire_device *ret, const char *name, const char *container, const char *path,
		int timeout_ms, struct err *e);

/*
 * The file system that is mounted on this directory of the host, as it was written down, or as
 * the path leads there now.
 */
int find_on_host(struct wire_device *ret, const struct client_devices *all, const char *path,
		 struct err *e);

/*
 * What to look for when a person wrote id: id, when it is a whole ID; else the ID
 * of the container that has it as a name, in buf; else id, as the beginning of one.
 */
const char *find_container_id(const struct client_devices *all, const char *id,
			      char buf[WIRE_CONTAINER_SIZE]);

/*
 * The devices of one container, by whole ID, name, or a unique beginning of its ID; with
 * a path only the one there. Never empty: nothing found is an error. More than
 * one at the same path (labels are what callers wrote) is an error too.
 */
int find_in_container(struct client_devices *ret, const char *id, const char *path, int timeout_ms,
		      struct err *e);
