/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two functions that liburing 2.3 declares, and its shared library does not
 * export. Linked only where the library has not got them.
 */
#include <errno.h>
#include <liburing.h>
#include <sys/syscall.h>
#include <unistd.h>

static int compat_register(struct io_uring *ring, unsigned int op, const void *arg, unsigned int nr)
{
	return syscall(SYS_io_uring_register, ring->ring_fd, op, arg, nr) < 0 ? -errno : 0;
}

int io_uring_register_restrictions(struct io_uring *ring, struct io_uring_restriction *list,
				   unsigned int nr)
{
	return compat_register(ring, IORING_REGISTER_RESTRICTIONS, list, nr);
}

int io_uring_enable_rings(struct io_uring *ring)
{
	return compat_register(ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}
