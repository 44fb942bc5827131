/* SPDX-License-Identifier: Apache-2.0 */
/* What the helper asked this worker to serve, checked once and whole. */
#pragma once

#include "driver/base/err.h"
#include "driver/wire/packet.h"
#include "driver/wire/start.h"
#include "targets/target.h"

/* A START_SPEC packet becomes *ret and its target, or -EPROTO with the reason. */
int spec_admit(struct start_spec *ret, const struct target_ops **ret_ops, const struct packet *p,
	       struct err *e);

/* Is it a bare message of this type with this many fds? 0 or -EPROTO. */
int spec_admit_step(const struct packet *p, enum start_type type, unsigned int nr_fds,
		    struct err *e);
