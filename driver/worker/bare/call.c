/* SPDX-License-Identifier: Apache-2.0 */
/* The C library's names for the few system calls that sealed programs make. */
#include "driver/worker/bare/call.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "driver/worker/bare/thread.h"
#include "driver/worker/bare/vdso.h"

int __poll_chk(struct pollfd *fds, nfds_t nr, int timeout_ms, size_t room);

/* struct sigaction as the kernel has it. */
struct call_sigaction {
	__sighandler_t handler;
	unsigned long flags;
	void *restorer;
	unsigned long mask;
};

int *__errno_location(void)
{
	return &thread_own()->error;
}

static long call_result(long r)
{
	if (r >= 0 || r < -4095)
		return r;
	errno = (int)-r;
	return -1;
}

#define CALL(nr, a, b, c, d, e, f)                                                                 \
	call_result(bare_call(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f)))

long syscall(long nr, ...)
{
	long a[6];
	va_list ap;

	va_start(ap, nr);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	return CALL(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

void _exit(int status)
{
	for (;;)
		bare_call(SYS_exit_group, status, 0, 0, 0, 0, 0);
}

int close(int fd)
{
	return (int)CALL(SYS_close, fd, 0, 0, 0, 0, 0);
}

int close_range(unsigned int first, unsigned int last, int flags)
{
	return (int)CALL(SYS_close_range, first, last, flags, 0, 0, 0);
}

off_t lseek(int fd, off_t off, int whence)
{
	return CALL(SYS_lseek, fd, off, whence, 0, 0, 0);
}

int posix_fadvise(int fd, off_t off, off_t len, int advice)
{
	return CALL(SYS_fadvise64, fd, off, len, advice, 0, 0) < 0 ? errno : 0;
}

ssize_t pread(int fd, void *to, size_t size, off_t off)
{
	return CALL(SYS_pread64, fd, to, size, off, 0, 0);
}

void *mmap(void *at, size_t size, int access, int flags, int fd, off_t off)
{
	return (void *)CALL(SYS_mmap, at, size, access, flags, fd, off);
}

int munmap(void *at, size_t size)
{
	return (int)CALL(SYS_munmap, at, size, 0, 0, 0, 0);
}

int madvise(void *at, size_t size, int advice)
{
	return (int)CALL(SYS_madvise, at, size, advice, 0, 0, 0);
}

int mprotect(void *at, size_t size, int access)
{
	return (int)CALL(SYS_mprotect, at, size, access, 0, 0, 0);
}

int mlockall(int flags)
{
	return (int)CALL(SYS_mlockall, flags, 0, 0, 0, 0, 0);
}

int poll(struct pollfd *fds, nfds_t nr, int timeout_ms)
{
	return (int)CALL(SYS_poll, fds, nr, timeout_ms, 0, 0, 0);
}

/* What a compiler makes of poll() where it knows how large the array is. */
int __poll_chk(struct pollfd *fds, nfds_t nr, int timeout_ms, size_t room)
{
	if (nr > room / sizeof(*fds))
		__builtin_trap();
	return poll(fds, nr, timeout_ms);
}

int prctl(int option, ...)
{
	unsigned long a[4];
	va_list ap;

	va_start(ap, option);
	for (int i = 0; i < 4; i++)
		a[i] = va_arg(ap, unsigned long);
	va_end(ap);
	return (int)CALL(SYS_prctl, option, a[0], a[1], a[2], a[3], 0);
}

int listen(int fd, int most)
{
	return (int)CALL(SYS_listen, fd, most, 0, 0, 0, 0);
}

int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
	return (int)CALL(SYS_accept4, fd, address, size, flags, 0, 0);
}

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	return CALL(SYS_sendmsg, fd, msg, flags, 0, 0, 0);
}

ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	return CALL(SYS_recvmsg, fd, msg, flags, 0, 0, 0);
}

/* CMSG_NXTHDR(), which a build without optimization calls. */
struct cmsghdr *__cmsg_nxthdr(struct msghdr *msg, struct cmsghdr *c)
{
	unsigned char *end = (unsigned char *)msg->msg_control + msg->msg_controllen;
	unsigned char *next = (unsigned char *)c + CMSG_ALIGN(c->cmsg_len);

	if (c->cmsg_len < sizeof(*c) || c->cmsg_len > (size_t)(end - (unsigned char *)c) ||
	    (size_t)(end - (unsigned char *)c) < CMSG_ALIGN(c->cmsg_len) + sizeof(*c))
		return NULL;
	return (struct cmsghdr *)next;
}

/* To ignore it or not; a handler would need a way back from it. */
__sighandler_t signal(int nr, __sighandler_t handler)
{
	struct call_sigaction new = { .handler = handler }, old = { 0 };

	if (handler != SIG_IGN && handler != SIG_DFL) {
		errno = ENOSYS;
		return SIG_ERR;
	}
	if (CALL(SYS_rt_sigaction, nr, &new, &old, sizeof(new.mask), 0, 0) < 0)
		return SIG_ERR;
	return old.handler;
}

/* Among the tables that nothing writes later. */
static int (*call_clock)(clockid_t clock, struct timespec *ret)
	__attribute__((section(".data.rel.ro")));

void call_use_vdso(uintptr_t image)
{
	*(void **)&call_clock = vdso_find(image, "__vdso_clock_gettime");
}

int clock_gettime(clockid_t clock, struct timespec *ret)
{
	/* It makes the call by itself where the clock cannot be read without. */
	return call_clock ? (int)call_result(call_clock(clock, ret))
			  : (int)CALL(SYS_clock_gettime, clock, ret, 0, 0, 0, 0);
}

long sysconf(int name)
{
	if (name == _SC_PAGESIZE)
		return 4096; /* x86-64 has no other */
	errno = EINVAL;
	return -1;
}
