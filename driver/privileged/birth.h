/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker for a device: for a new one, and for one whose worker died. The steps
 * in their order.
 */
#pragma once

#include "driver/privileged/op.h"
#include "driver/privileged/spawn.h"
#include "driver/privileged/ublk_ctl.h"

struct birth {
	const struct op *op;
	struct record *rec;	    /* the device's */
	struct ublk_ctl *ctl;	    /* borrowed */
	int files[START_FILES_MAX]; /* borrowed: what the worker serves from */
	unsigned int nr_files;
	struct spawn_child worker;
	int cgroup_fd;
	int stats_fd;
	int notices_fd;
};

#define BIRTH_INIT(o, r)                                                                           \
	{                                                                                          \
		.op = (o), .rec = (r), .worker = { .pidfd = -1, .channel_fd = -1 },                \
		.cgroup_fd = -1, .stats_fd = -1, .notices_fd = -1                                  \
	}

void birth_fini(struct birth *b);

/* Its cgroup, of which each has its own, with a limit. */
int birth_cgroup(struct birth *b, struct err *e);

/*
 * Its process, whose number is in *rec then. Until somebody writes that down it is
 * found, and ended, by its cgroup.
 */
int birth_spawn(struct birth *b, struct err *e);

/* All that can fail, before it has the char device. */
int birth_prepare(struct birth *b, struct err *e);

/*
 * Hands over the char device and keeps no copy: while anybody else has it open,
 * the driver does not notice a worker's death. On return every tag is fetched.
 */
int birth_hand_over(struct birth *b, struct err *e);
