/* SPDX-License-Identifier: Apache-2.0 */
/* The two protocols of systemd we speak, as sd_listen_fds(3) and sd_notify(3) document them. */
#pragma once

#include "driver/base/err.h"

/* The socket systemd opened for us, checked; -ENOENT: none was passed. */
int sd_listen_fd(int *ret_fd, struct err *e);

/* Tell the service manager that requests are served; without one, nothing. */
void sd_notify_ready(void);

/* And that the policy is being read again, which sd_notify_ready() ends. */
void sd_notify_reloading(void);
