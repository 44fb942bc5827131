/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random operations on a device and on plain memory, which must stay equal. The
 * device is a target without a kernel in a unit test, and a real block device in a
 * functional one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define MODEL_SECTOR 512u
#define MODEL_IO_BYTES_MAX (1u << 20)
#define MODEL_DEPTH_MAX 32u

enum model_kind { MODEL_READ, MODEL_WRITE, MODEL_DISCARD, MODEL_ZERO, MODEL_FLUSH };

struct model_op {
	enum model_kind kind;
	bool fua;	     /* MODEL_WRITE */
	bool keep_space;     /* MODEL_ZERO */
	uint64_t off, len;   /* 0 of a flush */
	unsigned char *data; /* of a read and a write; aligned to 4096 */
	int error;	     /* what became of it: 0 or -errno */
};

struct model_device {
	void *arg;
	uint64_t bytes;
	unsigned int depth; /* so many operations at a time; 1 to MODEL_DEPTH_MAX */
	/* As NBD's trim: each sector of what was discarded is zeroes, or what it was. */
	bool discard_may_keep;
	/* All of them, in any order: none changes what another one reads or changes. */
	void (*run)(void *arg, struct model_op *ops, unsigned int nr);
};

/*
 * memory: what the device has in it, which becomes what it is to have. 0; -EILSEQ with the
 * first operation that read something else in *ret_op; or what the device answered.
 */
int model_run(const struct model_device *d, unsigned char *memory, uint64_t seed,
	      unsigned int nr_ops, unsigned int *ret_op);
