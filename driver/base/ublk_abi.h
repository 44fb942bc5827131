/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's ublk interface, under the kernel's own names: what
 * <linux/ublk_cmd.h> says in new kernels, independent of the headers that are
 * installed. Never include both. The control half is used by
 * driver/privileged/ublk_ctl.c, the data half by driver/worker/.
 */
#pragma once

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

/* The command of one control operation, at byte 48 of a 128-byte SQE. */
struct ublksrv_ctrl_cmd {
	uint32_t dev_id;
	uint16_t queue_id; /* 0xffff: not about one queue */
	uint16_t len;	   /* of what addr points to */
	uint64_t addr;
	uint64_t data[1];
	uint16_t dev_path_len;
	uint16_t pad;
	uint32_t reserved;
};
static_assert(sizeof(struct ublksrv_ctrl_cmd) == 32, "ublk ABI");
static_assert(offsetof(struct ublksrv_ctrl_cmd, addr) == 8, "ublk ABI");
static_assert(offsetof(struct ublksrv_ctrl_cmd, data) == 16, "ublk ABI");

struct ublksrv_ctrl_dev_info {
	uint16_t nr_hw_queues;
	uint16_t queue_depth;
	uint16_t state;
	uint16_t pad0;
	uint32_t max_io_buf_bytes;
	uint32_t dev_id;
	int32_t ublksrv_pid;
	uint32_t pad1;
	uint64_t flags;
	uint64_t ublksrv_flags; /* a cookie: kept and returned, never looked at */
	uint32_t owner_uid;
	uint32_t owner_gid;
	uint64_t reserved1;
	uint64_t reserved2;
};
static_assert(sizeof(struct ublksrv_ctrl_dev_info) == 64, "ublk ABI");
static_assert(offsetof(struct ublksrv_ctrl_dev_info, flags) == 24, "ublk ABI");
static_assert(offsetof(struct ublksrv_ctrl_dev_info, owner_uid) == 40, "ublk ABI");

/* The data plane: the payload of a command to /dev/ublkcN, at byte 48 of a 64-byte SQE. */
struct ublksrv_io_cmd {
	uint16_t q_id;
	uint16_t tag;
	int32_t result;
	uint64_t addr;
};
static_assert(sizeof(struct ublksrv_io_cmd) == 16, "ublk ABI");
static_assert(offsetof(struct ublksrv_io_cmd, addr) == 8, "ublk ABI");

/* One request, written by the driver. op_flags: operation in bits 0-7, UBLK_IO_F_* as they are. */
struct ublksrv_io_desc {
	uint32_t op_flags;
	uint32_t nr_sectors;
	uint64_t start_sector;
	uint64_t addr;
};
static_assert(sizeof(struct ublksrv_io_desc) == 24, "ublk ABI");
static_assert(offsetof(struct ublksrv_io_desc, start_sector) == 8, "ublk ABI");

/* UBLK_F_BATCH_IO: one tag in the array a PREP or COMMIT points to; with
 * UBLK_BATCH_F_HAS_BUF_ADDR the address of its buffer follows, 8 bytes. */
struct ublk_elem_header {
	uint16_t tag;
	uint16_t buf_index; /* UBLK_F_AUTO_BUF_REG */
	int32_t result;	    /* COMMIT */
};
static_assert(sizeof(struct ublk_elem_header) == 8, "ublk ABI");

/* The payload of a batch command. */
struct ublk_batch_io {
	uint16_t q_id;
	uint16_t flags; /* UBLK_BATCH_F_* */
	uint16_t nr_elem;
	uint8_t elem_bytes;
	uint8_t reserved;
	uint64_t reserved2;
};
static_assert(sizeof(struct ublk_batch_io) == 16, "ublk ABI");
static_assert(offsetof(struct ublk_batch_io, elem_bytes) == 6, "ublk ABI");

struct ublk_param_basic {
	uint32_t attrs;
	uint8_t logical_bs_shift;
	uint8_t physical_bs_shift;
	uint8_t io_opt_shift;
	uint8_t io_min_shift;
	uint32_t max_sectors;
	uint32_t chunk_sectors;
	uint64_t dev_sectors;
	uint64_t virt_boundary_mask;
};
static_assert(sizeof(struct ublk_param_basic) == 32, "ublk ABI");

struct ublk_param_discard {
	uint32_t discard_alignment;
	uint32_t discard_granularity;
	uint32_t max_discard_sectors;
	uint32_t max_write_zeroes_sectors;
	uint16_t max_discard_segments;
	uint16_t reserved0;
};
static_assert(sizeof(struct ublk_param_discard) == 20, "ublk ABI");

/* Read only: the driver refuses to have it set. */
struct ublk_param_devt {
	uint32_t char_major;
	uint32_t char_minor;
	uint32_t disk_major;
	uint32_t disk_minor;
};

struct ublk_param_zoned {
	uint32_t max_open_zones;
	uint32_t max_active_zones;
	uint32_t max_zone_append_sectors;
	uint8_t reserved[20];
};

struct ublk_param_dma_align {
	uint32_t alignment; /* a mask */
	uint8_t pad[4];
};

struct ublk_param_segment {
	uint64_t seg_boundary_mask;
	uint32_t max_segment_size;
	uint16_t max_segments;
	uint8_t pad[2];
};

struct ublk_param_integrity {
	uint32_t flags;
	uint16_t max_integrity_segments;
	uint8_t interval_exp;
	uint8_t metadata_size;
	uint8_t pi_offset;
	uint8_t csum_type;
	uint8_t tag_size;
	uint8_t pad[5];
};

/* Older drivers copy the part they know. */
struct ublk_params {
	uint32_t len;
	uint32_t types; /* UBLK_PARAM_TYPE_* that are valid */
	struct ublk_param_basic basic;
	struct ublk_param_discard discard;
	struct ublk_param_devt devt;
	struct ublk_param_zoned zoned;
	struct ublk_param_dma_align dma;
	struct ublk_param_segment seg;
	struct ublk_param_integrity integrity;
};
static_assert(sizeof(struct ublk_params) == 152, "ublk ABI");
static_assert(offsetof(struct ublk_params, basic) == 8, "ublk ABI");
static_assert(offsetof(struct ublk_params, discard) == 40, "ublk ABI");
static_assert(offsetof(struct ublk_params, devt) == 60, "ublk ABI");
static_assert(offsetof(struct ublk_params, zoned) == 76, "ublk ABI");
static_assert(offsetof(struct ublk_params, dma) == 108, "ublk ABI");
static_assert(offsetof(struct ublk_params, seg) == 120, "ublk ABI");
static_assert(offsetof(struct ublk_params, integrity) == 136, "ublk ABI");

#define UBLK_U_CMD_GET_QUEUE_AFFINITY _IOR('u', 0x01, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_GET_DEV_INFO _IOR('u', 0x02, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_ADD_DEV _IOWR('u', 0x04, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_DEL_DEV _IOWR('u', 0x05, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_START_DEV _IOWR('u', 0x06, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_START_USER_RECOVERY _IOWR('u', 0x10, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_END_USER_RECOVERY _IOWR('u', 0x11, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_STOP_DEV _IOWR('u', 0x07, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_SET_PARAMS _IOWR('u', 0x08, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_GET_PARAMS _IOR('u', 0x09, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_GET_FEATURES _IOR('u', 0x13, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_DEL_DEV_ASYNC _IOR('u', 0x14, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_UPDATE_SIZE _IOWR('u', 0x15, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_QUIESCE_DEV _IOWR('u', 0x16, struct ublksrv_ctrl_cmd)

#define UBLK_U_IO_FETCH_REQ _IOWR('u', 0x20, struct ublksrv_io_cmd)
#define UBLK_U_IO_COMMIT_AND_FETCH_REQ _IOWR('u', 0x21, struct ublksrv_io_cmd)
#define UBLK_U_IO_REGISTER_IO_BUF _IOWR('u', 0x23, struct ublksrv_io_cmd)
#define UBLK_U_IO_UNREGISTER_IO_BUF _IOWR('u', 0x24, struct ublksrv_io_cmd)
#define UBLK_U_IO_PREP_IO_CMDS _IOWR('u', 0x25, struct ublk_batch_io)
#define UBLK_U_IO_COMMIT_IO_CMDS _IOWR('u', 0x26, struct ublk_batch_io)
#define UBLK_U_IO_FETCH_IO_CMDS _IOWR('u', 0x27, struct ublk_batch_io)

#define UBLK_BATCH_F_HAS_BUF_ADDR (1 << 1)
#define UBLK_BATCH_F_AUTO_BUF_REG_FALLBACK (1 << 2)

/* UBLK_F_AUTO_BUF_REG: in the addr of a command's SQE, beside the index in bits 0-15. */
#define UBLK_AUTO_BUF_REG_FALLBACK (1 << 0) /* from bit 16 */

/* What a FETCH or COMMIT_AND_FETCH completes with. */
#define UBLK_IO_RES_OK 0
#define UBLK_IO_RES_ABORT (-19) /* taken back for good */

#define UBLK_MAX_QUEUE_DEPTH 4096
#define UBLKSRV_CMD_BUF_OFFSET 0

#define UBLK_S_DEV_DEAD 0
#define UBLK_S_DEV_LIVE 1
#define UBLK_S_DEV_QUIESCED 2
#define UBLK_S_DEV_FAIL_IO 3

#define UBLK_F_SUPPORT_ZERO_COPY (1ULL << 0)
#define UBLK_F_URING_CMD_COMP_IN_TASK (1ULL << 1)
#define UBLK_F_NEED_GET_DATA (1ULL << 2)
#define UBLK_F_USER_RECOVERY (1ULL << 3)
#define UBLK_F_USER_RECOVERY_REISSUE (1ULL << 4)
#define UBLK_F_UNPRIVILEGED_DEV (1ULL << 5)
#define UBLK_F_CMD_IOCTL_ENCODE (1ULL << 6)
#define UBLK_F_USER_COPY (1ULL << 7)
#define UBLK_F_ZONED (1ULL << 8)
#define UBLK_F_USER_RECOVERY_FAIL_IO (1ULL << 9)
#define UBLK_F_UPDATE_SIZE (1ULL << 10)
#define UBLK_F_AUTO_BUF_REG (1ULL << 11)
#define UBLK_F_QUIESCE (1ULL << 12)
#define UBLK_F_PER_IO_DAEMON (1ULL << 13)
#define UBLK_F_BUF_REG_OFF_DAEMON (1ULL << 14)
#define UBLK_F_BATCH_IO (1ULL << 15)
#define UBLK_F_INTEGRITY (1ULL << 16)
#define UBLK_F_SAFE_STOP_DEV (1ULL << 17)
#define UBLK_F_NO_AUTO_PART_SCAN (1ULL << 18)
#define UBLK_F_SHMEM_ZC (1ULL << 19)
#define UBLK_F_IO_DESC_SIZE (1ULL << 20)

#define UBLK_PARAM_TYPE_BASIC (1 << 0)
#define UBLK_PARAM_TYPE_DISCARD (1 << 1)
#define UBLK_PARAM_TYPE_DEVT (1 << 2)
#define UBLK_PARAM_TYPE_DMA_ALIGN (1 << 4)
#define UBLK_PARAM_TYPE_SEGMENT (1 << 5)

#define UBLK_ATTR_READ_ONLY (1 << 0)
#define UBLK_ATTR_ROTATIONAL (1 << 1)
#define UBLK_ATTR_VOLATILE_CACHE (1 << 2)
#define UBLK_ATTR_FUA (1 << 3)

#define UBLK_IO_OP_READ 0
#define UBLK_IO_OP_WRITE 1
#define UBLK_IO_OP_FLUSH 2
#define UBLK_IO_OP_DISCARD 3
#define UBLK_IO_OP_WRITE_SAME 4 /* never sent */
#define UBLK_IO_OP_WRITE_ZEROES 5

#define UBLK_IO_F_FUA (1U << 13)
#define UBLK_IO_F_NOUNMAP (1U << 15)
#define UBLK_IO_F_NEED_REG_BUF (1U << 17)
