/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/policy.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stddef.h>

#include "driver/base/cleanup.h"

/* What getpwnam(3) and getgrnam(3) leave in errno: several of it mean "no such name". */
static int not_found(int code)
{
	static const int none[] = { 0, ENOENT, ESRCH, EBADF, EPERM };

	for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
		if (code == none[i])
			return -ENOENT;
	}
	return -code;
}

static int system_find_user(const char *name, uint32_t *ret_uid)
{
	struct passwd *pw;

	errno = 0;
	pw = getpwnam(name);
	if (!pw)
		return not_found(errno);
	*ret_uid = pw->pw_uid;
	return 0;
}

static int system_find_group(const char *name, uint32_t *ret_gid)
{
	struct group *gr;

	errno = 0;
	gr = getgrnam(name);
	if (!gr)
		return not_found(errno);
	*ret_gid = gr->gr_gid;
	return 0;
}

const struct policy_names policy_names_system = {
	.find_user = system_find_user,
	.find_group = system_find_group,
};
