/* SPDX-License-Identifier: Apache-2.0 */
/* `ublk-oci repair` */
#pragma once

int repair_main(int argc, char **argv);
