/* SPDX-License-Identifier: Apache-2.0 */
/* What the program is: handlers, as service.h says. */
#pragma once

#include "oci-hook/csi/call.h"

enum code identity_info(struct call *c, const void *request, void *response);
enum code identity_capabilities(struct call *c, const void *request, void *response);
enum code identity_probe(struct call *c, const void *request, void *response);

#define IDENTITY_NAME "csi.ublk-oci.io" /* the driver's, for Kubernetes */

/* Does a kernel of this release make a device larger that is used (UPDATE_SIZE)? */
bool identity_release_grows(const char *release);
