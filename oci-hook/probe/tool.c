/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/probe/tool.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TOOL_DATA "/proc/self/fd/3"
#define TOOL_WORDS_MAX 6
static_assert(PROBE_DATA_FD == 3, "TOOL_DATA names it");

/*
 * XFS and btrfs are looked at and not mended: their logs are replayed by a mount, and what their
 * tools mend beyond that is for a person to decide. Both grow when they are mounted.
 */
static const char *const tools[PROBE_VERBS][FILESYSTEM_END][TOOL_WORDS_MAX] = {
	[PROBE_MKFS] = {
		/* -F: also into a regular file. */
		[FILESYSTEM_EXT4] = { "mkfs.ext4", "-q", "-F", TOOL_DATA },
		[FILESYSTEM_XFS] = { "mkfs.xfs", "-q", TOOL_DATA },
		[FILESYSTEM_BTRFS] = { "mkfs.btrfs", "-q", TOOL_DATA },
	},
	[PROBE_CHECK] = {
		[FILESYSTEM_EXT4] = { "e2fsck", "-f", "-n", TOOL_DATA },
		[FILESYSTEM_XFS] = { "xfs_repair", "-n", "-f", TOOL_DATA },
		[FILESYSTEM_BTRFS] = { "btrfs", "check", "--readonly", TOOL_DATA },
	},
	[PROBE_MEND] = {
		[FILESYSTEM_EXT4] = { "e2fsck", "-f", "-p", TOOL_DATA },
		[FILESYSTEM_XFS] = { "xfs_repair", "-n", "-f", TOOL_DATA },
		[FILESYSTEM_BTRFS] = { "btrfs", "check", "--readonly", TOOL_DATA },
	},
	[PROBE_RESIZE] = {
		[FILESYSTEM_EXT4] = { "resize2fs", TOOL_DATA },
	},
};

int tool_become(enum probe_verb verb, enum catalog_filesystem filesystem)
{
	const char *const *argv = tools[verb][filesystem];

	if (!argv[0]) {
		fprintf(stderr, "nothing does that for %s\n", catalog_filesystem(filesystem));
		return PROBE_EXIT_BROKEN;
	}
	execvp(argv[0], (char *const *)argv);
	fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
	return errno == ENOENT ? PROBE_EXIT_MISSING : PROBE_EXIT_BROKEN;
}
