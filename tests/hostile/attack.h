/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a worker tries from inside its sandbox, one attempt per process, and
 * how each has to end. The attack is chosen by the size of the device: the
 * product has no field for it, and gets none.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct attack_name {
	const char *name;
	const char *end;
};

#define X(name, end, what) { #name, end },
static const struct attack_name attack_names[] = {
#include "tests/hostile/attacks.inc"
};
#undef X

#define ATTACKS_COUNT (sizeof(attack_names) / sizeof(attack_names[0]))
#define ATTACK_UNIT_BYTES (UINT64_C(1) << 20)
#define ATTACK_NAME "\0ublk-oci-hostile" /* of a socket of the host, in no file system */

/* Those of a worker that has a server: made where the target is such, and no others there. */
static inline bool attack_with_server(const char *name)
{
	return !strncmp(name, "server_", strlen("server_"));
}

/* 0 for a name that is none. */
static inline uint64_t attack_dev_bytes(const char *name)
{
	for (uint64_t i = 0; i < ATTACKS_COUNT; i++) {
		if (!strcmp(attack_names[i].name, name))
			return (i + 1) * ATTACK_UNIT_BYTES;
	}
	return 0;
}
