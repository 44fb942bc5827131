/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fake/helper_fake.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "oci-hook/client.h"

struct wire_reply reply_make(int status, const char *reason)
{
	struct wire_reply r = {
		.head = { WIRE_MAGIC, WIRE_VERSION, WIRE_REPLY, sizeof(r), 0 },
		.status = status,
		.dev_id = status ? 0 : 7,
		.generation = status ? 0 : 42,
	};

	snprintf(r.reason, sizeof(r.reason), "%s", reason);
	return r;
}

/*
 * As a helper without room: the request is there, and nobody reads it. The
 * client is held meanwhile, else it may have the answer before the end comes.
 */
static void fake_refuse(int fd)
{
	const struct wire_reply reply = reply_make(-EAGAIN, "too many requests at once");
	char byte;

	recv(fd, &byte, 1, MSG_PEEK);
	kill(getppid(), SIGSTOP);
	packet_send(fd, &reply, sizeof(reply), NULL, 0, 1000);
	close(fd);
	kill(getppid(), SIGCONT);
}

static void fake_serve(int listen_fd, script *answer)
{
	struct packet p = PACKET_INIT;
	int fd = accept(listen_fd, NULL, NULL);

	if (fd >= 0 && !answer)
		fake_refuse(fd);
	else if (fd >= 0 && !packet_receive(fd, &p, 5000))
		answer(fd, &p);
	packet_fini(&p);
	_exit(0);
}

void fake_start(struct fake *f, script *answer)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	strcpy(f->dir, "/tmp/test_client.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/sock", f->dir);
	strcpy(addr.sun_path, f->path);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 4), 0);
	setenv(CLIENT_SOCKET_VARIABLE, f->path, 1);
	f->pid = fork();
	assert_true(f->pid >= 0);
	if (!f->pid)
		fake_serve(fd, answer);
	close(fd);
}

void fake_end(struct fake *f)
{
	kill(f->pid, SIGKILL);
	waitpid(f->pid, NULL, 0);
	unlink(f->path);
	rmdir(f->dir);
}

struct wire_device device_make(uint32_t dev_id, const char *container, const char *path)
{
	struct wire_device d = {
		.head = { WIRE_MAGIC, WIRE_VERSION, WIRE_DEVICE, sizeof(d), 0 },
		.dev_id = dev_id,
		.generation = 100 + dev_id,
		.state = WIRE_STATE_LIVE,
	};

	snprintf(d.container, sizeof(d.container), "%s", container);
	snprintf(d.path, sizeof(d.path), "%s", path);
	return d;
}

void send_bytes(int fd, const void *bytes, size_t size)
{
	packet_send(fd, bytes, size, NULL, 0, 1000);
}

void answer_device(int fd, const struct packet *p)
{
	struct wire_device d = device_make(1, "c", "/dev/x");

	send_bytes(fd, &d, sizeof(d));
}
