/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/model.h"

#include <errno.h>
#include <string.h>

#include "driver/base/cleanup.h"

#define MODEL_SECTOR 512u

struct model {
	const struct model_device *d;
	unsigned char *memory;
	uint64_t random;
	unsigned char *buffer;
};

static uint64_t model_draw(struct model *m, uint64_t below)
{
	m->random ^= m->random << 13;
	m->random ^= m->random >> 7;
	m->random ^= m->random << 17;
	return (m->random >> 11) % below;
}

/* Small ones mostly, as disks get them, and some as large as can be. */
static uint64_t model_len(struct model *m)
{
	static const uint64_t most[] = { 1, 8, 8, 8, 8, 32, 32, 160 };
	uint64_t n = model_draw(m, 100) ? most[model_draw(m, ARRAY_SIZE(most))]
					: MODEL_IO_BYTES_MAX / MODEL_SECTOR;

	return (1 + model_draw(m, n)) * MODEL_SECTOR;
}

static int model_step(struct model *m)
{
	const struct model_device *d = m->d;
	uint64_t len = model_len(m), off;
	int r;

	if (len > MODEL_IO_BYTES_MAX)
		len = MODEL_IO_BYTES_MAX;
	if (len > d->bytes)
		len = d->bytes;
	off = model_draw(m, (d->bytes - len) / MODEL_SECTOR + 1) * MODEL_SECTOR;
	switch (model_draw(m, 16)) {
	case 0:
		return d->flush(d->arg);
	case 1:
		r = d->discard(d->arg, off, len);
		memset(m->memory + off, 0, r ? 0 : len);
		return r;
	case 2:
		r = d->zero(d->arg, off, len);
		memset(m->memory + off, 0, r ? 0 : len);
		return r;
	case 3:
	case 4:
	case 5:
	case 6:
	case 7:
	case 8:
		for (uint64_t i = 0; i < len; i += sizeof(m->random)) {
			model_draw(m, 1);
			memcpy(m->buffer + i, &m->random, sizeof(m->random));
		}
		memcpy(m->memory + off, m->buffer, len);
		return d->write(d->arg, m->buffer, off, len);
	default:
		r = d->read(d->arg, m->buffer, off, len);
		return r ? r : memcmp(m->buffer, m->memory + off, len) ? -EILSEQ : 0;
	}
}

/* All of it, in the end. */
static int model_compare(struct model *m)
{
	const struct model_device *d = m->d;

	for (uint64_t off = 0, len; off < d->bytes; off += len) {
		int r;

		len = d->bytes - off < MODEL_IO_BYTES_MAX ? d->bytes - off : MODEL_IO_BYTES_MAX;
		r = d->read(d->arg, m->buffer, off, len);
		if (r || memcmp(m->buffer, m->memory + off, len))
			return r ? r : -EILSEQ;
	}
	return 0;
}

int model_run(const struct model_device *d, unsigned char *memory, uint64_t seed,
	      unsigned int nr_ops, unsigned int *ret_op)
{
	struct model m = { .d = d, .memory = memory, .random = seed | 1 };
	auto_free unsigned char *buffer = aligned_alloc(4096, MODEL_IO_BYTES_MAX);
	int r = 0;

	if (!buffer)
		return -ENOMEM;
	m.buffer = buffer;
	for (*ret_op = 0; *ret_op < nr_ops; ++*ret_op) {
		r = model_step(&m);
		if (r)
			return r;
	}
	return model_compare(&m);
}
