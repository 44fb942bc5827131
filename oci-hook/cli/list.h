/* SPDX-License-Identifier: Apache-2.0 */
/* `ublk-oci list`: the devices one may see. */
#pragma once

/* argv[0] is the command's name; returns enum cli_exit. */
int list_main(int argc, char **argv);
