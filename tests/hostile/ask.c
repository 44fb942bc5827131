/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/hostile/ask.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/base/text.h"

#define ASK_PATIENCE_MS 40000 /* for an answer, or the end of the connection */

_Noreturn void ask_die(const char *what)
{
	perror(what);
	exit(1);
}

static int ask_connect_to(const char *path, int flags)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0);

	if (fd < 0 || text_copy(address.sun_path, sizeof(address.sun_path), path) < 0)
		ask_die("socket");
	if (!connect(fd, (const struct sockaddr *)&address, sizeof(address)))
		return fd;
	close(fd);
	if (errno != EAGAIN)
		ask_die("connect");
	return -1;
}

int ask_connect(int flags)
{
	return ask_connect_to(WIRE_SOCKET, flags);
}

void ask_send(int fd, const void *bytes, size_t size, const int *fds, unsigned int nr_fds)
{
	char control[CMSG_SPACE(sizeof(int) * ASK_FDS_MOST)] = { 0 };
	struct iovec iov = { (void *)bytes, size };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c = (struct cmsghdr *)control;

	if (nr_fds) {
		m.msg_control = control;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * nr_fds);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * nr_fds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * nr_fds);
	}
	if (sendmsg(fd, &m, MSG_NOSIGNAL) >= 0)
		return;
	/* A helper that has hung up already behaved. What the kernel does not send reaches nobody.
	 */
	if (errno == EINVAL || errno == ETOOMANYREFS || errno == EMSGSIZE)
		shutdown(fd, SHUT_RDWR);
	else if (errno != EPIPE && errno != ECONNRESET && errno != EAGAIN)
		ask_die("sendmsg");
}

int ask_answer(int fd, struct wire_reply *reply)
{
	int64_t deadline = clock_deadline_ms(ASK_PATIENCE_MS);
	union {
		struct wire_head head;
		struct wire_reply reply;
		char bytes[4096];
	} m;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n;

		if (poll(&p, 1, clock_left_ms(deadline)) <= 0)
			return -ETIMEDOUT;
		n = recv(fd, &m, sizeof(m), MSG_DONTWAIT);
		/* It hung up and had not read everything: what it said comes behind that. */
		if (n < 0 && errno == ECONNRESET)
			n = recv(fd, &m, sizeof(m), MSG_DONTWAIT);
		if (n <= 0)
			return -ENOTCONN;
		if (m.head.type != WIRE_REPLY)
			continue;
		*reply = m.reply;
		return 0;
	}
}

struct wire_head ask_head(enum wire_type type, size_t size, unsigned int nr_fds)
{
	return (struct wire_head){ WIRE_MAGIC, WIRE_VERSION, (uint16_t)type, (uint32_t)size,
				   nr_fds };
}

struct wire_attach ask_attach(unsigned int nr_fds)
{
	return (struct wire_attach){
		.head = ask_head(WIRE_ATTACH, sizeof(struct wire_attach), nr_fds),
		.target = TARGET_MEMORY,
		.size_bytes = 1 << 20,
		.mode = 0660,
		.container = "c1",
		.engine = "crun",
		.path = "/dev/x",
	};
}

struct wire_attach ask_attach_host(enum target_id target, unsigned int nr_fds)
{
	struct wire_attach m = ask_attach(nr_fds);

	m.target = target;
	m.flags = WIRE_HOST;
	m.size_bytes = target == TARGET_FILE ? 0 : 1 << 20;
	memset(m.container, 0, sizeof(m.container));
	memset(m.engine, 0, sizeof(m.engine));
	memset(m.path, 0, sizeof(m.path));
	return m;
}

int ask_list(const char *path)
{
	struct wire_list list = { ask_head(WIRE_LIST, sizeof(list), 0) };
	auto_close int fd = ask_connect_to(path, 0);
	struct wire_reply reply;
	int r;

	ask_send(fd, &list, sizeof(list), NULL, 0);
	r = ask_answer(fd, &reply);
	return r < 0 ? r : reply.status;
}
