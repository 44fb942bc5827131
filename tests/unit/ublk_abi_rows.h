/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Included in the middle of a table, once over our ublk_abi.h and once over
 * the system's header: ROW(expression). What a release of the kernel added is
 * behind the first constant it added.
 */
ROW(sizeof(struct ublksrv_ctrl_cmd))
ROW(offsetof(struct ublksrv_ctrl_cmd, queue_id))
ROW(offsetof(struct ublksrv_ctrl_cmd, len))
ROW(offsetof(struct ublksrv_ctrl_cmd, addr))
ROW(offsetof(struct ublksrv_ctrl_cmd, data))
ROW(sizeof(struct ublksrv_ctrl_dev_info))
ROW(offsetof(struct ublksrv_ctrl_dev_info, queue_depth))
ROW(offsetof(struct ublksrv_ctrl_dev_info, state))
ROW(offsetof(struct ublksrv_ctrl_dev_info, max_io_buf_bytes))
ROW(offsetof(struct ublksrv_ctrl_dev_info, dev_id))
ROW(offsetof(struct ublksrv_ctrl_dev_info, ublksrv_pid))
ROW(offsetof(struct ublksrv_ctrl_dev_info, flags))
ROW(offsetof(struct ublksrv_ctrl_dev_info, ublksrv_flags))
ROW(sizeof(struct ublksrv_io_cmd))
ROW(offsetof(struct ublksrv_io_cmd, tag))
ROW(offsetof(struct ublksrv_io_cmd, result))
ROW(offsetof(struct ublksrv_io_cmd, addr))
ROW(sizeof(struct ublksrv_io_desc))
ROW(offsetof(struct ublksrv_io_desc, nr_sectors))
ROW(offsetof(struct ublksrv_io_desc, start_sector))
ROW(sizeof(struct ublk_param_basic))
ROW(offsetof(struct ublk_param_basic, io_min_shift))
ROW(offsetof(struct ublk_param_basic, max_sectors))
ROW(offsetof(struct ublk_param_basic, dev_sectors))
ROW(sizeof(struct ublk_param_discard))
ROW(offsetof(struct ublk_param_discard, discard_granularity))
ROW(offsetof(struct ublk_param_discard, max_discard_sectors))
ROW(offsetof(struct ublk_param_discard, max_write_zeroes_sectors))
ROW(offsetof(struct ublk_param_discard, max_discard_segments))
ROW(offsetof(struct ublk_params, types))
ROW(offsetof(struct ublk_params, basic))
ROW(offsetof(struct ublk_params, discard))
ROW(UBLK_MAX_QUEUE_DEPTH)
ROW(UBLKSRV_CMD_BUF_OFFSET)
ROW(UBLK_IO_RES_OK)
ROW(UBLK_IO_RES_ABORT)
ROW(UBLK_S_DEV_DEAD)
ROW(UBLK_S_DEV_LIVE)
ROW(UBLK_S_DEV_QUIESCED)
ROW(UBLK_F_SUPPORT_ZERO_COPY)
ROW(UBLK_F_URING_CMD_COMP_IN_TASK)
ROW(UBLK_F_NEED_GET_DATA)
ROW(UBLK_F_USER_RECOVERY)
ROW(UBLK_F_USER_RECOVERY_REISSUE)
ROW(UBLK_PARAM_TYPE_BASIC)
ROW(UBLK_PARAM_TYPE_DISCARD)
ROW(UBLK_ATTR_READ_ONLY)
ROW(UBLK_ATTR_ROTATIONAL)
ROW(UBLK_ATTR_VOLATILE_CACHE)
ROW(UBLK_ATTR_FUA)
ROW(UBLK_IO_OP_READ)
ROW(UBLK_IO_OP_WRITE)
ROW(UBLK_IO_OP_FLUSH)
ROW(UBLK_IO_OP_DISCARD)
ROW(UBLK_IO_OP_WRITE_SAME)
ROW(UBLK_IO_OP_WRITE_ZEROES)
ROW(UBLK_IO_F_FUA)
ROW(UBLK_IO_F_NOUNMAP)
#ifdef UBLK_F_UNPRIVILEGED_DEV
ROW(UBLK_F_UNPRIVILEGED_DEV)
ROW(UBLK_PARAM_TYPE_DEVT)
ROW(offsetof(struct ublk_params, devt))
ROW(offsetof(struct ublk_param_devt, disk_minor))
#endif
#ifdef UBLK_F_CMD_IOCTL_ENCODE
ROW(UBLK_F_CMD_IOCTL_ENCODE)
ROW(UBLK_U_CMD_GET_DEV_INFO)
ROW(UBLK_U_CMD_ADD_DEV)
ROW(UBLK_U_CMD_DEL_DEV)
ROW(UBLK_U_CMD_START_DEV)
ROW(UBLK_U_CMD_START_USER_RECOVERY)
ROW(UBLK_U_CMD_END_USER_RECOVERY)
ROW(UBLK_U_CMD_STOP_DEV)
ROW(UBLK_U_CMD_SET_PARAMS)
ROW(UBLK_U_CMD_GET_PARAMS)
ROW(UBLK_U_IO_FETCH_REQ)
ROW(UBLK_U_IO_COMMIT_AND_FETCH_REQ)
#endif
#ifdef UBLK_F_USER_COPY
ROW(UBLK_F_USER_COPY)
ROW(UBLK_U_CMD_GET_FEATURES)
#endif
#ifdef UBLK_F_ZONED
ROW(UBLK_F_ZONED)
ROW(offsetof(struct ublk_params, zoned))
#endif
#ifdef UBLK_U_CMD_DEL_DEV_ASYNC
ROW(UBLK_U_CMD_DEL_DEV_ASYNC)
#endif
#ifdef UBLK_F_USER_RECOVERY_FAIL_IO
ROW(UBLK_F_USER_RECOVERY_FAIL_IO)
ROW(UBLK_S_DEV_FAIL_IO)
#endif
#ifdef UBLK_F_QUIESCE
ROW(UBLK_F_UPDATE_SIZE)
ROW(UBLK_F_AUTO_BUF_REG)
ROW(UBLK_F_QUIESCE)
ROW(UBLK_U_CMD_UPDATE_SIZE)
ROW(UBLK_U_CMD_QUIESCE_DEV)
ROW(UBLK_F_PER_IO_DAEMON)
ROW(offsetof(struct ublk_params, dma))
ROW(offsetof(struct ublk_params, seg))
#endif
#ifdef UBLK_F_BUF_REG_OFF_DAEMON
ROW(UBLK_F_BUF_REG_OFF_DAEMON)
#endif
#ifdef UBLK_F_NO_AUTO_PART_SCAN
ROW(UBLK_F_BATCH_IO)
ROW(UBLK_F_INTEGRITY)
ROW(UBLK_F_SAFE_STOP_DEV)
ROW(UBLK_F_NO_AUTO_PART_SCAN)
ROW(offsetof(struct ublk_params, integrity))
ROW(sizeof(struct ublk_params))
#endif
#ifdef UBLK_F_SHMEM_ZC
ROW(UBLK_F_SHMEM_ZC)
#endif
#ifdef UBLK_F_IO_DESC_SIZE
ROW(UBLK_F_IO_DESC_SIZE)
#endif
