/* SPDX-License-Identifier: Apache-2.0 */
/* One JSON line per verdict, on stderr (the journal): who asked for what, which rule decided. */
#pragma once

#include "driver/privileged/journal.h"
#include "policy/policy.h"

void audit_verdict(const struct record *rec, const struct policy_verdict *verdict);
