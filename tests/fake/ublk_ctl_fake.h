/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands in for driver/privileged/ublk_ctl.c at link time: devices are rows of
 * a table, and a call fails when the test said so.
 */
#pragma once

#include <stdint.h>

#define UBLK_FAKE_DEVICES 64
#define UBLK_FAKE_MAJOR 259

enum ublk_fake_call {
	UBLK_FAKE_NONE,
	UBLK_FAKE_OPEN,
	UBLK_FAKE_FEATURES,
	UBLK_FAKE_ADD,
	UBLK_FAKE_START,
	UBLK_FAKE_QUIESCE,
	UBLK_FAKE_RECOVER_BEGIN,
	UBLK_FAKE_RECOVER_END,
	UBLK_FAKE_RESIZE,
	UBLK_FAKE_STOP,
	UBLK_FAKE_DELETE,
	UBLK_FAKE_INFO,
	UBLK_FAKE_BLOCK_NUMBER,
	UBLK_FAKE_END,
};

/* No devices, no failures, no calls, nobody watching. */
void ublk_fake_reset(void);

/* From now on this call returns -code; 0 ends that. */
void ublk_fake_fail(enum ublk_fake_call call, int code);

/* Called when a call begins, before its failure is looked up; NULL: nothing. */
void ublk_fake_watch(void (*begins)(enum ublk_fake_call call));

/* The driver's state of a device that was added: UBLK_S_DEV_*. */
void ublk_fake_state(uint32_t dev_id, uint32_t state);

unsigned int ublk_fake_calls(enum ublk_fake_call call);
unsigned int ublk_fake_devices(void);

/* As it was told since the reset; 0: it was not. */
uint64_t ublk_fake_bytes(uint32_t dev_id);
