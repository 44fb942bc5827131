/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must survive a restart of the helper: one record per device, written
 * (temporary file, fsync, rename) before the thing it describes is made. A
 * record is enough to undo everything that was done for its device, whatever
 * step it had come to; see undo.h.
 *
 * Files are DIR/devices/<generation in hex>, fixed-size, root only. A record of
 * another version is moved aside and reported, never guessed at.
 */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "driver/base/err.h"
#include "driver/privileged/container.h"
#include "driver/privileged/host_dir.h"
#include "driver/wire/wire.h"

#define RECORD_MAGIC 0x6f726375u
#define RECORD_VERSION 8
#define RECORD_CGROUP_SIZE 256

/* The upper half of every generation, and so of the cookie the driver keeps for us. */
#define RECORD_GENERATION_MARK UINT64_C(0x75626f63)

enum record_grant {
	RECORD_DISCARD = 1 << 0,    /* the device can give space back */
	RECORD_IO_LIMITS = 1 << 1,  /* io.max of the container's cgroup gets a line for it */
	RECORD_ZERO_COPY = 1 << 2,  /* the worker may be handed the kernel's pages */
	RECORD_READ_MOUNT = 1 << 3, /* a claim that only reads a device which can be written */
	RECORD_UNIT = 1 << 4,	    /* the container's systemd unit allows the device, see unit.h */
	RECORD_IO_BEHIND = 1 << 5, /* with IO_LIMITS: io.max of the worker's cgroup, for the disk */
	RECORD_REISSUE = 1 << 6,   /* target nbd: a server may be asked again what it may yet do */
};
#define RECORD_GRANTS_ALL                                                                          \
	(RECORD_DISCARD | RECORD_IO_LIMITS | RECORD_ZERO_COPY | RECORD_READ_MOUNT | RECORD_UNIT |  \
	 RECORD_IO_BEHIND | RECORD_REISSUE)

enum record_nbd_state {
	RECORD_NBD_NONE,
	RECORD_NBD_FRESH, /* nobody has written to its connections yet */
	RECORD_NBD_USED,
	RECORD_NBD_LOST, /* used as well, and there are no others yet */
	RECORD_NBD_STATES,
};

/* Of target nbd, whose address is in place of the path of a backing file. */
struct record_nbd {
	uint32_t state; /* enum record_nbd_state */
	uint32_t flags; /* enum start_nbd_flag */
	uint32_t timeout_ms;
	uint32_t nr_connections;
	uint32_t asked_connections;
	/* enum image_format: of target image, whose server is a back end; 0: it has no base */
	uint16_t format;
	uint16_t base_format;
	uint64_t kept_inodes[WIRE_CONNECTIONS_MAX]; /* of their sockets, on kept_dev */
	char export_name[WIRE_EXPORT_SIZE];
};

struct record {
	uint32_t magic;
	uint32_t version;
	uint32_t size;
	uint32_t state; /* enum wire_state */

	uint64_t generation;
	uint32_t dev_id;
	uint32_t flags;	 /* enum wire_flag */
	uint32_t target; /* enum target_id */
	uint16_t nr_queues;
	uint16_t depth;
	uint64_t size_bytes;
	uint32_t max_io_bytes;
	uint32_t logical_block_bytes;
	uint32_t physical_block_bytes;
	uint32_t direct_io;
	uint32_t piece_bytes; /* what the backing takes at once */
	uint32_t handed_over; /* 1: a worker that is to recover it may have the char device */
	uint32_t major;	      /* 0 until it is started */
	uint32_t minor;
	uint64_t kernel_flags;
	uint64_t kernel_features;

	uint32_t peer_uid; /* who asked for it */
	uint32_t peer_gid;
	uint64_t since; /* seconds since 1970 */

	int32_t worker_pid; /* 0: none yet */
	uint32_t worker_uid;
	uint64_t worker_start; /* clock ticks since boot, as in /proc/PID/stat */

	int32_t container_pid; /* 0 with WIRE_HOST and WIRE_AHEAD */
	uint32_t made_dirs;    /* directories node_insert() made */
	uint64_t container_start;
	uint64_t mount_ns_inode;
	uint64_t cgroup_inode; /* 0: the container has no cgroup of its own */

	uint64_t kept_dev; /* of the descriptor the worker serves from; 0: there is none */
	uint64_t kept_inode;
	uint64_t backing_dev;
	uint64_t backing_inode;

	uint32_t node_uid;
	uint32_t node_gid;
	uint32_t node_mode;
	uint32_t asked_queues; /* as asked, to know the same attach again */
	uint32_t asked_depth;
	uint32_t grants; /* enum record_grant: what the rule gave on top */
	uint64_t asked_bytes;
	struct wire_io io; /* not all zero with RECORD_IO_LIMITS */

	char container[WIRE_CONTAINER_SIZE];
	char engine[WIRE_ENGINE_SIZE];
	char path[WIRE_PATH_SIZE];
	char rule[WIRE_RULE_SIZE];
	char backing[WIRE_BACKING_SIZE];
	uint32_t backing_uid;	/* who owns the backing file */
	uint32_t container_uid; /* who owns the container's user namespace */
	char container_cgroup[CONTAINER_CGROUP_SIZE];
	char cgroup[RECORD_CGROUP_SIZE]; /* the worker's cgroup directory, "" until it is made */
	char failure[WIRE_REASON_SIZE];	 /* WIRE_STATE_FAILED: why */

	uint32_t filesystem;  /* enum catalog_filesystem: mounted at path, in place of a node */
	uint32_t raw_writers; /* 1: others than root could have written what it mounts */
	uint64_t mounted_dev; /* what files in it show as their device; 0: not known */
	struct wire_fault fault;
	/* Of the second file of a target that has one; as of the first. */
	uint64_t base_kept_dev;
	uint64_t base_kept_inode;
	uint64_t base_dev;
	uint64_t base_inode;
	char base[WIRE_BACKING_SIZE];
	/* What path was, of what is put on the host, before that was mounted on it. */
	struct host_dir dir;
	struct record_nbd nbd; /* all zero for the other targets */
};
static_assert(sizeof(struct record) == 2616, "journal format changed: raise RECORD_VERSION");

/* Is it put on the host: its file system on a directory, or what a claim has of it on a file? */
static inline bool record_on_host(const struct record *rec)
{
	return rec->flags & WIRE_HOST && (rec->filesystem || rec->flags & WIRE_CLAIMED);
}

/* The latter. */
static inline bool record_is_host_file(const struct record *rec)
{
	return record_on_host(rec) && !rec->filesystem;
}

/* Can nobody write the device? */
static inline bool record_device_reads(const struct record *rec)
{
	return rec->flags & WIRE_READ_ONLY && !(rec->grants & RECORD_READ_MOUNT);
}

/* Is it put somewhere: into a container, or on the host? */
static inline bool record_is_placed(const struct record *rec)
{
	return !(rec->flags & WIRE_NO_CONTAINER) || record_on_host(rec);
}

/* Makes DIR/devices; returns its fd. */
int journal_open(const char *dir, int *ret_fd, struct err *e);

/* Returns when it is durable, the name as well. */
int journal_save(int journal_fd, const struct record *rec, struct err *e);

/* Durable as well; not there is fine. */
int journal_remove(int journal_fd, uint64_t generation, struct err *e);

/*
 * Calls found() for each record; files that are none are renamed to *.bad and logged. One of
 * those that this version can read, since another had set it aside, is a record again.
 */
int journal_load(int journal_fd, int (*found)(void *arg, const struct record *rec), void *arg,
		 struct err *e);

/* The generation that names a file of ours, here or in other directories; 0: it is none. */
uint64_t journal_generation(const char *name);

/* Calls found() for each file that is no record: begun and never finished, or set aside. */
int journal_each_stray(int journal_fd, int (*found)(void *arg, const char *name), void *arg,
		       struct err *e);
/* How many of them are records that cannot be read: of devices, perhaps, that are used. */
unsigned int journal_nr_aside(int journal_fd);
int journal_remove_stray(int journal_fd, const char *name, struct err *e);

/* Is this a record as we write them: sizes, strings, ranges? */
bool journal_record_ok(const struct record *rec);
