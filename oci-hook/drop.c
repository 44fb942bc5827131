/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/drop.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "driver/base/cleanup.h"

#define DROP_GROUPS_MAX 32
#define DROP_DATA_MAX (512u << 20)

static const struct {
	int resource;
	rlim_t most;
} drop_rows[] = {
	{ RLIMIT_CORE, 0 },
	{ RLIMIT_NPROC, 0 },
	{ RLIMIT_NOFILE, 64 },
#ifndef SANITIZED /* a sanitizer's own memory is more than this */
	{ RLIMIT_DATA, DROP_DATA_MAX },
#endif
};

#ifdef SANITIZED
/* A process that gave up its rights cannot be searched for leaks. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}
#endif

bool drop_is_real_root(void)
{
	auto_fclose FILE *f = NULL;
	unsigned long inside, outside, count;

	if (geteuid() != 0)
		return false;
	f = fopen("/proc/self/uid_map", "re");
	return !f || fscanf(f, "%lu %lu %lu", &inside, &outside, &count) != 3 ||
	       (!inside && !outside && count == UINT32_MAX);
}

/* What no program that is started can have. Only who has capabilities may do so. */
static void drop_bounding_set(void)
{
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
		prctl(PR_CAPBSET_DROP, cap);
}

int drop_to_user(const char *name, struct err *e)
{
	gid_t groups[DROP_GROUPS_MAX];
	int nr = DROP_GROUPS_MAX;
	struct passwd *pw;

	errno = 0;
	pw = getpwnam(name);
	if (!pw)
		return err_set(e, ENOENT, "there is no user %s (systemd-sysusers makes it)", name);
	if (!pw->pw_uid || !pw->pw_gid)
		return err_set(e, EPERM, "user %s is root; it must have a uid and gid of its own",
			       name);
	if (getgrouplist(name, pw->pw_gid, groups, &nr) < 0)
		return err_set(e, EINVAL, "user %s is in more than %d groups", name,
			       DROP_GROUPS_MAX);
	drop_bounding_set();
	if (setgroups((size_t)nr, groups) < 0 ||
	    setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) < 0 ||
	    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) < 0)
		return err_sys(e, errno, "cannot become user %s", name);
	return 0;
}

int drop_groups(const char *but, struct err *e)
{
	struct group *group;

	if (!drop_is_real_root())
		return 0;
	group = getgrnam(but);
	return setgroups(group ? 1 : 0, group ? &group->gr_gid : NULL) < 0
		       ? err_sys(e, errno, "cannot be in group %s only", but)
		       : 0;
}

int drop_capabilities(struct err *e)
{
	cap_t none = cap_init();
	int r = 0;

	if (!none)
		return err_sys(e, ENOMEM, "cannot drop capabilities");
	drop_bounding_set();
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (cap_set_proc(none) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		r = err_sys(e, errno, "cannot drop capabilities");
	cap_free(none);
	return r;
}

static int drop_limit(int resource, rlim_t most, struct err *e)
{
	struct rlimit now, limit = { most, most };

	if (getrlimit((__rlimit_resource_t)resource, &now) < 0)
		return 0;
	if (now.rlim_max < most)
		limit = (struct rlimit){ now.rlim_max, now.rlim_max };
	return setrlimit((__rlimit_resource_t)resource, &limit) < 0
		       ? err_sys(e, errno, "cannot limit this process")
		       : 0;
}

int drop_limits(unsigned int cpu_seconds, struct err *e)
{
	int r = drop_limit(RLIMIT_CPU, cpu_seconds, e);

	for (size_t i = 0; i < ARRAY_SIZE(drop_rows) && r == 0; i++)
		r = drop_limit(drop_rows[i].resource, drop_rows[i].most, e);
	return r;
}

void drop_fill_standard_fds(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	close_fdp(&fd);
}
