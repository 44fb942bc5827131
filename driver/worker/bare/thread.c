/* SPDX-License-Identifier: Apache-2.0 */
/* The C library's name for a new thread; one that ends takes the process with it. */
#include "driver/worker/bare/thread.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define THREAD_GUARD_BYTES ((size_t)4096)
#define THREAD_STACK_BYTES ((size_t)16384) /* all of it is locked into memory */
#define THREAD_FLAGS                                                                               \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |        \
	 CLONE_SETTLS)

/* What a new thread finds on its stack. */
struct thread_begin {
	void *(*run)(void *argument);
	void *argument;
};
static_assert(sizeof(struct thread_begin) == 16, "popped in thread_clone()");

long thread_clone(long nr, unsigned long flags, struct thread_begin *stack, struct bare_thread *own)
	__attribute__((visibility("hidden")));

/* clang-format off */
__asm__(".text\n"
	".globl thread_clone\n"
	".hidden thread_clone\n"
	".type thread_clone, @function\n"
	"thread_clone:\n"
	"	mov %rdi, %rax\n"
	"	mov %rsi, %rdi\n"
	"	mov %rdx, %rsi\n"
	"	mov %rcx, %r8\n"
	"	xor %edx, %edx\n"
	"	xor %r10d, %r10d\n"
	"	syscall\n"
	"	test %rax, %rax\n"
	"	jz 1f\n"
	"	ret\n"
	"1:	xor %ebp, %ebp\n"
	"	pop %rax\n"
	"	pop %rdi\n"
	"	call *%rax\n"
	"	ud2\n");
/* clang-format on */

int pthread_create(pthread_t *ret, const pthread_attr_t *attr, void *(*run)(void *), void *argument)
{
	const size_t size = THREAD_GUARD_BYTES + THREAD_STACK_BYTES;
	struct thread_begin *begin;
	struct bare_thread *own;
	unsigned char *stack;
	long r;

	stack = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (stack == MAP_FAILED)
		return errno;
	if (mprotect(stack + THREAD_GUARD_BYTES, THREAD_STACK_BYTES, PROT_READ | PROT_WRITE) < 0)
		return errno;
	own = (struct bare_thread *)(void *)(stack + size) - 1;
	*own = (struct bare_thread){ .self = own, .canary = thread_own()->canary };
	begin = (struct thread_begin *)(void *)own - 1;
	*begin = (struct thread_begin){ run, argument };
	r = thread_clone(SYS_clone, THREAD_FLAGS, begin, own);
	if (r < 0)
		return (int)-r;
	*ret = (pthread_t)own;
	return 0;
}
