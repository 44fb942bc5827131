/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every message that crosses from an unprivileged process to the helper and
 * back: one SEQPACKET packet each, fixed size, fixed-width integers in host
 * byte order (both ends run on one machine), no pointers, no lengths inside.
 * Strings are padded with zeroes to their field. File descriptors travel
 * beside the packet (SCM_RIGHTS), in the order the message names them.
 *
 * A connection carries one request and its answer. What does not match in
 * magic, size or number of fds ends the connection without an answer; a
 * version the helper does not speak gets one struct wire_reply with
 * -EPROTONOSUPPORT, whose layout never changes.
 */
#pragma once

#include <assert.h>
#include <stdint.h>

#define WIRE_SOCKET "/run/ublk-oci/helper.sock"
#define WIRE_MAGIC 0x6f6b6275u /* "ubko" */
#define WIRE_VERSION 1

#define WIRE_CONTAINER_SIZE 136 /* a container's ID as its engine writes it */
#define WIRE_ENGINE_SIZE 16	/* "crun", "runc", ...: a label */
#define WIRE_PATH_SIZE 256	/* of a device in its container, or where it is mounted */
#define WIRE_RULE_SIZE 64	/* id of a policy rule */
#define WIRE_BACKING_SIZE 256	/* path of a backing file, for people */
#define WIRE_REASON_SIZE 320
#define WIRE_ADDRESS_SIZE 256 /* of a server, as a policy writes it */
#define WIRE_EXPORT_SIZE 128
#define WIRE_CONNECTIONS_MAX 4
#define WIRE_FDS_MAX 3
#define WIRE_SPANS_MAX 20
#define WIRE_ORPHAN_NAME_SIZE 256
#define WIRE_ORPHAN_WHY_SIZE 96
#define WIRE_ORPHANS_MAX 1024 /* in one answer */

enum wire_type {
	WIRE_NONE,
	WIRE_ATTACH,
	WIRE_DETACH,
	WIRE_LIST,
	WIRE_INSPECT,
	WIRE_RELOAD,
	WIRE_STATS,
	WIRE_REPAIR,
	WIRE_UPGRADE,
	WIRE_CLAIM,
	WIRE_RESIZE,
	WIRE_SNAPSHOTS,
	/* answers */
	WIRE_REPLY = 64,
	WIRE_DEVICE,
	WIRE_DETAILS,
	WIRE_TIMING,
	WIRE_COUNTERS,
	WIRE_ORPHAN,
	WIRE_LOSS,
	WIRE_UPGRADED,
	WIRE_ACCESS,
	WIRE_IMAGE_SAYS,
};

struct wire_head {
	uint32_t magic;
	uint16_t version;
	uint16_t type;	 /* enum wire_type */
	uint32_t size;	 /* of the whole packet, bytes */
	uint32_t nr_fds; /* that came with it */
};
static_assert(sizeof(struct wire_head) == 16, "wire format changed");

enum wire_flag {
	WIRE_READ_ONLY = 1 << 0,
	WIRE_HOST = 1 << 1,  /* for the host: no container, and no path but to mount on */
	WIRE_TIMED = 1 << 2, /* asked only: a WIRE_TIMING comes before the answer */
	/* How data travels, where neither is set: zero copy if rule, target and kernel have it. */
	WIRE_COPY = 1 << 3,	  /* through buffers of the worker */
	WIRE_ZERO_COPY = 1 << 4,  /* zero copy, or no device */
	WIRE_BY_HAND = 1 << 5,	  /* with WIRE_ZERO_COPY, for tests: START_BY_HAND */
	WIRE_THROUGHPUT = 1 << 6, /* many requests at a time matter more than one */
	WIRE_THREADS = 1 << 7,	  /* answers only: each queue has a thread of its own */
	WIRE_AHEAD = 1 << 8,	  /* made before there is a container: path is "/dev/NAME" */
	WIRE_CLAIMED = 1 << 9,	  /* answers only: not a device but what a container has of one */
	WIRE_NO_ACCESS = 1 << 10, /* answers only: its container's filter keeps it from it */
};
#define WIRE_FLAGS_CLAIM (WIRE_READ_ONLY | WIRE_HOST)
/* No container is known: none will be, or none yet. */
#define WIRE_NO_CONTAINER (WIRE_HOST | WIRE_AHEAD)
/* What stays true of a device. */
#define WIRE_FLAGS_DEVICE                                                                          \
	(WIRE_READ_ONLY | WIRE_HOST | WIRE_COPY | WIRE_ZERO_COPY | WIRE_BY_HAND |                  \
	 WIRE_THROUGHPUT | WIRE_AHEAD)
#define WIRE_FLAGS_ALL (WIRE_FLAGS_DEVICE | WIRE_TIMED)

/* Of target fault; all zero for the others. */
struct wire_fault {
	uint32_t delay_us;  /* each request takes so much longer */
	uint32_t error_ppm; /* of the requests below, so many of a million fail */
	uint64_t error_off; /* those that touch these bytes */
	uint64_t error_len; /* 0: all, flushes too */
};
static_assert(sizeof(struct wire_fault) == 24, "wire format changed");
#define WIRE_FAULT_DELAY_MAX 60000000u
#define WIRE_FAULT_PPM_MAX 1000000u

/*
 * Give a container (or the host) a device. Answer: WIRE_REPLY with the device.
 * fds: the container's init process (pidfd; not with WIRE_HOST or WIRE_AHEAD), or, with WIRE_HOST
 * and a file system, the directory of the host to mount it on; then the target's backing files
 * (catalog.h says how many).
 *
 * With WIRE_AHEAD it is for a container that is to come, which gets it by a WIRE_CLAIM. Its
 * path is "/dev/" and its name, which no other device made ahead has.
 */
struct wire_attach {
	struct wire_head head;
	uint32_t target;     /* enum target_id */
	uint32_t flags;	     /* enum wire_flag */
	uint64_t size_bytes; /* 0: as large as the backing file */
	uint16_t nr_queues;  /* 0: the helper's default */
	uint16_t depth;	     /* tags per queue; 0: the helper's default */
	uint32_t uid;	     /* of the node, as the container counts */
	uint32_t gid;
	uint32_t mode;	     /* permission bits of the node */
	uint32_t timeout_ms; /* the caller's patience; 0: the helper's default */
	uint32_t filesystem; /* enum catalog_filesystem: mounted at path, in place of a node */
	char container[WIRE_CONTAINER_SIZE]; /* label; the process is the pidfd's */
	char engine[WIRE_ENGINE_SIZE];	     /* label */
	char path[WIRE_PATH_SIZE]; /* "/dev/..." of a node, or any; of WIRE_HOST a label, or empty
				    */
	struct wire_fault fault;
	/* Of a target that is reached by an address; all zero for the others. */
	char address[WIRE_ADDRESS_SIZE];    /* "unix:/PATH", "tcp:HOST:PORT" */
	char export_name[WIRE_EXPORT_SIZE]; /* of the server's; empty: its default */
	uint32_t nr_connections;	    /* at most; 0: the helper's default */
	/* Of target image: enum image_format. With that of a base there is a descriptor of it. */
	uint16_t format;
	uint16_t base_format;
};
static_assert(sizeof(struct wire_attach) == 880, "wire format changed");

/*
 * A container is to have a device that was made ahead. Answer: WIRE_REPLY with the claim, which
 * is ended like a device, by a WIRE_DETACH of its generation; the device goes on.
 * fds: the container's init process (pidfd).
 *
 * With WIRE_HOST it is the host that has it. No container then, and path is a label. With a file
 * system it is mounted, and the descriptor is the directory, as of a WIRE_ATTACH; without, the
 * descriptor is an empty file, which becomes the device. One caller may have the same on the host
 * several times. With WIRE_READ_ONLY this mount is, of a device that others may write.
 */
struct wire_claim {
	struct wire_head head;
	uint64_t generation; /* of the device: not one that had its name before */
	uint32_t timeout_ms;
	uint32_t filesystem; /* enum catalog_filesystem: the host mounts it; else 0 */
	uint32_t flags;	     /* WIRE_HOST, WIRE_READ_ONLY */
	uint32_t pad;
	char container[WIRE_CONTAINER_SIZE]; /* label; the process is the pidfd's */
	char engine[WIRE_ENGINE_SIZE];	     /* label */
	char path[WIRE_PATH_SIZE];	     /* "/dev/..."; empty: that of the device */
};
static_assert(sizeof(struct wire_claim) == 448, "wire format changed");

enum wire_detach_flag {
	WIRE_DETACH_FORCE = 1 << 0, /* even if it is open or mounted: what is not written is lost */
	WIRE_DETACH_ENDED =
		1 << 1, /* the container is over: a device in use is not a reason to wait */
	WIRE_DETACH_TIMED = 1 << 2, /* a WIRE_TIMING comes before the answer */
	WIRE_DETACH_TELL = 1 << 3,  /* with FORCE: a WIRE_LOSS for each loss, before it is done */
};
#define WIRE_DETACH_FLAGS_ALL                                                                      \
	(WIRE_DETACH_FORCE | WIRE_DETACH_ENDED | WIRE_DETACH_TIMED | WIRE_DETACH_TELL)

/* Take a device away. Answer: WIRE_REPLY. */
struct wire_detach {
	struct wire_head head;
	uint64_t generation; /* names one attach for ever; device numbers are reused */
	uint32_t flags;	     /* enum wire_detach_flag */
	uint32_t timeout_ms;
};
static_assert(sizeof(struct wire_detach) == 32, "wire format changed");

/* What is lost with a device that is taken away by force. */
struct wire_loss {
	struct wire_head head;
	char text[WIRE_REASON_SIZE];
};
static_assert(sizeof(struct wire_loss) == 336, "wire format changed");

/* All devices the caller may see. Answer: one WIRE_DEVICE each, then a WIRE_REPLY. */
struct wire_list {
	struct wire_head head;
};
static_assert(sizeof(struct wire_list) == 16, "wire format changed");

/* Everything about one device. Answer: WIRE_DETAILS, or a WIRE_REPLY that says why not. */
struct wire_inspect {
	struct wire_head head;
	uint64_t generation; /* 0: the device with this dev_id */
	uint32_t dev_id;
	uint32_t pad;
};
static_assert(sizeof(struct wire_inspect) == 32, "wire format changed");

/*
 * Read the policy's file again; root only. Answer: WIRE_REPLY, with the number
 * of rules as its reason, or with what is wrong with the file: then the policy
 * stays what it was.
 */
struct wire_reload {
	struct wire_head head;
};
static_assert(sizeof(struct wire_reload) == 16, "wire format changed");

/*
 * What a device has done. Answer: WIRE_COUNTERS with a descriptor to read them
 * by for as long as there is the device, or a WIRE_REPLY that says why not.
 */
struct wire_stats {
	struct wire_head head;
	uint64_t generation;
};
static_assert(sizeof(struct wire_stats) == 24, "wire format changed");

enum wire_repair_flag {
	WIRE_REPAIR_DRY_RUN = 1 << 0, /* look only */
};
#define WIRE_REPAIR_FLAGS_ALL WIRE_REPAIR_DRY_RUN

/*
 * Find what carries our mark and belongs to nobody, and remove it; root only. Answer: one
 * WIRE_ORPHAN each, then a WIRE_REPLY, whose reason says when there may be more.
 *
 * With a generation: see that the container which has that device can open all it has, instead.
 * Answer: one WIRE_ACCESS each, then a WIRE_REPLY.
 */
struct wire_repair {
	struct wire_head head;
	uint32_t flags; /* enum wire_repair_flag */
	uint32_t pad;
	uint64_t generation; /* of a device; 0: none */
};
static_assert(sizeof(struct wire_repair) == 32, "wire format changed");

/*
 * Another worker for a device, which goes on; root only. Answer: WIRE_UPGRADED, or a
 * WIRE_REPLY that says why not.
 */
struct wire_upgrade {
	struct wire_head head;
	uint64_t generation;
	uint32_t timeout_ms;
	uint32_t pad;
};
static_assert(sizeof(struct wire_upgrade) == 32, "wire format changed");

struct wire_upgraded {
	struct wire_head head;
	uint64_t generation;
	uint32_t dev_id;
	int32_t old_pid; /* of the workers */
	int32_t new_pid;
	uint32_t pause_us;   /* between the two no request was served; 0: it is one and the same */
	uint64_t size_bytes; /* of the device, from now on */
};
static_assert(sizeof(struct wire_upgraded) == 48, "wire format changed");

/*
 * A larger device, while it is used, by a worker that may write so much. What is behind it must
 * be as large already. Answer: WIRE_UPGRADED, or a WIRE_REPLY that says why not.
 */
struct wire_resize {
	struct wire_head head;
	uint64_t generation;
	uint64_t size_bytes; /* 0: as large as what is behind it */
	uint32_t timeout_ms;
	uint32_t pad;
};
static_assert(sizeof(struct wire_resize) == 40, "wire format changed");

/*
 * What is in the image behind a device, as the image's own tool says it. Answer: WIRE_IMAGE_SAYS,
 * or a WIRE_REPLY that says why not; -EOPNOTSUPP: what is behind it can hold no snapshots.
 */
struct wire_snapshots {
	struct wire_head head;
	uint64_t generation;
	uint32_t timeout_ms;
	uint32_t pad;
};
static_assert(sizeof(struct wire_snapshots) == 32, "wire format changed");

/*
 * fd: text that the helper has not read, and that a hostile image may have made up: sealed, of
 * WIRE_IMAGE_SAYS_BYTES, with zeroes behind its end. `qemu-img info --output=json`.
 */
#define WIRE_IMAGE_SAYS_BYTES 65536
struct wire_image_says {
	struct wire_head head;
	uint64_t generation;
};
static_assert(sizeof(struct wire_image_says) == 24, "wire format changed");

struct wire_reply {
	struct wire_head head;
	int32_t status;	 /* 0 or -errno */
	uint32_t dev_id; /* N of ublkbN; the rest is zero when status is not 0 */
	uint64_t generation;
	uint32_t major;
	uint32_t minor;
	char reason[WIRE_REASON_SIZE]; /* for people; may be set on success too: a warning */
};
static_assert(sizeof(struct wire_reply) == 360, "wire format changed");

/* Where the helper's time goes; timing.h has their names. Never renumbered, only added to. */
enum wire_step {
	WIRE_STEP_NONE,
	WIRE_STEP_ACCEPT,  /* from the connection to its request */
	WIRE_STEP_FORK,	   /* a process for it */
	WIRE_STEP_LOOK,	   /* at what came with it: the container, the backing file */
	WIRE_STEP_DECIDE,  /* policy, audit, number and uid, journal */
	WIRE_STEP_MEMORY,  /* targets memory and null: what is behind them */
	WIRE_STEP_CONTROL, /* a ring for the driver's commands */
	WIRE_STEP_ADD,	   /* ADD_DEV, SET_PARAMS */
	WIRE_STEP_CGROUP,  /* the worker's */
	WIRE_STEP_SPAWN,   /* the worker, up to its exec */
	WIRE_STEP_PREPARE, /* its buffers and its ring */
	WIRE_STEP_SEAL,	   /* the char device is handed over, every tag fetched */
	WIRE_STEP_START,   /* START_DEV */
	WIRE_STEP_SETTLE,  /* what is set once there is a disk */
	WIRE_STEP_NODE,	   /* into the container */
	WIRE_STEP_LIVE,	   /* on record */
	WIRE_STEP_TAKE,	   /* detach: the device is this request's, audit */
	WIRE_STEP_UNUSED,  /* nobody has it open */
	WIRE_STEP_REVOKE,  /* out of the container */
	WIRE_STEP_FLUSH,   /* what was written */
	WIRE_STEP_STOP,	   /* STOP_DEV */
	WIRE_STEP_LEAVE,   /* the worker's end */
	WIRE_STEP_DELETE,  /* DEL_DEV_ASYNC */
	WIRE_STEP_CLEAN,   /* the worker's cgroup, the record */
	WIRE_STEP_KEEP,	   /* what the worker serves from is with the keeper too */
	WIRE_STEP_END,
};

struct wire_span {
	uint32_t step; /* enum wire_step; 0: no more spans */
	uint32_t us;
};

struct wire_timing {
	struct wire_head head;
	uint32_t total_us; /* from the connection to this answer; no less than the sum */
	uint32_t pad;
	struct wire_span spans[WIRE_SPANS_MAX]; /* in order */
};
static_assert(sizeof(struct wire_timing) == 184, "wire format changed");

enum wire_state {
	WIRE_STATE_NONE,
	WIRE_STATE_ATTACHING,
	WIRE_STATE_LIVE,
	WIRE_STATE_DETACHING,
	WIRE_STATE_RECOVERING, /* its worker died; requests wait for another */
	WIRE_STATE_FAILED,     /* no worker lives; whoever has it open gets errors */
	WIRE_STATE_END,
};

struct wire_device {
	struct wire_head head;
	uint64_t generation;
	uint32_t dev_id;
	uint32_t major;
	uint32_t minor;
	uint32_t state;	 /* enum wire_state */
	uint32_t target; /* enum target_id */
	uint32_t flags;	 /* enum wire_flag */
	uint64_t size_bytes;
	uint16_t nr_queues;
	uint16_t depth;
	int32_t worker_pid; /* 0: none yet */
	uint32_t worker_uid;
	int32_t container_pid; /* its init process; 0 with WIRE_HOST and WIRE_AHEAD */
	uint32_t peer_uid;     /* who asked for it */
	uint32_t peer_gid;
	uint64_t since; /* seconds since 1970 */
	char container[WIRE_CONTAINER_SIZE];
	char engine[WIRE_ENGINE_SIZE];
	char path[WIRE_PATH_SIZE];
	char rule[WIRE_RULE_SIZE];
	char backing[WIRE_BACKING_SIZE];
	uint32_t filesystem; /* enum catalog_filesystem; FILESYSTEM_NONE: path is a node */
	uint32_t pad;
};
static_assert(sizeof(struct wire_device) == 824, "wire format changed");

/* fd: the counters, see stats.h. Empty once the device is gone. */
struct wire_counters {
	struct wire_head head;
	struct wire_device device;
};
static_assert(sizeof(struct wire_counters) == 840, "wire format changed");

/* What can belong to nobody, in the order it is removed in. Never renumbered, only added to. */
enum wire_orphan_kind {
	WIRE_ORPHAN_NONE,
	WIRE_ORPHAN_RECORD,   /* of an attach or a detach that nobody ends */
	WIRE_ORPHAN_FILTER,   /* a cgroup's device filter lets a device through */
	WIRE_ORPHAN_NODE,     /* a device node of the helper's */
	WIRE_ORPHAN_PLACE,    /* where a container has one */
	WIRE_ORPHAN_WORKER,   /* a process in a worker's cgroup */
	WIRE_ORPHAN_DEVICE,   /* of the driver */
	WIRE_ORPHAN_CGROUP,   /* a worker's */
	WIRE_ORPHAN_KEPT,     /* a descriptor the keeper holds */
	WIRE_ORPHAN_COUNTERS, /* a file of them */
	WIRE_ORPHAN_FILE,     /* in the journal, and no record */
	WIRE_ORPHAN_ENTRY,    /* of a device, in the list that engines read */
	WIRE_ORPHAN_END,
};

enum wire_outcome {
	WIRE_OUTCOME_NONE,
	WIRE_OUTCOME_FOUND, /* it was only looked for */
	WIRE_OUTCOME_REMOVED,
	WIRE_OUTCOME_STAYS,
	WIRE_OUTCOME_END,
};

struct wire_orphan {
	struct wire_head head;
	uint32_t kind;	  /* enum wire_orphan_kind */
	uint32_t outcome; /* enum wire_outcome */
	char name[WIRE_ORPHAN_NAME_SIZE];
	char why[WIRE_ORPHAN_WHY_SIZE]; /* it is nobody's */
	char failure[WIRE_REASON_SIZE]; /* WIRE_OUTCOME_STAYS: why */
};
static_assert(sizeof(struct wire_orphan) == 696, "wire format changed");

/* Never renumbered, only added to. */
enum wire_access_outcome {
	WIRE_ACCESS_NONE,
	WIRE_ACCESS_OPEN,     /* its container can open it */
	WIRE_ACCESS_REPAIRED, /* it could not, and can again */
	WIRE_ACCESS_LOST,     /* it cannot */
	WIRE_ACCESS_UNKNOWN,  /* it could not be tried */
	WIRE_ACCESS_END,
};

struct wire_access {
	struct wire_head head;
	uint64_t generation;
	uint32_t dev_id;
	uint32_t outcome; /* enum wire_access_outcome */
	char path[WIRE_PATH_SIZE];
	char why[WIRE_REASON_SIZE]; /* it could not, or was not tried; empty: it can */
};
static_assert(sizeof(struct wire_access) == 608, "wire format changed");

/* What a container may do to its device per second; 0: as much as it can. */
struct wire_io {
	uint64_t read_bytes;
	uint64_t write_bytes;
	uint64_t read_ops;
	uint64_t write_ops;
};
static_assert(sizeof(struct wire_io) == 32, "wire format changed");

struct wire_details {
	struct wire_head head;
	struct wire_device device;
	uint64_t kernel_flags;	  /* UBLK_F_* the driver granted */
	uint64_t kernel_features; /* UBLK_F_* the driver knows */
	uint32_t kernel_state;	  /* UBLK_S_DEV_* */
	uint32_t max_io_bytes;
	uint32_t logical_block_bytes;
	uint32_t physical_block_bytes;
	uint32_t direct_io; /* 1: the backing file is read and written past the page cache */
	uint32_t node_uid;  /* as the container counts */
	uint32_t node_gid;
	uint32_t node_mode;
	uint64_t container_cgroup_inode;
	uint64_t container_mount_ns_inode;
	uint64_t backing_dev;
	uint64_t backing_inode;
	uint32_t discard;	      /* 1: the container may give space back */
	uint32_t container_owner_uid; /* of its user namespace, as the host counts */
	struct wire_io io;
	char failure[WIRE_REASON_SIZE];	    /* WIRE_STATE_FAILED: why */
	char base[WIRE_BACKING_SIZE];	    /* path of what the backing file is a delta over */
	char export_name[WIRE_EXPORT_SIZE]; /* of the server that device.backing is the address of
					     */
	uint32_t nr_connections;	    /* to it; 0: there is no server */
	uint32_t pad;
};
static_assert(sizeof(struct wire_details) == 1672, "wire format changed");
