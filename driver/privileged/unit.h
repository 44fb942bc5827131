/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The systemd unit a container is in, where systemd filters its devices. Whenever something
 * changes there (daemon-reload, set-property) systemd makes its filter anew, from what the unit
 * allows: so the device is put into the unit too (DeviceAllow=), and systemd keeps it.
 *
 * systemctl is asked to do it: what a bus says would have to be parsed here, as root. It gets
 * no capabilities, and nothing it writes is read: its exit status is all.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "driver/base/err.h"

#define UNIT_NAME_SIZE 256

/*
 * The unit of systemd's that has this cgroup ("/a.slice/b.scope"), or the one it is in as
 * "container" (crun's). False: it is none, or one of a user's systemd, which filters nothing.
 */
bool unit_of_cgroup(const char *cgroup, char ret[UNIT_NAME_SIZE]);

/* Is the machine run by systemd? */
bool unit_here(void);

/* Until the unit ends, or unit_deny(). -ETIMEDOUT: perhaps it is allowed now. */
int unit_allow(const char *unit, uint32_t major, uint32_t minor, bool writable, int timeout_ms,
	       struct err *e);

/*
 * systemd takes a line out of a unit only together with all others, so this leaves one: by it a
 * node of this number may be made, and not opened.
 */
int unit_deny(const char *unit, uint32_t major, uint32_t minor, int timeout_ms, struct err *e);
