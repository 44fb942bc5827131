/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/cli/find.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "driver/base/num.h"
#include "oci-hook/names.h"
#include "oci-hook/quote.h"

#define GENERATION_DIGITS 16

/* 0, or -EINVAL for a name no device can have. */
static int name_parse(const char *name, uint64_t *ret_generation, uint32_t *ret_dev_id)
{
	static const char *const prefixes[] = { "/dev/ublkb", "ublkb", "" };
	uint64_t n;

	*ret_generation = 0;
	if (strlen(name) == GENERATION_DIGITS &&
	    strspn(name, "0123456789abcdefABCDEF") == GENERATION_DIGITS) {
		*ret_generation = strtoull(name, NULL, 16);
		return *ret_generation ? 0 : -EINVAL;
	}
	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
		if (strncmp(name, prefixes[i], strlen(prefixes[i])) != 0)
			continue;
		if (num_parse_u64(name + strlen(prefixes[i]), UINT32_MAX - 1, &n) < 0)
			return -EINVAL;
		*ret_dev_id = (uint32_t)n;
		return 0;
	}
	return -EINVAL;
}

int find_among(struct wire_device *ret, const struct client_devices *all, const char *name,
	       struct err *e)
{
	uint64_t generation = 0;
	uint32_t dev_id = 0;
	char word[QUOTE_SIZE];

	quote_text(word, sizeof(word), name);
	if (name_parse(name, &generation, &dev_id) < 0)
		return err_set(e, EINVAL,
			       "\"%s\" is no device; write N, ublkbN, /dev/ublkbN or a generation "
			       "of %d hex digits",
			       word, GENERATION_DIGITS);
	for (size_t i = 0; i < all->nr; i++) {
		/* A number is the device's; what a container has of it is named by its own. */
		if (generation ? all->rows[i].generation == generation
			       : all->rows[i].dev_id == dev_id &&
					 !(all->rows[i].flags & WIRE_CLAIMED)) {
			*ret = all->rows[i];
			return 0;
		}
	}
	return err_set(e, ENODEV, "there is no device %s, or it is not yours (see ublk-oci list)",
		       word);
}

static const struct wire_device *mounted_at(const struct client_devices *all, const char *path)
{
	for (size_t i = 0; i < all->nr; i++) {
		const struct wire_device *row = &all->rows[i];

		if (row->flags & WIRE_HOST && (row->filesystem || row->flags & WIRE_CLAIMED) &&
		    !strcmp(row->path, path))
			return row;
	}
	return NULL;
}

int find_on_host(struct wire_device *ret, const struct client_devices *all, const char *path,
		 struct err *e)
{
	const struct wire_device *row = mounted_at(all, path);
	char word[QUOTE_SIZE], real[PATH_MAX];

	if (!row && realpath(path, real))
		row = mounted_at(all, real);
	if (!row)
		return err_set(
			e, ENODEV,
			"no device of yours is mounted at %s on the host (see ublk-oci list)",
			quote_text(word, sizeof(word), path));
	*ret = *row;
	return 0;
}

int find_by_name(struct wire_device *ret, const char *name, int timeout_ms, struct err *e)
{
	auto_client_devices struct client_devices all = { 0 };
	int r;

	r = find_among(ret, &all, name, e);
	if (r == -EINVAL)
		return r; /* whatever devices there are */
	r = client_list(&all, timeout_ms, e);
	return r < 0 ? r : find_among(ret, &all, name, e);
}

static void devices_append(struct client_devices *d, const struct wire_device *row)
{
	d->rows[d->nr++] = *row;
}

/* How well the best label fits (2 whole, 1 its beginning); -ENOTUNIQ if several begin so. */
static int best_match(const struct client_devices *d, const char *id, struct err *e)
{
	const char *label = NULL;
	char one[QUOTE_SIZE], other[QUOTE_SIZE];
	int best = 0;

	for (size_t i = 0; i < d->nr; i++) {
		int match = client_device_matches(&d->rows[i], id);

		if (match == 2)
			return 2;
		if (!match)
			continue;
		best = 1;
		if (label && strcmp(label, d->rows[i].container) != 0)
			return err_set(e, ENOTUNIQ, "container %.60s can be %s or %s", id,
				       quote_text(one, sizeof(one), label),
				       quote_text(other, sizeof(other), d->rows[i].container));
		label = d->rows[i].container;
	}
	return best;
}

const char *find_container_id(const struct client_devices *all, const char *id,
			      char buf[WIRE_CONTAINER_SIZE])
{
	for (size_t i = 0; i < all->nr; i++) {
		if (client_device_matches(&all->rows[i], id) == 2)
			return id;
	}
	return names_find(buf, id, NULL) == 0 ? buf : id;
}

int find_in_container(struct client_devices *ret, const char *id, const char *path, int timeout_ms,
		      struct err *e)
{
	auto_client_devices struct client_devices all = { 0 }, found = { 0 };
	char word[QUOTE_SIZE], named[WIRE_CONTAINER_SIZE];
	int r, best;

	r = client_list(&all, timeout_ms, e);
	if (r < 0)
		return r;
	quote_text(word, sizeof(word), id);
	id = find_container_id(&all, id, named);
	best = best_match(&all, id, e);
	if (best < 0)
		return best;
	if (!best)
		return err_set(e, ENODEV, "container %s has no device of yours (see ublk-oci list)",
			       word);
	found.rows = calloc(all.nr, sizeof(*found.rows));
	if (!found.rows)
		return err_sys(e, ENOMEM, "cannot keep the devices");
	for (size_t i = 0; i < all.nr; i++) {
		if (client_device_matches(&all.rows[i], id) == best &&
		    (!path || !strcmp(all.rows[i].path, path)))
			devices_append(&found, &all.rows[i]);
	}
	if (!found.nr)
		return err_set(e, ENODEV,
			       "container %s has devices, but none at %.120s (see ublk-oci "
			       "list --container)",
			       word, path);
	if (path && found.nr > 1)
		return err_set(e, ENOTUNIQ,
			       "ublkb%" PRIu32 " and ublkb%" PRIu32 " are both at %.100s in a "
			       "container called %s; name the device itself",
			       found.rows[0].dev_id, found.rows[1].dev_id, path, word);
	*ret = found;
	found = (struct client_devices){ 0 };
	return 0;
}

int find_either(struct wire_device *ret, const char *name, const char *container, const char *path,
		int timeout_ms, struct err *e)
{
	auto_client_devices struct client_devices found = { 0 };
	int r;

	if (name)
		return find_by_name(ret, name, timeout_ms, e);
	r = find_in_container(&found, container, path, timeout_ms, e);
	if (r == 0)
		*ret = found.rows[0];
	return r;
}
