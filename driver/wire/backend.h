/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one message to a back end that is born: a program which serves NBD, to be executed in the
 * place the helper made for it. The helper sends it on the socket pair of start.h:
 *
 *   helper                              ublk-oci-backend
 *   START_BACKEND + a file for its    ->    what to execute
 *     words, and a listening socket
 *     where it serves, or one for
 *     what it is asked
 *                                     <-    START_FAILED, or the end of the channel: executed
 *
 * What is in its root: /usr, and the files of the image as BACKEND_IMAGE_DIR "/0" and so on, the
 * first the only one that is written, each of the others behind the one before it.
 */
#pragma once

#include <assert.h>
#include <stdint.h>

#include "driver/wire/start.h"

#define BACKEND_FILES_MAX 4
#define BACKEND_IMAGE_DIR "/image"
#define BACKEND_ARGS_SIZE 1024
#define BACKEND_ARGS_MAX 32

/* Where programs find their listening socket by LISTEN_FDS. */
#define BACKEND_LISTEN_FD 3

enum backend_kind {
	BACKEND_NONE,
	BACKEND_IMAGE,	   /* qemu-storage-daemon, with an image */
	BACKEND_EXEC,	   /* the program of a rule */
	BACKEND_GROW,	   /* qemu-img, once: the image becomes larger */
	BACKEND_SNAPSHOTS, /* qemu-img, once: it says what is in the image */
	BACKEND_KINDS,
};

enum backend_flag {
	BACKEND_READ_ONLY = 1 << 0,
};
#define BACKEND_FLAGS_ALL BACKEND_READ_ONLY

struct backend_start {
	struct start_head head;
	uint32_t kind;	/* enum backend_kind */
	uint32_t flags; /* enum backend_flag */
	uint32_t nr_files;
	uint32_t nr_args;
	uint32_t formats[BACKEND_FILES_MAX]; /* enum image_format, of each file */
	uint64_t size_bytes;		     /* BACKEND_GROW: what the image is to have */
	/* BACKEND_EXEC: nr_args strings, each with its end, the first an absolute path. */
	char args[BACKEND_ARGS_SIZE];
};
static_assert(sizeof(struct backend_start) == 1080, "start format changed");
