/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another policy while the helper runs. A child reads the file and tries it:
 * what can hang or fail does so there. The main process then gets the very same
 * bytes, as a sealed memory file, and changes policies between two events.
 * Devices that exist keep what they have; a bad file changes nothing.
 */
#pragma once

#include "driver/privileged/op.h"
#include "driver/wire/packet.h"

/* In a child: reads, tries and hands over the policy's file. */
int reload_run(const struct op *op, size_t *ret_nr_rules, struct err *e);

/* RELOAD: the same for a caller, who gets the number of rules. */
int reload_serve(struct op *op, struct packet *p, struct err *e);

/* The text as the memory file that crosses, to be closed. */
int reload_seal(const char *text, size_t size, int *ret_fd, struct err *e);

/* In the main process: the policy that is in such a memory file (borrowed). */
int reload_take(int fd, struct policy **ret, struct err *e);
