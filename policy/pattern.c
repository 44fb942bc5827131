/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/pattern.h"

#include <limits.h>
#include <stddef.h>
#include <string.h>

bool pattern_path_ok(const char *path)
{
	const char *end;
	size_t n;

	if (path[0] != '/' || strlen(path) >= PATH_MAX)
		return false;
	for (const char *p = path + 1; *p; p = *end ? end + 1 : end) {
		end = strchrnul(p, '/');
		n = (size_t)(end - p);
		if (!n || (p[0] == '.' && (n == 1 || (n == 2 && p[1] == '.'))))
			return false;
	}
	return true;
}

/* A pattern that ends with '/' ends a component, so "/srv/a/" is no prefix of "/srv/ab". */
bool pattern_path_fits(const char *pattern, const char *path)
{
	size_t n = strlen(pattern);

	if (!pattern_path_ok(path))
		return false;
	if (pattern[n - 1] != '/')
		return !strcmp(path, pattern);
	return !strncmp(path, pattern, n) && path[n];
}

/*
 * Going back to the last '*' is enough: as none crosses a '/', the components
 * pair up one by one, whatever each '*' stands for.
 */
bool pattern_cgroup_fits(const char *pattern, const char *path)
{
	const char *star = NULL, *taken = NULL;

	if (!pattern_path_ok(path))
		return false;
	while (*path) {
		if (*pattern == '*') {
			star = ++pattern;
			taken = path;
		} else if (*pattern == *path) {
			pattern++;
			path++;
		} else if (!*pattern && pattern[-1] == '/') {
			return true;
		} else if (star && *taken != '/') {
			pattern = star;
			path = ++taken;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return !*pattern && pattern[-1] != '/';
}
