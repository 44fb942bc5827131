/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "driver/base/num.h"

#define LISTEN_FD 3 /* where sd_listen_fds(3) says it is */

int listen_passed(int type, int *ret_fd, struct err *e)
{
	const char *pid = getenv("LISTEN_PID"), *nr = getenv("LISTEN_FDS");
	int is = 0, listening = 0;
	socklen_t size = sizeof(int);
	uint64_t n = 0;

	if (!pid || !nr || num_parse_u64(pid, INT32_MAX, &n) < 0 || n != (uint64_t)getpid())
		return -ENOENT;
	if (strcmp(nr, "1") || getsockopt(LISTEN_FD, SOL_SOCKET, SO_TYPE, &is, &size) < 0 ||
	    getsockopt(LISTEN_FD, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) < 0 || is != type ||
	    !listening)
		return err_set(e, EINVAL, "expected one listening %s socket of the service manager",
			       type == SOCK_SEQPACKET ? "SEQPACKET" : "stream");
	fcntl(LISTEN_FD, F_SETFD, FD_CLOEXEC);
	fcntl(LISTEN_FD, F_SETFL, O_NONBLOCK);
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	*ret_fd = LISTEN_FD;
	return 0;
}
