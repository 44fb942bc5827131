/* SPDX-License-Identifier: Apache-2.0 */
/* Paths and cgroups as rules write them. Everything here compares text and nothing else. */
#pragma once

#include <stdbool.h>

/*
 * Is this an absolute path without empty, "." and ".." components, that fits
 * PATH_MAX? A single '/' at its end is fine. Only such paths can be compared as text.
 */
bool pattern_path_ok(const char *path);

/* Below the pattern when that ends with '/', else the same. What is no clean path never fits. */
bool pattern_path_fits(const char *pattern, const char *path);

/* The same, and '*' stands for any characters but '/', also for none. */
bool pattern_cgroup_fits(const char *pattern, const char *path);
