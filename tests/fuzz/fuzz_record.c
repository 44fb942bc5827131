/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A record of the journal. Only root writes there; still, what is taken for a
 * record is what undoing follows, so its places must be ones this program
 * makes. The input changes a good record: a field's number, a length, bytes.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "driver/base/text.h"
#include "driver/privileged/journal.h"
#include "targets/catalog.h"
#include "tests/fuzz/fuzz.h"

#define FIELD(name)                                                                                \
	{                                                                                          \
		offsetof(struct record, name), sizeof(((struct record *)0)->name)                  \
	}

/* The same names, in this order, are in seeds.py. */
static const struct {
	size_t offset, size;
} fields[] = {
	FIELD(magic),
	FIELD(version),
	FIELD(size),
	FIELD(state),
	FIELD(generation),
	FIELD(flags),
	FIELD(target),
	FIELD(worker_pid),
	FIELD(path),
	FIELD(cgroup),
	FIELD(container),
	FIELD(engine),
	FIELD(container_pid),
	FIELD(rule),
	FIELD(backing),
	FIELD(dev_id),
	FIELD(worker_uid),
	FIELD(made_dirs),
	FIELD(grants),
	FIELD(container_cgroup),
	FIELD(io),
	FIELD(failure),
	FIELD(filesystem),
	FIELD(base),
};

static struct record good(void)
{
	return (struct record){
		.magic = RECORD_MAGIC,
		.version = RECORD_VERSION,
		.size = sizeof(struct record),
		.state = WIRE_STATE_LIVE,
		.generation = RECORD_GENERATION_MARK << 32 | 7,
		.dev_id = 3,
		.target = TARGET_FILE,
		.nr_queues = 2,
		.depth = 32,
		.size_bytes = 1 << 20,
		.worker_pid = 100,
		.worker_uid = 910000,
		.container_pid = 99,
		.container = "c1",
		.engine = "crun",
		.path = "/dev/data",
		.rule = "root-containers",
		.backing = "/srv/a.img",
		.cgroup = "/sys/fs/cgroup/ublk-oci/workers/00000000f0000001/ublk3-00000007",
	};
}

/* Below its root, and no step back up. */
static void cgroup_must_hold(const char *path, const char *root)
{
	if (!*path)
		return;
	must(!strncmp(path, root, strlen(root)));
	for (const char *p = path; p; p = strchr(p, '/')) {
		p += *p == '/';
		must(strncmp(p, "..", 2) || (p[2] && p[2] != '/'));
	}
}

static void record_must_hold(const struct record *rec)
{
	const char *why;

	must(rec->magic == RECORD_MAGIC && rec->version == RECORD_VERSION);
	must(rec->worker_pid >= 0 && rec->container_pid >= 0);
	must(rec->state == WIRE_STATE_ATTACHING || rec->state == WIRE_STATE_LIVE ||
	     rec->state == WIRE_STATE_DETACHING || rec->state == WIRE_STATE_RECOVERING ||
	     rec->state == WIRE_STATE_FAILED);
	must(memchr(rec->container, '\0', sizeof(rec->container)) &&
	     memchr(rec->engine, '\0', sizeof(rec->engine)) &&
	     memchr(rec->rule, '\0', sizeof(rec->rule)) &&
	     memchr(rec->backing, '\0', sizeof(rec->backing)) &&
	     memchr(rec->base, '\0', sizeof(rec->base)) &&
	     memchr(rec->container_cgroup, '\0', sizeof(rec->container_cgroup)) &&
	     memchr(rec->path, '\0', sizeof(rec->path)) &&
	     memchr(rec->failure, '\0', sizeof(rec->failure)) &&
	     memchr(rec->cgroup, '\0', sizeof(rec->cgroup)));
	must(rec->filesystem
		     ? catalog_filesystem(rec->filesystem) && text_mount_path_ok(rec->path, &why)
		     : rec->flags & WIRE_HOST || text_device_path_ok(rec->path, &why));
	must(!(rec->grants & ~(uint32_t)RECORD_GRANTS_ALL));
	cgroup_must_hold(rec->cgroup, strncmp(rec->cgroup, "/run/", 5) ? "/sys/fs/cgroup/"
								       : "/run/ublk-oci/cgroup/");
	cgroup_must_hold(rec->container_cgroup, "/");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct record rec = good();

	must(journal_record_ok(&rec));
	while (size >= 2) {
		size_t i = bytes[0] % ARRAY_SIZE(fields), n = bytes[1];

		bytes += 2;
		size -= 2;
		n = n < size ? n : size;
		memcpy((char *)&rec + fields[i].offset, bytes,
		       n < fields[i].size ? n : fields[i].size);
		bytes += n;
		size -= n;
	}
	if (journal_record_ok(&rec))
		record_must_hold(&rec);
	return 0;
}
