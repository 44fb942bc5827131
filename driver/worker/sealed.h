/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Called once, inside the complete sandbox, before the first request, by the
 * last of the worker's threads with the ring it has. Nothing
 * in the product (sealed.c); tests/hostile links an attacker in its place.
 */
#pragma once

#include "driver/wire/start.h"

struct io_uring;

void worker_sealed(struct io_uring *uring, const struct start_spec *spec);
