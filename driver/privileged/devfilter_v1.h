/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device filter of a cgroup of version 1: a list that the kernel keeps. See devfilter.h,
 * whose functions come here with such a cgroup.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "driver/base/err.h"
#include "driver/privileged/devfilter.h"

bool devfilter_v1_is(int cgroup_fd);

/* devfilter_allow() and devfilter_revoke() of one. Where all is allowed there is nothing to do. */
int devfilter_v1_allow(int cgroup_fd, uint32_t major, uint32_t minor, unsigned int how,
		       struct err *e);
int devfilter_v1_deny(int cgroup_fd, uint32_t major, uint32_t minor, struct err *e);

/* devfilter_look() of one. ret->print is DEVFILTER_PRINT_INIT before. */
int devfilter_v1_look(int cgroup_fd, struct devfilter_look *ret, struct err *e);
