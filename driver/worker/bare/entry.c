/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first instructions of a worker that has no C library: x86-64 only. The
 * program is position independent and nobody else places it, so what holds an
 * address is put right here, and locked before main() runs.
 */
#include <asm/prctl.h>
#include <assert.h>
#include <elf.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "driver/worker/bare/call.h"
#include "driver/worker/bare/thread.h"

#define ENTRY_PAGE ((uintptr_t)4096)

extern const Elf64_Ehdr __ehdr_start __attribute__((visibility("hidden")));
extern const Elf64_Dyn _DYNAMIC[] __attribute__((visibility("hidden")));

int main(void);
void entry_first(const uintptr_t *stack) __attribute__((used, visibility("hidden")));

/* clang-format off */
__asm__(".text\n"
	".globl _start\n"
	".type _start, @function\n"
	"_start:\n"
	"	xor %ebp, %ebp\n"
	"	mov %rsp, %rdi\n"
	"	and $-16, %rsp\n"
	"	call entry_first\n"
	"	ud2\n");
/* clang-format on */

static void entry_relocate(uintptr_t base)
{
	const Elf64_Rela *rela = NULL;
	size_t size = 0;

	for (const Elf64_Dyn *d = _DYNAMIC; d->d_tag != DT_NULL; d++) {
		if (d->d_tag == DT_RELA)
			rela = (const Elf64_Rela *)(base + d->d_un.d_ptr);
		else if (d->d_tag == DT_RELASZ)
			size = d->d_un.d_val;
		else if (d->d_tag == DT_JMPREL || d->d_tag == DT_RELR)
			__builtin_trap(); /* of no use without a C library; never linked so */
	}
	for (size_t i = 0; i < size / sizeof(*rela); i++) {
		if (ELF64_R_TYPE(rela[i].r_info) != R_X86_64_RELATIVE)
			__builtin_trap();
		*(uintptr_t *)(base + rela[i].r_offset) = base + (uintptr_t)rela[i].r_addend;
	}
}

/* The tables of functions are never written again. */
static void entry_lock_tables(uintptr_t base)
{
	const Elf64_Phdr *p = (const Elf64_Phdr *)(base + __ehdr_start.e_phoff);

	for (unsigned int i = 0; i < __ehdr_start.e_phnum; i++) {
		uintptr_t from = (base + p[i].p_vaddr) & -ENTRY_PAGE;
		uintptr_t to = (base + p[i].p_vaddr + p[i].p_memsz) & -ENTRY_PAGE;

		if (p[i].p_type == PT_GNU_RELRO &&
		    bare_call(SYS_mprotect, (long)from, (long)(to - from), PROT_READ, 0, 0, 0) < 0)
			__builtin_trap();
	}
}

/* 0: the kernel did not say. */
static uintptr_t entry_told(const uintptr_t *stack, uintptr_t what)
{
	const uintptr_t *p = stack + 1 + stack[0] + 1; /* behind argc, argv and its end */

	while (*p++) /* the environment */
		;
	for (; p[0] != AT_NULL; p += 2) {
		if (p[0] == what)
			return p[1];
	}
	return 0;
}

static void entry_canary(const uintptr_t *stack)
{
	static struct bare_thread thread;
	const void *random = (const void *)entry_told(stack, AT_RANDOM);

	if (random)
		memcpy(&thread.canary, random, sizeof(thread.canary));
	thread.canary &= ~(uintptr_t)0xff; /* a string that runs over ends before it */
	thread.self = &thread;
	if (bare_call(SYS_arch_prctl, ARCH_SET_FS, (long)&thread, 0, 0, 0, 0) < 0)
		__builtin_trap();
}

void entry_first(const uintptr_t *stack)
{
	uintptr_t base = (uintptr_t)&__ehdr_start;

	entry_relocate(base);
	call_use_vdso(entry_told(stack, AT_SYSINFO_EHDR));
	entry_lock_tables(base);
	entry_canary(stack);
	_exit(main());
}
