/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/worker/tag.h"

#include <string.h>

#include "driver/worker/ring.h"

static struct io_uring_sqe *tag_command(struct queue *q, enum ring_what what, uint32_t cmd_op,
					const struct ublksrv_io_cmd *cmd)
{
	struct io_uring_sqe *sqe =
		ring_sqe(q->uring, RING_FILE_CHAR, ring_user_data(what, q->index, cmd->tag));

	sqe->opcode = IORING_OP_URING_CMD;
	sqe->cmd_op = cmd_op;
	memcpy(sqe->cmd, cmd, sizeof(*cmd));
	return sqe;
}

static void tag_give(struct queue *q, uint16_t tag, uint32_t cmd_op, int result)
{
	const struct ublksrv_io_cmd cmd = {
		.q_id = q->id,
		.tag = tag,
		.result = result,
		.addr = (uintptr_t)queue_buffer(q, tag),
	};
	struct io_uring_sqe *sqe = tag_command(q, RING_BLOCK, cmd_op, &cmd);

	if (q->flags & START_ZERO_COPY)
		sqe->addr = queue_auto_slot(q, tag) | UBLK_AUTO_BUF_REG_FALLBACK << 16;
}

void tag_fetch(struct queue *q, uint16_t tag)
{
	tag_give(q, tag, UBLK_U_IO_FETCH_REQ, -1);
}

void tag_commit(struct queue *q, uint16_t tag, int result)
{
	tag_give(q, tag, UBLK_U_IO_COMMIT_AND_FETCH_REQ, result);
}

static struct ublksrv_io_cmd tag_slot(const struct queue *q, uint16_t tag)
{
	return (struct ublksrv_io_cmd){ .q_id = q->id, .tag = tag, .addr = queue_slot(q, tag) };
}

void tag_register(struct queue *q, uint16_t tag)
{
	const struct ublksrv_io_cmd cmd = tag_slot(q, tag);

	tag_command(q, RING_REGISTER, UBLK_U_IO_REGISTER_IO_BUF, &cmd);
}

void tag_unregister(struct queue *q, uint16_t tag)
{
	const struct ublksrv_io_cmd cmd = tag_slot(q, tag);

	tag_command(q, RING_UNREGISTER, UBLK_U_IO_UNREGISTER_IO_BUF, &cmd);
}
