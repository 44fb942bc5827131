/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ublk-oci-probe: looks at what is in a volume, or becomes the tool that works on it, shut in
 * first. Started by the store, as the store's user; see oci-hook/probe.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "oci-hook/probe.h"
#include "oci-hook/probe/look.h"
#include "oci-hook/probe/shut.h"
#include "oci-hook/probe/tool.h"

#define MAIN_NAME "ublk-oci-probe"

#ifdef SANITIZED
/* A process that is shut in cannot be searched for leaks. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}
#endif

static int main_usage(void)
{
	fputs("usage: " MAIN_NAME " look | mkfs|check|mend|resize ext4|xfs|btrfs\n"
	      "The data is descriptor 3. Started by ublk-oci-store; see " MAIN_NAME "(8).\n",
	      stderr);
	return PROBE_EXIT_BROKEN;
}

static enum probe_verb main_verb(const char *word)
{
	unsigned int verb = 0;

	while (verb < PROBE_VERBS && strcmp(probe_verb(verb), word))
		verb++;
	return (enum probe_verb)verb;
}

static int main_look(void)
{
	struct probe_answer answer;

	look_at(PROBE_DATA_FD, &answer);
	return write(STDOUT_FILENO, &answer, sizeof(answer)) == sizeof(answer) ? EXIT_SUCCESS
									       : PROBE_EXIT_BROKEN;
}

int main(int argc, char **argv)
{
	enum catalog_filesystem filesystem = FILESYSTEM_NONE;
	enum probe_verb verb = PROBE_VERBS;
	struct err e;

	if (argc == 2 && !strcmp(argv[1], "--version"))
		return puts(MAIN_NAME " " UBLK_OCI_VERSION) < 0;
	if (argc > 1)
		verb = main_verb(argv[1]);
	if (argc > 2)
		filesystem = catalog_find_filesystem(argv[2]);
	if (verb == PROBE_VERBS || argc > 3 || (verb == PROBE_LOOK) != (argc == 2) ||
	    (verb != PROBE_LOOK && !filesystem))
		return main_usage();
	if (shut_in(verb != PROBE_LOOK, &e) < 0) {
		fprintf(stderr, "%s\n", e.text);
		return PROBE_EXIT_BROKEN;
	}
	return verb == PROBE_LOOK ? main_look() : tool_become(verb, filesystem);
}
