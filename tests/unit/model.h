/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random operations on a device and on plain memory, which must stay equal. The
 * device is a target without a kernel in a unit test, and a real block device in a
 * functional one.
 */
#pragma once

#include <stdint.h>

struct model_device {
	void *arg;
	uint64_t bytes;
	/* 0, or -errno, which ends the run. */
	int (*read)(void *arg, void *to, uint64_t off, uint64_t len);
	int (*write)(void *arg, const void *from, uint64_t off, uint64_t len);
	int (*discard)(void *arg, uint64_t off, uint64_t len);
	int (*zero)(void *arg, uint64_t off, uint64_t len);
	int (*flush)(void *arg);
};

#define MODEL_IO_BYTES_MAX (1u << 20)

/*
 * memory: what the device has in it, which becomes what it is to have. 0; -EILSEQ with the
 * first operation that read something else in *ret_op; or what the device answered.
 */
int model_run(const struct model_device *d, unsigned char *memory, uint64_t seed,
	      unsigned int nr_ops, unsigned int *ret_op);
