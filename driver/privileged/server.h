/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The helper's main process: accepts callers, forks a child for each request,
 * answers the children's questions about the registry, and watches over the
 * processes devices depend on. It never blocks: nothing here reads a caller's
 * packet, touches a caller's fd, or waits for the kernel's ublk driver.
 *
 *   caller.c  who is connected
 *   work.c    the children
 *   watch.c   the devices nobody works on
 *   hang.c    the devices on which nothing ends
 *   access.c  the devices their containers cannot open any more
 *   keep_watch.c  the keeper
 *   notice.c  what workers say of I/O that failed
 *   reload.c  another policy
 *   server.c  the loop
 */
#pragma once

#include "driver/privileged/caller.h"
#include "driver/privileged/helper.h"
#include "driver/privileged/keep_watch.h"
#include "driver/privileged/registry.h"

struct server {
	const struct helper *helper;
	struct registry *registry;
	struct callers callers;
	struct keep_watch keeper;
	int epoll_fd;
	int listen_fd;
	int signal_fd;
	pid_t reconcile_pid;	  /* 0: done */
	pid_t reload_pid;	  /* 0: no reload of our own is under way */
	bool reload_again;	  /* asked for meanwhile */
	int64_t hang_passed_ms;	  /* when disks were looked at last */
	int64_t access_passed_ms; /* when device filters were */
	int64_t notices_ms;	  /* when workers are heard again; 0: they are */
	bool ending;
};

/* What an event is about: a kind, and which one of it. No pointers that could dangle. */
enum server_event {
	SERVER_LISTEN,
	SERVER_SIGNAL,
	SERVER_CALLER,	  /* a connection that has not asked yet: its serial number */
	SERVER_LEDGER,	  /* a child's questions: the caller's serial number */
	SERVER_WORKER,	  /* the end of a device's worker: lower half of the generation */
	SERVER_CONTAINER, /* the end of a device's container: the same */
	SERVER_KEEPER,	  /* the keeper's answer, or its end */
	SERVER_NOTICE,	  /* a worker's */
};

/* Adds fd to the loop; extra: more EPOLL* flags. 0 or -errno. */
int server_watch(struct server *s, int fd, enum server_event event, uint32_t which, uint32_t extra);

/* Decides under another policy from now on; takes it. */
void server_change_policy(struct server *s, struct policy *policy);

/* This child has done its work. */
void server_work_done(struct server *s, pid_t pid);

/*
 * Serves until SIGTERM. Takes listen_fd and the connection to the keeper, if there is one. Devices
 * and workers outlive it. The registry's policy is freed when another takes its place.
 */
int server_run(const struct helper *helper, struct registry *registry, int listen_fd,
	       struct keep *keep, struct err *e);
