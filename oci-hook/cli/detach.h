/* SPDX-License-Identifier: Apache-2.0 */
/* `ublk-oci detach`: take a device away again. */
#pragma once

/* argv[0] is the command's name; returns enum cli_exit. */
int detach_main(int argc, char **argv);
