/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the store and ublk-oci-probe, the program it starts to touch what is in a volume:
 *
 *   ublk-oci-probe VERB [FILESYSTEM]
 *
 * What is in a volume was written by anybody. So the program is taken for one that its data has
 * taken over: of its words only these are read, one struct of a fixed size or an exit status, and
 * each field is checked.
 */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "driver/base/err.h"

/* What it finds open: the data, and what holds the volume's lock until the last of it has ended. */
#define PROBE_DATA_FD 3
#define PROBE_LOCK_FD 4

enum probe_verb {
	PROBE_LOOK,   /* what is in it: struct probe_answer on stdout */
	PROBE_MKFS,   /* a new file system, over whatever there is */
	PROBE_CHECK,  /* fsck that writes nothing */
	PROBE_MEND,   /* fsck that mends what is safe to mend, where there is one */
	PROBE_RESIZE, /* the file system is made as large as the file */
	PROBE_VERBS,
};

/* Its word on the command line; NULL for a number that is none. */
const char *probe_verb(unsigned int verb);

/* Exit statuses of its own, which no tool has. */
#define PROBE_EXIT_BROKEN 100  /* before the tool was started; stderr says why */
#define PROBE_EXIT_MISSING 101 /* the tool is not installed */

/* Unknown is not blank: whoever cannot tell formats nothing. */
enum probe_content {
	PROBE_UNKNOWN,
	PROBE_BLANK, /* no byte of it is set */
	PROBE_USED,  /* type says by what */
	PROBE_CONTENTS,
};

#define PROBE_MAGIC 0x626f7270u /* "prob" */
#define PROBE_VERSION 1
#define PROBE_TYPE_SIZE 32

struct probe_answer {
	uint32_t magic;
	uint32_t version;
	uint32_t content; /* enum probe_content */
	uint32_t pad;
	char type[PROBE_TYPE_SIZE]; /* of used: as blkid(8) names it, a partition table's too */
	char label[64];
	char uuid[40];
	char reason[120]; /* of unknown */
};
static_assert(sizeof(struct probe_answer) == 272, "the layout changed");

/* Is this a name a type can have? */
bool probe_type_ok(const char *type);

/* -EPROTO: it is not an answer the program gives. */
int probe_answer_check(const struct probe_answer *a, size_t size, struct err *e);

/* Makes printable ASCII of any text, for a field of an answer. */
void probe_text(char *field, size_t size, const char *text);
