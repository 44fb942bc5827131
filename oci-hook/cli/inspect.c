/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/cli/inspect.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "oci-hook/cli/cli.h"
#include "oci-hook/cli/find.h"
#include "oci-hook/cli/limits.h"
#include "oci-hook/cli/sandbox.h"
#include "oci-hook/cli/show.h"
#include "oci-hook/cli/snapshots.h"

static const struct cli_option inspect_options[] = {
	{ "container", "ID", 'c', "with --device: the device there" },
	{ "device", "PATH", 'd', "path in the container" },
	{ "mount", "PATH", 'd', "the same: where its file system is mounted" },
	{ "sandbox", NULL, 's', "what its worker may, proven from /proc" },
	{ "json", NULL, 'j', "as JSON" },
};

static const struct cli_page inspect_page = {
	.command = "inspect",
	.synopsis = "inspect DEVICE [--sandbox] [--json]\n"
		    "inspect --container ID --device PATH [--sandbox] [--json]",
	.about = "Shows everything about one device. DEVICE is N, ublkbN, /dev/ublkbN or a\n"
		 "generation.",
	.options = inspect_options,
	.nr_options = ARRAY_SIZE(inspect_options),
};

struct inspect_ask {
	const char *container;
	const char *path;
	const char *name;
	bool sandbox;
	bool json;
};

static int inspect_parse(struct inspect_ask *a, int argc, char **argv, bool *ret_leave)
{
	int c, status = CLI_DONE;

	*ret_leave = true;
	while ((c = cli_next(&inspect_page, argc, argv, &status)) != 0) {
		if (c < 0)
			return status;
		if (c == 'c')
			a->container = optarg;
		else if (c == 'd')
			a->path = optarg;
		else if (c == 's')
			a->sandbox = true;
		else
			a->json = true;
	}
	if (optind < argc)
		a->name = argv[optind++];
	if (optind < argc)
		return cli_misuse(&inspect_page, "there is one word too many");
	if (!a->container != !a->path || !a->container == !a->name)
		return cli_misuse(&inspect_page,
				  "either DEVICE, or --container ID and --device PATH is needed");
	*ret_leave = false;
	return CLI_DONE;
}

/*
 * Numbers of processes are given away again: what was read is the worker's if
 * the process pinned before still lives, and the helper still says it is the one.
 */
static int inspect_sandbox(struct json_object *o, const struct wire_details *before, struct err *e)
{
	auto_client_devices struct client_devices all = { 0 };
	struct wire_details after;
	struct pollfd p = { .events = POLLIN };
	auto_close int pidfd = -1;
	struct json_object *worker;
	pid_t pid = before->device.worker_pid;
	int r;

	if (pid <= 0)
		return err_set(e, ESRCH, "ublkb%" PRIu32 " has no worker now",
			       before->device.dev_id);
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		return err_sys(e, errno, "cannot look at worker %d", pid);
	json_object_object_get_ex(o, "worker", &worker);
	r = client_list(&all, CLIENT_TIMEOUT_MS, e);
	if (r < 0)
		return r;
	sandbox_add(worker, pid, &all);
	r = client_inspect(before->device.generation, 0, CLIENT_TIMEOUT_MS, &after, e);
	if (r < 0)
		return r;
	p.fd = pidfd;
	if (after.device.worker_pid != pid || poll(&p, 1, 0) != 0)
		return err_set(e, EAGAIN,
			       "the worker was replaced while it was looked at; try again");
	return 0;
}

int inspect_main(int argc, char **argv)
{
	auto_json struct json_object *o = NULL;
	struct inspect_ask a = { 0 };
	struct wire_details details;
	struct wire_device row;
	struct json_object *worker = NULL;
	int r, sound = 0;
	struct err e;
	bool leave;

	r = inspect_parse(&a, argc, argv, &leave);
	if (leave)
		return r;
	if (find_either(&row, a.name, a.container, a.path, CLIENT_TIMEOUT_MS, &e) < 0 ||
	    client_inspect(row.generation, 0, CLIENT_TIMEOUT_MS, &details, &e) < 0)
		return cli_fail(&inspect_page, &e);
	o = show_details(&details);
	limits_add(o, &details);
	snapshots_add(o, &details.device);
	if (a.sandbox && inspect_sandbox(o, &details, &e) < 0)
		return cli_fail(&inspect_page, &e);
	json_object_object_get_ex(o, "worker", &worker);
	if (a.sandbox)
		sound = sandbox_check(worker, &details, &e);
	if (a.json)
		show_json_print(o);
	else
		show_text_print(o);
	r = cli_end(&inspect_page);
	/* What is not as it must be is a failure of the command, and its names are the reason. */
	return r == CLI_DONE && sound < 0 ? cli_fail(&inspect_page, &e) : r;
}
