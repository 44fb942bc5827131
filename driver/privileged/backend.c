/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/backend.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/text.h"
#include "driver/privileged/cgroup.h"
#include "driver/privileged/child.h"
#include "driver/privileged/process.h"
#include "driver/wire/packet.h"
#include "driver/wire/wire.h"

#define BACKEND_STEP_MS 5000
#define BACKEND_WORDS_BYTES 4096
#define BACKEND_WORDS_SEALS (F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL)
#define BACKEND_BACKLOG 16
#define BACKEND_MEMORY_BYTES                                                                       \
	"268435456" /* with the page cache it makes; a hint of the kernel's                        \
		     */

void backend_fini(struct backend *b)
{
	close_fdp(&b->pidfd);
	close_fdp(&b->words_fd);
	close_fdp(&b->says_fd);
}

/* A stream socket, and the address that this path is. */
static int backend_socket(const char *path, int flags, struct sockaddr_un *address, int *ret_fd,
			  struct err *e)
{
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (text_copy(address->sun_path, sizeof(address->sun_path), path) < 0)
		return err_set(e, ENAMETOOLONG, "the path of the back end's socket is too long");
	*ret_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
	return *ret_fd < 0 ? err_sys(e, errno, "cannot make a socket") : 0;
}

/* Its name is in a directory of root's; the back end has the socket and never sees the name. */
static int backend_listen(const char *path, int *ret_fd, struct err *e)
{
	auto_close int fd = -1;
	struct sockaddr_un address;
	int r;

	r = backend_socket(path, 0, &address, &fd, e);
	if (r < 0)
		return r;
	if (unlink(path) < 0 && errno != ENOENT)
		return err_sys(e, errno, "cannot remove %s", path);
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    chmod(path, 0600) < 0 || listen(fd, BACKEND_BACKLOG) < 0)
		return err_sys(e, errno, "cannot listen on %s", path);
	*ret_fd = fd_take(&fd);
	return 0;
}

/* It can be written up to here and no further, whoever writes: nobody has to read along. */
static int backend_words_make(int *ret_fd, off_t bytes, int seals, struct err *e)
{
	auto_close int fd = memfd_create("words", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, bytes) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | seals) < 0)
		return err_sys(e, errno, "cannot make a file for a back end's words");
	*ret_fd = fd_take(&fd);
	return 0;
}

int backend_answer(struct backend *b, int *ret_fd, struct err *e)
{
	if (fcntl(b->says_fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL) < 0)
		return err_sys(e, errno, "cannot keep what a back end says");
	*ret_fd = fd_take(&b->says_fd);
	return 0;
}

/* What is sealed is memory, and as large as that no other file is that anybody of us seals. */
static bool backend_are_words(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	return seals >= 0 && (seals & BACKEND_WORDS_SEALS) == BACKEND_WORDS_SEALS &&
	       fstat(fd, &st) == 0 && st.st_size == BACKEND_WORDS_BYTES;
}

void backend_words(int words_fd, char words[BACKEND_WORDS_SIZE])
{
	char text[BACKEND_WORDS_BYTES + 1];
	ssize_t n = -1;
	char *line, *c;

	words[0] = '\0';
	if (backend_are_words(words_fd))
		n = pread(words_fd, text, BACKEND_WORDS_BYTES, 0);
	if (n <= 0)
		return;
	text[n] = '\0';
	for (n = (ssize_t)strlen(text); n > 0 && text[n - 1] == '\n'; n--)
		text[n - 1] = '\0';
	line = strrchr(text, '\n');
	line = line ? line + 1 : text;
	/* Of a long line the end: it begins with the arguments, and ends with the reason. */
	if (strlen(line) >= BACKEND_WORDS_SIZE)
		line += strlen(line) - (BACKEND_WORDS_SIZE - 1);
	for (c = line; *c; c++) {
		if (*c < ' ' || *c > '~')
			*c = '?';
	}
	memcpy(words, line, strlen(line) + 1);
}

/* Until it has executed its program, or said why it cannot. */
static int backend_await(int channel_fd, struct err *e)
{
	auto_packet struct packet p = PACKET_INIT;
	struct start_failed m;
	int r;

	r = packet_receive(channel_fd, &p, BACKEND_STEP_MS);
	if (r == -ECONNRESET)
		return 0;
	if (r < 0)
		return err_sys(e, -r, "no word from the back end");
	memcpy(&m, p.bytes, sizeof(m));
	if (p.size != sizeof(m) || m.head.magic != START_MAGIC || m.head.type != START_FAILED)
		return err_set(e, EPROTO, "a strange word from the back end");
	m.reason[sizeof(m.reason) - 1] = '\0';
	for (char *c = m.reason; *c; c++) {
		if (*c < ' ' || *c > '~')
			*c = '?';
	}
	return err_set(e, EPROTO, "the back end gave up: %s", m.reason);
}

static int backend_hand_over(const struct backend *b, const struct backend_spec *spec,
			     int channel_fd, struct err *e)
{
	struct backend_start m = spec->what;
	auto_close int listen_fd = -1;
	unsigned int nr = spec->socket || b->says_fd >= 0 ? 2 : 1;
	int r = 0;

	m.nr_files = spec->nr_files;
	if (spec->socket)
		r = backend_listen(spec->socket, &listen_fd, e);
	if (r < 0)
		return r;
	{
		const int fds[] = { b->words_fd, spec->socket ? listen_fd : b->says_fd };

		m.head = (struct start_head){ START_MAGIC, START_VERSION, START_BACKEND, sizeof(m),
					      nr };
		r = packet_send(channel_fd, &m, sizeof(m), fds, nr, BACKEND_STEP_MS);
	}
	if (r < 0)
		return err_sys(e, -r, "cannot send to the back end");
	return backend_await(channel_fd, e);
}

static int backend_spawn(struct backend *b, const struct backend_spec *spec, struct err *e)
{
	struct spawn_room room = SPAWN_ROOM_INIT;
	auto_close int cgroup_fd = -1, channel_fd = -1;
	struct spawn_child child;
	struct spawn_spec birth = {
		.program = SPAWN_BACKEND,
		.room = &room,
		.program_fd = spec->program_fd,
		.uid = spec->uid,
		.gid = spec->gid,
		.file_size_limit = spec->file_size_limit,
	};
	int r;

	r = cgroup_make(spec->cgroup, &cgroup_fd, e);
	if (r < 0)
		return r;
	r = cgroup_limit_memory(spec->cgroup, BACKEND_MEMORY_BYTES);
	if (r == 0)
		r = cgroup_forbid_swap(spec->cgroup);
	if (r < 0)
		return err_sys(e, -r, "cannot limit the memory of the back end");
	r = backend_room_make(&room, spec, e);
	if (r < 0)
		return r;
	birth.cgroup_fd = cgroup_fd;
	r = spawn_worker(&child, &birth, e);
	spawn_room_fini(&room);
	if (r < 0)
		return r;
	b->pid = child.pid;
	b->pidfd = child.pidfd;
	channel_fd = child.channel_fd;
	return backend_hand_over(b, spec, channel_fd, e);
}

int backend_start(struct backend *b, const struct backend_spec *spec, struct err *e)
{
	int r;

	r = backend_words_make(&b->words_fd, BACKEND_WORDS_BYTES, F_SEAL_SEAL, e);
	if (r == 0 && spec->what.kind == BACKEND_SNAPSHOTS)
		r = backend_words_make(&b->says_fd, WIRE_IMAGE_SAYS_BYTES, 0, e);
	if (r == 0)
		r = backend_spawn(b, spec, e);
	if (r < 0)
		cgroup_remove(spec->cgroup, BACKEND_STEP_MS, NULL);
	return r;
}

int backend_await_end(const struct backend *b, int timeout_ms, struct err *e)
{
	struct pollfd p = { .fd = b->pidfd, .events = POLLIN };
	siginfo_t info = { 0 };

	if (poll(&p, 1, timeout_ms) <= 0)
		return err_set(e, ETIMEDOUT, "the back end takes more than %d ms", timeout_ms);
	if (waitid((idtype_t)P_PIDFD, (id_t)b->pidfd, &info, WEXITED) < 0)
		return err_sys(e, errno, "cannot wait for the back end");
	if (info.si_code != CLD_EXITED || info.si_status)
		return err_set(e, EPROTO, "the back end ended with %s %d",
			       info.si_code == CLD_EXITED ? "status" : "signal", info.si_status);
	return 0;
}

int backend_connect(const char *path, int *ret_fd, struct err *e)
{
	auto_close int fd = -1;
	struct sockaddr_un address;
	int r;

	r = backend_socket(path, SOCK_NONBLOCK, &address, &fd, e);
	if (r < 0)
		return r;
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return err_sys(e, errno, "cannot connect to the back end");
	*ret_fd = fd_take(&fd);
	return 0;
}

struct backend_end {
	int pidfd;
	uid_t uid;
};

/* Nothing but that: not dumpable by the change of ids, and in no namespace of the back end. */
static int backend_signal(void *arg, struct err *e)
{
	const struct backend_end *end = arg;

	if (syscall(SYS_setresuid, end->uid, end->uid, end->uid) < 0)
		return err_sys(e, errno, "cannot change ids");
	if (syscall(SYS_pidfd_send_signal, end->pidfd, SIGTERM, NULL, 0) < 0 && errno != ESRCH)
		return err_sys(e, errno, "cannot ask the back end to end");
	return 0;
}

int backend_ask_to_end(int pidfd, uid_t uid, int timeout_ms, struct err *e)
{
	struct backend_end end = { pidfd, uid };
	int r;

	r = child_run(backend_signal, &end, BACKEND_STEP_MS, e);
	if (r < 0)
		return r;
	r = spawn_wait_end(pidfd, timeout_ms);
	return r < 0 ? err_sys(e, -r, "the back end does not end") : 0;
}
