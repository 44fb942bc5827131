/* SPDX-License-Identifier: Apache-2.0 */
/* Foreign text inside a message: printable ASCII only, cut short. */
#pragma once

#define POLICY_SHOWN_SIZE 64

/* Fills buf with text, '?' for what is not printable ASCII, "..." for what did not fit. */
const char *policy_shown(const char *text, char buf[POLICY_SHOWN_SIZE]);
