/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots: handlers, as service.h says. */
#pragma once

#include "oci-hook/csi/call.h"

enum code snapshot_create(struct call *c, const void *request, void *response);
enum code snapshot_delete(struct call *c, const void *request, void *response);
enum code snapshot_list(struct call *c, const void *request, void *response);
