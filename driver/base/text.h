/* SPDX-License-Identifier: Apache-2.0 */
/* Small checks on strings that come from outside. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Copies src with its end into dst: 0, or -ENAMETOOLONG with dst untouched. */
int text_copy(char *dst, size_t dst_size, const char *src);

/* Is buf a string that ends inside size bytes, with only zeroes behind its end? */
bool text_padded_ok(const char *buf, size_t size);

/* 1..max characters of A-Z a-z 0-9 . _ + : @ - , not beginning with '-' or '.'? */
bool text_name_ok(const char *name, size_t max);

/*
 * The name of a device made ahead, as engines take it: 1..TEXT_DEVICE_NAME_MAX characters of
 * A-Z a-z 0-9 _ . : - , the first and the last a letter or a digit?
 */
#define TEXT_DEVICE_NAME_MAX 63
bool text_device_name_ok(const char *name);

/*
 * A device path inside a container: "/dev/" and one or more names separated by
 * single slashes, none of them "." or "..". On failure *ret_why says what is
 * wrong with it.
 */
bool text_device_path_ok(const char *path, const char **ret_why);

/*
 * The same for a place a file system is mounted at: "/" and one or more such names, which may
 * hold a '~' too, as names of Kubernetes' directories do.
 */
bool text_mount_path_ok(const char *path, const char **ret_why);
