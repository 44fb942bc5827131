/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a helper that starts does about the devices of the one before it: the
 * journal is compared with the kernel. Served devices are adopted; what nobody
 * serves is undone; so is what carries our mark and has no record (repair.h).
 */
#pragma once

#include "driver/privileged/op.h"

/* Runs as a child of its own. Requests are served when it has ended, so that it meets no new
 * device. */
int reconcile_run(const struct op *op, struct err *e);
