/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any packet with any descriptors to the process that serves one request, from
 * receive to answer; nothing is left out but the main process behind it, which
 * has hung up. So nothing can be granted: every answer is a list or details of
 * what the caller may see, or one refusal with its reason in clean words.
 *
 * Input: who asks; how many descriptors, and their kinds; the packet.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/base/log.h"
#include "driver/base/text.h"
#include "driver/privileged/audit_file.h"
#include "driver/privileged/request.h"
#include "driver/privileged/stats_file.h"
#include "targets/catalog.h"
#include "tests/fuzz/fuzz.h"

#define OWNER_UID 1000u

static_assert(WIRE_VERSION == 1 && sizeof(struct wire_attach) == 880, "mend seeds.py");

/* --- the world, made once ------------------------------------------------------------- */

enum kind {
	KIND_FILE,
	KIND_FILE_READ_ONLY,
	KIND_CONTAINER, /* pidfd of a process with its own user and mount namespace */
	KIND_SELF,
	KIND_DIRECTORY,
	KIND_NULL,
	KIND_SOCKET,
	KIND_EPOLL,
	KIND_MEMFD,
	KIND_PATH,
	KIND_END,
};

/* Set by LLVMFuzzerInitialize() and read after that. */
static struct {
	int fds[KIND_END];
	struct helper helper;
	struct registry registry;
} world;

static const char policy_text[] =
	"{ \"version\": 1, \"worker_ids\": { \"first\": 910000, \"count\": 9 },"
	"  \"filesystems\": [\"overlay\", \"ext4\", \"xfs\", \"btrfs\", \"tmpfs\"],"
	"  \"rules\": [{ \"id\": \"all\", \"principal\": { \"uid\": 0 }, \"targets\": [\"null\"],"
	"    \"max_size\": \"1T\", \"max_devices_per_container\": 9 }] }";

/* In the place of the audit file. */
int audit_file_append(const char *dir, const char *name, const char *line, size_t size,
		      struct err *e)
{
	must(size && line[0] == '{' && line[size - 1] == '\n');
	for (size_t i = 0; i < size - 1; i++)
		must(line[i] >= ' ' && line[i] <= '~');
	return 0;
}

/* A process in namespaces of its own, which ends with this one. */
static int container_begin(void)
{
	int ready[2];
	pid_t pid;
	char c;

	must(pipe(ready) == 0);
	pid = fork();
	must(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
			perror("no namespaces for a container");
		close(ready[1]);
		for (;;)
			pause();
	}
	close(ready[1]);
	must(read(ready[0], &c, 1) == 0);
	close(ready[0]);
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

static void add_device(uint32_t dev_id, uint32_t peer_uid)
{
	struct record rec = {
		.magic = RECORD_MAGIC,
		.version = RECORD_VERSION,
		.size = sizeof(rec),
		.state = WIRE_STATE_LIVE,
		.generation = RECORD_GENERATION_MARK << 32 | dev_id,
		.dev_id = dev_id,
		.target = TARGET_MEMORY,
		.peer_uid = peer_uid,
		.container = "c1",
		.path = "/dev/data",
		.rule = "all",
	};

	must(registry_adopt(&world.registry, &rec) == 0);
}

/* The backing file stays beside the program, since only a file that has a path is taken. */
static void open_kinds(const char *program)
{
	auto_free char *path = NULL;
	int pair[2];

	must(asprintf(&path, "%s.backing", program) > 0);
	world.fds[KIND_FILE] = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	must(ftruncate(world.fds[KIND_FILE], 1 << 20) == 0);
	world.fds[KIND_FILE_READ_ONLY] = open(path, O_RDONLY | O_CLOEXEC);
	world.fds[KIND_PATH] = open(path, O_PATH | O_CLOEXEC);
	must(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
	world.fds[KIND_CONTAINER] = container_begin();
	world.fds[KIND_SELF] = (int)syscall(SYS_pidfd_open, getpid(), 0);
	world.fds[KIND_DIRECTORY] = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	world.fds[KIND_NULL] = open("/dev/null", O_RDWR | O_CLOEXEC);
	world.fds[KIND_SOCKET] = pair[0];
	world.fds[KIND_EPOLL] = epoll_create1(EPOLL_CLOEXEC);
	world.fds[KIND_MEMFD] = memfd_create("fuzz", MFD_CLOEXEC);
	for (int i = 0; i < KIND_END; i++)
		must(world.fds[i] >= 0);
}

/* The device of OWNER_UID has counters, the other one has none. */
static void make_counters(const char *program)
{
	const uint64_t generation = RECORD_GENERATION_MARK << 32;
	auto_free char *path = NULL;
	auto_close int fd = -1;

	must(asprintf(&path, "%s.state", program) > 0);
	must(mkdir(path, 0700) == 0 || errno == EEXIST);
	must(stats_file_dir(path, &world.helper.stats_fd, NULL) == 0);
	must(stats_file_remove(world.helper.stats_fd, generation, NULL) == 0);
	must(stats_file_make(world.helper.stats_fd, generation, 1, &fd, NULL) == 0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static struct policy *policy; /* kept for the life of the process */
	struct err e = { "" };

	log_open("fuzz", (enum log_level)0);
	if (policy_parse(&policy, policy_text, strlen(policy_text), &policy_names_system, &e) < 0) {
		fprintf(stderr, "%s\n", e.text);
		exit(1);
	}
	open_kinds((*argv)[0]);
	world.helper = (struct helper){
		.policy_path = "/dev/null", .journal_fd = -1, .remake_fd = -1, .hook_uid = 999
	};
	make_counters((*argv)[0]);
	world.registry = (struct registry){ .policy = policy, .journal_fd = -1 };
	add_device(0, OWNER_UID);
	add_device(1, 0);
	return 0;
}

/* --- the answers ------------------------------------------------------------------------- */

/* What may be asked, once more: what is none of these is not answered. */
static bool is_request(const struct wire_head *head, size_t size, unsigned int nr_fds)
{
	static const struct {
		size_t size;
		unsigned int fds_max;
	} rows[] = {
		[WIRE_ATTACH] = { sizeof(struct wire_attach), WIRE_FDS_MAX },
		[WIRE_DETACH] = { sizeof(struct wire_detach), 0 },
		[WIRE_LIST] = { sizeof(struct wire_list), 0 },
		[WIRE_INSPECT] = { sizeof(struct wire_inspect), 0 },
		[WIRE_RELOAD] = { sizeof(struct wire_reload), 0 },
		[WIRE_STATS] = { sizeof(struct wire_stats), 0 },
		[WIRE_REPAIR] = { sizeof(struct wire_repair), 0 },
		[WIRE_UPGRADE] = { sizeof(struct wire_upgrade), 0 },
		[WIRE_CLAIM] = { sizeof(struct wire_claim), 1 },
		[WIRE_RESIZE] = { sizeof(struct wire_resize), 0 },
		[WIRE_SNAPSHOTS] = { sizeof(struct wire_snapshots), 0 },
	};

	if (size < sizeof(*head) || head->magic != WIRE_MAGIC || head->size != size ||
	    head->nr_fds != nr_fds)
		return false;
	return head->version != WIRE_VERSION ||
	       (head->type && head->type < ARRAY_SIZE(rows) && size == rows[head->type].size &&
		nr_fds <= rows[head->type].fds_max);
}

static void reply_must_hold(const struct wire_reply *m, const struct wire_head *asked, uid_t uid)
{
	bool roots = asked->type == WIRE_RELOAD || asked->type == WIRE_REPAIR ||
		     asked->type == WIRE_UPGRADE;

	must(uid == 0 || asked->version != WIRE_VERSION || !roots || m->status == -EPERM);
	must(text_padded_ok(m->reason, sizeof(m->reason)));
	for (const char *p = m->reason; *p; p++)
		must((unsigned char)*p >= ' ' && *p != 0x7f);
	must(m->status < 0 ? *m->reason : asked->type == WIRE_LIST || asked->type == WIRE_REPAIR);
	must(!m->generation && !m->dev_id && !m->major && !m->minor);
}

static void device_must_hold(const struct wire_device *m, uid_t uid)
{
	must(uid == 0 || (uid == OWNER_UID && m->peer_uid == uid));
	must(text_padded_ok(m->container, sizeof(m->container)) &&
	     text_padded_ok(m->path, sizeof(m->path)) && text_padded_ok(m->rule, sizeof(m->rule)));
}

/* Reads all of it; the request's connection is closed. */
static void answers_must_hold(int socket_fd, const struct wire_head *asked, bool is_one, uid_t uid)
{
	unsigned int nr_devices = 0, nr_last = 0;

	for (;;) {
		auto_packet struct packet p = PACKET_INIT;
		struct wire_head head;

		if (packet_receive(socket_fd, &p, 0) < 0)
			break;
		must(p.size >= sizeof(head) && !nr_last);
		memcpy(&head, p.bytes, sizeof(head));
		must(head.magic == WIRE_MAGIC && head.version == WIRE_VERSION &&
		     head.size == p.size && head.nr_fds == p.nr_fds);
		must(p.nr_fds == (head.type == WIRE_COUNTERS));
		if (head.type == WIRE_REPLY) {
			must(p.size == sizeof(struct wire_reply));
			reply_must_hold((const struct wire_reply *)p.bytes, asked, uid);
			nr_last++;
		} else if (head.type == WIRE_DEVICE) {
			must(asked->type == WIRE_LIST && p.size == sizeof(struct wire_device));
			device_must_hold((const struct wire_device *)p.bytes, uid);
			nr_devices++;
		} else if (head.type == WIRE_COUNTERS) {
			must(asked->type == WIRE_STATS && p.size == sizeof(struct wire_counters));
			device_must_hold(&((const struct wire_counters *)p.bytes)->device, uid);
			must((fcntl(p.fds[0], F_GETFL) & O_ACCMODE) == O_RDONLY);
			nr_last++;
		} else {
			must(head.type == WIRE_DETAILS && asked->type == WIRE_INSPECT);
			must(p.size == sizeof(struct wire_details));
			device_must_hold(&((const struct wire_details *)p.bytes)->device, uid);
			nr_last++;
		}
	}
	must(nr_last == is_one);
	must(nr_devices <= world.registry.nr_devices);
}

/* --- one request --------------------------------------------------------------------------- */

static void request(uid_t uid, const int *fds, unsigned int nr_fds, const uint8_t *bytes,
		    size_t size)
{
	struct wire_head asked = { 0 };
	const uint32_t gid = uid;
	int peer[2], ledger[2];
	struct op op;

	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, peer) == 0);
	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ledger) == 0);
	close(ledger[1]);
	op = (struct op){
		.helper = &world.helper,
		.registry = &world.registry,
		.peer_fd = peer[1],
		.ledger_fd = ledger[0],
		.uid = uid,
		.gid = uid,
		.peer = { .pid = 4,
			  .cgroup = "/user.slice",
			  .uid = uid,
			  .gids = &gid,
			  .nr_gids = 1 },
		.deadline_ms = clock_deadline_ms(5000),
	};
	memcpy(&asked, bytes, size < sizeof(asked) ? size : sizeof(asked));
	must(packet_send(peer[0], bytes, size, fds, nr_fds, 0) == 0);
	request_run(&op);
	close(peer[1]);
	answers_must_hold(peer[0], &asked, is_request(&asked, size, nr_fds), uid);
	close(peer[0]);
	close(ledger[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static const uid_t uids[] = { 0, OWNER_UID, 2000, 999 };
	int fds[PACKET_FDS_MAX];
	unsigned int nr_fds;
	uint64_t before;

	if (size < 2 + PACKET_FDS_MAX || size > 4096)
		return 0;
	nr_fds = bytes[1] % (PACKET_FDS_MAX + 1);
	for (unsigned int i = 0; i < PACKET_FDS_MAX; i++)
		fds[i] = world.fds[bytes[2 + i] % KIND_END];
	before = open_fds();
	request(uids[bytes[0] % ARRAY_SIZE(uids)], fds, nr_fds, bytes + 2 + PACKET_FDS_MAX,
		size - 2 - PACKET_FDS_MAX);
	must(open_fds() == before);
	return 0;
}
