/* SPDX-License-Identifier: Apache-2.0 */
/* `ublk-oci attach`: give a running container, or the host, a block device. */
#pragma once

/* argv[0] is the command's name; returns enum cli_exit. */
int attach_main(int argc, char **argv);
