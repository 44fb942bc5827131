/* SPDX-License-Identifier: Apache-2.0 */
/* What a policy is once it is read; shared by the files of this folder only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/policy.h"

enum rule_principal {
	RULE_PRINCIPAL_NONE,
	RULE_PRINCIPAL_UID,
	RULE_PRINCIPAL_GID,
	RULE_PRINCIPAL_ANY,
};

struct rule {
	char id[POLICY_ID_MAX + 1];
	enum rule_principal principal;
	uint32_t principal_id; /* uid or gid */
	uint32_t targets;      /* bit mask of 1 << enum target_id; never 0 */
	char **backing;	       /* clean absolute paths; ends with '/': everything below */
	size_t nr_backing;
	bool read_only; /* only read-only devices */
	uint64_t max_size_bytes;
	uint32_t max_devices_per_container; /* 0 in a host rule, where it says nothing */
	uint32_t max_devices;
	bool host; /* for the host, and not for containers */
	uint32_t max_queues;
	uint32_t max_depth;
};

struct policy {
	uint32_t worker_ids_first;
	uint32_t worker_ids_count;
	char **filesystems;
	size_t nr_filesystems;
	struct rule *rules; /* in the order of the file */
	size_t nr_rules;
};

/*
 * Is this an absolute path without empty, "." and ".." components? A single
 * '/' at its end is fine. Only such paths can be compared as text.
 */
bool rule_path_clean(const char *path);
