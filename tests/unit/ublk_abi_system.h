/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

struct ublk_abi_row {
	const char *what;
	long long value;
};

/* What <linux/ublk_cmd.h> knows; ends with a NULL. */
extern const struct ublk_abi_row ublk_abi_system[];
