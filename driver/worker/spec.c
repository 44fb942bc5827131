/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/worker/spec.h"

#include <errno.h>
#include <string.h>

#include "driver/base/num.h"

#define SPEC_BLOCK_BYTES_MIN 512u
#define SPEC_BLOCK_BYTES_MAX 4096u
#define SPEC_BUFFER_BYTES 4096u /* a tag's buffer is whole pages */

static int spec_admit_head(const struct packet *p, enum start_type type, size_t size, struct err *e)
{
	struct start_head head;

	if (p->size != size)
		return err_set(e, EPROTO, "a message of %zu bytes, expected %zu", p->size, size);
	memcpy(&head, p->bytes, sizeof(head));
	if (head.magic != START_MAGIC || head.version != START_VERSION)
		return err_set(e, EPROTO, "the helper speaks another version");
	if (head.type != type || head.size != size)
		return err_set(e, EPROTO, "message %u of %u bytes, expected %u", head.type,
			       head.size, type);
	if (head.nr_fds != p->nr_fds)
		return err_set(e, EPROTO, "%u descriptors arrived, %u were sent", p->nr_fds,
			       head.nr_fds);
	return 0;
}

static bool spec_shape_ok(const struct start_spec *s)
{
	return s->nr_queues >= 1 && s->nr_queues <= START_QUEUES_MAX && s->depth >= 1 &&
	       s->depth <= START_DEPTH_MAX && s->max_io_bytes >= SPEC_BUFFER_BYTES &&
	       s->max_io_bytes <= START_IO_BYTES_MAX && s->max_io_bytes % SPEC_BUFFER_BYTES == 0 &&
	       s->piece_bytes >= SPEC_BUFFER_BYTES && s->piece_bytes <= s->max_io_bytes &&
	       s->piece_bytes % SPEC_BUFFER_BYTES == 0;
}

static bool spec_flags_ok(uint32_t flags)
{
	return !(flags & ~(uint32_t)START_FLAGS_ALL) &&
	       (flags & (START_BATCH | START_LINK)) != (START_BATCH | START_LINK) &&
	       (!(flags & START_BY_HAND) || flags & START_ZERO_COPY);
}

static bool spec_nbd_ok(const struct start_spec *s, const struct target_ops *ops)
{
	static const struct start_nbd none;

	if (!ops->has_server)
		return !memcmp(&s->nbd, &none, sizeof(none));
	return !(s->nbd.flags & ~(uint32_t)START_NBD_FLAGS_ALL) && s->nbd.timeout_ms &&
	       s->nbd.timeout_ms <= START_NBD_TIMEOUT_MAX_MS &&
	       !(s->flags & (START_ZERO_COPY | START_THREADS));
}

static bool spec_cpus_ok(const struct start_spec *s)
{
	for (unsigned int cpu = 0; cpu < START_CPUS_MAX; cpu++) {
		if (s->cpu_queue[cpu] > (s->flags & START_THREADS ? s->nr_queues : 0))
			return false;
	}
	return true;
}

static bool spec_size_ok(const struct start_spec *s)
{
	return num_power_of_two(s->logical_block_bytes) &&
	       s->logical_block_bytes >= SPEC_BLOCK_BYTES_MIN &&
	       s->logical_block_bytes <= SPEC_BLOCK_BYTES_MAX && s->dev_bytes &&
	       s->dev_bytes <= INT64_MAX && s->dev_bytes % s->logical_block_bytes == 0;
}

int spec_admit(struct start_spec *ret, const struct target_ops **ret_ops, const struct packet *p,
	       struct err *e)
{
	const struct target_ops *ops;
	struct start_spec s;
	int r;

	r = spec_admit_head(p, START_SPEC, sizeof(s), e);
	if (r < 0)
		return r;
	memcpy(&s, p->bytes, sizeof(s));
	ops = target_find(s.target);
	if (!ops)
		return err_set(e, EPROTO, "there is no target %u", s.target);
	if (p->nr_fds > ops->nr_files || p->nr_fds > START_FILES_MAX ||
	    p->nr_fds < (ops->fewest_files ? ops->fewest_files : ops->nr_files))
		return err_set(e, EPROTO, "target %s needs %u backing files, not %u", ops->name,
			       ops->nr_files, p->nr_fds);
	if (!spec_flags_ok(s.flags) || s.pad[0] || s.pad[1] || s.pad[2])
		return err_set(e, EPROTO, "strange flags %#x", s.flags);
	if (!spec_shape_ok(&s))
		return err_set(e, EPROTO, "%u queues of %u tags of %u bytes in pieces of %u",
			       s.nr_queues, s.depth, s.max_io_bytes, s.piece_bytes);
	if (!spec_nbd_ok(&s, ops))
		return err_set(e, EPROTO, "a strange server: flags %#x, %u ms", s.nbd.flags,
			       s.nbd.timeout_ms);
	if (!spec_cpus_ok(&s))
		return err_set(e, EPROTO, "a processor of a queue there is not");
	if (!spec_size_ok(&s))
		return err_set(e, EPROTO, "%llu bytes in blocks of %u",
			       (unsigned long long)s.dev_bytes, s.logical_block_bytes);
	if (s.nr_filter < 1 || s.nr_filter > START_FILTER_MAX)
		return err_set(e, EPROTO, "a filter of %u instructions", s.nr_filter);
	*ret = s;
	*ret_ops = ops;
	return 0;
}

int spec_admit_step(const struct packet *p, enum start_type type, unsigned int nr_fds,
		    struct err *e)
{
	int r;

	r = spec_admit_head(p, type, sizeof(struct start_step), e);
	if (r < 0)
		return r;
	if (p->nr_fds != nr_fds)
		return err_set(e, EPROTO, "%u descriptors, expected %u", p->nr_fds, nr_fds);
	return 0;
}

bool spec_cpus(const struct start_spec *spec, uint16_t queue, struct spec_cpus *ret)
{
	bool any = false;

	*ret = (struct spec_cpus){ 0 };
	for (unsigned int cpu = 0; cpu < START_CPUS_MAX; cpu++) {
		if (spec->cpu_queue[cpu] != queue + 1)
			continue;
		ret->words[cpu / 64] |= UINT64_C(1) << cpu % 64;
		any = true;
	}
	return any;
}
