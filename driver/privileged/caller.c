/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/caller.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "driver/base/cleanup.h"
#include "driver/base/text.h"
#include "driver/privileged/last_close.h"
#include "driver/privileged/process.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5 */
#endif

struct caller *caller_new(struct callers *all)
{
	struct caller *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->serial = ++all->last_serial;
	timing_begin(&c->timing);
	c->peer_fd = -1;
	c->ledger_fd = -1;
	c->next = all->first;
	all->first = c;
	return c;
}

static bool caller_fd_says(int fd)
{
	char sender[CMSG_SPACE(sizeof(struct ucred))];
	struct msghdr msg = { .msg_control = sender, .msg_controllen = sizeof(sender) };
	const int on = 1, off = 0;
	ssize_t n;

	/* The sender's id comes with every message, also an empty one, and not with the end. */
	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0)
		return true;
	n = recvmsg(fd, &msg, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &off, sizeof(off));
	return n >= 0 && (msg.msg_controllen || msg.msg_flags & MSG_CTRUNC);
}

bool caller_says(const struct caller *c)
{
	return caller_fd_says(c->peer_fd);
}

/* What is queued goes with the last close; where nothing is, nothing lingers. */
void caller_hang_up(int *peer_fds, size_t nr)
{
	bool queued = false;
	pid_t holder;

	for (size_t i = 0; i < nr; i++) {
		shutdown(peer_fds[i], SHUT_RD); /* nothing comes any more */
		queued |= caller_fd_says(peer_fds[i]);
	}
	holder = queued ? last_close_begin() : -1;
	for (size_t i = 0; i < nr; i++)
		close_fdp(&peer_fds[i]);
	last_close_end(holder);
}

void caller_free(struct callers *all, struct caller *c)
{
	struct caller **at = &all->first;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	if (c->peer_fd >= 0)
		caller_hang_up(&c->peer_fd, 1);
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

/* The path in the line "0::/path" of /proc/PID/cgroup. */
static void caller_cgroup(int proc_fd, char ret[CALLER_CGROUP_SIZE])
{
	char text[4096];
	const char *path;

	if (process_read(proc_fd, "cgroup", text, sizeof(text)) < 0)
		return;
	path = process_parse_cgroup(text);
	if (path)
		text_copy(ret, CALLER_CGROUP_SIZE, path);
}

/*
 * The process that connected may be gone and its pid be another's. A pidfd of it
 * tells; on kernels that give none its uid is all there is to compare.
 */
void caller_look_process(struct caller *c)
{
	auto_close int pidfd = -1, proc_fd = -1;
	socklen_t size = sizeof(pidfd);
	struct stat st;

	if (!c->peer_pid)
		return;
	if (getsockopt(c->peer_fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) < 0)
		pidfd = -1;
	proc_fd = process_proc_open(c->peer_pid);
	if (proc_fd < 0 || (pidfd < 0 && (fstat(proc_fd, &st) < 0 || st.st_uid != c->uid)))
		return;
	caller_cgroup(proc_fd, c->cgroup);
	if (pidfd >= 0 && process_ended(pidfd))
		*c->cgroup = '\0';
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
	c->peer_pid = cred.pid > 0 ? cred.pid : 0;
	return 0;
}

struct registry_peer caller_peer(const struct caller *c)
{
	return (struct registry_peer){
		.pid = c->peer_pid,
		.cgroup = c->cgroup,
		.uid = c->uid,
		.gids = c->gids,
		.nr_gids = c->nr_gids,
		.op_pid = c->pid,
	};
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
