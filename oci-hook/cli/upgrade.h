/* SPDX-License-Identifier: Apache-2.0 */
/* `ublk-oci upgrade`: other workers for devices while they are used. */
#pragma once

/* argv[0] is the command's name; returns enum cli_exit. */
int upgrade_main(int argc, char **argv);
