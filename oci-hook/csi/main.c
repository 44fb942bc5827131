/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ublk-oci-csi: the CSI driver. Kubernetes' sidecars and kubelet ask it for volumes; it asks the
 * store and the helper, as any other caller does, by its own uid. It keeps nothing itself.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/log.h"
#include "driver/base/service.h"
#include "oci-hook/csi/identity.h"
#include "oci-hook/csi/node.h"
#include "oci-hook/csi/server.h"
#include "oci-hook/csi/target.h"
#include "oci-hook/options.h"

#define MAIN_NAME "ublk-oci-csi"
#define MAIN_ENDPOINT "unix:///run/ublk-oci-csi/csi.sock"
#define MAIN_SCHEME "unix:"

struct main {
	const char *endpoint;
	const char *root;
	char node_id[NODE_ID_MAX + 1];
	struct config config;
};

static const char main_usage[] =
	"usage: " MAIN_NAME " [--endpoint unix:///PATH] [--node-id NAME] [--root DIR]\n"
	"The CSI driver of ublk-oci. To be started as the user " MAIN_NAME ", not as root.\n"
	"See " MAIN_NAME "(8).\n";

static int set_node_id(struct main *m, const char *name)
{
	if (!*name || strlen(name) > NODE_ID_MAX)
		return -EINVAL;
	strcpy(m->node_id, name);
	return 0;
}

/* -1: go on; else the exit status. */
static int main_options(struct main *m, int argc, char **argv)
{
	static const struct option table[] = {
		{ "endpoint", required_argument, NULL, 'e' },
		{ "node-id", required_argument, NULL, 'n' },
		{ "root", required_argument, NULL, 'r' },
		OPTIONS_LAST,
	};
	static const struct options options = {
		.version = MAIN_NAME " " UBLK_OCI_VERSION,
		.usage = main_usage,
		.table = table,
	};
	int c, status;

	while ((c = options_next(&options, argc, argv, &status)) > 0) {
		if (c == 'e')
			m->endpoint = optarg;
		else if (c == 'r')
			m->root = optarg;
		else if (set_node_id(m, optarg) < 0)
			return options_misuse(&options);
	}
	if (c < 0)
		return status;
	return optind < argc ? options_misuse(&options) : -1;
}

/* "unix:///PATH", "unix:PATH" or a path. */
static const char *endpoint_path(const char *endpoint)
{
	if (!strncmp(endpoint, MAIN_SCHEME, strlen(MAIN_SCHEME)))
		endpoint += strlen(MAIN_SCHEME);
	if (!strncmp(endpoint, "//", 2))
		endpoint += 2;
	return endpoint;
}

static int main_begin(struct main *m, struct err *e)
{
	struct utsname name;
	int r;

	r = service_not_root(MAIN_NAME, e);
	if (r == 0)
		r = service_limit(e);
	if (r < 0)
		return r;
	if (uname(&name) < 0)
		return err_sys(e, errno, "cannot learn the kernel's release");
	if (!*m->node_id && set_node_id(m, name.nodename) < 0)
		return err_set(e, EINVAL, "this host has no name; give --node-id");
	m->config.node_id = m->node_id;
	m->config.online = identity_release_grows(name.release);
	return 0;
}

int main(int argc, char **argv)
{
	struct main m = { .endpoint = getenv("CSI_ENDPOINT"), .root = TARGET_ROOT };
	auto_close int fd = -1;
	struct err e;
	int r;

	if (!m.endpoint || !*m.endpoint)
		m.endpoint = MAIN_ENDPOINT;
	r = main_options(&m, argc, argv);
	if (r >= 0)
		return r;
	log_open(MAIN_NAME, LOG_LEVEL_INFO);
	if (main_begin(&m, &e) < 0 || server_listen(endpoint_path(m.endpoint), &fd, &e) < 0 ||
	    target_confine(m.root, endpoint_path(m.endpoint), &e) < 0 ||
	    server_run(fd, &m.config, &e) < 0) {
		log_error("%s", e.text);
		return EXIT_FAILURE;
	}
	unlink(endpoint_path(m.endpoint));
	return EXIT_SUCCESS;
}
