/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/spawn_clone.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)

/* Not by the C library's syscall(): there is nothing to return to on the child's stack. */
__attribute__((noinline)) pid_t spawn_clone(struct clone_args *args,
					    struct spawn_clone_stack *stack,
					    void (*child)(const void *arg), const void *arg)
{
	long r = SYS_clone3;

	args->flags |= CLONE_VM;
	args->stack = (uintptr_t)stack->bytes;
	args->stack_size = sizeof(stack->bytes);
	asm volatile("syscall\n\t"
		     "test %%rax, %%rax\n\t"
		     "jnz 1f\n\t"
		     "mov %[arg], %%rdi\n\t"
		     "call *%[child]\n\t"
		     "ud2\n"
		     "1:"
		     : "+a"(r)
		     : "D"(args), "S"(sizeof(*args)), [child] "r"(child), [arg] "r"(arg)
		     : "rcx", "r11", "memory", "cc");
	return (pid_t)r;
}

#else

pid_t spawn_clone(struct clone_args *args, struct spawn_clone_stack *stack,
		  void (*child)(const void *arg), const void *arg)
{
	pid_t pid = (pid_t)syscall(SYS_clone3, args, sizeof(*args));

	if (!pid)
		child(arg);
	return pid < 0 ? -errno : pid;
}

#endif
