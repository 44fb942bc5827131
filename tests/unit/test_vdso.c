/* SPDX-License-Identifier: Apache-2.0 */
/* Functions found in the kernel's image: of this process, where it has one. */
#include "driver/worker/bare/vdso.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <time.h>

#include <cmocka.h>

#ifdef __x86_64__
#define CLOCK "__vdso_clock_gettime"
#else
#define CLOCK "__kernel_clock_gettime"
#endif

static uintptr_t image(void)
{
	uintptr_t at = getauxval(AT_SYSINFO_EHDR);

	if (!at)
		skip();
	return at;
}

static void test_what_is_found_reads_the_clock(void **state)
{
	int (*found)(clockid_t clock, struct timespec * ret);
	struct timespec before, at, after;

	*(void **)&found = vdso_find(image(), CLOCK);
	assert_non_null(*(void **)&found);
	clock_gettime(CLOCK_MONOTONIC, &before);
	assert_int_equal(found(CLOCK_MONOTONIC, &at), 0);
	clock_gettime(CLOCK_MONOTONIC, &after);
	assert_true(at.tv_sec > before.tv_sec ||
		    (at.tv_sec == before.tv_sec && at.tv_nsec >= before.tv_nsec));
	assert_true(at.tv_sec < after.tv_sec ||
		    (at.tv_sec == after.tv_sec && at.tv_nsec <= after.tv_nsec));
}

static void test_what_is_not_there_is_not_found(void **state)
{
	static const char *const names[] = { "", "__vdso", CLOCK "2", "__vdso_clock_settime" };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		assert_null(vdso_find(image(), names[i]));
	assert_null(vdso_find(0, CLOCK));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_found_reads_the_clock),
		cmocka_unit_test(test_what_is_not_there_is_not_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
