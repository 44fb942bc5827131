/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox of whoever looks at a volume's data. No privilege, no way to another process or to
 * the network, no file but the data and what programs of the system are made of; little memory,
 * and nothing longer than the data. For this process and the tool it becomes.
 */
#pragma once

#include <stdbool.h>

#include "driver/base/err.h"

/* Of tools: another program may be started in this one's place. */
int shut_in(bool tool, struct err *e);
