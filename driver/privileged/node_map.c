/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/node_map.h"

#include <errno.h>
#include <inttypes.h>

int node_map_find(FILE *map, uint32_t id, uint32_t *ret)
{
	uint32_t inside, outside, nr;

	while (fscanf(map, "%" SCNu32 " %" SCNu32 " %" SCNu32, &inside, &outside, &nr) == 3) {
		if (id >= inside && id - inside < nr) {
			*ret = outside + (id - inside);
			return 0;
		}
	}
	return -ENOENT;
}
