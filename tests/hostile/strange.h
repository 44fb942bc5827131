/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors of every kind that neither a container's process nor a backing file is. */
#pragma once

#define STRANGE_COUNT 25

struct strange {
	const char *what;
	int (*make)(void); /* -1: it cannot be made */
};
extern const struct strange strange[STRANGE_COUNT];

int strange_null(void);
int strange_pidfd(void); /* of this process */
