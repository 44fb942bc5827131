/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/keeper/table.h"

#include <errno.h>

/* Where it is, or t->nr. */
static unsigned int table_place(const struct table *t, uint64_t generation)
{
	unsigned int i = 0;

	while (i < t->nr && t->generations[i] != generation)
		i++;
	return i;
}

int table_put(struct table *t, uint64_t generation, int fd, int *ret_old)
{
	unsigned int i = table_place(t, generation);

	if (i == KEEP_ENTRIES_MAX)
		return -ENOSPC;
	*ret_old = i < t->nr ? t->fds[i] : -1;
	t->generations[i] = generation;
	t->fds[i] = fd;
	if (i == t->nr)
		t->nr++;
	return 0;
}

int table_get(const struct table *t, uint64_t generation)
{
	unsigned int i = table_place(t, generation);

	return i < t->nr ? t->fds[i] : -ENOENT;
}

int table_take(struct table *t, uint64_t generation)
{
	unsigned int i = table_place(t, generation);
	int fd;

	if (i == t->nr)
		return -ENOENT;
	fd = t->fds[i];
	t->nr--;
	t->generations[i] = t->generations[t->nr];
	t->fds[i] = t->fds[t->nr];
	return fd;
}

unsigned int table_names(const struct table *t, uint64_t first, uint64_t *names, unsigned int max)
{
	unsigned int n = 0;

	for (uint64_t i = first; i < t->nr && n < max; i++)
		names[n++] = t->generations[i];
	return n;
}
