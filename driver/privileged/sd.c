/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/sd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/log.h"
#include "driver/base/num.h"
#include "driver/base/text.h"

#define SD_LISTEN_FD 3

int sd_listen_fd(int *ret_fd, struct err *e)
{
	const char *pid = getenv("LISTEN_PID"), *nr = getenv("LISTEN_FDS");
	int domain, type, listening;
	socklen_t size = sizeof(int);
	uint64_t n;

	if (!pid || !nr || num_parse_u64(pid, INT32_MAX, &n) < 0 || n != (uint64_t)getpid())
		return -ENOENT;
	if (strcmp(nr, "1"))
		return err_set(e, EINVAL, "expected one socket from the service manager, got %s",
			       nr);
	if (getsockopt(SD_LISTEN_FD, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0 ||
	    getsockopt(SD_LISTEN_FD, SOL_SOCKET, SO_TYPE, &type, &size) < 0 ||
	    getsockopt(SD_LISTEN_FD, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) < 0)
		return err_sys(e, errno, "the service manager's descriptor is no socket");
	if (domain != AF_UNIX || type != SOCK_SEQPACKET || !listening)
		return err_set(e, EINVAL,
			       "the service manager's socket is not a listening SEQPACKET "
			       "Unix socket (ListenSequentialPacket=)");
	if (fcntl(SD_LISTEN_FD, F_SETFD, FD_CLOEXEC) < 0 ||
	    fcntl(SD_LISTEN_FD, F_SETFL, O_NONBLOCK) < 0)
		return err_sys(e, errno, "cannot use the service manager's socket");
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	*ret_fd = SD_LISTEN_FD;
	return 0;
}

static void sd_notify(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	auto_close int fd = -1;

	if (!path || (path[0] != '/' && path[0] != '@') ||
	    text_copy(address.sun_path, sizeof(address.sun_path), path) < 0)
		return;
	if (address.sun_path[0] == '@')
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 ||
	    sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address,
		   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path))) < 0)
		log_warning("cannot tell the service manager %s: %s", text, strerror(errno));
}

void sd_notify_ready(void)
{
	sd_notify("READY=1");
}

void sd_notify_reloading(void)
{
	struct timespec now;
	char text[64];

	/* The time is how it tells this reload from the one before. */
	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld",
		 (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
	sd_notify(text);
}
