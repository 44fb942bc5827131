/* SPDX-License-Identifier: Apache-2.0 */
/* Starting ublk-oci-probe, and believing as little as can be of what it says. */
#pragma once

#include "driver/base/err.h"
#include "oci-hook/probe.h"
#include "oci-hook/store/copy.h"
#include "targets/catalog.h"

#define PROBING_LOOK_MS 20000
#define PROBING_MKFS_MS 120000
#define PROBING_FSCK_MS 7200000

struct probing {
	const char *program;		/* NULL: the installed one */
	const struct copy_watch *watch; /* its step is asked now and then; NULL: nobody waits */
	int lock_fd;			/* stays open until the last of it has ended; -1: none */
};

enum probing_verdict {
	PROBING_CLEAN,
	PROBING_MENDED,
	PROBING_DAMAGED,
};

/* What is in it; unknown, with the reason, also when the program fails. -ECANCELED: nobody waits.
 */
int probing_look(const struct probing *p, int fd, struct probe_answer *ret, struct err *e);

/* A new file system. Whatever it was that failed, fd may hold half of one. Not synced. */
int probing_mkfs(const struct probing *p, int fd, enum catalog_filesystem filesystem,
		 struct err *e);

/* verb: PROBE_CHECK or PROBE_MEND. */
int probing_fsck(const struct probing *p, int fd, enum probe_verb verb,
		 enum catalog_filesystem filesystem, enum probing_verdict *ret, struct err *e);

/* -EOPNOTSUPP: one of this kind grows when it is mounted. Not synced. */
int probing_resize(const struct probing *p, int fd, enum catalog_filesystem filesystem,
		   struct err *e);
