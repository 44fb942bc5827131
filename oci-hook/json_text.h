/* SPDX-License-Identifier: Apache-2.0 */
/* Reading JSON that strangers wrote. */
#pragma once

#include <stddef.h>

#include "driver/base/err.h"
#include "oci-hook/auto_json.h"

/*
 * One object and nothing else, of strict UTF-8, nested at most so deep. what: its name in an
 * error. The caller has looked at its size. Of a key written twice the last value counts.
 */
int json_text_parse(struct json_object **ret, const char *text, size_t size, int depth,
		    const char *what, struct err *e);
