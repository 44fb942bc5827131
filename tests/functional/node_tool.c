/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lets a shell script call what the helper calls to put a device node into a
 * container: node.h, devfilter.h, holders.h, child.h. Exit status 0, or 1 with
 * "ERRNO: reason" on stderr. $NODE_TOOL_STORE is the store "remove" looks in.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/privileged/child.h"
#include "driver/privileged/devfilter.h"
#include "driver/privileged/holders.h"
#include "driver/privileged/node.h"

#define TOOL_TIMEOUT_MS 4000

static void tool_place_close(struct node_place *t)
{
	close_fdp(&t->pidfd);
	close_fdp(&t->proc_fd);
	close_fdp(&t->mount_ns_fd);
	close_fdp(&t->cgroup_fd);
}

#define auto_tool_place cleanup_with(tool_place_close)

/* "0::/PATH" on cgroup v2, "N:devices:/PATH" on v1; $NODE_TOOL_CGROUP goes before both. */
static int tool_open_cgroup(int proc_fd)
{
	auto_close int fd = openat(proc_fd, "cgroup", O_RDONLY | O_CLOEXEC);
	char text[4096] = "", path[4352], *found = getenv("NODE_TOOL_CGROUP");

	if (found)
		return open(found, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		return -1;
	found = strstr(text, ":devices:/");
	snprintf(path, sizeof(path), "/sys/fs/cgroup%s", found ? "/devices" : "");
	if (!found)
		found = strstr(text, "0::/");
	if (!found)
		return -1;
	found = strchr(found, '/');
	found[strcspn(found, "\n")] = '\0';
	strncat(path, found, sizeof(path) - strlen(path) - 1);
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int tool_place_open(struct node_place *t, const char *pid, struct err *e)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%s", pid);
	*t = (struct node_place){ -1, -1, -1, -1, -1, TOOL_TIMEOUT_MS };
	t->proc_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (t->proc_fd < 0)
		return err_sys(e, errno, "cannot open %s", path);
	t->pidfd = (int)syscall(SYS_pidfd_open, atoi(pid), 0);
	t->mount_ns_fd = openat(t->proc_fd, "ns/mnt", O_RDONLY | O_CLOEXEC);
	t->cgroup_fd = tool_open_cgroup(t->proc_fd);
	if (t->pidfd < 0 || t->mount_ns_fd < 0 || t->cgroup_fd < 0)
		return err_sys(e, errno, "cannot look at process %s", pid);
	return 0;
}

static void tool_spec(struct node_spec *spec, const char *path, const char *device)
{
	memset(spec, 0, sizeof(*spec));
	spec->path = path;
	sscanf(device, "%" SCNu32 ":%" SCNu32, &spec->id.major, &spec->id.minor);
}

static int tool_store(char **a, struct err *e)
{
	return node_store_mount(a[0], e);
}

static int tool_insert(char **a, struct err *e)
{
	auto_tool_place struct node_place t;
	struct node_spec spec;
	unsigned int made;
	int r = tool_place_open(&t, a[0], e);

	tool_spec(&spec, a[2], a[3]);
	spec.uid = (uint32_t)atoi(a[4]);
	spec.gid = (uint32_t)atoi(a[5]);
	spec.mode = (uint32_t)strtoul(a[6], NULL, 8);
	if (!r)
		r = node_insert(&t, a[1], &spec, &made, e);
	if (!r)
		printf("%u\n", made);
	return r;
}

static int tool_try(char **a, struct err *e)
{
	auto_tool_place struct node_place t;
	struct node_spec spec;
	int r = tool_place_open(&t, a[0], e);

	tool_spec(&spec, a[1], a[2]);
	return r ? r : node_try(&t, &spec, e);
}

static int tool_remove(char **a, struct err *e)
{
	auto_tool_place struct node_place t;
	struct node_spec spec;
	int r = tool_place_open(&t, a[0], e);

	tool_spec(&spec, a[1], a[2]);
	if (!r)
		r = node_disarm(getenv("NODE_TOOL_STORE"), &spec.id, e);
	return r ? r : node_remove(&t, &spec, (unsigned int)atoi(a[3]), e);
}

static int tool_filter(char **a, struct err *e)
{
	return devfilter_open(a[0], e);
}

static int tool_allow(char **a, struct err *e)
{
	auto_tool_place struct node_place t;
	struct node_spec spec;
	int r = tool_place_open(&t, a[0], e);

	tool_spec(&spec, NULL, a[2]);
	return r ? r
		 : devfilter_allow(a[1], t.cgroup_fd, spec.id.major, spec.id.minor,
				   !strcmp(a[3], "rw") ? DEVFILTER_WRITE : 0, e);
}

static int tool_revoke(char **a, struct err *e)
{
	auto_tool_place struct node_place t;
	struct node_spec spec;
	int r = tool_place_open(&t, a[0], e);

	tool_spec(&spec, NULL, a[2]);
	return r ? r : devfilter_revoke(a[1], t.cgroup_fd, spec.id.major, spec.id.minor, e);
}

static int tool_forget(char **a, struct err *e)
{
	struct node_spec spec;

	tool_spec(&spec, NULL, a[2]);
	return devfilter_forget(a[0], strtoull(a[1], NULL, 10), spec.id.major, spec.id.minor, e);
}

static int tool_holders(char **a, struct err *e)
{
	struct node_spec spec;
	char text[512];
	int r;

	tool_spec(&spec, NULL, a[0]);
	r = holders_find(spec.id.major, spec.id.minor, -1, text, sizeof(text), e);
	if (r >= 0)
		printf("%d: %s\n", r, text);
	return r;
}

static int tool_busy(char **a, struct err *e)
{
	return holders_probe_busy(a[0], e);
}

static int tool_write(void *arg, struct err *e)
{
	auto_close int fd = open(arg, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	return fd < 0 || write(fd, "x", 1) != 1 ? err_sys(e, errno, "cannot write %s", (char *)arg)
						: 0;
}

/* Writes a byte in a child with 500 ms; prints how long that took. */
static int tool_child_write(char **a, struct err *e)
{
	int64_t began_ms = clock_now_ms();
	int r = child_run(tool_write, a[0], 500, e);

	printf("%" PRId64 "\n", clock_now_ms() - began_ms);
	return r;
}

static const struct {
	const char *name;
	int (*run)(char **arguments, struct err *e);
	int nr;
	const char *usage;
} verbs[] = {
	{ "store", tool_store, 1, "DIR" },
	{ "insert", tool_insert, 7, "PID STORE PATH MAJOR:MINOR UID GID MODE" },
	{ "try", tool_try, 3, "PID PATH MAJOR:MINOR" },
	{ "remove", tool_remove, 4, "PID PATH MAJOR:MINOR MADE_DIRS" },
	{ "filter", tool_filter, 1, "DIR" },
	{ "allow", tool_allow, 4, "PID DIR MAJOR:MINOR ro|rw" },
	{ "revoke", tool_revoke, 3, "PID DIR MAJOR:MINOR" },
	{ "forget", tool_forget, 3, "DIR CGROUP_INODE MAJOR:MINOR" },
	{ "holders", tool_holders, 1, "MAJOR:MINOR" },
	{ "busy", tool_busy, 1, "NODE" },
	{ "child-write", tool_child_write, 1, "FILE" },
};

int main(int argc, char **argv)
{
	struct err e = { "" };
	int r;

	for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(verbs); i++) {
		if (strcmp(argv[1], verbs[i].name) || argc - 2 != verbs[i].nr)
			continue;
		r = verbs[i].run(argv + 2, &e);
		if (r < 0)
			fprintf(stderr, "%s: %s\n", strerrorname_np(-r), e.text);
		return r < 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		fprintf(stderr, "node_tool %s %s\n", verbs[i].name, verbs[i].usage);
	return 2;
}
