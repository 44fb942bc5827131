/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Deltas of target cow: made, checked, listed, made one with their base. */
int cow_main(int argc, char **argv);
