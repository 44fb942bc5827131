/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `ublk-oci policy check FILE [--json]`: would the helper take this policy?
 * Exit status: 0 yes, 1 no, 2 wrong usage. `policy explain`: see explain.h.
 * `policy reload`: the helper reads its policy again.
 */
#pragma once

/* argv[0] is "policy". */
int policy_main(int argc, char **argv);
