/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The helper's side of the keeper, a call at a time, as root:
 *
 *   keep_tool put GENERATION FILE      opens FILE, read and write
 *   keep_tool get GENERATION           its first bytes to standard output
 *   keep_tool drop GENERATION
 *   keep_tool cycle TIMES GENERATION FILE   put and drop; prints microseconds of the median put
 *   keep_tool fill FILE                put until it is full; prints how many, and drops them
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/privileged/keep.h"
#include "driver/wire/keep.h"

#define TIMES_MAX 100000
#define FILL_FIRST 1000000

static uint64_t number(const char *text)
{
	return strtoull(text, NULL, 0);
}

static int tool_put(char **args, struct err *e)
{
	auto_close int fd = open(args[1], O_RDWR | O_CLOEXEC);

	return fd < 0 ? err_sys(e, errno, "cannot open %s", args[1])
		      : keep_put(number(args[0]), fd, e);
}

static int tool_get(char **args, struct err *e)
{
	auto_close int fd = -1;
	char bytes[4096];
	ssize_t n;
	int r;

	r = keep_get(number(args[0]), &fd, e);
	if (r < 0)
		return r;
	n = pread(fd, bytes, sizeof(bytes), 0);
	if (n < 0 || write(STDOUT_FILENO, bytes, (size_t)n) != n)
		return err_sys(e, errno, "cannot copy");
	return 0;
}

static int tool_drop(char **args, struct err *e)
{
	return keep_drop(number(args[0]), e);
}

static int by_size(const void *a, const void *b)
{
	const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static int tool_cycle(char **args, struct err *e)
{
	size_t times = (size_t)number(args[0]);
	uint64_t generation = number(args[1]);
	auto_close int fd = open(args[2], O_RDWR | O_CLOEXEC);
	auto_free int64_t *took = calloc(times, sizeof(*took));
	int r;

	if (fd < 0 || !took || !times || times > TIMES_MAX)
		return err_set(e, EINVAL, "no file, or too many times");
	for (size_t i = 0; i < times; i++) {
		int64_t begun = clock_now_us();

		r = keep_put(generation + i, fd, e);
		took[i] = clock_now_us() - begun;
		if (r == 0)
			r = keep_drop(generation + i, e);
		if (r < 0)
			return r;
	}
	qsort(took, times, sizeof(*took), by_size);
	printf("%" PRId64 "\n", took[times / 2]);
	return 0;
}

static int tool_fill(char **args, struct err *e)
{
	auto_close int fd = open(args[0], O_RDWR | O_CLOEXEC);
	unsigned int nr = 0;
	int r;

	while ((r = keep_put(FILL_FIRST + nr, fd, e)) == 0 && nr <= KEEP_ENTRIES_MAX)
		nr++;
	printf("%u\n", nr);
	if (r != -ENOSPC)
		return r < 0 ? r : err_set(e, EPROTO, "it is never full");
	/* What is in it can be replaced all the same. */
	r = keep_put(FILL_FIRST, fd, e);
	for (unsigned int i = 0; r == 0 && i < nr; i++)
		r = keep_drop(FILL_FIRST + i, e);
	return r;
}

static const struct {
	const char *name;
	int nr_args;
	int (*run)(char **args, struct err *e);
} tools[] = {
	{ "put", 2, tool_put },	    { "get", 1, tool_get },   { "drop", 1, tool_drop },
	{ "cycle", 3, tool_cycle }, { "fill", 1, tool_fill },
};

int main(int argc, char **argv)
{
	struct err e = { "" };

	for (size_t i = 0; i < ARRAY_SIZE(tools); i++) {
		if (argc != 2 + tools[i].nr_args || strcmp(argv[1], tools[i].name))
			continue;
		if (tools[i].run(argv + 2, &e) == 0)
			return EXIT_SUCCESS;
		fprintf(stderr, "%s\n", e.text);
		return EXIT_FAILURE;
	}
	fprintf(stderr, "see the head of keep_tool.c\n");
	return 2;
}
