/* SPDX-License-Identifier: Apache-2.0 */
/* `ublk-oci inspect`: everything about one device, and about its worker's sandbox. */
#pragma once

/* argv[0] is the command's name; returns enum cli_exit. */
int inspect_main(int argc, char **argv);
