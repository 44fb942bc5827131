/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the attacker: what its attempts by system call, by the ring and with
 * a server share. Each is a function attack_NAME() that does not come back.
 */
#pragma once

#include <fcntl.h>
#include <stdint.h>

#include <liburing.h>

#include "driver/worker/ring.h"
#include "driver/wire/start.h"
#include "tests/hostile/attack.h"

#define X(name, end, what) void attack_##name(struct io_uring *u, const struct start_spec *spec);
#include "tests/hostile/attacks.inc"
#undef X

#define HERE AT_FDCWD
#define KERNEL_MEMORY ((uintptr_t)0xffff888000000000)
#define ATTACK_BUFFER_BYTES 4096

extern char attack_buffer[ATTACK_BUFFER_BYTES];
extern const void *own_buffers; /* of the first queue of the attacker's ring: as buffer 0 */
extern const uint64_t how_read[3];

/*
 * A call that comes back was not answered by SIGSYS. The helper, if there is
 * one, reads the same in its log.
 */
_Noreturn void attack_end(struct io_uring *u, long result);

/* What the ring answers to what is in it: one entry. */
long attack_answer(struct io_uring *u);

/* That answer is the end. */
_Noreturn void attack_submit(struct io_uring *u);

/* An entry with attack_buffer as its memory. */
struct io_uring_sqe *attack_sqe(struct io_uring *u, unsigned int op, int file, unsigned int flags);

void attack_path(struct io_uring *u, unsigned int op, const char *path, unsigned int flags);

/* The socket is connected; a send may name another one all the same. */
void attack_send_to_name(struct io_uring *u, enum ring_file file);
