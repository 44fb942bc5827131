/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clone3() of a child that only runs one function and then executes a program.
 * Where the machine is known it shares the caller's memory until then, so that
 * nothing is copied for it.
 */
#pragma once

#include <linux/sched.h>
#include <stdint.h>
#include <sys/types.h>

#define SPAWN_CLONE_STACK_BYTES (16 * 1024)

/* For the child alone; the caller keeps it until the child is gone or has executed. */
struct spawn_clone_stack {
	_Alignas(16) unsigned char bytes[SPAWN_CLONE_STACK_BYTES];
};

/*
 * args: all but the stack and CLONE_VM. Must not return: child(arg), which may
 * read the caller's memory, write its own stack and make system calls; not
 * one that fails where it goes well, since errno is shared too. The pid,
 * or -errno.
 */
pid_t spawn_clone(struct clone_args *args, struct spawn_clone_stack *stack,
		  void (*child)(const void *arg), const void *arg);
