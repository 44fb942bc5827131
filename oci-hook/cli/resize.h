/* SPDX-License-Identifier: Apache-2.0 */
/* `ublk-oci resize`: other workers for devices while they are used. */
#pragma once

/* argv[0] is the command's name; returns enum cli_exit. */
int resize_main(int argc, char **argv);
