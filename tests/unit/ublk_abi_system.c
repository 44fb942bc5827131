/* SPDX-License-Identifier: Apache-2.0 */
/* What the system's header says. */
#include "tests/unit/ublk_abi_system.h"

#include <errno.h>
#include <linux/types.h>
#include <linux/ublk_cmd.h>
#include <stddef.h>
#include <sys/ioctl.h>

#define ROW(expression) { #expression, (long long)(expression) },
const struct ublk_abi_row ublk_abi_system[] = {
#include "tests/unit/ublk_abi_rows.h"
	{ NULL, 0 },
};
