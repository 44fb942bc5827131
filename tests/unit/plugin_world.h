/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store of few volumes and a helper that mounts them, for the volume plug-in: the linker puts
 * them in the place of the real ones (volume_plugin_dep).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "driver/base/err.h"
#include "driver/wire/store.h"
#include "oci-hook/volume-plugin/calls.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define VOLUMES_MAX 8
#define PATIENCE_MS 20000

struct row {
	struct store_volume volume; /* "": none */
	bool others;		    /* not of this user */
	bool attached;
	bool read_only;
	uint64_t mount; /* generation of the claim; 0: none */
	uint32_t filesystem;
};

struct world {
	struct row rows[VOLUMES_MAX];
	uint64_t last_generation;
	bool store_gone, helper_gone;
	bool used;    /* what is mounted, by a process */
	bool crowd;   /* at the helper, which lets nobody detach */
	bool unknown; /* a detach is about no such device */
	unsigned int changed;
	bool image; /* the last create came with one */
	bool quiet; /* the next create is not answered */
};

extern struct world world;

extern struct plugin plugin;
extern struct json_object *reply; /* the last */

/* For cmocka's setup and teardown, which fails where something is left. */
int plugin_world_begin(void **state);
int plugin_world_end(void **state);

/* NULL: none. */
struct row *row_find(const char *name);
struct row *row_add(const char *name);

/* For works that are under way. */
void set(bool *flag, bool now);

/* What is slow goes on when it is not held. */
void hold(bool now);

/* "slow" takes as long as it is held; "fails" does too, and comes to nothing. */
int store_slow(const char *name, struct err *e);

/* A word of the reply, or "". */
const char *said(const char *key);

/* want: 0, or the status of a failure whose words hold why. */
void calls_(unsigned int want, const char *why, const char *call, const char *body);

#define WORKS(call, body) calls_(0, "", call, body)
#define FAILS(why, call, body) calls_(500, why, call, body)
#define REFUSED(why, call, body) calls_(400, why, call, body)

/* Of what is mounted now. */
int nr_uses(const char *volume);
