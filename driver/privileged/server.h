/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The helper's main process: accepts callers, forks a child for each request,
 * answers the children's questions about the registry, and watches over the
 * processes devices depend on. It never blocks: nothing here reads a caller's
 * packet, touches a caller's fd, or waits for the kernel's ublk driver.
 */
#pragma once

#include "driver/privileged/helper.h"
#include "driver/privileged/registry.h"

/* Serves until SIGTERM. Takes listen_fd. Devices and workers outlive it. */
int server_run(const struct helper *helper, struct registry *registry, int listen_fd,
	       struct err *e);
