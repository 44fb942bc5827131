/* SPDX-License-Identifier: Apache-2.0 */
/* The works of calls which change something; each may be done again. */
#pragma once

#include "oci-hook/volume-plugin/works.h"

extern const struct work_kind changes_create, changes_remove, changes_mount, changes_unmount;

/* Behind an Unmount: unmounts what nobody uses, as soon as nothing on the host has it open. */
extern const struct work_kind changes_let_go;
