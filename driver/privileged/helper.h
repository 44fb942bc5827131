/* SPDX-License-Identifier: Apache-2.0 */
/* What the helper makes once, at its start, and never changes afterwards. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "driver/privileged/cgroup.h"
#include "driver/privileged/spawn.h"

/* Data of one request. A worker that copies has a buffer of this size for each tag, pinned. */
#define HELPER_IO_BYTES (256u << 10)
#define HELPER_IO_BYTES_ZERO_COPY (1u << 20)
#define HELPER_QUEUES 2u
#define HELPER_DEPTH 32u
#define HELPER_CONNECTIONS 2u /* to a server that allows as many */

struct helper {
	const char *policy_path;
	char node_store[64]; /* the tmpfs device nodes are made on */
	char filter_dir[64]; /* pins of the device filters */
	char cgroup_base[CGROUP_PATH_SIZE];
	int journal_fd;
	int stats_fd;	  /* the directory of stats_file.h */
	int remake_fd;	  /* of remake.h; -1: nowhere */
	int program_fd;	  /* the worker */
	int notices_fd;	  /* of notice.h; -1: there is none */
	int keeper_fd;	  /* the keeper's program; -1: there is none */
	int backend_fd;	  /* the first program of a back end; -1: there is none */
	uid_t keeper_uid; /* of the system user ublk-oci-keeper; (uid_t)-1: there is none */
	gid_t keeper_gid;
	struct spawn_room room;
	uint64_t filter[START_FILTER_MAX]; /* the worker's seccomp program */
	uint16_t nr_filter;
	uid_t hook_uid; /* of the system user ublk-oci-hook; (uid_t)-1: there is none */
};
