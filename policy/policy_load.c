/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/policy.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/base/cleanup.h"

/* Who can write the policy can have any device, so nobody but its owner may. */
static int file_check(int fd, const char *path, uint32_t owner_uid, struct err *e)
{
	struct stat st = { 0 };

	/* What cannot be looked at stays zero, which is no regular file. */
	fstat(fd, &st);
	if (!S_ISREG(st.st_mode))
		return err_set(e, EINVAL, "%s: it is not a regular file", path);
	if (st.st_uid != 0 && st.st_uid != owner_uid)
		return err_set(e, EPERM, "%s: it is owned by uid %u; use: chown root %s", path,
			       st.st_uid, path);
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return err_set(e, EPERM,
			       "%s: others than its owner may write it; use: chmod go-w %s", path,
			       path);
	if (st.st_size > POLICY_SIZE_MAX)
		return err_set(e, EFBIG, "%s: it is larger than %d bytes; make it shorter", path,
			       POLICY_SIZE_MAX);
	return 0;
}

/* Up to size bytes of the file; how many, or -errno. */
static ssize_t file_read(int fd, char *buf, size_t size)
{
	size_t got = 0;
	ssize_t n;

	do {
		n = read(fd, buf + got, size - got);
		if (n < 0)
			return -errno;
		got += (size_t)n;
	} while (n);
	return (ssize_t)got;
}

int policy_read(char **ret_text, size_t *ret_size, const char *path, uint32_t owner_uid,
		struct err *e)
{
	auto_free char *text = NULL;
	auto_close int fd = -1;
	ssize_t size;
	int r;

	/* Non-blocking, so that a FIFO is refused and not waited for. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 && errno == ELOOP)
		return err_set(e, ELOOP, "%s: it is a symbolic link; name the file itself", path);
	if (fd < 0)
		return err_sys(e, errno, "%s", path);
	r = file_check(fd, path, owner_uid, e);
	if (r < 0)
		return r;
	/* One more than allowed, so that a file that grew is refused; and the zero. */
	text = malloc(POLICY_SIZE_MAX + 2);
	if (!text)
		return err_sys(e, ENOMEM, "%s", path);
	size = file_read(fd, text, POLICY_SIZE_MAX + 1);
	if (size < 0)
		return err_sys(e, (int)-size, "%s", path);
	text[size] = '\0';
	*ret_size = (size_t)size;
	*ret_text = ptr_take(text);
	return 0;
}

int policy_load(struct policy **ret, const char *path, uint32_t owner_uid,
		const struct policy_names *names, struct err *e)
{
	auto_free char *text = NULL;
	size_t size = 0;
	int r;

	r = policy_read(&text, &size, path, owner_uid, e);
	if (r < 0)
		return r;
	return err_prefix(e, policy_parse(ret, text, size, names, e), "%s", path);
}
