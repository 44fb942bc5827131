/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker that leaves a wall out, to see which attempts it is that stops. The
 * linker's --wrap puts these in the place of the product's; each program
 * wraps the walls it goes without.
 */
#include <signal.h>

#include "driver/worker/ring.h"
#include "driver/worker/sandbox.h"

int __wrap_sandbox_begin(struct err *e);
int __wrap_sandbox_seal(const uint64_t *filter, uint16_t nr, struct err *e);
int __wrap_ring_restrict(struct io_uring *u, const uint8_t *ops, unsigned int nr_ops,
			 struct err *e);

/* No Landlock, and dumpable. What is not a wall stays. */
int __wrap_sandbox_begin(struct err *e)
{
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	return 0;
}

/* No seccomp. */
int __wrap_sandbox_seal(const uint64_t *filter, uint16_t nr, struct err *e)
{
	return 0;
}

/* Every operation, on every file, and registering. */
int __wrap_ring_restrict(struct io_uring *u, const uint8_t *ops, unsigned int nr_ops, struct err *e)
{
	return 0;
}
