/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker of the hostile suite: the product's, with this in the place of
 * sealed.c. It makes one attempt and ends with exit_group(errno of what was
 * refused), or 200 when nothing refused it. Every attempt is meant: what
 * stops it is the sandbox, not a wrong argument.
 */
#include "tests/hostile/attacker.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "driver/worker/queue.h"
#include "driver/worker/sealed.h"

#define ATTACK_SUCCEEDED 200

char attack_buffer[ATTACK_BUFFER_BYTES];
const void *own_buffers;
const uint64_t how_read[3] = { O_RDONLY | O_DIRECTORY };

int __real_queue_init(struct queue *q, uint16_t id, const struct start_spec *spec,
		      struct io_uring *uring, struct target *target, struct err *e);
int __wrap_queue_init(struct queue *q, uint16_t id, const struct start_spec *spec,
		      struct io_uring *uring, struct target *target, struct err *e);

/* The linker's --wrap: this is called for it, and remembers where the buffers are. */
int __wrap_queue_init(struct queue *q, uint16_t id, const struct start_spec *spec,
		      struct io_uring *uring, struct target *target, struct err *e)
{
	int r = __real_queue_init(q, id, spec, uring, target, e);

	if (!q->index)
		own_buffers = q->buffers;
	return r;
}

_Noreturn void attack_end(struct io_uring *u, long result)
{
	static struct start_failed m = {
		.head = { START_MAGIC, START_VERSION, START_FAILED, sizeof(m), 0 },
	};
	int status = result < 0 ? (int)-result : ATTACK_SUCCEEDED;

	m.code = -status;
	snprintf(m.reason, sizeof(m.reason), "status %d", status);
	if (io_uring_sq_space_left(u)) {
		ring_say(u, &m, sizeof(m));
		io_uring_submit_and_wait(u, 1); /* some attempts leave a ring that is slow */
	}
	_exit(status);
}

long attack_answer(struct io_uring *u)
{
	struct io_uring_cqe *cqe = NULL;
	long result;
	int r;

	r = io_uring_submit_and_wait(u, 1);
	if (r < 0)
		return r;
	r = io_uring_peek_cqe(u, &cqe);
	if (r < 0)
		return r;
	result = cqe->res;
	io_uring_cqe_seen(u, cqe);
	return result;
}

_Noreturn void attack_submit(struct io_uring *u)
{
	attack_end(u, attack_answer(u));
}

struct io_uring_sqe *attack_sqe(struct io_uring *u, unsigned int op, int file, unsigned int flags)
{
	struct io_uring_sqe *sqe = ring_sqe(u, (enum ring_file)file, 0);

	sqe->opcode = (uint8_t)op;
	sqe->flags = (uint8_t)flags;
	sqe->addr = (uintptr_t)attack_buffer;
	sqe->len = 8;
	return sqe;
}

void attack_path(struct io_uring *u, unsigned int op, const char *path, unsigned int flags)
{
	struct io_uring_sqe *sqe = attack_sqe(u, op, HERE, 0);

	sqe->addr = (uintptr_t)path;
	sqe->len = 0;
	sqe->open_flags = flags;
	attack_submit(u);
}

void attack_send_to_name(struct io_uring *u, enum ring_file file)
{
	static const struct sockaddr_un name = { .sun_family = AF_UNIX, .sun_path = ATTACK_NAME };
	struct io_uring_sqe *sqe = attack_sqe(u, IORING_OP_SEND, file, IOSQE_FIXED_FILE);

	sqe->msg_flags = MSG_DONTWAIT;
	sqe->addr2 = (uintptr_t)&name;
	sqe->addr_len = offsetof(struct sockaddr_un, sun_path) + sizeof(ATTACK_NAME) - 1;
	attack_submit(u);
}

#define X(name, end, what) attack_##name,
static void (*const attacks[])(struct io_uring *u, const struct start_spec *spec) = {
#include "tests/hostile/attacks.inc"
};
#undef X

void worker_sealed(struct io_uring *u, const struct start_spec *spec)
{
	uint64_t i = spec->dev_bytes / ATTACK_UNIT_BYTES - 1;

	if (i < ATTACKS_COUNT)
		attacks[i](u, spec);
	_exit(ATTACK_SUCCEEDED);
}
