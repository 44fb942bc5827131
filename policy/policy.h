/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may have which device. The first rule that allows everything a claim
 * asks for decides; when none does, the answer is no.
 *
 * Deciding is pure: facts go in, verdict, rule id and reason come out. The
 * helper and `ublk-oci policy` run the same code.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "driver/base/err.h"

#define POLICY_FILE "/etc/ublk-oci/policy.json"
#define POLICY_ID_MAX 63	     /* characters of a rule's id */
#define POLICY_SIZE_MAX (256 * 1024) /* bytes of a policy's text */

struct policy;

/* What somebody wants to do. */
enum policy_act {
	POLICY_ATTACH,	 /* a device, for a container or the host */
	POLICY_MOUNT,	 /* the host mounts a device's filesystem */
	POLICY_RESIZE,	 /* a volume */
	POLICY_SNAPSHOT, /* a volume */
	POLICY_DELETE,	 /* a volume */
	POLICY_CREATE,	 /* a volume */
	POLICY_ACT_END,
};

/*
 * What a principal asks for, completed with facts the helper established.
 * Complete means complete: a zero size, depth or number of queues, or a missing
 * backing path, is refused, never taken for "no limit". Only of a volume the path may be
 * missing: its pool stands for it.
 */
struct policy_claim {
	enum policy_act act;
	/* who asks, as the kernel says */
	uint32_t uid;
	const uint32_t *gids; /* primary and supplementary groups */
	size_t nr_gids;
	/* for whom: the host itself, a container, or one that is not known yet */
	bool host;
	bool ahead;	    /* where and whose it is, is asked when it is: policy_decide_use() */
	const char *cgroup; /* the container's, "/a/b" from the hierarchy's root; NULL: none */
	uint32_t owner_uid; /* owner of the container's user namespace, as the host counts */
	/* what; acts other than attach say of this what the volume is */
	unsigned int target; /* enum target_id */
	bool read_only;
	uint64_t size_bytes;
	const char *backing;  /* as the helper itself resolved it; NULL: the target has none */
	uint32_t backing_uid; /* who owns that file */
	const char *base;     /* what it is a delta over, which is only read; or NULL */
	unsigned int format;  /* enum image_format; IMAGE_NONE: the target has none */
	unsigned int base_format;
	const char *address; /* "unix:/PATH", "tcp:HOST:PORT"; NULL: the target has none */
	const char *pool;    /* of the volume; NULL: it is not a volume */
	bool zero_copy;
	unsigned int nr_queues;
	unsigned int depth;
	/* where the host mounts it, and as what; NULL: it does not. Of a device that is put on a
	 * file of the host there is a path only. */
	const char *mount_path;
	const char *mount_filesystem;
	bool raw_writers; /* others than root could have written what that finds there */
	/* what is there already, this claim not counted, whichever rule gave it */
	unsigned int devices_in_container;
	unsigned int devices_in_all;
	uint64_t bytes_in_container;
	uint64_t bytes_in_all;
};

/* What the container may do per second to this device; 0: as much as it can. */
struct policy_io {
	uint64_t read_bytes;
	uint64_t write_bytes;
	uint64_t read_ops;
	uint64_t write_ops;
};

struct policy_verdict {
	bool allowed;
	char rule[POLICY_ID_MAX + 1]; /* the rule that allowed it; "" when none did */
	char reason[ERR_TEXT_SIZE];   /* when refused: the nearest rule and what it lacks; ASCII */
	/* what comes with it, when allowed */
	bool discard;		      /* the container may give space back */
	bool zero_copy;		      /* the worker may be handed the kernel's pages */
	bool trust_raw_writers;	      /* the host may mount what others could write raw */
	bool nbd_reissue;	      /* a server is asked again what it may yet be doing */
	uint32_t nbd_timeout_seconds; /* it has for an answer */
	struct policy_io io;
};

void policy_decide(const struct policy *p, const struct policy_claim *claim,
		   struct policy_verdict *ret);

/*
 * A container is to have a device that was made ahead. Only the rule that gave the device is
 * asked: as it is by now, and whether the container is one that it is for.
 */
struct policy_use {
	const char *rule;   /* that gave the device */
	uint32_t uid;	    /* who asks */
	uint32_t maker_uid; /* who had it made */
	bool hook;	    /* who asks is the user of the OCI hook */
	bool host;  /* it is to be put on the host, which a rule of theirs has to allow too */
	bool taken; /* another container has it, or the host */
	const char *cgroup; /* of the container, and the rest of it, as in a claim */
	uint32_t owner_uid;
	bool read_only;
	uint64_t size_bytes;
	unsigned int devices_in_container;
	uint64_t bytes_in_container;
};

void policy_decide_use(const struct policy *p, const struct policy_use *use,
		       struct policy_verdict *ret);

/* A rule that was tried. */
struct policy_trial {
	const char *rule;
	bool allowed;
	const char *why; /* what it does not allow; "" when it allows the claim */
};

/* The same decision, and each rule on the way to it, in the order tried. */
void policy_explain(const struct policy *p, const struct policy_claim *claim,
		    void (*tried)(void *arg, const struct policy_trial *trial), void *arg,
		    struct policy_verdict *ret);

/* User and group names in a policy become numbers through this: 0, -ENOENT or another -errno. */
struct policy_names {
	int (*find_user)(const char *name, uint32_t *ret_uid);
	int (*find_group)(const char *name, uint32_t *ret_gid);
};
extern const struct policy_names policy_names_system; /* getpwnam(3), getgrnam(3) */

/* From text; an error says "line L, column C: rules[0].max_size: ...". */
int policy_parse(struct policy **ret, const char *text, size_t size,
		 const struct policy_names *names, struct err *e);

/*
 * From a file, which must be a regular file, owned by root or owner_uid (the
 * caller's own, for a check of one's own draft; else 0), writable by nobody else.
 */
int policy_load(struct policy **ret, const char *path, uint32_t owner_uid,
		const struct policy_names *names, struct err *e);

/* The first half of that: the text of such a file, with a zero behind it, to be freed. */
int policy_read(char **ret_text, size_t *ret_size, const char *path, uint32_t owner_uid,
		struct err *e);

void policy_free(struct policy *p);
void policy_freep(struct policy **p);
#define auto_policy __attribute__((cleanup(policy_freep)))

size_t policy_nr_rules(const struct policy *p);

/* The uids (and gids of the same number) workers run as. */
uint32_t policy_worker_ids_first(const struct policy *p);
uint32_t policy_worker_ids_count(const struct policy *p);

/* After so long without a finished request a device's worker is looked at; 0: never. */
uint32_t policy_hang_seconds(const struct policy *p);

/*
 * Are they nobody else's? Held against what passwd, group, subuid and subgid in
 * etc_dir ("/etc") give away, and against the ranges systemd documents as its
 * own. A file that is not there gives nothing away.
 */
int policy_check_ids(const struct policy *p, const char *etc_dir, struct err *e);

/*
 * Where the store keeps volumes. A policy that names none has one: "default", at
 * POLICY_POOL_PATH, as large as its filesystem.
 */
#define POLICY_POOL_PATH "/var/lib/ublk-oci/volumes"
#define POLICY_OVERCOMMIT_NONE 100

struct policy_pool {
	char *name;
	char *path;		     /* clean and absolute, without / at its end */
	uint64_t capacity_bytes;     /* 0: no limit */
	char *backend;		     /* who has the volumes' data; NULL: the path, as files */
	uint32_t overcommit_percent; /* the volumes' sizes together, of the capacity */
};

size_t policy_nr_pools(const struct policy *p);
const struct policy_pool *policy_pool(const struct policy *p, size_t i);

/* Is this filesystem, named as /proc/self/mountinfo does, one a backing file may be on? */
bool policy_filesystem_ok(const struct policy *p, const char *name);
