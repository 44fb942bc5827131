/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `ublk-oci policy check FILE [--json]`: would the helper take this policy?
 * Needs no helper. Exit status: 0 yes, 1 no, 2 wrong usage.
 */
#pragma once

/* argv[0] is "policy". */
int policy_main(int argc, char **argv);
