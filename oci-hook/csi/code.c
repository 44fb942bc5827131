/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/csi/code.h"

#include <errno.h>
#include <stddef.h>

#include "driver/base/cleanup.h"

static const struct {
	int error;
	enum code code;
} code_rows[] = {
	{ 0, CODE_OK },
	{ EINVAL, CODE_INVALID_ARGUMENT },
	{ ENOENT, CODE_NOT_FOUND },
	{ EEXIST, CODE_ALREADY_EXISTS },
	{ EPERM, CODE_PERMISSION_DENIED },
	{ EACCES, CODE_PERMISSION_DENIED },
	{ EROFS, CODE_FAILED_PRECONDITION },
	/* Somebody works on it; who knows that it is in use says so before. */
	{ EBUSY, CODE_ABORTED },
	{ ENOSPC, CODE_RESOURCE_EXHAUSTED },
	{ EDQUOT, CODE_RESOURCE_EXHAUSTED },
	{ EUSERS, CODE_RESOURCE_EXHAUSTED }, /* it is at too many places */
	{ EFBIG, CODE_OUT_OF_RANGE },
	{ ERANGE, CODE_OUT_OF_RANGE },
	{ ETIMEDOUT, CODE_DEADLINE_EXCEEDED },
	{ ECANCELED, CODE_CANCELLED },
	/* To be asked again: it is not there, or has too much to do. */
	{ EAGAIN, CODE_UNAVAILABLE },
	{ ECONNREFUSED, CODE_UNAVAILABLE },
	{ ECONNRESET, CODE_UNAVAILABLE },
	{ EPIPE, CODE_UNAVAILABLE },
	{ EOPNOTSUPP, CODE_UNIMPLEMENTED },
};

enum code code_of_errno(int r)
{
	for (size_t i = 0; i < ARRAY_SIZE(code_rows); i++) {
		if (code_rows[i].error == -r)
			return code_rows[i].code;
	}
	return CODE_INTERNAL;
}
