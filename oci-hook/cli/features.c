/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/cli/features.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/base/cleanup.h"

#define FEATURES_WAIT_SECONDS 5
#define FEATURES_GET 0x80207513u /* UBLK_U_CMD_GET_FEATURES */

/* struct ublksrv_ctrl_cmd of the driver. */
struct features_command {
	uint32_t dev_id;
	uint16_t queue_id;
	uint16_t len;
	uint64_t addr;
	uint64_t data[2];
};
_Static_assert(sizeof(struct features_command) == 32, "the driver's format");

/* UBLK_F_*, by bit. */
static const char *const names[] = {
	"SUPPORT_ZERO_COPY",
	"URING_CMD_COMP_IN_TASK",
	"NEED_GET_DATA",
	"USER_RECOVERY",
	"USER_RECOVERY_REISSUE",
	"UNPRIVILEGED_DEV",
	"CMD_IOCTL_ENCODE",
	"USER_COPY",
	"ZONED",
	"USER_RECOVERY_FAIL_IO",
	"UPDATE_SIZE",
	"AUTO_BUF_REG",
	"QUIESCE",
	"PER_IO_DAEMON",
	"BUF_REG_OFF_DAEMON",
	"BATCH_IO",
	"INTEGRITY",
	"SAFE_STOP_DEV",
	"NO_AUTO_PART_SCAN",
	"SHMEM_ZC",
	"IO_DESC_SIZE",
};

static const char *feature_name(unsigned int bit, char buf[24])
{
	if (bit < ARRAY_SIZE(names))
		return names[bit];
	snprintf(buf, 24, "0x%" PRIx64, UINT64_C(1) << bit);
	return buf;
}

struct json_object *features_json(uint64_t features)
{
	struct json_object *list = json_object_new_array();
	char buf[24];

	for (unsigned int bit = 0; bit < 64; bit++) {
		if (features >> bit & 1)
			json_object_array_add(list, json_object_new_string(feature_name(bit, buf)));
	}
	return list;
}

char *features_text(uint64_t features, char *buf, size_t size)
{
	size_t n = 0;
	char name[24];

	buf[0] = '\0';
	for (unsigned int bit = 0; bit < 64 && n < size; bit++) {
		if (features >> bit & 1)
			n += (size_t)snprintf(buf + n, size - n, "%s%s", n ? " " : "",
					      feature_name(bit, name));
	}
	return buf;
}

/* One command on a ring that exists; 0 or the driver's -errno. */
static int features_command(struct io_uring *ring, int fd, uint64_t *ret)
{
	struct __kernel_timespec wait = { .tv_sec = FEATURES_WAIT_SECONDS };
	struct features_command cmd = {
		.dev_id = UINT32_MAX,
		.queue_id = UINT16_MAX,
		.len = sizeof(*ret),
		.addr = (uint64_t)(uintptr_t)ret,
	};
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	struct io_uring_cqe *cqe;
	int r;

	if (!sqe)
		return -EAGAIN;
	memset((void *)sqe, 0, 2 * sizeof(*sqe)); /* SQE128 */
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = fd;
	sqe->cmd_op = FEATURES_GET;
	memcpy(sqe->cmd, &cmd, sizeof(cmd));
	r = io_uring_submit(ring);
	if (r < 0)
		return r;
	r = io_uring_wait_cqe_timeout(ring, &cqe, &wait);
	return r < 0 ? r : cqe->res;
}

int features_ask(uint64_t *ret, struct err *e)
{
	auto_free uint64_t *answer = calloc(1, sizeof(*answer));
	struct io_uring ring;
	auto_close int fd = -1;
	int r;

	if (!answer)
		return err_sys(e, ENOMEM, "cannot ask the driver");
	fd = open(FEATURES_CONTROL, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "cannot open " FEATURES_CONTROL);
	r = io_uring_queue_init(2, &ring, IORING_SETUP_SQE128);
	if (r < 0)
		return err_sys(e, -r, "cannot make an io_uring");
	r = features_command(&ring, fd, answer);
	io_uring_queue_exit(&ring);
	if (r == -ETIME)
		answer = NULL; /* a command that was given up may still write there */
	if (r < 0)
		return err_sys(e, -r,
			       "the driver does not tell its features (before 6.5 it cannot)");
	*ret = *answer;
	return 0;
}
