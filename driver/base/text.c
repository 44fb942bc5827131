/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/base/text.h"

#include <errno.h>
#include <string.h>

int text_copy(char *dst, size_t dst_size, const char *src)
{
	size_t n = strlen(src);

	if (n >= dst_size)
		return -ENAMETOOLONG;
	memset(dst, 0, dst_size);
	memcpy(dst, src, n);
	return 0;
}

bool text_padded_ok(const char *buf, size_t size)
{
	size_t n = strnlen(buf, size);

	if (n == size)
		return false;
	for (; n < size; n++) {
		if (buf[n])
			return false;
	}
	return true;
}

static bool text_name_char_ok(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("._+:@-", c));
}

/* more: characters that may be there besides, but not first. */
static bool text_name_span_ok(const char *name, size_t n, const char *more)
{
	if (!n || name[0] == '-' || name[0] == '.')
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!text_name_char_ok(name[i]) && !(i && name[i] && strchr(more, name[i])))
			return false;
	}
	return true;
}

bool text_name_ok(const char *name, size_t max)
{
	size_t n = strnlen(name, max + 1);

	return n <= max && text_name_span_ok(name, n, "");
}

static bool text_names_ok(const char *names, const char *more, const char **ret_why)
{
	const char *p, *end;

	for (p = names;; p = end + 1) {
		end = strchrnul(p, '/');
		if (end == p) {
			*ret_why = "it has an empty component";
			return false;
		}
		if (!text_name_span_ok(p, (size_t)(end - p), more)) {
			*ret_why = *more ? "a component may hold only A-Z a-z 0-9 . _ + : @ - ~ "
					   "and begin with none of . - ~"
					 : "a component may hold only A-Z a-z 0-9 . _ + : @ - "
					   "and not begin with '.' or '-'";
			return false;
		}
		if (!*end)
			return true;
	}
}

bool text_device_path_ok(const char *path, const char **ret_why)
{
	if (!strncmp(path, "/dev/", 5))
		return text_names_ok(path + 5, "", ret_why);
	*ret_why = "it must begin with /dev/";
	return false;
}

bool text_mount_path_ok(const char *path, const char **ret_why)
{
	if (*path == '/')
		return text_names_ok(path + 1, "~", ret_why);
	*ret_why = "it must begin with /";
	return false;
}

static bool text_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool text_device_name_ok(const char *name)
{
	size_t n = strnlen(name, TEXT_DEVICE_NAME_MAX + 1);

	if (!n || n > TEXT_DEVICE_NAME_MAX || !text_alnum(name[0]) || !text_alnum(name[n - 1]))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!text_alnum(name[i]) && !strchr("_.:-", name[i]))
			return false;
	}
	return true;
}
