/* SPDX-License-Identifier: Apache-2.0 */
/* Which keys go together, and with which target. */
#pragma once

#include "oci-hook/keys.h"

/* Do they make sense together? host: without a container, so with no path but to mount on. */
int keys_check(const struct attach_options *o, bool host, struct err *e);
