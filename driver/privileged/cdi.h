/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of devices made ahead, for engines that know CDI: one file, which a name in
 * `podman run --device ublk-oci.io/device=NAME` is looked up in. An entry has no device node,
 * only hooks that claim the device for the container, by name and generation, and end the claim.
 */
#pragma once

#include <stdint.h>

#include "driver/privileged/registry.h"

#define CDI_DIR "/run/cdi"
#define CDI_NAME "ublk-oci.json"
#define CDI_KIND "ublk-oci.io/device"

/* Makes dir; returns its fd. */
int cdi_open(const char *dir, int *ret_fd, struct err *e);

/* The text, to be freed; NULL and 0: there is nothing to list, so there is to be no file. */
int cdi_text(const struct registry *reg, char **ret, size_t *ret_size);

/* Writes what there is, if that is not what is written; a failure is logged. */
void cdi_refresh(struct registry *reg);

/* Calls found() for the generation of each entry of the file; a negative number of it ends this. */
int cdi_each(int cdi_fd, int (*found)(void *arg, uint64_t generation), void *arg, struct err *e);
