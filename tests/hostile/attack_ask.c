/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One device per attempt of the hostile worker, or for the one that is named,
 * asked of the helper: "NAME: what it answered". Not of those with a server.
 */
#include <stdio.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "tests/hostile/ask.h"
#include "tests/hostile/attack.h"

int main(int argc, char **argv)
{
	for (size_t i = 0; i < ATTACKS_COUNT; i++) {
		struct wire_attach m = ask_attach_host(TARGET_MEMORY, 0);
		auto_close int fd = -1;
		struct wire_reply reply;

		if (argc > 1 && strcmp(argv[1], attack_names[i].name) != 0)
			continue;
		if (attack_with_server(attack_names[i].name))
			continue;
		fd = ask_connect(0);
		m.size_bytes = attack_dev_bytes(attack_names[i].name);
		ask_send(fd, &m, sizeof(m), NULL, 0);
		if (ask_answer(fd, &reply) < 0)
			return 1;
		printf("%s: %s\n", attack_names[i].name,
		       reply.status ? reply.reason : "a device was made");
	}
	return 0;
}
