/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "oci-hook/cli/attach.h"
#include "oci-hook/cli/cli.h"
#include "oci-hook/cli/detach.h"
#include "oci-hook/cli/device.h"
#include "oci-hook/cli/doctor.h"
#include "oci-hook/cli/inspect.h"
#include "oci-hook/cli/list.h"
#include "oci-hook/cli/policy.h"
#include "oci-hook/cli/repair.h"
#include "oci-hook/cli/stats.h"
#include "oci-hook/cli/upgrade.h"
#include "oci-hook/cli/volume.h"
#include "oci-hook/quote.h"

static const struct {
	const char *name;
	int (*main)(int argc, char **argv);
	const char *help;
} commands[] = {
	{ "attach", attach_main, "give a running container, or the host, a block device" },
	{ "detach", detach_main, "take it away again" },
	{ "device", device_main, "make devices ahead, for containers to come; remove them" },
	{ "volume", volume_main, "storage with a name: make it, copy it, resize it" },
	{ "list", list_main, "list devices" },
	{ "upgrade", upgrade_main, "give devices new workers while they are used" },
	{ "inspect", inspect_main, "show everything about one device and its worker" },
	{ "stats", stats_main, "show what devices do: rates, latencies, errors" },
	{ "doctor", doctor_main, "find out why it does not work on this machine" },
	{ "repair", repair_main, "remove what belongs to nobody any more" },
	{ "policy", policy_main, "check a policy, explain a decision, have the helper reload" },
};

static int usage(FILE *to, int status)
{
	fputs("usage: " CLI_NAME " COMMAND [OPTION]...\n"
	      "Block devices for containers, served by processes that are not root.\n\n",
	      to);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].help);
	fputs("\n" CLI_NAME " COMMAND --help tells more; so does " CLI_NAME "(1).\n", to);
	return fflush(to) ? CLI_FAILED : status;
}

int main(int argc, char **argv)
{
	char word[QUOTE_SIZE];

	if (argc < 2)
		return usage(stderr, CLI_USAGE);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].main(argc - 1, argv + 1);
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))
		return usage(stdout, CLI_DONE);
	if (!strcmp(argv[1], "--version"))
		return printf(CLI_NAME " %s\n", UBLK_OCI_VERSION) < 0 ? CLI_FAILED : CLI_DONE;
	fprintf(stderr, CLI_NAME ": there is no command %s (see " CLI_NAME " --help)\n",
		quote_text(word, sizeof(word), argv[1]));
	return CLI_USAGE;
}
