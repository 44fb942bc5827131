/* SPDX-License-Identifier: Apache-2.0 */
/* ublk-oci targets: what a device can be made of. */
#pragma once

int targets_main(int argc, char **argv);
