/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/worker/report.h"

#include <errno.h>
#include <liburing.h>
#include <sys/socket.h>

#include "driver/worker/ring.h"
#include "driver/worker/stats.h"

void report_failure(struct queue *q, const struct io *io, int error)
{
	struct report *r = &q->report;
	struct io_uring_sqe *sqe;

	/* What this device does not do is no news. */
	if (r->under_way || io->op == IO_NONE || error == -EOPNOTSUPP ||
	    !notice_due(&r->said, (uint16_t)-error, (int64_t)(stats_now(q) / 1000000)))
		return;
	r->notice = (struct notice){
		.magic = NOTICE_MAGIC,
		.op = (uint16_t)stats_op(io),
		.error = (uint16_t)-error,
		.off = io->off,
		.len = io->len,
	};
	r->under_way = true;
	sqe = ring_sqe(q->uring, RING_FILE_NOTICES, ring_user_data(RING_NOTICE, q->index, 0));
	sqe->opcode = IORING_OP_SEND;
	sqe->addr = (uintptr_t)&r->notice;
	sqe->len = sizeof(r->notice);
	sqe->msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL;
}

void report_sent(struct queue *q)
{
	q->report.under_way = false;
}
