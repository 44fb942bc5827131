/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The devices there are, as the helper's main process knows them: the journal
 * in memory. Everything that must not happen twice at once is decided here,
 * because only the main process does it: places, backing files, numbers, uids.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "driver/privileged/journal.h"
#include "driver/privileged/stall.h"
#include "driver/wire/notice.h"
#include "policy/policy.h"

#define REGISTRY_WORDS_SIZE 48

/* Whether its container can open it, as it was seen last; see access.h. */
struct device_access {
	uint64_t print;	  /* of the container's filter then; 0: not looked at yet */
	int64_t again_ms; /* when it is looked at whatever that is by then; 0: not */
	int64_t told_ms;  /* when the log was told of a loss; 0: never */
	bool lost;
};

struct device {
	struct record rec;
	pid_t op_pid;		/* the child that is working on it; 0: nobody */
	int worker_pidfd;	/* -1 until it is live */
	int container_pidfd;	/* -1 until it is live, and with WIRE_HOST */
	int64_t retry_ms;	/* when it is worked on again; 0: not waiting */
	unsigned int nr_tries;	/* of undoing it */
	bool recover;		/* at retry_ms it gets another worker; else it is undone */
	unsigned int nr_losses; /* of its server, or other waits, one soon after the other */
	bool lost;		/* its worker ended because of that */
	unsigned int nr_deaths; /* of workers, one soon after the other */
	int64_t served_ms;	/* since when the last one served */
	char last_words[REGISTRY_WORDS_SIZE]; /* how it ended */
	struct notice_said said;	      /* of its I/O that failed */
	struct stall stall;
	pid_t look_pid;	      /* the child that looks at its worker; 0: none does */
	uint64_t grown_bytes; /* the size it is about to have; 0: the record's */
	struct device_access access;
	pid_t access_pid; /* the child that looks at it; 0: none does */
};

struct registry {
	struct policy *policy;	 /* borrowed; a reload replaces it */
	uint64_t policy_serial;	 /* counts reloads */
	const char *cgroup_base; /* below it workers have their cgroups; NULL: nowhere */
	int journal_fd;
	int cdi_fd;	/* of cdi.h; -1: nowhere */
	bool cdi_stale; /* what is written there is not what there is */
	uid_t hook_uid; /* of the OCI hook */
	struct device **devices;
	size_t nr_devices;
};

void registry_fini(struct registry *reg);

/* Takes in a record of the journal. 0 or -ENOMEM. */
int registry_adopt(struct registry *reg, const struct record *rec);

struct device *registry_find(const struct registry *reg, uint64_t generation);
/* The device, not what containers have of it. */
struct device *registry_find_number(const struct registry *reg, uint32_t dev_id);

/* Are both in one container, and that the same? */
bool registry_same_container(const struct record *a, const struct record *b);
bool registry_same_place(const struct record *a, const struct record *b);

/*
 * What is asked for is there: -EALREADY, and *rec is its record; -EAGAIN while somebody
 * works on it.
 */
int registry_again(const struct device *d, struct record *rec, struct err *e);

struct registry_peer {
	pid_t pid;	    /* 0: the helper itself */
	const char *cgroup; /* "" where it is not known */
	uint32_t uid;
	const uint32_t *gids;
	size_t nr_gids;
	pid_t op_pid;
};

/* What the policy is asked about a record, with what there is already. Borrows from peer and rec.
 */
struct policy_claim registry_claim(const struct registry *reg, const struct registry_peer *peer,
				   const struct record *rec);

/*
 * Decides a claim and reserves what it needs: *rec comes with the facts and
 * leaves with generation, number, worker's uid and cgroup, rule and what that
 * gives; it is in the journal then.
 *
 *   0          go on
 *   -EALREADY  the same attach is live; *rec is its record
 *   -EAGAIN    somebody is working at this place; ask again
 *   -EEXIST    another device is at this place
 *   -EBUSY     the backing file is attached elsewhere, and one of the two writes
 *   -EPERM     no rule allows it
 */
int registry_reserve(struct registry *reg, const struct registry_peer *peer, struct record *rec,
		     struct err *e);

/*
 * What registry_reserve() says of the place, and of what is behind the device, for who must know
 * before all of it can be asked for: 0, or its -EALREADY, -EAGAIN, -EEXIST; its -EBUSY.
 */
int registry_check_place(const struct registry *reg, struct record *rec, struct err *e);
int registry_check_backing(const struct registry *reg, const struct record *rec, struct err *e);

/* A generation that nobody has. */
int registry_choose_generation(const struct registry *reg, uint64_t *ret, struct err *e);

/* Takes in a record that is decided, in the journal first; peer's child works on it. */
int registry_enter(struct registry *reg, const struct registry_peer *peer, struct record *rec,
		   struct err *e);

/* The worker's cgroup has the device's number in its name: to be said again when that changes. */
int registry_name_cgroup(struct record *rec, const char *base, struct err *e);

/*
 * Decides whether a device may have the size in rec: one that is there as what it is resized to,
 * one that is being made as what it is attached with, and rec has then what that rule gives. Keeps
 * the size for whoever works on it until registry_update() has it on record, or they end. -EPERM:
 * no rule allows it.
 */
int registry_grow(struct registry *reg, const struct registry_peer *peer, struct record *rec,
		  struct err *e);

/* Replaces the record of the same generation, in the journal too. -ENOENT: there is none. */
int registry_update(struct registry *reg, const struct record *rec, struct err *e);

/*
 * Makes op_pid the one to work on it: -ENOENT, or -EAGAIN while another does.
 * Until its state is changed too it stays what it is when op_pid ends.
 */
int registry_take(struct registry *reg, uint64_t generation, pid_t op_pid, struct record *ret,
		  struct err *e);

/* Who took it has looked at it, and lets go. -ENOENT: there is none. */
int registry_saw(struct registry *reg, uint64_t generation, const struct device_access *seen,
		 struct err *e);

/* It is undone. Not there is fine. */
int registry_drop(struct registry *reg, uint64_t generation, struct err *e);
