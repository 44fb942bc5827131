/* SPDX-License-Identifier: Apache-2.0 */
/* `ublk-oci list`: the devices one may see. */
#pragma once

#include "oci-hook/cli/cli.h"
#include "oci-hook/client.h"

/* argv[0] is the command's name; returns enum cli_exit. */
int list_main(int argc, char **argv);

/*
 * A command that lists devices. Of the options of its page 'c' is the container that has them,
 * any other asks for JSON; there are no words.
 */
struct list_view {
	const struct cli_page *page;
	void (*print)(const struct client_devices *d);
	void (*print_json)(const struct client_devices *d);
};

/* Returns enum cli_exit. */
int list_run(const struct list_view *view, int argc, char **argv);
