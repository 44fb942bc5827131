/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls of Docker's volume plug-in protocol, which podman makes too. Each may be made again,
 * and then changes nothing.
 */
#pragma once

#include <stddef.h>

#include "oci-hook/auto_json.h"
#include "oci-hook/volume-plugin/plugin.h"

#define CALLS_ANSWER_MS 4000 /* podman waits for 5 s */

/*
 * path: of the request, "/VolumeDriver.Create". Returns the answer, the caller's, or NULL without
 * memory; *ret_status is HTTP's: of what failed, the answer's member "Err" says why.
 */
struct json_object *calls_serve(const struct plugin *p, const char *path, const char *body,
				size_t size, unsigned int *ret_status);

/* What is mounted and nobody uses, since a plug-in was killed between the two, is unmounted. */
void calls_sweep(const struct plugin *p);
