/* SPDX-License-Identifier: Apache-2.0 */
/* `ublk-oci stats`: what devices do, as a table. */
#pragma once

/* argv[0] is the command's name; returns enum cli_exit. */
int stats_main(int argc, char **argv);
