/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ownership belongs to variables: a variable declared with one of these is
 * released when it goes out of scope, whichever way the function is left.
 * Give ownership away with fd_take() or ptr_take().
 */
#pragma once

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define cleanup_with(f) __attribute__((cleanup(f)))

static inline void close_fdp(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static inline int fd_take(int *fd)
{
	int r = *fd;

	*fd = -1;
	return r;
}

static inline void free_ptrp(void *p)
{
	free(*(void **)p);
}

static inline void fclose_ptrp(FILE **f)
{
	if (*f)
		fclose(*f);
}

static inline void closedir_ptrp(DIR **d)
{
	if (*d)
		closedir(*d);
}

#define ptr_take(p)                                                                                \
	({                                                                                         \
		__typeof__(p) taken_ = (p);                                                        \
		(p) = NULL;                                                                        \
		taken_;                                                                            \
	})

#define auto_close cleanup_with(close_fdp)
#define auto_free cleanup_with(free_ptrp)
#define auto_fclose cleanup_with(fclose_ptrp)
#define auto_closedir cleanup_with(closedir_ptrp)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
