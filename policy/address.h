/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a target's server is: "unix:/PATH" or "tcp:HOST:PORT", HOST being a
 * name, an IPv4 address or an IPv6 address in []; or "exec:/usr/PROGRAM", which is started,
 * confined, and serves it.
 *
 * A rule may write more: "unix:/DIR/" is every socket below, "/BITS" behind an
 * IP address is a network, "N-M" in the place of the port is a range. Names
 * are compared, never looked up: whoever answers for a name chooses the address.
 */
#pragma once

#include <stdbool.h>

/* Can a rule say so? */
bool address_pattern_ok(const char *pattern);

/* Is this one address, written in full, and does the pattern cover it? */
bool address_fits(const char *pattern, const char *address);
