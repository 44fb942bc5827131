/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes: handlers, as service.h says. */
#pragma once

#include "oci-hook/csi/call.h"

enum code controller_create(struct call *c, const void *request, void *response);
enum code controller_delete(struct call *c, const void *request, void *response);
enum code controller_validate(struct call *c, const void *request, void *response);
enum code controller_list(struct call *c, const void *request, void *response);
enum code controller_capacity(struct call *c, const void *request, void *response);
enum code controller_capabilities(struct call *c, const void *request, void *response);
enum code controller_expand(struct call *c, const void *request, void *response);
enum code controller_get(struct call *c, const void *request, void *response);
