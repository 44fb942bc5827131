/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/keys_check.h"

#include <errno.h>

#include "driver/base/cleanup.h"

static int keys_check_place(const struct attach_options *o, bool host, struct err *e)
{
	static const enum catalog_key node_keys[] = { KEY_PATH, KEY_UID, KEY_GID, KEY_MODE };

	if (o->given[KEY_MOUNT] != o->given[KEY_FS])
		return err_set(e, EINVAL, "mount and fs go together");
	if (!host && !o->given[KEY_MOUNT] && !o->given[KEY_PATH])
		return err_set(e, EINVAL, "the path of the device in the container is missing");
	for (size_t i = 0; i < ARRAY_SIZE(node_keys); i++) {
		if (!o->given[node_keys[i]])
			continue;
		if (host)
			return err_set(e, EINVAL,
				       "%s is for a device in a container; a host device is "
				       "/dev/ublkbN, root's, 0600",
				       catalog_key(node_keys[i])->name);
		if (o->given[KEY_MOUNT])
			return err_set(e, EINVAL,
				       "%s is for a device; with mount the container gets none",
				       catalog_key(node_keys[i])->name);
	}
	return 0;
}

/* The store knows what a volume is made of, and how large it is. */
static int keys_check_volume(const struct attach_options *o, bool host, struct err *e)
{
	static const enum catalog_key others[] = { KEY_TARGET, KEY_BACKING,	KEY_SIZE,
						   KEY_DELAY,  KEY_ERROR_RATIO, KEY_ERROR_RANGE,
						   KEY_BASE,   KEY_CLUSTER,	KEY_DELTA,
						   KEY_NBD,    KEY_EXPORT,	KEY_CONNECTIONS,
						   KEY_FORMAT, KEY_BASE_FORMAT };

	if (o->on_file && (!host || o->given[KEY_MOUNT]))
		return err_set(e, EINVAL,
			       "on a file of the host there is a device: mount, fs and container "
			       "do not go with that");
	if (host != (o->given[KEY_MOUNT] || o->on_file))
		return err_set(e, EINVAL,
			       host ? "a volume is for containers, or mounted on the host, or put "
				      "on a file of it"
				    : "the file system of a volume is mounted on the host, or by "
				      "the container itself");
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		if (o->given[others[i]])
			return err_set(e, EINVAL, "%s does not go with volume",
				       catalog_key(others[i])->name);
	}
	return keys_check_place(o, host, e);
}

/* Keys that one kind of target has. */
static int keys_check_own(const struct attach_options *o, const struct catalog_target *t,
			  struct err *e)
{
	static const enum catalog_key fault_keys[] = { KEY_DELAY, KEY_ERROR_RATIO,
						       KEY_ERROR_RANGE };
	static const enum catalog_key nbd_keys[] = { KEY_NBD, KEY_EXPORT, KEY_CONNECTIONS };
	static const enum catalog_key cow_keys[] = { KEY_BASE, KEY_CLUSTER, KEY_DELTA };

	for (size_t i = 0; i < ARRAY_SIZE(fault_keys); i++) {
		if (o->given[fault_keys[i]] && !t->faults)
			return err_set(e, EINVAL, "%s is for target fault",
				       catalog_key(fault_keys[i])->name);
	}
	for (size_t i = 0; i < ARRAY_SIZE(cow_keys); i++) {
		/* What is over another file has a base. */
		if (o->given[cow_keys[i]] && !t->based && (cow_keys[i] != KEY_BASE || !t->image))
			return err_set(e, EINVAL, "%s is for target cow",
				       catalog_key(cow_keys[i])->name);
	}
	for (size_t i = 0; i < ARRAY_SIZE(nbd_keys); i++) {
		if (o->given[nbd_keys[i]] && !t->by_address)
			return err_set(e, EINVAL, "%s is for target nbd",
				       catalog_key(nbd_keys[i])->name);
	}
	if (t->by_address && !o->given[KEY_NBD])
		return err_set(e, EINVAL, "target %s needs an address (nbd)", t->name);
	if (t->image != o->given[KEY_FORMAT])
		return err_set(e, EINVAL,
			       t->image ? "target %s needs a format" : "target %s has no format",
			       t->name);
	if (o->given[KEY_BASE_FORMAT] != (t->image && o->given[KEY_BASE]))
		return err_set(e, EINVAL, "base and base-format of target image go together");
	if (t->based && !o->given[KEY_BASE])
		return err_set(e, EINVAL, "target %s needs a base", t->name);
	if (o->ephemeral && o->read_only)
		return err_set(e, EINVAL, "nothing would be written to the delta");
	return 0;
}

int keys_check(const struct attach_options *o, bool host, struct err *e)
{
	const struct catalog_target *t = catalog_target(o->target);
	int r;

	if (o->given[KEY_VOLUME])
		return keys_check_volume(o, host, e);
	if (o->on_file)
		return err_set(e, EINVAL, "on a file of the host there are volumes only");

	if (!t)
		return err_set(e, EINVAL, "target is missing");
	if (t->nr_fds && !o->given[KEY_BACKING])
		return err_set(e, EINVAL, "target %s needs a backing file", t->name);
	if (!t->nr_fds && o->given[KEY_BACKING])
		return err_set(e, EINVAL, "target %s has no backing file", t->name);
	r = keys_check_own(o, t, e);
	if (r < 0)
		return r;
	if (t->needs_size && !o->given[KEY_SIZE])
		return err_set(e, EINVAL, "target %s needs a size", t->name);
	if (o->given[KEY_MOUNT] && !t->nr_fds && !t->by_address)
		return err_set(e, EINVAL, "target %s has no file system to mount", t->name);
	return keys_check_place(o, host, e);
}
