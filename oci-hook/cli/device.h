/* SPDX-License-Identifier: Apache-2.0 */
/* `ublk-oci device`: devices that are made before there is a container for them. */
#pragma once

/* argv[0] is the command's name; returns enum cli_exit. */
int device_main(int argc, char **argv);
