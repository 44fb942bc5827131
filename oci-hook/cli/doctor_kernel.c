/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/cli/doctor.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "oci-hook/cli/features.h"

/* Kernels on which the driver is known to fail. */
static const struct {
	const char *release; /* how uname -r begins */
	const char *what;
} bad_kernels[] = {
	{ "6.17.0", "adding a device fails, hangs or panics (ublk_init_queues)" },
};

#define KERNEL_TESTED_MAJOR 6
#define KERNEL_TESTED_MINOR 12
#define KERNEL_FIRST_MINOR 5 /* GET_FEATURES */

/* First line of a file; false if there is none to be read. */
static bool read_line(const char *path, char *buf, size_t size)
{
	auto_fclose FILE *f = fopen(path, "re");

	if (!f || !fgets(buf, (int)size, f))
		return false;
	buf[strcspn(buf, "\n")] = '\0';
	return true;
}

static enum doctor_status check_kernel(struct doctor_note *n)
{
	unsigned int major = 0, minor = 0;
	struct utsname u;

	if (uname(&u) < 0 || sscanf(u.release, "%u.%u", &major, &minor) != 2)
		return doctor_say(n, DOCTOR_WARN, "compare it with ublk-ocid(8) yourself",
				  "the kernel's release is not understood");
	for (size_t i = 0; i < ARRAY_SIZE(bad_kernels); i++) {
		size_t len = strlen(bad_kernels[i].release);

		if (!strncmp(u.release, bad_kernels[i].release, len) &&
		    !(u.release[len] >= '0' && u.release[len] <= '9'))
			return doctor_say(n, DOCTOR_FAIL, "boot another kernel",
					  "%s is known to be bad: %s", u.release,
					  bad_kernels[i].what);
	}
	if (major < KERNEL_TESTED_MAJOR ||
	    (major == KERNEL_TESTED_MAJOR && minor < KERNEL_FIRST_MINOR))
		return doctor_say(n, DOCTOR_FAIL,
				  "boot 6.12 or newer (Debian 12: linux-image-6.12-amd64 of "
				  "bookworm-security)",
				  "%s is too old", u.release);
	if (major == KERNEL_TESTED_MAJOR && minor < KERNEL_TESTED_MINOR)
		return doctor_say(n, DOCTOR_WARN, "boot 6.12 or newer",
				  "%s is older than what is tested", u.release);
	return doctor_say(n, DOCTOR_OK, NULL, "%s", u.release);
}

/* Does a line of modules.dep or modules.builtin name the driver? */
static bool module_listed(const char *release, const char *list)
{
	auto_fclose FILE *f = NULL;
	char path[256], line[1024];

	snprintf(path, sizeof(path), "/lib/modules/%s/%s", release, list);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (strstr(line, "/ublk_drv.ko"))
			return true;
	}
	return false;
}

static enum doctor_status check_module(struct doctor_note *n)
{
	struct utsname u;

	if (!access("/sys/module/ublk_drv", F_OK) || !access(FEATURES_CONTROL, F_OK))
		return doctor_say(n, DOCTOR_OK, NULL, "ublk_drv is loaded");
	if (uname(&u) < 0)
		return doctor_say(n, DOCTOR_WARN, "modprobe ublk_drv", "ublk_drv is not loaded");
	if (module_listed(u.release, "modules.builtin"))
		return doctor_say(n, DOCTOR_OK, NULL, "ublk_drv is built in");
	if (module_listed(u.release, "modules.dep"))
		return doctor_say(
			n, DOCTOR_FAIL,
			"modprobe ublk_drv; at boot: modules-load.d (ublk-oci.conf does it)",
			"ublk_drv is there but not loaded");
	return doctor_say(n, DOCTOR_FAIL,
			  "boot a kernel that has it (Debian 12: linux-image-6.12-amd64 of "
			  "bookworm-security; Debian 13: its own)",
			  "kernel %s has no ublk_drv", u.release);
}

static enum doctor_status check_control(struct doctor_note *n)
{
	if (!access(FEATURES_CONTROL, F_OK))
		return doctor_say(n, DOCTOR_OK, NULL, FEATURES_CONTROL " is there");
	return doctor_say(n, DOCTOR_FAIL, "modprobe ublk_drv", "there is no " FEATURES_CONTROL);
}

static enum doctor_status check_features(struct doctor_note *n)
{
	uint64_t features = 0;
	char names[400];
	struct err e;
	int r;

	r = features_ask(&features, &e);
	if (r == -EACCES || r == -EPERM)
		return doctor_say(n, DOCTOR_WARN, "run as root", "%s", e.text);
	if (r < 0)
		return doctor_say(n, DOCTOR_FAIL, "see the checks of kernel and module", "%s",
				  e.text);
	return doctor_say(n, DOCTOR_OK, NULL, "0x%" PRIx64 ": %s", features,
			  features_text(features, names, sizeof(names)));
}

static enum doctor_status check_panic(struct doctor_note *n)
{
	char line[16] = "";

	if (!read_line("/proc/sys/kernel/panic_on_warn", line, sizeof(line)) || *line == '0')
		return doctor_say(n, DOCTOR_OK, NULL, "kernel.panic_on_warn is off");
	return doctor_say(n, DOCTOR_WARN, "sysctl kernel.panic_on_warn=0",
			  "kernel.panic_on_warn is set: a worker that was broken into can make the "
			  "driver warn (6.12), and so stop the machine");
}

static enum doctor_status check_io_uring(struct doctor_note *n)
{
	char line[16] = "";

	if (!read_line("/proc/sys/kernel/io_uring_disabled", line, sizeof(line)) || *line == '0')
		return doctor_say(n, DOCTOR_OK, NULL, "io_uring is allowed");
	return doctor_say(n, DOCTOR_FAIL, "sysctl kernel.io_uring_disabled=0",
			  "kernel.io_uring_disabled is %s: workers, which have no capabilities, "
			  "cannot serve",
			  line);
}

static enum doctor_status check_cgroup(struct doctor_note *n)
{
	struct statfs fs;

	if (statfs("/sys/fs/cgroup", &fs) < 0)
		return doctor_say(n, DOCTOR_FAIL, "mount -t cgroup2 none /sys/fs/cgroup",
				  "nothing is at /sys/fs/cgroup: %s", strerror(errno));
	if ((unsigned long)fs.f_type == CGROUP2_SUPER_MAGIC)
		return doctor_say(n, DOCTOR_OK, NULL, "cgroup v2");
	return doctor_say(n, DOCTOR_WARN, "boot with systemd.unified_cgroup_hierarchy=1",
			  "cgroup v1: containers get devices by devices.allow, and only root may "
			  "name containers; the memory of workers is not limited, nor is I/O "
			  "where these controllers are v1's");
}

static enum doctor_status check_io_limits(struct doctor_note *n)
{
	char line[256] = "", *rest = line, *word;

	if (!read_line("/sys/fs/cgroup/cgroup.controllers", line, sizeof(line)) &&
	    !read_line("/sys/fs/cgroup/unified/cgroup.controllers", line, sizeof(line)))
		return doctor_say(n, DOCTOR_WARN, "see the check of cgroup",
				  "which cgroup controllers there are cannot be read");
	while ((word = strsep(&rest, " "))) {
		if (!strcmp(word, "io"))
			return doctor_say(
				n, DOCTOR_OK, NULL,
				"the cgroup controller io is there for rules with \"io\"");
	}
	return doctor_say(n, DOCTOR_WARN,
			  "boot a kernel with CONFIG_BLK_DEV_THROTTLING, and without "
			  "cgroup_disable=io",
			  "there is no cgroup controller io: what a rule with \"io\" allows cannot "
			  "be attached");
}

static enum doctor_status check_bpf(struct doctor_note *n)
{
	struct statfs fs;

	if (statfs("/sys/fs/bpf", &fs) < 0)
		return doctor_say(n, DOCTOR_FAIL, "boot a kernel with CONFIG_BPF_SYSCALL",
				  "there is no /sys/fs/bpf");
	if ((unsigned long)fs.f_type == BPF_FS_MAGIC)
		return doctor_say(n, DOCTOR_OK, NULL, "bpffs is mounted at /sys/fs/bpf");
	return doctor_say(n, DOCTOR_WARN, "mount -t bpf none /sys/fs/bpf",
			  "no bpffs is mounted at /sys/fs/bpf; the helper mounts one itself");
}

/* -1 unknown, else what was compiled in. */
static int init_on_alloc_default(void)
{
	auto_fclose FILE *f = NULL;
	char path[128], line[256];
	struct utsname u;

	if (uname(&u) < 0)
		return -1;
	snprintf(path, sizeof(path), "/boot/config-%s", u.release);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (strstr(line, "CONFIG_INIT_ON_ALLOC_DEFAULT_ON"))
			return !strncmp(line, "CONFIG_INIT_ON_ALLOC_DEFAULT_ON=y", 33);
	}
	return -1;
}

static enum doctor_status check_init_on_alloc(struct doctor_note *n)
{
	static const char remedy[] = "boot with init_on_alloc=1 before a policy grants zero copy";
	char line[4096] = "";
	const char *word = NULL, *p = line;
	int on;

	read_line("/proc/cmdline", line, sizeof(line));
	while ((p = strstr(p, "init_on_alloc="))) {
		p += strlen("init_on_alloc=");
		word = p;
	}
	on = word ? !!strchr("1yYo", *word) && strncmp(word, "of", 2) : init_on_alloc_default();
	if (on > 0)
		return doctor_say(n, DOCTOR_OK, NULL, "the kernel clears memory it gives out");
	return doctor_say(
		n, DOCTOR_WARN, remedy,
		"%s; with zero copy, which no device has unless a rule grants it, a worker "
		"that was broken into could show a container old kernel memory",
		on < 0 ? "whether the kernel clears memory it gives out is not known"
		       : "the kernel does not clear memory it gives out");
}

const struct doctor_check doctor_kernel_checks[] = {
	{ "kernel", check_kernel },
	{ "module", check_module },
	{ "control-device", check_control },
	{ "features", check_features },
	{ "panic-on-warn", check_panic },
	{ "io-uring", check_io_uring },
	{ "cgroup", check_cgroup },
	{ "io-limits", check_io_limits },
	{ "bpf", check_bpf },
	{ "init-on-alloc", check_init_on_alloc },
};
const size_t doctor_nr_kernel_checks = ARRAY_SIZE(doctor_kernel_checks);
