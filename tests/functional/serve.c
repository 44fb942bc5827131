/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serve: one device without the helper. Adds it, starts its worker, prints
 * /dev/ublkbN, waits for the end of its input, and takes everything away
 * again. When the worker ends first it prints how ("worker: signal 31",
 * "worker: status 13") and fails.
 *
 * With --attacks: one device per attempt of the hostile worker whose name
 * begins with PREFIX ("^...": does not), and how it ended: "NAME: status 13". Walls that a worker
 * gets at its birth can be left out. Unlike the helper's, these workers share
 * one uid and have no cgroup of their own.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/fs.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "driver/base/cleanup.h"
#include "driver/base/num.h"
#include "driver/base/ublk_abi.h"
#include "driver/privileged/spawn.h"
#include "driver/privileged/ublk_ctl.h"
#include "driver/wire/stats.h"
#include "targets/catalog.h"
#include "tests/hostile/attack.h"

#define STEP_MS 20000
#define EARLY_MS 300
#define SERVER_MS 30000
#define ATTACKS_AT_ONCE 4 /* most of their time is the driver's */

struct serve {
	const char *worker;
	const char *backing;
	const struct catalog_target *target;
	struct ublk_spec ublk;
	struct start_spec start;
	uid_t uid;
	uint32_t path; /* enum start_flag */
	bool direct;
	bool early;
	bool only_delete;
	bool only_list;
	const char *attacks;  /* which ones: serve_wants() */
	bool no_limit;	      /* no RLIMIT_FSIZE */
	bool no_discard;      /* nor what frees space */
	bool host_namespaces; /* not the empty ones */
	const char *label;    /* before the word how its worker ended */

	struct ublk_ctl *ctl;
	struct spawn_room room;
	struct spawn_child child;
	int backing_fd;
	bool added;
};

/* --- the command line -------------------------------------------------------------- */

static const struct option serve_options[] = {
	{ "worker", required_argument, NULL, 'w' },    { "target", required_argument, NULL, 't' },
	{ "backing", required_argument, NULL, 'b' },   { "size", required_argument, NULL, 's' },
	{ "queues", required_argument, NULL, 'q' },    { "depth", required_argument, NULL, 'd' },
	{ "max-io", required_argument, NULL, 'm' },    { "block", required_argument, NULL, 'l' },
	{ "uid", required_argument, NULL, 'u' },       { "flags", required_argument, NULL, 'f' },
	{ "delete", required_argument, NULL, 'x' },    { "list-attacks", no_argument, NULL, 'L' },
	{ "attack", required_argument, NULL, 'a' },    { "attacks", required_argument, NULL, 'A' },
	{ "path", required_argument, NULL, 'p' },      { "no-limit", no_argument, NULL, 'N' },
	{ "host-namespaces", no_argument, NULL, 'H' }, { "direct", no_argument, NULL, 'D' },
	{ "read-only", no_argument, NULL, 'r' },       { "early", no_argument, NULL, 'E' },
	{ "no-discard", no_argument, NULL, 'S' },      { "piece", required_argument, NULL, 'P' },
	{ "cookie", required_argument, NULL, 'c' },    { NULL, 0, NULL, 0 },
};

static int serve_number(struct serve *s, int option, const char *text)
{
	uint64_t n;
	int r;

	if (option == 'c') {
		s->ublk.cookie = strtoull(text, NULL, 16);
		return 0;
	}
	r = num_parse_size(text, &n);
	if (r < 0)
		return r;
	switch (option) {
	case 's':
		s->ublk.dev_bytes = n;
		return 0;
	case 'q':
		s->ublk.nr_queues = (uint16_t)n;
		return 0;
	case 'd':
		s->ublk.depth = (uint16_t)n;
		return 0;
	case 'm':
		s->ublk.max_io_bytes = (uint32_t)n;
		return 0;
	case 'P':
		s->start.piece_bytes = (uint32_t)n;
		return 0;
	case 'l':
		s->ublk.logical_block_bytes = (uint32_t)n;
		return 0;
	case 'u':
		s->uid = (uid_t)n;
		return 0;
	case 'f':
		s->ublk.flags = n;
		return 0;
	case 'x':
		s->ublk.dev_id = (uint32_t)n;
		s->only_delete = true;
		return 0;
	}
	return -EINVAL;
}

/* How data and commands travel: words of this table with '+' between them. */
static const struct {
	const char *name;
	uint32_t start_flag;
	uint64_t ublk_flags;
} serve_paths[] = {
	{ "copy", 0, 0 },
	{ "link", START_LINK, 0 },
	{ "batch", START_BATCH, UBLK_F_BATCH_IO },
	{ "zero-copy", START_ZERO_COPY, UBLK_F_AUTO_BUF_REG | UBLK_F_SUPPORT_ZERO_COPY },
	{ "by-hand", START_BY_HAND, 0 },
	{ "threads", START_THREADS, 0 },
};

static int serve_path(struct serve *s, const char *text)
{
	for (;; text++) {
		size_t size = strcspn(text, "+"), i;

		for (i = 0; i < ARRAY_SIZE(serve_paths); i++) {
			if (strlen(serve_paths[i].name) == size &&
			    !strncmp(serve_paths[i].name, text, size))
				break;
		}
		if (i == ARRAY_SIZE(serve_paths))
			return -EINVAL;
		s->path |= serve_paths[i].start_flag;
		s->ublk.flags |= serve_paths[i].ublk_flags;
		text += size;
		if (!*text)
			return 0;
	}
}

static int serve_option(struct serve *s, int option, const char *text)
{
	switch (option) {
	case 'w':
		s->worker = text;
		return 0;
	case 't':
		s->start.target = catalog_find(text);
		s->target = catalog_target(s->start.target);
		return s->target ? 0 : -EINVAL;
	case 'b':
		s->backing = text;
		return 0;
	case 'a':
		/* The worker of the hostile suite chooses by the size of its device. */
		s->ublk.dev_bytes = attack_dev_bytes(text);
		return s->ublk.dev_bytes ? 0 : -EINVAL;
	case 'A':
		s->attacks = text;
		return 0;
	case 'p':
		return serve_path(s, text);
	case 'N':
		s->no_limit = true;
		return 0;
	case 'S':
		s->no_discard = true;
		return 0;
	case 'H':
		s->host_namespaces = true;
		return 0;
	case 'E':
		s->early = true;
		return 0;
	case 'L':
		s->only_list = true;
		return 0;
	case 'D':
		s->direct = true;
		s->ublk.memory_align_bytes = 512;
		return 0;
	case 'r':
		s->ublk.read_only = 1;
		return 0;
	}
	return serve_number(s, option, text);
}

static int serve_parse(struct serve *s, int argc, char **argv)
{
	int option;

	while ((option = getopt_long(argc, argv, "", serve_options, NULL)) != -1) {
		if (option == '?')
			return -EINVAL;
		if (serve_option(s, option, optarg) < 0) {
			fprintf(stderr, "serve: bad value: %s\n", optarg ? optarg : "");
			return -EINVAL;
		}
	}
	if (optind != argc || (!s->only_delete && !s->only_list && (!s->worker || !s->target))) {
		fprintf(stderr, "usage: serve --worker PROGRAM --target NAME [--backing PATH] "
				"[--size N] [--queues N] [--depth N] [--max-io N] [--block N] "
				"[--uid N] [--flags N] [--path WORD+WORD] [--direct] [--read-only] "
				"[--no-discard] [--early]\n"
				"             [--attack NAME | --attacks PREFIX] [--no-limit] "
				"[--host-namespaces]\n"
				"       serve --delete N\n"
				"       serve --list-attacks\n");
		return -EINVAL;
	}
	return 0;
}

/* --- the backing file --------------------------------------------------------------- */

static int serve_open_memory(struct serve *s, struct err *e)
{
	int r = 0;

	s->backing_fd = memfd_create("ublk-oci", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (s->backing_fd < 0 || ftruncate(s->backing_fd, (off_t)s->ublk.dev_bytes) < 0)
		r = -errno;
	else if (fcntl(s->backing_fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
		r = -errno;
	return r < 0 ? err_sys(e, -r, "cannot make a memory file") : 0;
}

static int serve_open_backing(struct serve *s, struct err *e)
{
	int access = s->ublk.read_only ? O_RDONLY : O_RDWR;
	off_t end;

	s->backing_fd =
		open(s->backing ? s->backing : "", O_CLOEXEC | access | (s->direct ? O_DIRECT : 0));
	if (s->backing_fd < 0)
		return err_sys(e, errno, "cannot open %s",
			       s->backing ? s->backing : "(no --backing)");
	end = lseek(s->backing_fd, 0, SEEK_END);
	if (end < 0)
		return err_sys(e, errno, "cannot find the end of %s", s->backing);
	if (!s->ublk.dev_bytes)
		s->ublk.dev_bytes = (uint64_t)end;
	return 0;
}

static int serve_open_zero(struct serve *s, struct err *e)
{
	s->backing_fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	return s->backing_fd < 0 ? err_sys(e, errno, "cannot open /dev/zero") : 0;
}

/* Nobody but one who has said something already, and does not read. The other end stays open. */
static int serve_open_server(struct serve *s, struct err *e)
{
	static const char said[4096];
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return err_sys(e, errno, "cannot make sockets");
	s->backing_fd = ends[0];
	s->start.nbd = (struct start_nbd){ START_NBD_FLUSH, SERVER_MS };
	return write(ends[1], said, sizeof(said)) < 0 ? err_sys(e, errno, "cannot write") : 0;
}

static int serve_open(struct serve *s, struct err *e)
{
	if (s->target->by_address)
		return serve_open_server(s, e);
	if (s->target->made_by_helper)
		return serve_open_memory(s, e);
	return s->target->nr_fds ? serve_open_backing(s, e) : serve_open_zero(s, e);
}

/* --- birth ----------------------------------------------------------------------------- */

/* Nobody fetches yet, so this has to be given up at its deadline, and do no harm. */
static int serve_start_early(struct serve *s, struct err *e)
{
	int r = ublk_start(s->ctl, s->ublk.dev_id, getpid(), EARLY_MS, e);

	if (r == -ETIMEDOUT)
		return 0;
	return r < 0 ? r : err_set(e, EPROTO, "START_DEV did not wait for the worker");
}

static int serve_add(struct serve *s, struct err *e)
{
	int r;

	r = ublk_ctl_open(&s->ctl, e);
	if (r < 0)
		return r;
	s->ublk.volatile_cache = s->target->volatile_cache;
	s->ublk.discards = s->target->discards && !s->no_discard;
	s->ublk.physical_block_bytes =
		s->ublk.logical_block_bytes > 4096 ? s->ublk.logical_block_bytes : 4096;
	r = ublk_add(s->ctl, &s->ublk, e);
	if (r < 0)
		return r;
	s->added = true;
	return s->early ? serve_start_early(s, e) : 0;
}

/* What a worker without namespaces of its own sees: all the host has. */
static int serve_host_room(struct spawn_room *room, struct err *e)
{
	const struct {
		const char *path;
		int *fd;
	} files[] = {
		{ "/proc/self/ns/mnt", &room->mount_fd },
		{ "/proc/self/ns/net", &room->net_fd },
		{ "/proc/self/ns/ipc", &room->ipc_fd },
		{ "/proc/self/ns/uts", &room->uts_fd },
	};

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		*files[i].fd = open(files[i].path, O_RDONLY | O_CLOEXEC);
		if (*files[i].fd < 0)
			return err_sys(e, errno, "cannot open %s", files[i].path);
	}
	return 0;
}

static int serve_spawn(struct serve *s, struct err *e)
{
	auto_close int program_fd = open(s->worker, O_PATH | O_CLOEXEC);
	struct spawn_spec spec = {
		.program = SPAWN_WORKER,
		.room = &s->room,
		.program_fd = program_fd,
		.cgroup_fd = -1,
		.uid = s->uid,
		.gid = s->uid,
		.file_size_limit = s->no_limit ? RLIM_INFINITY : s->ublk.dev_bytes,
	};
	int r;

	if (program_fd < 0)
		return err_sys(e, errno, "cannot open %s", s->worker);
	r = s->host_namespaces ? serve_host_room(&s->room, e) : spawn_room_make(&s->room, e);
	if (r < 0)
		return r;
	return spawn_worker(&s->child, &spec, e);
}

static int serve_prepare(struct serve *s, struct err *e)
{
	unsigned int nr_fds = s->backing_fd >= 0;
	int r;

	s->start.flags = (s->ublk.read_only ? START_READ_ONLY : 0) |
			 (s->direct ? START_DIRECT : 0) | (s->ublk.discards ? START_DISCARD : 0) |
			 s->path;
	s->start.dev_bytes = s->ublk.dev_bytes;
	s->start.nr_queues = s->ublk.nr_queues;
	s->start.depth = s->ublk.depth;
	s->start.max_io_bytes = s->ublk.max_io_bytes;
	s->start.logical_block_bytes = s->ublk.logical_block_bytes;
	if (!s->start.piece_bytes)
		s->start.piece_bytes = s->ublk.max_io_bytes;
	r = spawn_filter_make(SPAWN_WORKER, s->start.filter, &s->start.nr_filter, e);
	if (r < 0)
		return r;
	if (s->path & START_THREADS) {
		r = ublk_cpu_queues(s->ctl, s->ublk.dev_id, s->ublk.nr_queues, s->start.cpu_queue,
				    START_CPUS_MAX, e);
		if (r < 0)
			return r;
	}
	return spawn_prepare(&s->child, &s->start, &s->backing_fd, nr_fds, STEP_MS, e);
}

static int serve_hand_over(struct serve *s, struct err *e)
{
	auto_close int char_fd = -1, stats_fd = memfd_create("counters", MFD_CLOEXEC);
	auto_close int notices_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char path[32];

	snprintf(path, sizeof(path), "/dev/ublkc%u", s->ublk.dev_id);
	char_fd = open(path, O_RDWR | O_CLOEXEC);
	if (char_fd < 0)
		return err_sys(e, errno, "cannot open %s", path);
	if (stats_fd < 0 || ftruncate(stats_fd, (off_t)stats_size(s->ublk.nr_queues)) < 0)
		return err_sys(e, errno, "cannot make counters");
	if (notices_fd < 0)
		return err_sys(e, errno, "cannot make a socket");
	return spawn_serve(&s->child, char_fd, stats_fd, notices_fd, STEP_MS, e);
}

/* A device that was left behind: serve_end() does the rest. */
static int serve_adopt(struct serve *s, struct err *e)
{
	int r = ublk_ctl_open(&s->ctl, e);

	s->added = r >= 0;
	return r;
}

static int serve_begin(struct serve *s, struct err *e)
{
	static int (*const steps[])(struct serve * s, struct err * e) = {
		serve_open, serve_add, serve_spawn, serve_prepare, serve_hand_over,
	};
	uint32_t major, minor;
	int r = 0;

	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(steps); i++)
		r = steps[i](s, e);
	if (r >= 0)
		r = spawn_wait_ready(&s->child, STEP_MS, e);
	if (r >= 0)
		r = ublk_start(s->ctl, s->ublk.dev_id, getpid(), STEP_MS, e);
	if (r >= 0)
		r = ublk_block_number(s->ctl, s->ublk.dev_id, &major, &minor, e);
	if (r < 0)
		return r;
	printf("/dev/ublkb%u %u:%u pid %d queues %u depth %u\n", s->ublk.dev_id, major, minor,
	       (int)s->child.pid, s->ublk.nr_queues, s->ublk.depth);
	fflush(stdout);
	return 0;
}

/* --- end -------------------------------------------------------------------------------- */

/* Until the input ends: 0. Until the worker does: -ECONNRESET. */
static int serve_wait(const struct serve *s)
{
	struct pollfd fds[2] = {
		{ .fd = STDIN_FILENO, .events = POLLIN },
		{ .fd = s->child.pidfd, .events = POLLIN },
	};
	char buf[64];

	for (;;) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return -errno;
		if (fds[1].revents)
			return -ECONNRESET;
		if (fds[0].revents && read(STDIN_FILENO, buf, sizeof(buf)) <= 0)
			return 0;
	}
}

static void serve_print_end(const struct serve *s)
{
	siginfo_t info = { 0 };

	if (s->child.pidfd < 0 ||
	    waitid((idtype_t)P_PIDFD, (id_t)s->child.pidfd, &info, WEXITED | WNOWAIT | WNOHANG) ||
	    !info.si_pid)
		return;
	printf("%s: %s %d\n", s->label, info.si_code == CLD_EXITED ? "status" : "signal",
	       info.si_status);
	fflush(stdout);
}

static int serve_end(struct serve *s)
{
	struct err e = { "" };
	int r = 0;

	if (s->added && ublk_stop(s->ctl, s->ublk.dev_id, STEP_MS, &e) < 0) {
		fprintf(stderr, "serve: %s\n", e.text);
		r = -EIO;
	}
	if (s->child.pidfd >= 0) {
		/* A stopped device's worker ends by itself. */
		poll(&(struct pollfd){ .fd = s->child.pidfd, .events = POLLIN }, 1, 2000);
		serve_print_end(s);
		syscall(SYS_pidfd_send_signal, s->child.pidfd, SIGKILL, NULL, 0);
		if (spawn_wait_end(s->child.pidfd, STEP_MS) < 0)
			r = -EIO;
	}
	if (s->added && ublk_delete(s->ctl, s->ublk.dev_id, STEP_MS, &e) < 0) {
		fprintf(stderr, "serve: %s\n", e.text);
		r = -EIO;
	}
	ublk_ctl_close(s->ctl);
	spawn_room_fini(&s->room);
	return r;
}

static int serve_one(struct serve *s)
{
	struct err e = { "" };
	int r = s->only_delete ? serve_adopt(s, &e) : serve_begin(s, &e);

	if (r < 0)
		fprintf(stderr, "serve: %s\n", e.text);
	else if (!s->only_delete)
		r = serve_wait(s);
	return serve_end(s) < 0 || r < 0 ? 1 : 0;
}

/* "" is all of them, "ring_" those that begin so, "^ring_" the others. */
static bool serve_wants(const char *prefix, const char *name)
{
	bool others = *prefix == '^';

	prefix += others;
	return others != !strncmp(name, prefix, strlen(prefix));
}

/* Each in a process of its own, so that nothing of one is left to the next; some at once. */
/* For ring_send_to_name: were it reached, it would be there. Stays open. */
static int serve_name(void)
{
	static const struct sockaddr_un name = { .sun_family = AF_UNIX, .sun_path = ATTACK_NAME };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return fd < 0 ? -1
		      : bind(fd, (const struct sockaddr *)&name,
			     offsetof(struct sockaddr_un, sun_path) + sizeof(ATTACK_NAME) - 1);
}

static int serve_attacks(struct serve *s)
{
	unsigned int running = 0;

	if (serve_name() < 0)
		return 1;
	for (size_t i = 0; i < ATTACKS_COUNT; i++) {
		pid_t pid;

		if (!serve_wants(s->attacks, attack_names[i].name) ||
		    attack_with_server(attack_names[i].name) != s->target->by_address)
			continue;
		if (running == ATTACKS_AT_ONCE && wait(NULL) > 0)
			running--;
		pid = fork();
		if (pid < 0)
			return 1;
		if (!pid) {
			s->label = attack_names[i].name;
			s->ublk.dev_bytes = attack_dev_bytes(s->label);
			_exit(serve_one(s));
		}
		running++;
	}
	while (wait(NULL) > 0)
		;
	return 0;
}

int main(int argc, char **argv)
{
	struct serve s = {
		.ublk = {
			.dev_id = UINT32_MAX,
			.nr_queues = 2,
			.depth = 32,
			.max_io_bytes = 256 << 10,
			.logical_block_bytes = 512,
		},
		.uid = 64000,
		.room = SPAWN_ROOM_INIT,
		.child = { 0, -1, -1 },
		.backing_fd = -1,
		.label = "worker",
	};

	if (serve_parse(&s, argc, argv) < 0)
		return 2;
	if (s.only_list) {
		for (size_t i = 0; i < ATTACKS_COUNT; i++)
			printf("%s %s\n", attack_names[i].name, attack_names[i].end);
		return 0;
	}
	return s.attacks ? serve_attacks(&s) : serve_one(&s);
}
