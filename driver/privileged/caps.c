/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/caps.h"

#include <errno.h>
#include <sys/capability.h>
#include <sys/prctl.h>

#include "driver/base/cleanup.h"

/*
 * Adding a line here is widening what a bug in the helper can do;
 * docs/privilege.md repeats the reasons.
 */
static const cap_value_t caps_kept[] = {
	CAP_SYS_ADMIN,	  /* ublk control commands, setns, mount, cgroup device programs */
	CAP_SYS_CHROOT,	  /* setns() into a mount namespace */
	CAP_SYS_PTRACE,	  /* /proc/PID/ns of a container's process; who holds a device */
	CAP_SYS_RESOURCE, /* a worker's limits, PR_SET_IO_FLUSHER, oom_score_adj */
	CAP_MKNOD,	  /* the device node */
	CAP_CHOWN,	  /* the node's owner */
	CAP_SETUID,	  /* a worker's uid map; fsuid of a container's root */
	CAP_SETGID,	  /* the same for gids */
	CAP_SETPCAP,	  /* emptying a worker's bounding set */
	CAP_DAC_OVERRIDE, /* a container's /dev belongs to its root, not to ours */
};

int caps_keep(struct err *e)
{
	cap_t caps = cap_init();
	int r = 0;

	if (!caps)
		return err_sys(e, ENOMEM, "cannot drop capabilities");
	for (cap_value_t c = 0; cap_get_bound(c) >= 0; c++) {
		int keep = 0;

		for (size_t i = 0; i < ARRAY_SIZE(caps_kept); i++)
			keep |= caps_kept[i] == c;
		if (!keep && cap_get_bound(c) && cap_drop_bound(c) < 0)
			r = -errno;
	}
	if (cap_set_flag(caps, CAP_PERMITTED, ARRAY_SIZE(caps_kept), caps_kept, CAP_SET) < 0 ||
	    cap_set_flag(caps, CAP_EFFECTIVE, ARRAY_SIZE(caps_kept), caps_kept, CAP_SET) < 0 ||
	    cap_set_proc(caps) < 0 || cap_reset_ambient() < 0)
		r = -errno;
	cap_free(caps);
	if (r < 0)
		return err_sys(e, -r, "cannot drop capabilities (is this started as root?)");
	return 0;
}
