/* SPDX-License-Identifier: Apache-2.0 */
/* The image formats a confined qemu-storage-daemon serves: constant facts for everybody. */
#pragma once

#include <stdbool.h>

/* Never renumbered, only added to. */
enum image_format {
	IMAGE_NONE,
	IMAGE_RAW,
	IMAGE_QCOW2,
	IMAGE_QED,
	IMAGE_VMDK,
	IMAGE_VHDX,
	IMAGE_VDI,
	IMAGE_VPC,
	IMAGE_PARALLELS,
	IMAGE_END,
};

/* As QEMU names it, and people write it; NULL for a number that is none. */
const char *image_format_name(unsigned int format);

/* Can an image of this format become larger? */
bool image_format_grows(unsigned int format);

/* Can there be snapshots inside of it? */
bool image_format_has_snapshots(unsigned int format);

/* IMAGE_NONE for a name that is none. */
enum image_format image_format_find(const char *name);
