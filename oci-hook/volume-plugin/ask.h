/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an engine sends with a call of Docker's volume plug-in protocol. The engine is root, but
 * names and options are text of whoever makes volumes and containers there.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "driver/base/err.h"
#include "driver/wire/store.h"
#include "targets/catalog.h"

#define ASK_TEXT_MAX (64u << 10)
#define ASK_ID_MAX 128

/* The members a call has; what else is in it does not matter. */
enum ask_member {
	ASK_NAME = 1 << 0,
	ASK_ID = 1 << 1,
	ASK_OPTIONS = 1 << 2,
};

struct ask_options {
	uint64_t size_bytes; /* 0: as large as what it is made of */
	char pool[STORE_POOL_SIZE];
	enum catalog_filesystem filesystem; /* FILESYSTEM_NONE: none is said */
	char image[PATH_MAX];		    /* what it is made of: a file, */
	char from[STORE_NAME_SIZE];	    /* or a volume, */
	bool snapshot;			    /* of which it keeps what is there now */
	bool read_only;
};

struct ask {
	char volume[STORE_NAME_SIZE];
	char id[ASK_ID_MAX + 1]; /* for whom it is mounted */
	struct ask_options options;
};

/* members: enum ask_member. Two that ask for the same are the same bytes. */
int ask_parse(struct ask *ret, const char *text, size_t size, unsigned int members, struct err *e);
