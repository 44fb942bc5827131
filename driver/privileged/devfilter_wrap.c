/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/devfilter_wrap.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/bpf.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/bpf.h"
#include "driver/privileged/devfilter.h"
#include "driver/privileged/devfilter_bpf.h"

#define DEVFILTER_WRAP_SYSTEMDS "sd_devices" /* what systemd calls its programs */

/*
 * Only a cgroup that allows several programs knows REPLACE. Elsewhere an attach
 * with the same flags takes the place of the one that is there.
 */
static int devfilter_wrap_replace(const struct devfilter_pins *d, int old_fd, int new_fd)
{
	uint32_t replace = d->attach_flags & BPF_F_ALLOW_MULTI ? BPF_F_REPLACE : 0;

	return bpf_attach(d->cgroup_fd, BPF_CGROUP_DEVICE, new_fd, d->attach_flags | replace,
			  old_fd);
}

/*
 * Loads a wrapper and fills its array. An array takes only programs loaded with
 * the attach type of the program that uses it (6.18 and later), and what the
 * original was loaded with cannot be asked: runtimes leave it 0.
 */
static int devfilter_wrap_make(const struct devfilter_pins *d, int original_fd, int *ret_array_fd,
			       int *ret_wrapper_fd, struct err *e)
{
	static const enum bpf_attach_type types[] = { 0, BPF_CGROUP_DEVICE };
	static const struct bpf_map_shape shape = {
		.type = BPF_MAP_TYPE_PROG_ARRAY,
		.name = "ublk_original",
		.key_bytes = sizeof(uint32_t),
		.value_bytes = sizeof(uint32_t),
		.entries = 1,
	};
	uint32_t slot = 0;
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		auto_close int array_fd = bpf_map_make(&shape);
		auto_close int wrapper_fd = -1;

		if (array_fd < 0)
			return err_sys(e, -array_fd, "cannot make a bpf program array");
		wrapper_fd = devfilter_bpf_load(d->map_fd, array_fd, types[i]);
		if (wrapper_fd < 0)
			return err_sys(e, -wrapper_fd, "cannot load a bpf device program");
		r = bpf_map_put(array_fd, &slot, &original_fd);
		if (!r) {
			*ret_array_fd = fd_take(&array_fd);
			*ret_wrapper_fd = fd_take(&wrapper_fd);
			return 0;
		}
	}
	return err_sys(e, -r, "the cgroup's own device program cannot be called from another");
}

static int devfilter_wrap_pin(const struct devfilter_pins *d, uint32_t id, int original_fd,
			      int array_fd, int wrapper_fd, struct err *e)
{
	const struct {
		char kind;
		int fd;
	} pins[] = { { 'o', original_fd }, { 'a', array_fd }, { 'w', wrapper_fd } };

	for (size_t i = 0; i < ARRAY_SIZE(pins); i++) {
		char path[DEVFILTER_PINS_PATH_MAX];
		int r = bpf_pin(pins[i].fd, devfilter_pins_path(d, path, pins[i].kind, id));

		if (r < 0)
			return err_sys(e, -r, "cannot pin %s", path);
	}
	return 0;
}

/* Puts a wrapper in the place of program id. */
static int devfilter_wrap_one(const struct devfilter_pins *d, uint32_t id, struct err *e)
{
	auto_close int original_fd = bpf_program_open(id), array_fd = -1, wrapper_fd = -1;
	int r;

	if (original_fd < 0)
		return err_sys(e, -original_fd, "cannot open the cgroup's device program %" PRIu32,
			       id);
	devfilter_pins_drop(d, id); /* of somebody killed before the replacing below */
	r = devfilter_wrap_make(d, original_fd, &array_fd, &wrapper_fd, e);
	if (r < 0)
		return r;
	r = devfilter_wrap_pin(d, id, original_fd, array_fd, wrapper_fd, e);
	if (!r) {
		r = devfilter_wrap_replace(d, original_fd, wrapper_fd);
		if (r < 0)
			err_sys(e, -r, "cannot replace the cgroup's device program %" PRIu32, id);
	}
	if (r < 0)
		devfilter_pins_drop(d, id);
	return r;
}

/* A runtime that rebuilt its program left this wrapper unused. */
static int devfilter_wrap_drop_unused(struct devfilter_pins *d, uint32_t id, struct err *e)
{
	if (!devfilter_pins_attached(d, devfilter_pins_wrapper_id(d, id)))
		devfilter_pins_drop(d, id);
	return 0;
}

/* Removes the numbers of our own wrappers from the list of what is attached. */
static int devfilter_wrap_skip_one(struct devfilter_pins *d, uint32_t id, struct err *e)
{
	uint32_t wrapper_id = devfilter_pins_wrapper_id(d, id);

	for (uint32_t i = 0; i < d->nr_attached; i++) {
		if (d->attached[i] == wrapper_id)
			d->attached[i] = 0;
	}
	return 0;
}

int devfilter_wrap_skip(struct devfilter_pins *d, struct err *e)
{
	return devfilter_pins_each_wrapper(d, devfilter_wrap_skip_one, e);
}

static bool devfilter_wrap_is_systemds(int program_fd)
{
	char name[BPF_OBJ_NAME_LEN];

	return program_fd >= 0 && bpf_program_name(program_fd, name) == 0 &&
	       !strcmp(name, DEVFILTER_WRAP_SYSTEMDS);
}

/*
 * Behind this wrapper is a program of systemd's, which has attached another since: the old one
 * would go on to decide by what its unit said before.
 */
static int devfilter_wrap_drop_replaced(struct devfilter_pins *d, uint32_t id, struct err *e)
{
	char path[DEVFILTER_PINS_PATH_MAX];
	auto_close int original_fd = bpf_open(devfilter_pins_path(d, path, 'o', id));
	auto_close int wrapper_fd = bpf_open(devfilter_pins_path(d, path, 'w', id));
	int r;

	if (wrapper_fd < 0 || !devfilter_wrap_is_systemds(original_fd))
		return 0;
	r = bpf_detach(d->cgroup_fd, BPF_CGROUP_DEVICE, wrapper_fd);
	if (r < 0 && r != -ENOENT)
		return err_sys(e, -r, "cannot detach a program systemd has replaced");
	devfilter_pins_drop(d, id);
	return 0;
}

bool devfilter_wrap_skip_systemds(struct devfilter_pins *d, bool forget)
{
	bool any = false;

	for (uint32_t i = 0; i < d->nr_attached; i++) {
		auto_close int fd = d->attached[i] ? bpf_program_open(d->attached[i]) : -1;

		if (!devfilter_wrap_is_systemds(fd))
			continue;
		any = true;
		if (forget)
			d->attached[i] = 0;
	}
	return any;
}

int devfilter_wrap_all(struct devfilter_pins *d, unsigned int how, struct err *e)
{
	int r;

	r = devfilter_pins_each_wrapper(d, devfilter_wrap_drop_unused, e);
	if (!r)
		r = devfilter_wrap_skip(d, e);
	if (!r && devfilter_wrap_skip_systemds(d, how & DEVFILTER_IN_UNIT))
		r = devfilter_pins_each_wrapper(d, devfilter_wrap_drop_replaced, e);
	for (uint32_t i = 0; !r && i < d->nr_attached; i++) {
		if (d->attached[i])
			r = devfilter_wrap_one(d, d->attached[i], e);
	}
	return r;
}

/* Puts the program back that this wrapper replaced, if the wrapper is still in use. */
static int devfilter_wrap_restore(struct devfilter_pins *d, uint32_t id, struct err *e)
{
	char path[DEVFILTER_PINS_PATH_MAX];
	auto_close int original_fd = -1, wrapper_fd = -1;
	int r;

	if (!devfilter_pins_attached(d, devfilter_pins_wrapper_id(d, id)))
		return 0;
	wrapper_fd = bpf_open(devfilter_pins_path(d, path, 'w', id));
	if (wrapper_fd < 0)
		return err_sys(e, -wrapper_fd, "cannot open %s", path);
	original_fd = bpf_open(devfilter_pins_path(d, path, 'o', id));
	if (original_fd < 0)
		return err_sys(e, -original_fd, "cannot open %s", path);
	r = devfilter_wrap_replace(d, wrapper_fd, original_fd);
	if (r < 0 && r != -ENOENT)
		return err_sys(e, -r, "cannot put the cgroup's device program %" PRIu32 " back",
			       id);
	return 0;
}

static bool devfilter_wrap_empty(const struct devfilter_pins *d)
{
	struct devfilter_key key;

	return bpf_map_first(d->map_fd, &key) == -ENOENT;
}

int devfilter_wrap_end_if_empty(struct devfilter_pins *d, struct err *e)
{
	int r;

	if (d->map_fd >= 0 && !devfilter_wrap_empty(d))
		return 0;
	/* A cgroup that is gone has nothing to restore. */
	if (!devfilter_pins_query(d, NULL)) {
		r = devfilter_pins_each_wrapper(d, devfilter_wrap_restore, e);
		if (r < 0)
			return r;
	}
	return devfilter_pins_remove(d, e);
}
