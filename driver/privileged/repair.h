/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What carries our mark and belongs to nobody is found and taken away, when root asks for it and
 * when a helper starts. What is somebody's, or somebody else's, is not touched, whatever comes
 * and goes meanwhile: each thing is seen first, and then the main process is asked whose it is
 * (op_owned()); for what is known by a number, which may be given away again, it is asked once
 * more while nobody can begin to use that.
 *
 * Asked of one container it is another thing: access.h.
 */
#pragma once

#include "driver/privileged/op.h"
#include "driver/privileged/orphan.h"
#include "driver/wire/packet.h"

int repair_serve(struct op *op, struct packet *p, struct err *e);

/* A helper's start: what is found goes to the log. What was set aside stays for a person. */
int repair_start(const struct op *op, struct err *e);

struct orphans {
	struct orphan *list;
	size_t nr;
	bool more; /* than the list takes */
};

void orphans_fini(struct orphans *o);
#define auto_orphans __attribute__((cleanup(orphans_fini)))

/* All there are, in the order they are removed in. */
int repair_find(struct orphans *ret, const struct op *op, bool start, struct err *e);
