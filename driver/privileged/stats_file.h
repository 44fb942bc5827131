/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file of a device's counters (driver/wire/stats.h): DIR/stats/<generation
 * in hex>, root only. It is on a tmpfs, so that the next helper finds it; all of
 * it is there from the beginning, so that its writer never meets a full one.
 * What is in it the helper never reads.
 */
#pragma once

#include <stdint.h>

#include "driver/base/err.h"

/* Makes DIR/stats; returns its fd. */
int stats_file_dir(const char *dir, int *ret_fd, struct err *e);

/* For the worker: to be written. That of a worker before it goes on. */
int stats_file_make(int dir_fd, uint64_t generation, unsigned int nr_queues, int *ret_fd,
		    struct err *e);

/* For a caller: to be read. -ENOENT: the device has none. */
int stats_file_open(int dir_fd, uint64_t generation, int *ret_fd, struct err *e);

/* Calls found() for each there is; a negative number of it ends this. */
int stats_file_each(int dir_fd, int (*found)(void *arg, uint64_t generation), void *arg,
		    struct err *e);

/* Once its worker is gone. Who still has it open holds no memory. Not there is fine. */
int stats_file_remove(int dir_fd, uint64_t generation, struct err *e);
