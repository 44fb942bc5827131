/* SPDX-License-Identifier: Apache-2.0 */
/* The files that the keys name, opened. */
#pragma once

#include "oci-hook/keys.h"

#define KEYS_FILES_MAX 2

/* The files of a target, in the order of the packet. */
struct keys_files {
	int fds[KEYS_FILES_MAX];
	unsigned int nr;
	bool ephemeral;
	char made[PATH_MAX]; /* a delta that was not there before; "" if none was made */
};

#define KEYS_FILES_INIT                                                                            \
	{                                                                                          \
		.fds = { -1, -1 }                                                                  \
	}

/*
 * Closes them. A delta that was made goes again if the attach came to nothing, and its name
 * goes in any case if nobody is to keep it.
 */
void keys_files_close(struct keys_files *f, bool attached);

/*
 * The files, opened with the caller's rights, none if the target has none. They are regular
 * files or block devices of a size a device can have. A delta that is not there is made.
 */
int keys_files_open(const struct attach_options *o, struct keys_files *ret, struct err *e);

/*
 * The directory of the host that path names, to mount on. It goes by descriptor; path, which is
 * for people, becomes what it really is: links are followed.
 */
int keys_files_open_host(struct attach_options *o, int *ret_fd, struct err *e);
