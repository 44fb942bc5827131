/* SPDX-License-Identifier: Apache-2.0 */
/* Where the plug-in has its things. What volumes there are, and which are mounted, others know. */
#pragma once

#include "driver/wire/wire.h"

struct works;

struct plugin {
	char dir[WIRE_PATH_SIZE]; /* a volume is mounted on DIR/VOLUME; by no link */
	int dir_fd;		  /* that one */
	int uses_fd;		  /* uses.h */
	int kept_fd;		  /* kept.h */
	int unheard_ms;		  /* a mount of which nobody was told lasts so long */
	struct works *works;
};
