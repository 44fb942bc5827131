/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `ublk-oci policy explain [WHO AND WHERE] ACT [WHAT]`: which rule decides a request,
 * and what each rule before it lacks. Needs no helper: the facts the helper would
 * establish are given as options. Exit status: 0 allowed, 1 refused, 2 wrong usage.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "oci-hook/keys.h"
#include "policy/policy.h"

#define EXPLAIN_GIDS_MAX 1024
#define EXPLAIN_NOTE_SIZE 256

/* What the helper takes when queues and depth are not given, see `attach --help`. */
#define EXPLAIN_QUEUES 2u
#define EXPLAIN_DEPTH 32u

struct explain {
	const char *policy;
	bool json;
	bool uid_given;
	bool owner_given;
	bool backing_owner_given;
	uint32_t gids[EXPLAIN_GIDS_MAX];
	size_t nr_gids;
	struct attach_options keys;
	char backing[PATH_MAX];
	char base[PATH_MAX];
	char note[EXPLAIN_NOTE_SIZE]; /* what had to be assumed; "": nothing */
	struct policy_claim claim;    /* points into this object */
};

/* argv[0] is "explain". */
int explain_main(int argc, char **argv);

/* "attach", "mount", ...; NULL for an act that is none. */
const char *explain_act(unsigned int act);
