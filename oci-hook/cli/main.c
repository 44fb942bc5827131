/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "oci-hook/cli/attach.h"
#include "oci-hook/cli/cli.h"
#include "oci-hook/cli/cow.h"
#include "oci-hook/cli/detach.h"
#include "oci-hook/cli/device.h"
#include "oci-hook/cli/doctor.h"
#include "oci-hook/cli/inspect.h"
#include "oci-hook/cli/list.h"
#include "oci-hook/cli/policy.h"
#include "oci-hook/cli/repair.h"
#include "oci-hook/cli/resize.h"
#include "oci-hook/cli/stats.h"
#include "oci-hook/cli/targets.h"
#include "oci-hook/cli/upgrade.h"
#include "oci-hook/cli/volume.h"

static const struct cli_command commands[] = {
	{ "attach", attach_main, "give a running container, or the host, a block device" },
	{ "detach", detach_main, "take it away again" },
	{ "device", device_main, "make devices ahead, for containers to come; remove them" },
	{ "volume", volume_main, "storage with a name: make it, copy it, resize it" },
	{ "cow", cow_main, "make, check, list and commit deltas of target cow" },
	{ "list", list_main, "list devices" },
	{ "targets", targets_main, "list what a device can be made of" },
	{ "resize", resize_main, "make a device larger while it is used" },
	{ "upgrade", upgrade_main, "give devices new workers while they are used" },
	{ "inspect", inspect_main, "show everything about one device and its worker" },
	{ "stats", stats_main, "show what devices do: rates, latencies, errors" },
	{ "doctor", doctor_main, "find out why it does not work on this machine" },
	{ "repair", repair_main, "remove what belongs to nobody any more" },
	{ "policy", policy_main, "check a policy, explain a decision, have the helper reload" },
};

static const struct cli_group program = {
	.command = "",
	.about = "Block devices for containers, served by processes that are not root.",
	.more = "; so does " CLI_NAME "(1)",
	.rows = commands,
	.nr_rows = ARRAY_SIZE(commands),
};

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "--version"))
		return printf(CLI_NAME " %s\n", UBLK_OCI_VERSION) < 0 ? CLI_FAILED : CLI_DONE;
	return cli_group_main(&program, argc, argv);
}
