/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/caller.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/last_close.h"

struct caller *caller_new(struct callers *all)
{
	struct caller *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->serial = ++all->last_serial;
	c->peer_fd = -1;
	c->ledger_fd = -1;
	c->next = all->first;
	all->first = c;
	return c;
}

static void caller_hang_up(struct caller *c)
{
	pid_t holder = c->peer_fd < 0 ? -1 : last_close_begin();

	close_fdp(&c->peer_fd);
	last_close_end(holder);
}

void caller_free(struct callers *all, struct caller *c)
{
	struct caller **at = &all->first;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	caller_hang_up(c);
	close_fdp(&c->ledger_fd);
	free(c);
}

struct caller *caller_find(const struct callers *all, uint32_t serial)
{
	for (struct caller *c = all->first; c; c = c->next) {
		if (c->serial == serial)
			return c;
	}
	return NULL;
}

struct caller *caller_of_child(const struct callers *all, pid_t pid)
{
	for (struct caller *c = all->first; c; c = c->next) {
		if (c->pid == pid)
			return c;
	}
	return NULL;
}

int caller_identify(struct caller *c)
{
	socklen_t size = sizeof(c->gids) - sizeof(c->gids[0]);
	struct ucred cred;
	socklen_t cred_size = sizeof(cred);

	if (getsockopt(c->peer_fd, SOL_SOCKET, SO_PEERCRED, &cred, &cred_size) < 0)
		return -errno;
	c->uid = cred.uid;
	c->gid = cred.gid;
	c->gids[0] = cred.gid;
	c->nr_gids = 1;
	if (!getsockopt(c->peer_fd, SOL_SOCKET, SO_PEERGROUPS, c->gids + 1, &size))
		c->nr_gids += size / sizeof(c->gids[0]);
	return 0;
}

bool caller_room(const struct callers *all, uid_t uid, uid_t hook_uid)
{
	unsigned int nr = 0, others = 0, same = 0;

	for (const struct caller *c = all->first; c; c = c->next) {
		nr++;
		others += c->uid != 0 && c->uid != hook_uid;
		same += c->uid == uid;
	}
	if (uid == 0 || uid == hook_uid)
		return nr <= CALLER_MAX;
	return others <= CALLER_OTHERS_MAX && same <= CALLER_OF_UID_MAX;
}

int64_t caller_next_ms(const struct callers *all)
{
	int64_t next = INT64_MAX;

	for (const struct caller *c = all->first; c; c = c->next)
		next = c->deadline_ms < next ? c->deadline_ms : next;
	return next;
}
