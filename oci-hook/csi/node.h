/* SPDX-License-Identifier: Apache-2.0 */
/* This node, and volumes that are published on it: handlers, as service.h says. */
#pragma once

#include "oci-hook/csi/call.h"

#define NODE_ID_MAX 256 /* bytes, as CSI has it */

/* Does NodeExpandVolume have something to do after a volume with a file system grew? */
bool node_expands(const struct call *c);

enum code node_capabilities(struct call *c, const void *request, void *response);
enum code node_info(struct call *c, const void *request, void *response);
enum code node_stats(struct call *c, const void *request, void *response);
enum code node_expand(struct call *c, const void *request, void *response);
