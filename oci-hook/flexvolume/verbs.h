/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Kubernetes calls a FlexVolume driver for. Everything is asked of the store and the helper;
 * nothing is kept here, so a call-out that was cut off is simply made again.
 *
 * A driver either mounts (init, mount, unmount), or attaches (init, attach, waitforattach,
 * isattached, mountdevice, unmountdevice, detach) and leaves it to kubelet to bind what is
 * mounted into pods.
 */
#pragma once

#include <stdbool.h>

#include "oci-hook/auto_json.h"

#define VERBS_TIMEOUT_MS 50000

/*
 * The call-out words[0], with what stands behind it. Returns its answer, the caller's, or NULL
 * without memory; *ret_done says whether it is "Success".
 */
struct json_object *verbs_run(bool attaches, int nr_words, char *const *words, int timeout_ms,
			      bool *ret_done);
