/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/cli/doctor.h"

#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <link.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "oci-hook/cli/cli.h"
#include "oci-hook/cli/show.h"
#include "oci-hook/client.h"
#include "oci-hook/quote.h"
#include "oci-hook/run.h"
#include "policy/policy.h"

#define DOCTOR_GROUP "ublk-oci"
#define DOCTOR_HOOK_USER "ublk-oci-hook"
#define DOCTOR_TIMEOUT_MS 5000
#define DOCTOR_GROUPS_MAX 256
#define DOCTOR_AUDIT_DIR "/var/log/ublk-oci"

static const struct cli_option doctor_options[] = {
	{ "json", NULL, 'j', "as JSON" },
};

static const struct cli_page doctor_page = {
	.command = "doctor",
	.synopsis = "doctor [--json]",
	.about = "Checks kernel, helper, policy and rights, and says what to do about what is\n"
		 "missing. Run as root it can see more. Exit status 1 if a check fails.",
	.options = doctor_options,
	.nr_options = ARRAY_SIZE(doctor_options),
};

static const char *const status_words[] = {
	[DOCTOR_NONE] = "fail",
	[DOCTOR_OK] = "ok",
	[DOCTOR_WARN] = "warn",
	[DOCTOR_FAIL] = "fail",
};

enum doctor_status doctor_say(struct doctor_note *n, enum doctor_status status, const char *remedy,
			      const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(n->finding, sizeof(n->finding), fmt, ap);
	va_end(ap);
	snprintf(n->remedy, sizeof(n->remedy), "%s", remedy ? remedy : "");
	return status;
}

static int find_liburing(struct dl_phdr_info *info, size_t size, void *arg)
{
	const char **ret = arg;

	if (!info->dlpi_name || !strstr(info->dlpi_name, "/liburing.so"))
		return 0;
	*ret = info->dlpi_name;
	return 1;
}

static enum doctor_status check_liburing(struct doctor_note *n)
{
	auto_free char *real = NULL;
	const char *path = NULL;

	dl_iterate_phdr(find_liburing, &path);
	real = path ? realpath(path, NULL) : NULL;
	if (!real)
		return doctor_say(n, DOCTOR_OK, NULL, "linked in");
	return doctor_say(n, DOCTOR_OK, NULL, "%s", real);
}

static enum doctor_status check_policy(struct doctor_note *n)
{
	auto_policy struct policy *p = NULL;
	struct err e;

	if (!access(POLICY_FILE, R_OK)) {
		if (policy_load(&p, POLICY_FILE, 0, &policy_names_system, &e) < 0)
			return doctor_say(n, DOCTOR_FAIL,
					  "see ublk-oci policy check FILE and ublk-oci-policy(5)",
					  "%s", e.text);
		return doctor_say(n, DOCTOR_OK, NULL, POLICY_FILE " is valid");
	}
	if (errno == ENOENT)
		return doctor_say(n, DOCTOR_FAIL, "write one; ublk-oci-policy(5) has examples",
				  "there is no " POLICY_FILE ": the helper does not start");
	return doctor_say(n, DOCTOR_WARN, "run as root", POLICY_FILE " cannot be read: %s",
			  strerror(errno));
}

static enum doctor_status check_worker_ids(struct doctor_note *n)
{
	auto_policy struct policy *p = NULL;
	struct err e;

	if (policy_load(&p, POLICY_FILE, 0, &policy_names_system, &e) < 0)
		return doctor_say(n, DOCTOR_WARN, "see the check of policy",
				  "which ids workers get is not known");
	if (policy_check_ids(p, "/etc", &e) < 0)
		return doctor_say(n, DOCTOR_FAIL,
				  "choose other worker_ids in " POLICY_FILE
				  ": the helper does not start with these",
				  "%s", e.text);
	return doctor_say(n, DOCTOR_OK, NULL, "%u to %u are nobody else's",
			  policy_worker_ids_first(p),
			  policy_worker_ids_first(p) + policy_worker_ids_count(p) - 1);
}

/* Only what is on record is done, so a log that takes no more lines stops every attach. */
static enum doctor_status check_audit(struct doctor_note *n)
{
	struct statvfs fs;
	struct stat st;

	if (lstat(DOCTOR_AUDIT_DIR, &st) < 0 || statvfs(DOCTOR_AUDIT_DIR, &fs) < 0)
		return doctor_say(
			n, errno == ENOENT ? DOCTOR_WARN : DOCTOR_FAIL,
			"systemd-tmpfiles --create ublk-oci.conf, then restart the helper",
			DOCTOR_AUDIT_DIR ": %s; without it nothing is attached", strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return doctor_say(n, DOCTOR_FAIL,
				  "move it away, systemd-tmpfiles --create ublk-oci.conf, then "
				  "restart the helper",
				  DOCTOR_AUDIT_DIR " is no directory: nothing is attached");
	if (fs.f_flag & ST_RDONLY)
		return doctor_say(n, DOCTOR_FAIL, "mount -o remount,rw",
				  DOCTOR_AUDIT_DIR " cannot be written: nothing is attached");
	if (!fs.f_bavail || (fs.f_files && !fs.f_favail))
		return doctor_say(n, DOCTOR_FAIL, "make room on its file system",
				  DOCTOR_AUDIT_DIR " is full: nothing is attached");
	if (st.st_uid || st.st_mode & 022)
		return doctor_say(n, DOCTOR_WARN,
				  "chown root " DOCTOR_AUDIT_DIR "; chmod go-w " DOCTOR_AUDIT_DIR,
				  "others than root can change what is in " DOCTOR_AUDIT_DIR);
	return doctor_say(n, DOCTOR_OK, NULL, DOCTOR_AUDIT_DIR " takes what is decided");
}

static enum doctor_status check_helper(struct doctor_note *n)
{
	auto_client_devices struct client_devices d = { 0 };
	struct err e;
	int r;

	r = client_list(&d, DOCTOR_TIMEOUT_MS, &e);
	if (r < 0)
		return doctor_say(n, DOCTOR_FAIL,
				  r == -EACCES ? "usermod -aG ublk-oci USER, then log in again"
					       : "systemctl start ublk-ocid.socket; its log: "
						 "journalctl -u ublk-ocid",
				  "%s", e.text);
	return doctor_say(n, DOCTOR_OK, NULL, "answers; you see %zu device%s", d.nr,
			  d.nr == 1 ? "" : "s");
}

static enum doctor_status check_group(struct doctor_note *n)
{
	struct group *g = getgrnam(DOCTOR_GROUP);
	gid_t gids[DOCTOR_GROUPS_MAX];
	int nr;

	if (!g)
		return doctor_say(n, DOCTOR_WARN, "systemd-sysusers, or groupadd -r " DOCTOR_GROUP,
				  "there is no group " DOCTOR_GROUP
				  ": only root may ask the helper");
	if (!geteuid())
		return doctor_say(n, DOCTOR_OK, NULL, "root may always ask the helper");
	nr = getgroups(DOCTOR_GROUPS_MAX, gids);
	for (int i = 0; i < nr; i++) {
		if (gids[i] == g->gr_gid)
			return doctor_say(n, DOCTOR_OK, NULL, "you are in group " DOCTOR_GROUP);
	}
	if (getegid() == g->gr_gid)
		return doctor_say(n, DOCTOR_OK, NULL, "you are in group " DOCTOR_GROUP);
	return doctor_say(n, DOCTOR_WARN, "usermod -aG " DOCTOR_GROUP " USER, then log in again",
			  "you are not in group " DOCTOR_GROUP ": the helper does not hear you");
}

static enum doctor_status check_hook_user(struct doctor_note *n)
{
	struct passwd *pw = getpwnam(DOCTOR_HOOK_USER);

	if (!pw)
		return doctor_say(n, DOCTOR_WARN, "systemd-sysusers",
				  "there is no user " DOCTOR_HOOK_USER
				  ": the OCI hook does not work when root runs it");
	return doctor_say(n, DOCTOR_OK, NULL, DOCTOR_HOOK_USER " is uid %u", pw->pw_uid);
}

static enum doctor_status check_runtimes(struct doctor_note *n)
{
	char crun[64], runc[64];
	const char *a = run_find("crun", crun, sizeof(crun));
	const char *b = run_find("runc", runc, sizeof(runc));

	if (!a && !b)
		return doctor_say(n, DOCTOR_WARN, "install crun or runc",
				  "no runtime is there that could be asked for a container");
	return doctor_say(n, DOCTOR_OK, NULL, "%s%s%s", a ? a : "", a && b ? ", " : "", b ? b : "");
}

static enum doctor_status check_udev(struct doctor_note *n)
{
	static const char *const places[] = {
		"/etc/udev/rules.d",	 "/run/udev/rules.d", "/usr/local/lib/udev/rules.d",
		"/usr/lib/udev/rules.d", "/lib/udev/rules.d",
	};
	char path[96];

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		snprintf(path, sizeof(path), "%s/59-ublk-oci.rules", places[i]);
		if (!access(path, F_OK))
			return doctor_say(n, DOCTOR_OK, NULL, "%s", path);
	}
	if (access("/run/udev/control", F_OK) < 0)
		return doctor_say(n, DOCTOR_OK, NULL, "no udev runs here that could read devices");
	return doctor_say(
		n, DOCTOR_WARN,
		"install 59-ublk-oci.rules in /etc/udev/rules.d, then udevadm control -R",
		"59-ublk-oci.rules is not installed: udev and what it starts (blkid, LVM, "
		"multipath) read what containers wrote");
}

static const struct doctor_check doctor_checks[] = {
	{ "liburing", check_liburing },	    { "udev-rules", check_udev },
	{ "runtimes", check_runtimes },	    { "policy", check_policy },
	{ "worker-ids", check_worker_ids }, { "group", check_group },
	{ "hook-user", check_hook_user },   { "helper", check_helper },
	{ "audit", check_audit }, /* behind helper, which may have made it just now */
};

/* Runs a table of checks; the worst status of all. */
static enum doctor_status doctor_run(const struct doctor_check *checks, size_t nr,
				     struct json_object *list)
{
	enum doctor_status worst = DOCTOR_OK;

	for (size_t i = 0; i < nr; i++) {
		struct doctor_note n = { 0 };
		enum doctor_status status = checks[i].check(&n);
		char finding[2 * sizeof(n.finding)];

		worst = status > worst ? status : worst;
		quote_text(finding, sizeof(finding), n.finding);
		if (list) {
			struct json_object *o = json_object_new_object();

			show_add_text(o, "name", checks[i].name);
			show_add_text(o, "status", status_words[status]);
			show_add_text(o, "finding", finding);
			show_add_text(o, "remedy", n.remedy);
			json_object_array_add(list, o);
			continue;
		}
		printf("%-4s %s: %s\n", status_words[status], checks[i].name, finding);
		if (*n.remedy)
			printf("     -> %s\n", n.remedy);
	}
	return worst;
}

int doctor_main(int argc, char **argv)
{
	auto_json struct json_object *list = NULL;
	enum doctor_status worst, kernel;
	int c, status = CLI_DONE;

	while ((c = cli_next(&doctor_page, argc, argv, &status)) != 0) {
		if (c < 0)
			return status;
		if (!list)
			list = json_object_new_array();
	}
	if (optind < argc)
		return cli_misuse(&doctor_page, "there is one word too many");
	kernel = doctor_run(doctor_kernel_checks, doctor_nr_kernel_checks, list);
	worst = doctor_run(doctor_checks, ARRAY_SIZE(doctor_checks), list);
	if (list)
		show_json_print(list);
	status = cli_end(&doctor_page);
	return kernel == DOCTOR_FAIL || worst == DOCTOR_FAIL ? CLI_FAILED : status;
}
