/* SPDX-License-Identifier: Apache-2.0 */
/* The capabilities the helper keeps, each with its reason; see caps.c. */
#pragma once

#include "driver/base/err.h"

/* Drops every other capability, also from the bounding set, for good. */
int caps_keep(struct err *e);
