/* SPDX-License-Identifier: Apache-2.0 */
/* Which program of the system does a verb for a file system, and how it is called. */
#pragma once

#include "oci-hook/probe.h"
#include "targets/catalog.h"

/* Becomes it; comes back with the exit status when that cannot be. */
int tool_become(enum probe_verb verb, enum catalog_filesystem filesystem);
