/* SPDX-License-Identifier: Apache-2.0 */
/* The C library's names for memory and strings. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>

#include "driver/base/num.h"

#define MEMORY_PAGE ((size_t)4096)
#define MEMORY_ALIGN ((size_t)16)

void *__memcpy_chk(void *to, const void *from, size_t n, size_t room);
void *__memset_chk(void *to, int byte, size_t n, size_t room);
_Noreturn void __stack_chk_fail(void);

void *memcpy(void *to, const void *from, size_t n)
{
	void *r = to;

	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
	return r;
}

void *memset(void *to, int byte, size_t n)
{
	void *r = to;

	uint64_t word = (unsigned char)byte * UINT64_C(0x0101010101010101);
	size_t words = n / sizeof(word);

	n %= sizeof(word);
	__asm__ volatile("rep stosq" : "+D"(to), "+c"(words) : "a"(word) : "memory");
	__asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(word) : "memory");
	return r;
}

void *__memcpy_chk(void *to, const void *from, size_t n, size_t room)
{
	if (n > room)
		__builtin_trap();
	return memcpy(to, from, n);
}

void *__memset_chk(void *to, int byte, size_t n, size_t room)
{
	if (n > room)
		__builtin_trap();
	return memset(to, byte, n);
}

void __stack_chk_fail(void)
{
	__builtin_trap();
}

/* Compilers call these two of themselves. */
void *memmove(void *to, const void *from, size_t n)
{
	unsigned char *t = to;
	const unsigned char *f = from;

	if ((uintptr_t)t - (uintptr_t)f >= n)
		return memcpy(to, from, n);
	while (n--)
		t[n] = f[n];
	return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const unsigned char *x = a, *y = b;

	for (; n; n--, x++, y++) {
		if (*x != *y)
			return *x - *y;
	}
	return 0;
}

/* What a compiler makes of it where only equal or not is asked. */
int bcmp(const void *a, const void *b, size_t n)
{
	return memcmp(a, b, n);
}

size_t strlen(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

size_t strnlen(const char *s, size_t most)
{
	size_t n = 0;

	while (n < most && s[n])
		n++;
	return n;
}

/* --- allocation: all of it before the worker is sealed, and to its end ------------------ */

/* Whole pages from the kernel, which are zeroes; what is left of one serves the next. */
static void *memory_take(size_t align, size_t size)
{
	static uintptr_t at, end; /* only the first thread allocates */
	uintptr_t p = num_round_up(at, align);
	size_t pages;
	void *more;

	if (size > PTRDIFF_MAX)
		return NULL;
	if (!at || p > end || end - p < size) {
		pages = num_round_up(size, MEMORY_PAGE);
		more = mmap(NULL, pages, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			    0);
		if (more == MAP_FAILED)
			return NULL;
		p = (uintptr_t)more;
		end = p + pages;
	}
	at = p + size;
	return (void *)p;
}

void *calloc(size_t nr, size_t size)
{
	size_t all;

	if (__builtin_mul_overflow(nr, size, &all)) {
		errno = ENOMEM;
		return NULL;
	}
	return memory_take(MEMORY_ALIGN, all);
}

/* Of a page at most, like every page. */
void *aligned_alloc(size_t align, size_t size)
{
	if (align > MEMORY_PAGE) {
		errno = EINVAL;
		return NULL;
	}
	return memory_take(align, size);
}

/* A worker that serves frees nothing, and one that failed ends. */
void free(void *p)
{
}
