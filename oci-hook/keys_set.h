/* SPDX-License-Identifier: Apache-2.0 */
/* What is written of one key, and what it means in the options. */
#pragma once

#include "oci-hook/keys.h"

/* One key; twice the same is an error, whatever the values. */
int keys_set(struct attach_options *o, enum catalog_key key, const char *value, struct err *e);

/* "rw" or "ro". */
int keys_parse_access(const char *value, bool *ret_read_only, struct err *e);
