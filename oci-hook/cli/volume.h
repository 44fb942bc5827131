/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* ublk-oci volume create|list|...: see ublk-oci(1). */
int volume_main(int argc, char **argv);
