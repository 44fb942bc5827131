/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "driver/base/cleanup.h"

struct model {
	const struct model_device *d;
	unsigned char *memory;
	uint64_t random;
	unsigned char *buffers; /* MODEL_IO_BYTES_MAX for each of ops */
	struct model_op ops[MODEL_DEPTH_MAX];
	unsigned int nr;
	struct model_op next; /* drawn, and for another batch than this; its len is 0: none */
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
	static const uint64_t most[] = { 1, 8, 8, 8, 8, 8, 24, 64 };
	uint64_t n = model_draw(m, 500) ? most[model_draw(m, ARRAY_SIZE(most))]
					: MODEL_IO_BYTES_MAX / MODEL_SECTOR;
	uint64_t len = (1 + model_draw(m, n)) * MODEL_SECTOR;

	return len > m->d->bytes ? m->d->bytes : len;
}

static struct model_op model_op(struct model *m)
{
	static const enum model_kind kinds[] = {
		MODEL_FLUSH, MODEL_DISCARD, MODEL_ZERO,	 MODEL_WRITE, MODEL_WRITE, MODEL_WRITE,
		MODEL_WRITE, MODEL_WRITE,   MODEL_WRITE, MODEL_READ,  MODEL_READ,  MODEL_READ,
		MODEL_READ,  MODEL_READ,    MODEL_READ,	 MODEL_READ,
	};
	struct model_op op = { .len = model_len(m) };

	op.off = model_draw(m, (m->d->bytes - op.len) / MODEL_SECTOR + 1) * MODEL_SECTOR;
	op.kind = kinds[model_draw(m, ARRAY_SIZE(kinds))];
	op.fua = op.kind == MODEL_WRITE && !model_draw(m, 8);
	op.keep_space = op.kind == MODEL_ZERO && model_draw(m, 2);
	return op;
}

static bool model_meets(const struct model *m, const struct model_op *op)
{
	for (unsigned int i = 0; i < m->nr; i++) {
		const struct model_op *other = &m->ops[i];

		if (op->kind == MODEL_READ && other->kind == MODEL_READ)
			continue;
		if (op->off < other->off + other->len && other->off < op->off + op->len)
			return true;
	}
	return false;
}

static void model_add(struct model *m, const struct model_op *op)
{
	unsigned char *data = m->buffers + (uint64_t)m->nr * MODEL_IO_BYTES_MAX;
	struct model_op *added = &m->ops[m->nr++];

	*added = *op;
	added->data = data;
	if (op->kind == MODEL_FLUSH)
		added->off = added->len = 0;
	if (op->kind == MODEL_WRITE) {
		for (uint64_t i = 0; i < op->len; i += sizeof(m->random)) {
			model_draw(m, 1);
			memcpy(data + i, &m->random, sizeof(m->random));
		}
	}
}

/* As many as can be under way together, at most so many. */
static void model_batch(struct model *m, unsigned int most)
{
	m->nr = 0;
	most = most < m->d->depth ? most : m->d->depth;
	while (m->nr < most) {
		if (!m->next.len)
			m->next = model_op(m);
		if (model_meets(m, &m->next))
			break;
		model_add(m, &m->next);
		m->next.len = 0;
	}
}

static int model_read(struct model *m, uint64_t off, uint64_t len)
{
	struct model_op op = { .kind = MODEL_READ, .off = off, .len = len, .data = m->buffers };

	m->d->run(m->d->arg, &op, 1);
	return op.error;
}

/* What was discarded, sector by sector. */
static int model_kept(struct model *m, const struct model_op *op)
{
	static const unsigned char zero[MODEL_SECTOR];
	int r = model_read(m, op->off, op->len);

	for (uint64_t i = 0; !r && i < op->len; i += MODEL_SECTOR) {
		unsigned char *is = m->memory + op->off + i;

		if (!memcmp(m->buffers + i, zero, MODEL_SECTOR))
			memset(is, 0, MODEL_SECTOR);
		else if (memcmp(m->buffers + i, is, MODEL_SECTOR))
			r = -EILSEQ;
	}
	return r;
}

/* It was done; memory follows. */
static int model_follow(struct model *m, const struct model_op *op)
{
	if (op->error)
		return op->error;
	switch (op->kind) {
	case MODEL_READ:
		return memcmp(op->data, m->memory + op->off, op->len) ? -EILSEQ : 0;
	case MODEL_WRITE:
		memcpy(m->memory + op->off, op->data, op->len);
		return 0;
	case MODEL_DISCARD:
	case MODEL_ZERO:
		if (op->kind == MODEL_ZERO || !m->d->discard_may_keep)
			memset(m->memory + op->off, 0, op->len);
		return 0;
	case MODEL_FLUSH:
		break;
	}
	return 0;
}

static int model_step(struct model *m, unsigned int *ret_op)
{
	int r;

	m->d->run(m->d->arg, m->ops, m->nr);
	for (unsigned int i = 0; i < m->nr; i++) {
		r = model_follow(m, &m->ops[i]);
		if (r) {
			*ret_op += i;
			return r;
		}
	}
	/* Last, since it takes the first one's buffer. */
	for (unsigned int i = 0; m->d->discard_may_keep && i < m->nr; i++) {
		r = m->ops[i].kind == MODEL_DISCARD ? model_kept(m, &m->ops[i]) : 0;
		if (r) {
			*ret_op += i;
			return r;
		}
	}
	*ret_op += m->nr;
	return 0;
}

/* All of it, in the end. */
static int model_compare(struct model *m)
{
	for (uint64_t off = 0, len; off < m->d->bytes; off += len) {
		int r;

		len = m->d->bytes - off;
		len = len < MODEL_IO_BYTES_MAX ? len : MODEL_IO_BYTES_MAX;
		r = model_read(m, off, len);
		if (r || memcmp(m->buffers, m->memory + off, len))
			return r ? r : -EILSEQ;
	}
	return 0;
}

int model_run(const struct model_device *d, unsigned char *memory, uint64_t seed,
	      unsigned int nr_ops, unsigned int *ret_op)
{
	struct model m = { .d = d, .memory = memory, .random = seed | 1 };
	auto_free unsigned char *buffers =
		aligned_alloc(4096, (uint64_t)d->depth * MODEL_IO_BYTES_MAX);

	if (!buffers)
		return -ENOMEM;
	m.buffers = buffers;
	*ret_op = 0;
	while (*ret_op < nr_ops) {
		int r;

		model_batch(&m, nr_ops - *ret_op);
		r = model_step(&m, ret_op);
		if (r)
			return r;
	}
	return model_compare(&m);
}
