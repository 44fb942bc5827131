/* SPDX-License-Identifier: Apache-2.0 */
/* What a policy says to a claim, for people or as JSON. */
#pragma once

#include <stdbool.h>

#include "oci-hook/cli/explain.h"

/* Decides, and prints it on stdout; whether it is allowed. */
bool explain_show(const struct explain *x, const struct policy *policy);
