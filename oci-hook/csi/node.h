/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes on this node: handlers, as service.h says. */
#pragma once

#include "oci-hook/csi/call.h"

#define NODE_ID_MAX 256 /* bytes, as CSI has it */

/* Does NodeExpandVolume have something to do after a volume with a file system grew? */
bool node_expands(const struct call *c);

enum code node_capabilities(struct call *c, const void *request, void *response);
enum code node_info(struct call *c, const void *request, void *response);

/* Of what is not there, too: nothing is published then, as it should be. */
enum code node_unpublish(struct call *c, const void *request, void *response);
