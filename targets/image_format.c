/* SPDX-License-Identifier: Apache-2.0 */
#include "targets/image_format.h"

#include <stddef.h>
#include <string.h>

static const char *const image_formats[IMAGE_END] = {
	[IMAGE_RAW] = "raw",   [IMAGE_QCOW2] = "qcow2",		[IMAGE_QED] = "qed",
	[IMAGE_VMDK] = "vmdk", [IMAGE_VHDX] = "vhdx",		[IMAGE_VDI] = "vdi",
	[IMAGE_VPC] = "vpc",   [IMAGE_PARALLELS] = "parallels",
};

const char *image_format_name(unsigned int format)
{
	return format < IMAGE_END ? image_formats[format] : NULL;
}

bool image_format_grows(unsigned int format)
{
	return format == IMAGE_RAW || format == IMAGE_QCOW2 || format == IMAGE_QED ||
	       format == IMAGE_PARALLELS;
}

bool image_format_has_snapshots(unsigned int format)
{
	return format == IMAGE_QCOW2;
}

enum image_format image_format_find(const char *name)
{
	for (unsigned int i = IMAGE_NONE + 1; i < IMAGE_END; i++) {
		if (!strcmp(image_formats[i], name))
			return (enum image_format)i;
	}
	return IMAGE_NONE;
}
