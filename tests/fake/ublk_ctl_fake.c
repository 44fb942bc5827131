/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fake/ublk_ctl_fake.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "driver/base/ublk_abi.h"
#include "driver/privileged/ublk_ctl.h"

struct ublk_ctl {
	int unused;
};

static struct {
	bool added[UBLK_FAKE_DEVICES];
	struct ublk_info info[UBLK_FAKE_DEVICES];
	uint64_t bytes[UBLK_FAKE_DEVICES];
	int codes[UBLK_FAKE_END];
	unsigned int calls[UBLK_FAKE_END];
	void (*begins)(enum ublk_fake_call call);
} fake;

void ublk_fake_reset(void)
{
	memset(&fake, 0, sizeof(fake));
}

void ublk_fake_fail(enum ublk_fake_call call, int code)
{
	fake.codes[call] = code;
}

void ublk_fake_watch(void (*begins)(enum ublk_fake_call call))
{
	fake.begins = begins;
}

void ublk_fake_state(uint32_t dev_id, uint32_t state)
{
	fake.info[dev_id].state = state;
}

unsigned int ublk_fake_calls(enum ublk_fake_call call)
{
	return fake.calls[call];
}

unsigned int ublk_fake_devices(void)
{
	unsigned int n = 0;

	for (uint32_t i = 0; i < UBLK_FAKE_DEVICES; i++)
		n += fake.added[i];
	return n;
}

uint64_t ublk_fake_bytes(uint32_t dev_id)
{
	return fake.bytes[dev_id];
}

static int fake_call(enum ublk_fake_call call, struct err *e)
{
	fake.calls[call]++;
	if (fake.begins)
		fake.begins(call);
	return fake.codes[call] ? err_sys(e, fake.codes[call], "as the test wants") : 0;
}

static int fake_call_on(enum ublk_fake_call call, uint32_t dev_id, struct err *e)
{
	int r = fake_call(call, e);

	if (r < 0)
		return r;
	if (dev_id >= UBLK_FAKE_DEVICES || !fake.added[dev_id])
		return err_sys(e, ENODEV, "ublk device %u", dev_id);
	return 0;
}

int ublk_ctl_open(struct ublk_ctl **ret, struct err *e)
{
	int r = fake_call(UBLK_FAKE_OPEN, e);

	if (r < 0)
		return r;
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : err_sys(e, ENOMEM, "no memory");
}

void ublk_ctl_close(struct ublk_ctl *c)
{
	free(c);
}

void ublk_ctl_closep(struct ublk_ctl **c)
{
	ublk_ctl_close(*c);
	*c = NULL;
}

uint64_t ublk_features(const struct ublk_ctl *c)
{
	return UBLK_F_CMD_IOCTL_ENCODE;
}

int ublk_add(struct ublk_ctl *c, struct ublk_spec *spec, struct err *e)
{
	int r = fake_call(UBLK_FAKE_ADD, e);

	if (r < 0)
		return r;
	for (uint32_t i = 0; spec->dev_id == UINT32_MAX && i < UBLK_FAKE_DEVICES; i++) {
		if (!fake.added[i])
			spec->dev_id = i;
	}
	if (spec->dev_id >= UBLK_FAKE_DEVICES)
		return err_sys(e, EINVAL, "ublk device %u", spec->dev_id);
	if (fake.added[spec->dev_id])
		return err_sys(e, EEXIST, "ublk device %u", spec->dev_id);
	fake.added[spec->dev_id] = true;
	fake.info[spec->dev_id] = (struct ublk_info){
		.dev_id = spec->dev_id,
		.state = UBLK_S_DEV_DEAD,
		.flags = spec->flags,
		.cookie = spec->cookie,
		.nr_queues = spec->nr_queues,
		.depth = spec->depth,
	};
	return 0;
}

int ublk_start(struct ublk_ctl *c, uint32_t dev_id, int opener_pid, int timeout_ms, struct err *e)
{
	int r = fake_call_on(UBLK_FAKE_START, dev_id, e);

	if (r >= 0)
		fake.info[dev_id].state = UBLK_S_DEV_LIVE;
	return r;
}

int ublk_recover_begin(struct ublk_ctl *c, uint32_t dev_id, int timeout_ms, struct err *e)
{
	return fake_call_on(UBLK_FAKE_RECOVER_BEGIN, dev_id, e);
}

int ublk_quiesce(struct ublk_ctl *c, uint32_t dev_id, int timeout_ms, struct err *e)
{
	int r = fake_call_on(UBLK_FAKE_QUIESCE, dev_id, e);

	if (r >= 0)
		fake.info[dev_id].state = UBLK_S_DEV_QUIESCED;
	return r;
}

int ublk_recover_end(struct ublk_ctl *c, uint32_t dev_id, int opener_pid, int timeout_ms,
		     struct err *e)
{
	int r = fake_call_on(UBLK_FAKE_RECOVER_END, dev_id, e);

	if (r >= 0)
		fake.info[dev_id].state = UBLK_S_DEV_LIVE;
	return r;
}

int ublk_resize(struct ublk_ctl *c, uint32_t dev_id, uint64_t dev_bytes, struct err *e)
{
	int r = fake_call_on(UBLK_FAKE_RESIZE, dev_id, e);

	if (r >= 0)
		fake.bytes[dev_id] = dev_bytes;
	return r;
}

int ublk_stop(struct ublk_ctl *c, uint32_t dev_id, int timeout_ms, struct err *e)
{
	int r = fake_call_on(UBLK_FAKE_STOP, dev_id, e);

	if (r >= 0)
		fake.info[dev_id].state = UBLK_S_DEV_DEAD;
	return r;
}

int ublk_delete(struct ublk_ctl *c, uint32_t dev_id, int timeout_ms, struct err *e)
{
	int r = fake_call_on(UBLK_FAKE_DELETE, dev_id, e);

	if (r >= 0)
		fake.added[dev_id] = false;
	return r;
}

int ublk_info(struct ublk_ctl *c, uint32_t dev_id, struct ublk_info *ret, struct err *e)
{
	int r = fake_call_on(UBLK_FAKE_INFO, dev_id, e);

	if (r >= 0)
		*ret = fake.info[dev_id];
	return r;
}

int ublk_block_number(struct ublk_ctl *c, uint32_t dev_id, uint32_t *ret_major, uint32_t *ret_minor,
		      struct err *e)
{
	int r = fake_call_on(UBLK_FAKE_BLOCK_NUMBER, dev_id, e);

	if (r < 0)
		return r;
	if (fake.info[dev_id].state != UBLK_S_DEV_LIVE)
		return err_set(e, ENODEV, "ublk device %u has no block device", dev_id);
	*ret_major = UBLK_FAKE_MAJOR;
	*ret_minor = dev_id;
	return 0;
}
